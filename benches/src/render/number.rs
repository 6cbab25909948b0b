//! A figure in words: as many digits as mean something.

/// Three significant digits or so, thousands apart; whole numbers of any size as they are.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    let decimals = match size {
        _ if value.fract() == 0.0 && size < 1e15 => 0,
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        0.1.. => 3,
        // Two significant digits below that, up to nanoseconds in seconds.
        _ => small_decimals(size),
    };
    grouped(&format!("{value:.decimals$}"))
}

/// At an axis: round values without the zeros that would promise more.
pub(super) fn tick(value: f64) -> String {
    let text = number(value);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
    }
}

/// The same with its unit.
pub(super) fn with_unit(value: f64, unit: &str) -> String {
    match self::unit(unit) {
        "" => number(value),
        unit => format!("{} {unit}", number(value)),
    }
}

/// A unit as people write it.
pub(super) fn unit(unit: &str) -> &str {
    match unit {
        "us" => "µs",
        _ => unit,
    }
}

/// How many times as much, such as "2.3" or "47".
pub(super) fn factor(value: f64) -> String {
    match value {
        100.0.. => number(value.round()),
        10.0.. => format!("{value:.0}"),
        2.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn small_decimals(size: f64) -> usize {
    (2..=9)
        .find(|decimals| size >= 10_f64.powi(1 - decimals))
        .and_then(|decimals| usize::try_from(decimals).ok())
        .unwrap_or(9)
}

/// `12345.6` with a thin blank before each group of three; numbers of four digits stay whole.
fn grouped(text: &str) -> String {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("\u{2212}", rest),
        None => ("", text),
    };
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let mut result = String::from(sign);
    for (at, digit) in whole.chars().enumerate() {
        let left = whole.len() - at;
        if at > 0 && left % 3 == 0 && whole.len() > 4 {
            result.push(THIN_BLANK);
        }
        result.push(digit);
    }
    if !fraction.is_empty() {
        result.push('.');
        result.push_str(fraction);
    }
    result
}

/// U+202F, which no line breaks at.
const THIN_BLANK: char = '\u{202f}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_follow_the_size() {
        let cases = [
            (0.0, "0"),
            (5.0, "5"),
            (0.0123, "0.012"),
            (0.00123, "0.0012"),
            (0.111, "0.111"),
            (2.345, "2.35"),
            (23.45, "23.4"),
            (234.5, "234"),
            (4512.1, "4512"),
            (223_826.4, "223\u{202f}826"),
            (1_000_000.0, "1\u{202f}000\u{202f}000"),
            (-7.09, "\u{2212}7.09"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn what_is_nearly_nothing_is_not_shown_as_nothing() {
        assert_eq!(number(0.000_000_2), "0.00000020");
        assert_eq!(with_unit(12.0, "ms"), "12 ms");
        assert_eq!(with_unit(12.0, ""), "12");
        assert_eq!(with_unit(12.0, "us"), "12 µs");
    }

    #[test]
    fn ticks_promise_no_digits() {
        let shown = [0.1, 0.25, 2.5, 10.0, 2000.0, 0.002].map(tick);
        assert_eq!(shown, ["0.1", "0.25", "2.5", "10", "2000", "0.002"]);
    }

    #[test]
    fn factors_have_two_or_three_digits() {
        let shown = [1.234, 2.34, 23.4, 234.4, 12345.6].map(factor);
        assert_eq!(shown, ["1.23", "2.3", "23", "234", "12\u{202f}346"]);
    }
}
