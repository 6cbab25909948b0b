//! `results.html`: one file, without scripts and without anything from elsewhere.

use super::circumstances::{circumstances, programs};
use super::losses::{losses, wins};
use super::number::number;
use super::plot::{self, Layout};
use super::plotted::plotted;
use super::table::{cases, columns, heading, words};
use super::verdict::{Verdict, Winner, best, count, verdicts, with_nts};
use super::xml::{Escaped, append};
use crate::results::{Measured, Results};
use crate::section::{Cell, Figure, Row};

const STYLE: &str = include_str!("page.css");

/// The whole page.
pub(super) fn page(results: &Results) -> String {
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>TSQ beside NTP, NTS and others</title>\n\
         <style>\n{}{STYLE}</style>\n</head>\n<body>\n<main>\n",
        plot::STYLE
    );
    header(&mut text, results);
    answer(&mut text, results);
    comparisons(&mut text, results);
    for measured in &results.sections {
        section(&mut text, measured);
    }
    footer(&mut text, results);
    text.push_str("</main>\n</body>\n</html>\n");
    text
}

fn header(text: &mut String, results: &Results) {
    text.push_str(
        "<header>\n<h1>TSQ beside NTP, NTS and others</h1>\n\
         <p class=\"lead\">Time over QUIC against what is there already: every program on one machine, in one run, taking turns.</p>\n",
    );
    let mut days: Vec<&str> = results
        .sections
        .iter()
        .filter_map(|measured| measured.begun.split(' ').next())
        .collect();
    days.sort_unstable();
    days.dedup();
    let mut machines: Vec<String> = Vec::new();
    for measured in &results.sections {
        let machine = measured.section.conditions.machine();
        if !machines.contains(&machine) {
            machines.push(machine);
        }
    }
    append(
        text,
        format_args!(
            "<p class=\"facts\">{} · {}</p>\n</header>\n",
            Escaped(&days.join(", ")),
            Escaped(&machines.join(" · "))
        ),
    );
}

fn contents(text: &mut String, results: &Results) {
    text.push_str("<nav>");
    for measured in &results.sections {
        let section = &measured.section;
        append(
            text,
            format_args!(
                "<a href=\"#{}\">{}</a> ",
                Escaped(&section.id),
                Escaped(&section.title)
            ),
        );
    }
    text.push_str("</nav>\n");
}

/// What a reader came for, on the first screen: the fair comparison, and both lists beside each other.
fn answer(text: &mut String, results: &Results) {
    let all = all_verdicts(results);
    if all.is_empty() {
        contents(text, results);
        return;
    }
    text.push_str(
        "<section id=\"who-wins\">\n<h2>Beside NTS, which protects the time as we do</h2>\n",
    );
    figures(text, results);
    tally(text, count(with_nts(&all)), "");
    text.push_str("<h2>Beside everything, plain NTP and Roughtime too</h2>\n");
    tally(text, count(all.iter().map(Verdict::winner)), " small");
    text.push_str("<div class=\"lists\">\n");
    list(text, "win", "Where ours is better", &wins(results));
    list(text, "loss", "Where another is better", &losses(results));
    text.push_str("</div>\n");
    contents(text, results);
    text.push_str("</section>\n");
}

fn all_verdicts(results: &Results) -> Vec<Verdict<'_>> {
    let sections = results.sections.iter();
    sections.flat_map(|it| verdicts(&it.section)).collect()
}

/// Three figures that say most: how long, how exact, at what price.
fn figures(text: &mut String, results: &Results) {
    text.push_str("<div class=\"figures\">\n");
    for (id, key, case, what) in GIST {
        let section = results.sections.iter().find(|it| it.section.id == id);
        let verdicts = section.map_or(Vec::new(), |it| verdicts(&it.section));
        let mut named = verdicts.iter();
        let verdict = named.find(|it| it.figure.key == key && it.case == case);
        let Some((verdict, nts)) = verdict.and_then(|it| Some((it, it.best_nts()?))) else {
            continue;
        };
        let (value, _) = verdict.of_ours();
        let words = verdict.words_against(Some(nts));
        append(
            text,
            format_args!(
                "<p><b>{}</b> {what}<small>{}: {}<br>{}</small></p>\n",
                Escaped(&value),
                Escaped(nts.subject),
                Escaped(&verdict.value(nts)),
                Escaped(&words),
            ),
        );
    }
    text.push_str("</div>\n");
}

/// Section, figure, case, and what the figure says.
const GIST: [(&str, &str, &str, &str); 3] = [
    (
        "one-shot",
        "wall_ms",
        "20 ms round trip",
        "until a clock is known, 20 ms away",
    ),
    (
        "impaired",
        "error_median_us",
        "5 % loss each way",
        "of error, with 5 % loss each way",
    ),
    (
        "server",
        "cpu_us",
        "50 clients",
        "of a server for a request, 50 clients",
    ),
];

fn tally(text: &mut String, [ours, theirs, even]: [u32; 3], size: &str) {
    append(
        text,
        format_args!(
            "<p class=\"tally{size}\"><span class=\"win\"><b>{ours}</b> ours is better</span> \
             <span class=\"loss\"><b>{theirs}</b> another is better</span> <span><b>{even}</b> even or no verdict</span></p>\n"
        ),
    );
}

fn list(text: &mut String, class: &str, title: &str, lines: &[String]) {
    append(
        text,
        format_args!("<div class=\"{class}\"><h3>{title}</h3>\n<ul>\n"),
    );
    for line in lines {
        append(text, format_args!("<li>{}</li>\n", Escaped(line)));
    }
    text.push_str("</ul></div>\n");
}

/// Every comparison, folded: the even ones within once more.
fn comparisons(text: &mut String, results: &Results) {
    let all = all_verdicts(results);
    if all.is_empty() {
        return;
    }
    let widest = all.iter().map(finite_factor).fold(10.0, f64::max);
    append(
        text,
        format_args!(
            "<details id=\"comparisons\"><summary>Each of the {} comparisons</summary>\n\
             <p>The best of ours against the best of the others, for every figure drawn below. Even: less than 5 % or one percentage point apart. \
             No verdict: the middle halves of the rounds overlap. A bar to the right is a win of ours, one to the left a win of another; lengths are logarithmic.</p>\n",
            all.len()
        ),
    );
    let decided = |it: &Verdict<'_>| !matches!(it.winner(), Winner::Even | Winner::Unclear);
    rows(text, results, widest, decided);
    let undecided = all.iter().filter(|it| !decided(it)).count();
    if undecided > 0 {
        append(
            text,
            format_args!(
                "<details><summary>{undecided} that are even or have no verdict</summary>\n"
            ),
        );
        rows(text, results, widest, |it| !decided(it));
        text.push_str("</details>\n");
    }
    text.push_str("</details>\n");
}

fn rows(text: &mut String, results: &Results, widest: f64, wanted: impl Fn(&Verdict<'_>) -> bool) {
    text.push_str(
        "<table class=\"verdicts\">\n<thead><tr><th>figure</th><th>ours</th><th>best with NTS</th><th>best of all others</th><th>verdict</th></tr></thead>\n",
    );
    for measured in &results.sections {
        let mut verdicts = verdicts(&measured.section);
        verdicts.retain(&wanted);
        if verdicts.is_empty() {
            continue;
        }
        append(
            text,
            format_args!(
                "<tbody>\n<tr><th colspan=\"5\"><a href=\"#{}\">{}</a></th></tr>\n",
                Escaped(&measured.section.id),
                Escaped(&measured.section.title)
            ),
        );
        for verdict in &verdicts {
            verdict_row(text, verdict, widest);
        }
        text.push_str("</tbody>\n");
    }
    text.push_str("</table>\n");
}

fn verdict_row(text: &mut String, verdict: &Verdict<'_>, widest: f64) {
    let class = match verdict.winner() {
        Winner::Ours(_) | Winner::OnlyOurs => "win",
        Winner::Theirs(_) | Winner::OnlyTheirs => "loss",
        Winner::Even | Winner::Unclear => "even",
    };
    let case = match verdict.case {
        "" => String::new(),
        case => format!("<small>{}</small>", Escaped(case)),
    };
    append(
        text,
        format_args!(
            "<tr class=\"{class}\"><td>{}{case}</td><td>{}</td><td>{}</td><td>{}</td><td>{}<span>{}</span></td></tr>\n",
            Escaped(&verdict.figure.heading),
            side(verdict.of_ours()),
            nts(verdict),
            side(verdict.of_theirs()),
            bar(verdict.winner(), widest),
            Escaped(&verdict.words()),
        ),
    );
}

fn side((value, subject): (String, &str)) -> String {
    format!("{}<small>{}</small>", Escaped(&value), Escaped(subject))
}

/// How we do against the best that is authenticated as we are.
fn nts(verdict: &Verdict<'_>) -> String {
    verdict.best_nts().map_or("\u{2013}".into(), |nts| {
        format!(
            "{}<small>{}<br>{}</small>",
            Escaped(&verdict.value(nts)),
            Escaped(nts.subject),
            Escaped(&verdict.words_against(Some(nts)))
        )
    })
}

/// From the middle to the side of the winner.
fn bar(winner: Winner, widest: f64) -> String {
    let length = |factor: f64| match factor.is_finite() {
        true => 4.0 + 94.0 * factor.ln() / widest.ln(),
        false => 98.0,
    };
    let (class, x, width) = match winner {
        Winner::Ours(factor) => ("ours", 100.0, length(factor)),
        Winner::OnlyOurs => ("ours", 100.0, 98.0),
        Winner::Theirs(factor) => ("theirs", 100.0 - length(factor), length(factor)),
        Winner::OnlyTheirs => ("theirs", 2.0, 98.0),
        Winner::Even | Winner::Unclear => ("even", 98.0, 4.0),
    };
    format!(
        "<svg class=\"bar\" viewBox=\"0 0 200 12\" aria-hidden=\"true\"><rect class=\"{class}\" x=\"{x:.1}\" y=\"2\" width=\"{width:.1}\" height=\"8\" rx=\"2\"/>\
         <line x1=\"100\" y1=\"0\" x2=\"100\" y2=\"12\"/></svg>"
    )
}

fn finite_factor(verdict: &Verdict<'_>) -> f64 {
    match verdict.winner() {
        Winner::Ours(factor) | Winner::Theirs(factor) if factor.is_finite() => factor,
        _ => 1.0,
    }
}

fn section(text: &mut String, measured: &Measured) {
    let section = &measured.section;
    append(
        text,
        format_args!(
            "<section id=\"{}\">\n<h2>{}</h2>\n<p class=\"question\">{}</p>\n",
            Escaped(&section.id),
            Escaped(&section.title),
            Escaped(&section.question)
        ),
    );
    if let Some(reason) = &measured.failure {
        append(
            text,
            format_args!(
                "<p class=\"failure\">Not measured: {}.</p>\n",
                Escaped(reason)
            ),
        );
    }
    let verdicts = verdicts(section);
    let mut any = false;
    for figure in plotted(measured) {
        any = true;
        let mut of_figure = verdicts
            .iter()
            .filter(|it| it.figure.key == figure.key)
            .peekable();
        let even = of_figure.peek().is_some() && of_figure.all(|it| it.winner() == Winner::Even);
        if even {
            append(
                text,
                format_args!(
                    "<details><summary>{}: even in every case</summary>\n",
                    Escaped(&figure.heading)
                ),
            );
        }
        append(
            text,
            format_args!(
                "<figure>\n<figcaption>{} <small>{}</small></figcaption>\n{}\n{}\n</figure>\n",
                Escaped(&figure.heading),
                Escaped(&plot::hint(section, figure)),
                plot::svg(section, figure, Layout::Wide),
                plot::svg(section, figure, Layout::Narrow),
            ),
        );
        if even {
            text.push_str("</details>\n");
        }
    }
    if any && !section.rows.is_empty() {
        text.push_str("<details><summary>All figures</summary>\n");
    }
    for (case, rows) in cases(&section.rows) {
        table(text, case, &section.figures, rows);
    }
    if any && !section.rows.is_empty() {
        text.push_str("</details>\n");
    }
    notes(text, measured);
    text.push_str("</section>\n");
}

fn notes(text: &mut String, measured: &Measured) {
    let section = &measured.section;
    text.push_str("<ul class=\"notes\">\n");
    for note in &section.notes {
        append(text, format_args!("<li>{}</li>\n", Escaped(note)));
    }
    append(
        text,
        format_args!(
            "<li>{}; alone by <code>{}</code>.</li>\n</ul>\n",
            Escaped(&circumstances(measured)),
            Escaped(&section.command)
        ),
    );
}

fn table(text: &mut String, case: &str, figures: &[Figure], rows: &[Row]) {
    let figures = columns(figures, rows);
    append(
        text,
        format_args!(
            "<div class=\"scroll\"><table>\n<thead><tr><th>{}</th>",
            Escaped(case)
        ),
    );
    for figure in &figures {
        append(text, format_args!("<th>{}</th>", Escaped(&heading(figure))));
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    let bests: Vec<Option<f64>> = figures.iter().map(|figure| best(figure, rows)).collect();
    for row in rows {
        let class = if row.ours { " class=\"ours\"" } else { "" };
        append(
            text,
            format_args!("<tr{class}><td>{}</td>", Escaped(&row.subject)),
        );
        for (figure, best) in figures.iter().zip(&bests) {
            let cell = row.cells.get(&figure.key);
            let class = match cell {
                Some(Cell::Number { value, .. }) if *best == Some(*value) && !row.reference => {
                    "best"
                }
                Some(Cell::Text(_)) => "word",
                _ => "",
            };
            append(
                text,
                format_args!("<td class=\"{class}\">{}</td>", Escaped(&words(cell))),
            );
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody>\n</table></div>\n");
}

fn footer(text: &mut String, results: &Results) {
    text.push_str("<footer>\n");
    if !results.programs.is_empty() {
        append(
            text,
            format_args!("<p>Programs: {}.</p>\n", Escaped(&programs(results))),
        );
    }
    let rows: usize = results.sections.iter().map(|m| m.section.rows.len()).sum();
    let rows = f64::from(u32::try_from(rows).unwrap_or(u32::MAX));
    append(
        text,
        format_args!(
            "<p>{} rows, from <code>{}</code>. Raw figures: <code>results.json</code>; how to read them and what they \
             cannot say: <code>README.md</code>, both beside this file. Marks: the large dot is the figure, faint ones the \
             rounds behind it, an open one a server without a protocol, to compare with. Everything ran on one machine: no figure \
             holds a network card.</p>\n</footer>\n",
            number(rows),
            Escaped(&results.command)
        ),
    );
}
