//! Where most intervals agree: Marzullo's algorithm, the root of RFC 5905 section 11.2.1.

use crate::Interval;

/// The narrowest of the stretches covered by the greatest number of intervals; `None` without any.
pub(crate) fn most_covered(intervals: &[Interval]) -> Option<Interval> {
    let mut edges: Vec<_> = intervals
        .iter()
        .flat_map(|interval| [(interval.low, Edge::Begin), (interval.high, Edge::End)])
        .collect();
    edges.sort_unstable();
    let mut best: Option<(usize, Interval)> = None;
    let mut covering = 0;
    for pair in edges.windows(2) {
        let [(low, edge), (high, next)] = *pair else {
            break;
        };
        match edge {
            Edge::Begin => covering += 1,
            Edge::End => covering -= 1,
        }
        let stretch = Interval { low, high };
        let is_peak = edge == Edge::Begin && next == Edge::End;
        if is_peak && best.is_none_or(|best| is_better((covering, stretch), best)) {
            best = Some((covering, stretch));
        }
    }
    best.map(|(_, stretch)| stretch)
}

/// `Begin` sorts first, so that intervals that merely touch agree at that point.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Edge {
    Begin,
    End,
}

fn is_better((count, stretch): (usize, Interval), (best, narrowest): (usize, Interval)) -> bool {
    count > best || (count == best && stretch.width() < narrowest.width())
}
