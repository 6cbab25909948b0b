//! A file taken apart, line by line.

use x509_parser::pem::Pem;

use super::{PemError, Section, at};

/// Every section of `text`; `tool` is openssl's for what the caller looks for, for advice.
pub(super) fn sections(text: &[u8], tool: &str) -> Result<Vec<Section>, PemError> {
    not_text(text, tool)?;
    let mut all = Vec::new();
    let mut open: Option<Open> = None;
    for (index, line) in lines(text).enumerate() {
        let number = index + 1;
        let line = stripped(line);
        open = match (open, boundary(line, number)?) {
            (None, None) => None,
            (None, Some(Boundary::Begin(label))) => Some(Open::new(label, number)),
            (None, Some(Boundary::End(label))) => {
                return Err(at(number, &format!("END {label} without its BEGIN")));
            }
            (Some(mut section), None) => {
                section.take(line);
                Some(section)
            }
            (Some(section), Some(Boundary::End(label))) if label == section.label => {
                all.push(section.close()?);
                None
            }
            (Some(section), Some(Boundary::End(label))) => {
                let problem = format!(
                    "END {label}, where BEGIN {} of line {} is to end",
                    section.label, section.line
                );
                return Err(at(number, &problem));
            }
            (Some(section), Some(Boundary::Begin(_))) => {
                let problem = format!(
                    "BEGIN {} has no END before the BEGIN in line {number}: the section is cut off",
                    section.label
                );
                return Err(at(section.line, &problem));
            }
        };
    }
    if let Some(section) = open {
        let problem = format!(
            "BEGIN {} has no END: the file ends in the middle",
            section.label
        );
        return Err(at(section.line, &problem));
    }
    if all.is_empty() {
        return Err(PemError(
            "it holds no PEM section (none begins with -----BEGIN)".into(),
        ));
    }
    Ok(all)
}

/// What is certainly no PEM, by name.
fn not_text(text: &[u8], tool: &str) -> Result<(), PemError> {
    let problem = match text {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'-', 0, ..] | [0, b'-', ..] => {
            "it is UTF-16 text: save it as UTF-8 or ASCII (iconv -f UTF-16 -t UTF-8)".into()
        }
        // A SEQUENCE of some length; the version of PKCS #12 is 3, of nothing else that comes here.
        [0x30, 0x82, _, _, 2, 1, 3, ..] => {
            "it is PKCS #12, not PEM: openssl pkcs12 -in FILE -nodes -out PEM takes it apart".into()
        }
        [0x30, 0x80..=0x84, ..] => {
            format!("it is DER, not PEM: openssl {tool} -inform DER -in FILE -out PEM converts it")
        }
        [0x30, length, ..] if usize::from(*length) + 2 == text.len() => {
            format!("it is DER, not PEM: openssl {tool} -inform DER -in FILE -out PEM converts it")
        }
        _ if text.iter().all(u8::is_ascii_whitespace) => "it is empty".into(),
        _ => return Ok(()),
    };
    Err(PemError(problem))
}

/// Lines as any system ends them.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    // Of "\r\n" the '\r' is a blank at the line's end.
    let old_mac = !text.contains(&b'\n');
    text.split(move |byte| *byte == b'\n' || (old_mac && *byte == b'\r'))
}

/// The line without blanks around it, and without the mark that Windows puts before a file's first.
fn stripped(line: &[u8]) -> &[u8] {
    let mut line = line.trim_ascii();
    while let Some(rest) = line.strip_prefix(BYTE_ORDER_MARK) {
        line = rest.trim_ascii();
    }
    line
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

enum Boundary {
    Begin(String),
    End(String),
}

/// What a line begins or ends, if anything. A line that looks as if it should, and does not, would be lost.
fn boundary(line: &[u8], number: usize) -> Result<Option<Boundary>, PemError> {
    if line.starts_with(b"#") {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(line);
    let upper = text.to_ascii_uppercase();
    let looks = |word: &str| {
        upper.contains(&format!("-----{word}")) || (upper.starts_with('-') && upper.contains(word))
    };
    if !looks("BEGIN ") && !looks("END ") {
        return Ok(None);
    }
    let label = text
        .strip_prefix("-----")
        .and_then(|rest| rest.strip_suffix("-----"))
        .filter(|label| !label.contains('-') && !label.ends_with(' '));
    match label {
        Some(label) if label.starts_with("BEGIN ") => {
            Ok(Some(Boundary::Begin(label["BEGIN ".len()..].into())))
        }
        Some(label) if label.starts_with("END ") => {
            Ok(Some(Boundary::End(label["END ".len()..].into())))
        }
        _ => Err(at(
            number,
            &format!(
                "neither text nor the beginning or end of a PEM section: {:?} (such a line has five dashes on each \
                 side and nothing else)",
                text.chars().take(80).collect::<String>()
            ),
        )),
    }
}

/// A section that is being read.
struct Open {
    label: String,
    line: usize,
    base64: String,
    /// Lines such as `Proc-Type: 4,ENCRYPTED`, which old formats have before the content.
    encrypted: bool,
}

impl Open {
    fn new(label: String, line: usize) -> Self {
        Self {
            label,
            line,
            base64: String::new(),
            encrypted: false,
        }
    }

    fn take(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        match text.split_once(':') {
            Some((name, value)) if self.base64.is_empty() => {
                self.encrypted |= name == "Proc-Type" && value.contains("ENCRYPTED");
            }
            _ => self.base64.push_str(&text),
        }
    }

    fn close(self) -> Result<Section, PemError> {
        let Self {
            label,
            line,
            base64,
            encrypted,
        } = self;
        let plain = format!("-----BEGIN X-----\n{base64}\n-----END X-----\n");
        let der = match Pem::iter_from_buffer(plain.as_bytes()).next() {
            Some(Ok(pem)) if !pem.contents.is_empty() => pem.contents,
            _ => {
                let problem = format!("the content of BEGIN {label} is damaged: it is not base64");
                return Err(at(line, &problem));
            }
        };
        Ok(Section {
            label,
            line,
            der,
            encrypted,
        })
    }
}
