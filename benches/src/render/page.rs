//! `results.html`: one file, without scripts and without anything from elsewhere.

use super::losses::losses;
use super::number::number;
use super::plot::{self, Layout};
use super::text::{cases, columns, heading, words};
use super::verdict::{Verdict, Winner, best, count, verdicts};
use super::xml::{Escaped, append};
use super::{circumstances, plotted, programs};
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
    overview(&mut text, results);
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
            "<p class=\"facts\">{} · {}</p>\n<nav>",
            Escaped(&days.join(", ")),
            Escaped(&machines.join(" · "))
        ),
    );
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
    text.push_str("</nav>\n</header>\n");
}

fn overview(text: &mut String, results: &Results) {
    let all: Vec<Verdict<'_>> = results
        .sections
        .iter()
        .flat_map(|m| verdicts(&m.section))
        .collect();
    if all.is_empty() {
        return;
    }
    let [ours, theirs, even] = count(all.iter());
    append(
        text,
        format_args!(
            "<section id=\"who-wins\">\n<h2>Who wins</h2>\n\
             <p class=\"tally\"><span class=\"win\"><b>{ours}</b> ours is better</span> \
             <span class=\"loss\"><b>{theirs}</b> another is better</span> <span><b>{even}</b> even</span></p>\n\
             <p>The best of ours against the best of the others, for every figure drawn below. Even: less than 5 % or one percentage point apart.</p>\n"
        ),
    );
    let losses = losses(results);
    if !losses.is_empty() {
        text.push_str("<h3>Where another is better</h3>\n<ul>\n");
        for loss in losses {
            append(text, format_args!("<li>{}</li>\n", Escaped(&loss)));
        }
        text.push_str("</ul>\n<h3>Every comparison</h3>\n");
    }
    text.push_str(
        "<p>A bar to the right is a win of ours, one to the left a win of another; lengths are logarithmic.</p>\n",
    );
    let widest = all.iter().map(finite_factor).fold(10.0, f64::max);
    text.push_str(
        "<table class=\"verdicts\">\n<thead><tr><th>figure</th><th>ours</th><th>best of the others</th><th>verdict</th></tr></thead>\n",
    );
    for measured in &results.sections {
        let verdicts = verdicts(&measured.section);
        if verdicts.is_empty() {
            continue;
        }
        append(
            text,
            format_args!(
                "<tbody>\n<tr><th colspan=\"4\"><a href=\"#{}\">{}</a></th></tr>\n",
                Escaped(&measured.section.id),
                Escaped(&measured.section.title)
            ),
        );
        for verdict in &verdicts {
            verdict_row(text, verdict, widest);
        }
        text.push_str("</tbody>\n");
    }
    text.push_str("</table>\n</section>\n");
}

fn verdict_row(text: &mut String, verdict: &Verdict<'_>, widest: f64) {
    let class = match verdict.winner() {
        Winner::Ours(_) | Winner::OnlyOurs => "win",
        Winner::Theirs(_) | Winner::OnlyTheirs => "loss",
        Winner::Even => "even",
    };
    let case = match verdict.case {
        "" => String::new(),
        case => format!("<small>{}</small>", Escaped(case)),
    };
    append(
        text,
        format_args!(
            "<tr class=\"{class}\"><td>{}{case}</td><td>{}</td><td>{}{}</td><td>{}<span>{}</span></td></tr>\n",
            Escaped(&verdict.figure.heading),
            side(verdict.of_ours()),
            side(verdict.of_theirs()),
            nts(verdict),
            bar(verdict.winner(), widest),
            Escaped(&verdict.words()),
        ),
    );
}

fn side((value, subject): (String, &str)) -> String {
    format!("{}<small>{}</small>", Escaped(&value), Escaped(subject))
}

/// How we do against the best that is authenticated as we are, where that is another.
fn nts(verdict: &Verdict<'_>) -> String {
    verdict.nts.as_ref().map_or(String::new(), |nts| {
        format!(
            "<small>{}: {}, {}</small>",
            Escaped(nts.subject),
            Escaped(&verdict.value(nts)),
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
        Winner::Even => ("even", 98.0, 4.0),
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
    let mut any = false;
    for figure in plotted(measured) {
        any = true;
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
             rounds behind it, an open one a floor that no server can beat. Everything ran on one machine: no figure \
             holds a network card.</p>\n</footer>\n",
            number(rows),
            Escaped(&results.command)
        ),
    );
}
