//! Finds links in Markdown files that lead nowhere: a missing file, or an anchor without its heading.
//!
//! Links to other hosts are not followed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};

use tsq_workbench::files;
use tsq_workbench::process::Failure;

/// One line `file:line: reason` for each broken link of `files`.
pub(crate) fn broken(root: &Path, files: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let mut pages = HashMap::new();
    for file in files {
        pages.insert(normal(file), Page::parse(&files::read(file)?));
    }
    let mut findings = Vec::new();
    for file in files {
        for link in &pages[&normal(file)].links {
            if let Some(reason) = fault(root, file, &link.target, &pages) {
                let shown = file.strip_prefix(root).unwrap_or(file).display();
                findings.push(format!("{shown}:{}: {}: {reason}", link.line, link.target));
            }
        }
    }
    Ok(findings)
}

struct Page {
    links: Vec<Link>,
    anchors: Vec<String>,
}

struct Link {
    line: usize,
    target: String,
}

impl Page {
    fn parse(text: &str) -> Self {
        let mut page = Self {
            links: Vec::new(),
            anchors: Vec::new(),
        };
        let mut parser = Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter();
        let mut title = None;
        for (event, place) in &mut parser {
            match event {
                Event::Start(
                    Tag::Link {
                        link_type,
                        dest_url,
                        ..
                    }
                    | Tag::Image {
                        link_type,
                        dest_url,
                        ..
                    },
                ) if link_type == LinkType::Inline => page.link(text, place.start, &dest_url),
                Event::Start(Tag::Heading { .. }) => title = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let slug = slug(&title.take().unwrap_or_default());
                    page.anchors.push(page.unused_anchor(&slug));
                }
                Event::Text(words) | Event::Code(words) => {
                    if let Some(title) = &mut title {
                        title.push_str(&words);
                    }
                }
                _ => {}
            }
        }
        // Also those that nothing refers to; what refers to one has its target.
        for (_, definition) in parser.reference_definitions().iter() {
            page.link(text, definition.span.start, &definition.dest);
        }
        page.links.sort_by_key(|link| link.line);
        page
    }

    fn link(&mut self, text: &str, start: usize, target: &str) {
        self.links.push(Link {
            line: 1 + text[..start].matches('\n').count(),
            target: target.to_owned(),
        });
    }

    /// The second heading of one name gets `-1`, the third `-2`, as on the hosting sites.
    fn unused_anchor(&self, slug: &str) -> String {
        let numbered = (1..).map(|n| format!("{slug}-{n}"));
        let mut candidates = std::iter::once(slug.to_owned()).chain(numbered);
        candidates
            .find(|name| !self.anchors.contains(name))
            .expect("the candidates never end")
    }
}

/// Why the link leads nowhere, or nothing when it does not.
fn fault(root: &Path, from: &Path, target: &str, pages: &HashMap<PathBuf, Page>) -> Option<String> {
    if has_scheme(target) {
        return None;
    }
    let (path, anchor) = target
        .split_once('#')
        .map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let file = match path.strip_prefix('/') {
        _ if path.is_empty() => from.to_owned(),
        Some(from_root) => root.join(from_root),
        None => from.parent().unwrap_or(root).join(path),
    };
    if !file.exists() {
        return Some("no such file".to_owned());
    }
    // Only Markdown has headings; `#L10` in a source file is for the hosting site.
    let page = pages.get(&normal(&file))?;
    let anchor = anchor?;
    (!page.anchors.iter().any(|known| known == anchor)).then(|| format!("no heading for #{anchor}"))
}

/// The path without `.` and `..`, so that one file has one name.
fn normal(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn has_scheme(target: &str) -> bool {
    let scheme = target.split_once(':').map_or("", |(scheme, _)| scheme);
    !scheme.is_empty()
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// The anchor the hosting sites make of a heading: lower case, blanks to hyphens, other punctuation dropped.
fn slug(title: &str) -> String {
    let kept = title
        .trim()
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c })
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(text: &str) -> Vec<String> {
        Page::parse(text)
            .links
            .into_iter()
            .map(|link| link.target)
            .collect()
    }

    #[test]
    fn inline_links_images_and_definitions_are_found() {
        let text = "see [a](x.md), ![b](y.png \"title\") and [c][d]\n\n[d]: <z.md#top>\n";
        assert_eq!(links(text), ["x.md", "y.png", "z.md#top"]);
    }

    #[test]
    fn code_is_not_searched_for_links() {
        assert!(links("`[a](x.md)`\n```\n[b](y.md)\n```\n").is_empty());
        assert_eq!(links("```\n~~~\n```\n[after](z.md)\n"), ["z.md"]);
    }

    #[test]
    fn anchors_follow_the_headings() {
        let page = Page::parse(
            "# One: `code`, two!\n## A [link](x) here\n## Twice\n## Twice\n#no heading\n",
        );
        assert_eq!(
            page.anchors,
            ["one-code-two", "a-link-here", "twice", "twice-1"]
        );
    }

    #[test]
    fn addresses_with_a_scheme_are_left_alone() {
        assert!(has_scheme("https://example.org/"));
        assert!(has_scheme("mailto:someone@example.org"));
        assert!(!has_scheme("docs/a.md"));
        assert!(!has_scheme("#a:b"));
    }

    #[test]
    fn missing_files_and_anchors_are_reported_with_their_line() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        std::fs::create_dir(root.join("sub")).unwrap();
        std::fs::write(
            root.join("sub/b.md"),
            "# There\n[up](../a.md#here) [gone](c.md)\n",
        )
        .unwrap();
        std::fs::write(
            root.join("a.md"),
            "# Here\n[ok](sub/b.md#there) [root](/sub)\n[bad](sub/b.md#nowhere) [x](#y)\n",
        )
        .unwrap();
        let files = files::with_extension(root, &["md"]).unwrap();
        let expected = [
            "a.md:3: sub/b.md#nowhere: no heading for #nowhere",
            "a.md:3: #y: no heading for #y",
            "sub/b.md:2: c.md: no such file",
        ];
        assert_eq!(broken(root, &files).unwrap(), expected);
    }
}
