//! A figure as a plot: for each case the subjects below each other, best first, on one axis.
//!
//! Our own writer, as a plot is thirty lines of SVG: it follows light and dark by itself, says in words what each mark
//! is, and needs no library. In the page it is drawn twice, for a screen and for a phone, and a style shows one.

mod scale;

use super::number::{number, tick, unit, with_unit};
use super::table::cases;
use super::xml::{Escaped, append};
use crate::section::{Better, Cell, Figure, Row, Section};
use scale::Scale;

/// A file of its own, with its style and its unit.
pub(super) fn standalone(section: &Section, figure: &Figure) -> String {
    let plot = svg(section, figure, Layout::Wide);
    let head = format!(
        "><style>{}</style><text class=\"tick\" x=\"0\" y=\"14\">{}</text>",
        STYLE.trim(),
        Escaped(&hint(section, figure))
    );
    plot.replacen('>', &head, 1) + "\n"
}

/// An element for a page that holds [`STYLE`] already.
pub(super) fn svg(section: &Section, figure: &Figure, layout: Layout) -> String {
    let mut plot = Plot {
        figure,
        layout,
        scale: scale(section, figure),
        text: String::new(),
        y: TOP,
    };
    let several = cases(&section.rows).count() > 1;
    for (case, rows) in cases(&section.rows) {
        plot.case(several.then_some(case), rows);
    }
    plot.finish(&format!("{}: {}", section.title, figure.heading))
}

/// How to read the axis: the unit, which way is good, and whether it is logarithmic.
pub(super) fn hint(section: &Section, figure: &Figure) -> String {
    let way = match figure.better {
        Better::Less => "less is better",
        Better::More => "more is better",
        Better::Neither => "",
    };
    let axis = match scale(section, figure).is_linear() {
        true => "",
        false => "logarithmic",
    };
    let parts = [unit(&figure.unit), way, axis];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(", ")
}

fn scale(section: &Section, figure: &Figure) -> Scale {
    let cells = section
        .rows
        .iter()
        .filter_map(|row| row.cells.get(&figure.key));
    let values = cells.flat_map(|cell| cell.value().into_iter().chain(figure.rounds(cell)));
    Scale::of(&values.collect::<Vec<_>>())
}

/// For what width a plot is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Names to the left of the marks.
    Wide,
    /// Names above the marks.
    Narrow,
}

/// The colours, also those of the page: ours strong, others grey, on light and on dark.
pub(super) const STYLE: &str = include_str!("../plot.css");

impl Layout {
    /// Of the whole plot, in pixels.
    fn width(self) -> f64 {
        match self {
            Self::Wide => 780.0,
            Self::Narrow => 360.0,
        }
    }

    /// Where the axis begins and ends.
    fn axis(self) -> (f64, f64) {
        match self {
            Self::Wide => (276.0, 678.0),
            Self::Narrow => (8.0, 352.0),
        }
    }

    fn row_height(self) -> f64 {
        match self {
            Self::Wide => 23.0,
            Self::Narrow => 36.0,
        }
    }

    /// Of a name, in characters.
    fn longest_name(self) -> usize {
        match self {
            Self::Wide => 41,
            Self::Narrow => 38,
        }
    }

    fn ticks(self) -> usize {
        match self {
            Self::Wide => 7,
            Self::Narrow => 5,
        }
    }
}

/// Above the first row: the values at the axis.
const TOP: f64 = 30.0;

struct Plot<'a> {
    figure: &'a Figure,
    layout: Layout,
    scale: Scale,
    text: String,
    /// The upper edge of the next row.
    y: f64,
}

impl Plot<'_> {
    fn case(&mut self, name: Option<&str>, rows: &[Row]) {
        let mut rows: Vec<(&Row, &Cell)> = rows
            .iter()
            .filter_map(|row| Some((row, row.cells.get(&self.figure.key)?)))
            .collect();
        if rows.is_empty() {
            return;
        }
        rows.sort_by(|a, b| self.rank(a.1).total_cmp(&self.rank(b.1)));
        if let Some(name) = name {
            self.y += 10.0;
            let baseline = self.y + 13.0;
            append(
                &mut self.text,
                format_args!(
                    "<text class=\"case\" x=\"0\" y=\"{baseline}\">{}</text>",
                    Escaped(name)
                ),
            );
            self.y += 20.0;
        }
        for (row, cell) in rows {
            self.row(row, cell);
        }
    }

    /// Less is better placed; who has no figure comes last.
    fn rank(&self, cell: &Cell) -> f64 {
        match (cell.value(), self.figure.better) {
            (None, _) => f64::INFINITY,
            (Some(value), Better::More) => -value,
            (Some(value), _) => value,
        }
    }

    fn row(&mut self, row: &Row, cell: &Cell) {
        let class = match row {
            _ if row.ours => "ours",
            _ if row.reference => "floor",
            _ => "theirs",
        };
        let rounds = self.figure.rounds(cell);
        let (left, right) = self.layout.axis();
        let (name_y, middle) = match self.layout {
            Layout::Wide => (self.y + 16.0, self.y + 11.5),
            Layout::Narrow => (self.y + 13.0, self.y + 22.5),
        };
        let words = match cell {
            Cell::Number { value, .. } => with_unit(*value, &self.figure.unit),
            Cell::Text(text) => text.clone(),
        };
        append(
            &mut self.text,
            format_args!(
                "<g class=\"{class}\"><title>{}: {}{}</title>\
                 <line class=\"track\" x1=\"{left}\" y1=\"{middle}\" x2=\"{right}\" y2=\"{middle}\"/>\
                 <text class=\"name\" x=\"0\" y=\"{name_y}\">{}</text>",
                Escaped(&row.subject),
                Escaped(&words),
                rounds_in_words(&rounds),
                Escaped(&shortened(&row.subject, self.layout.longest_name())),
            ),
        );
        if let Some(value) = cell.value() {
            self.marks(value, &rounds, middle);
        }
        // A word may stand where the marks would.
        let room = match self.layout {
            _ if cell.value().is_some() => 16,
            Layout::Wide => 60,
            Layout::Narrow => 50_usize.saturating_sub(row.subject.chars().count()).max(12),
        };
        let kind = if cell.value().is_some() {
            "value"
        } else {
            "value word"
        };
        append(
            &mut self.text,
            format_args!(
                "<text class=\"{kind}\" x=\"{}\" y=\"{name_y}\">{}</text></g>",
                self.layout.width(),
                Escaped(&shortened(&words, room)),
            ),
        );
        self.y += self.layout.row_height();
    }

    fn marks(&mut self, value: f64, rounds: &[f64], y: f64) {
        let x = self.x(value);
        if self.scale.is_linear() {
            let zero = self.x(0.0);
            append(
                &mut self.text,
                format_args!(
                    "<line class=\"stem\" x1=\"{zero:.1}\" y1=\"{y}\" x2=\"{x:.1}\" y2=\"{y}\"/>"
                ),
            );
        }
        // One path of points: a page holds thousands of them.
        let points = spread(rounds).into_iter();
        let points: String = points
            .map(|round| format!("M{:.1} {y}h0", self.x(round)))
            .collect();
        if !points.is_empty() {
            append(
                &mut self.text,
                format_args!("<path class=\"round\" d=\"{points}\"/>"),
            );
        }
        append(
            &mut self.text,
            format_args!("<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y}\" r=\"5\"/>"),
        );
    }

    fn x(&self, value: f64) -> f64 {
        let (left, right) = self.layout.axis();
        left + (right - left) * self.scale.at(value)
    }

    fn finish(self, title: &str) -> String {
        let (width, height) = (self.layout.width(), self.y + 8.0);
        let layout = match self.layout {
            Layout::Wide => "wide",
            Layout::Narrow => "narrow",
        };
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot {layout}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\
             <title>{}</title>",
            Escaped(title)
        );
        for value in self.scale.ticks(self.layout.ticks()) {
            let x = self.x(value);
            append(
                &mut text,
                format_args!(
                    "<line class=\"grid\" x1=\"{x:.1}\" y1=\"22\" x2=\"{x:.1}\" y2=\"{height}\"/>\
                     <text class=\"tick {}\" x=\"{x:.1}\" y=\"14\">{}</text>",
                    self.anchor(x),
                    tick(value)
                ),
            );
        }
        text + &self.text + "</svg>"
    }

    /// The values at the ends of a narrow axis must not be cut off.
    fn anchor(&self, x: f64) -> &'static str {
        let room = 20.0;
        match x {
            _ if x < room => "first",
            _ if x > self.layout.width() - room => "last",
            _ => "middle",
        }
    }
}

/// At most this many marks of one row: more only cover each other.
const MOST_ROUNDS: usize = 40;

/// All rounds, or some of them from the least to the greatest.
fn spread(rounds: &[f64]) -> Vec<f64> {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let every = sorted.len().div_ceil(MOST_ROUNDS).max(1);
    let last = sorted.last().copied().filter(|_| every > 1);
    sorted.into_iter().step_by(every).chain(last).collect()
}

fn rounds_in_words(rounds: &[f64]) -> String {
    let least = rounds.iter().copied().reduce(f64::min);
    let most = rounds.iter().copied().reduce(f64::max);
    match (least, most) {
        (Some(least), Some(most)) if rounds.len() > 1 => format!(
            "; {} rounds from {} to {}",
            rounds.len(),
            number(least),
            number(most)
        ),
        _ => String::new(),
    }
}

fn shortened(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.into();
    }
    let kept: String = text.chars().take(longest - 1).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Conditions;

    fn section(rows: Vec<Row>) -> Section {
        Section {
            id: "x".into(),
            title: "Speed <of> things".into(),
            question: String::new(),
            command: String::new(),
            conditions: Conditions::now(),
            figures: vec![Figure::new("a", "wall time", "ms", Better::Less).plotted()],
            rows,
            notes: Vec::new(),
        }
    }

    fn drawn(rows: Vec<Row>) -> String {
        let section = section(rows);
        svg(&section, &section.figures[0], Layout::Wide)
    }

    #[test]
    fn best_comes_first_and_words_last() {
        let svg = drawn(vec![
            Row::new("c", "silent", false).with("a", "no answer"),
            Row::new("c", "slow", false).with("a", 9.0),
            Row::new("c", "fast", true).with("a", 3.0),
        ]);
        let at = |name: &str| svg.find(&format!(">{name}</text>")).unwrap();
        assert!(at("fast") < at("slow") && at("slow") < at("silent"));
        assert_eq!(svg.matches("class=\"dot\"").count(), 2);
    }

    #[test]
    fn rows_without_the_figure_are_left_out() {
        let svg = drawn(vec![Row::new("c", "other", false).with("b", 1.0)]);
        assert!(!svg.contains("other"));
    }

    #[test]
    fn marks_in_names_are_text_and_files_hold_their_style() {
        let section = section(vec![Row::new("c", "a & b", true).with("a", 1.0)]);
        let file = standalone(&section, &section.figures[0]);
        assert!(file.contains("Speed &lt;of&gt; things"));
        assert!(file.contains("a &amp; b"));
        assert_eq!(file.matches("<style>").count(), 1);
        assert!(file.starts_with("<svg "));
    }

    #[test]
    fn many_rounds_keep_their_ends() {
        let rounds: Vec<f64> = (0..1000).map(f64::from).collect();
        let shown = spread(&rounds);
        assert!(shown.len() <= MOST_ROUNDS + 1);
        assert_eq!((shown.first(), shown.last()), (Some(&0.0), Some(&999.0)));
        assert_eq!(spread(&[2.0, 1.0]), [1.0, 2.0]);
    }

    #[test]
    fn long_names_end_in_dots() {
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!(shortened("abcdefg", 6), "abcde…");
    }
}
