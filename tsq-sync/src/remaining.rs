//! What is left after adjusting, and whether that can be.

use std::fmt;
use std::time::Duration;

use tsq_algo::{Combined, RESOLUTION};
use tsq_proto::Offset;

use crate::action::Action;
use crate::words::{bound_text, offset_text};

/// A second measurement that the adjustment does not explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexplained {
    /// The offset that the second measurement found.
    pub found: Offset,
    /// Its bound.
    pub bound: Duration,
    /// What was to be left.
    pub expected: Offset,
    /// The step that the clock did not take, where it is still nearer to where it was.
    pub not_stepped: Option<Offset>,
}

/// What is wrong with the second measurement of `(before, after)`; None if all of it is explained.
///
/// Where the first was right to within its bound, an adjustment leaves no more than that, and the second finds it to
/// within its own. Between the two, `elapsed` at most, the clock ran; `pending` of a slew was still to be made up.
pub fn unexplained(
    (before, after): (&Combined, &Combined),
    action: &Action,
    pending: Offset,
    elapsed: Duration,
) -> Option<Unexplained> {
    let (made, slewing) = match action {
        Action::Step { offset } => (*offset, Duration::ZERO),
        Action::Slew { offset, .. } => (*offset - pending, BEGUN),
        Action::None { .. } | Action::Refused { .. } => return None,
    };
    let expected = before.offset - made;
    let open = [
        before.bound,
        after.bound,
        // Where others decide the second time: within what servers that agree may differ.
        before.spread,
        after.spread,
        elapsed / RATE,
        slewing,
        RESOLUTION,
    ];
    let open = open
        .into_iter()
        .fold(Duration::ZERO, Duration::saturating_add);
    if (after.offset - expected).abs() <= open {
        return None;
    }
    // Nearer to where it was than to where it should be.
    let as_before = (after.offset - before.offset).abs() < (after.offset - expected).abs();
    Some(Unexplained {
        found: after.offset,
        bound: after.bound,
        expected,
        not_stepped: match action {
            Action::Step { offset } if as_before => Some(*offset),
            _ => None,
        },
    })
}

impl fmt::Display for Unexplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = format!(
            "a second measurement finds {} ± {}",
            offset_text(self.found),
            bound_text(self.bound)
        );
        match self.not_stepped {
            Some(step) => write!(
                f,
                "the clock did not take the step of {}: {found}. Something puts it back (a guest agent of the hypervisor, another time daemon), or it cannot be set here",
                offset_text(step)
            ),
            None => write!(
                f,
                "{found} where {} was to be left: another program moves this clock as well",
                offset_text(self.expected)
            ),
        }
    }
}

/// No clock is wrong by more than 500 ppm in its rate, nor slewed faster, without its tick being tampered with: that
/// is the kernel's own limit on both.
const RATE: u32 = 2_000;

/// The kernel takes from what is pending once a second what it then makes up in that second.
const BEGUN: Duration = Duration::from_micros(500);

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_micros(50);
    const ELAPSED: Duration = Duration::from_millis(100);

    fn micros(micros: i64) -> Offset {
        Offset::from_nanos(micros * 1_000)
    }

    fn measured(offset_us: i64) -> Combined {
        Combined {
            offset: micros(offset_us),
            stddev: Duration::ZERO,
            spread: Duration::ZERO,
            bound: BOUND,
            includes_servers: false,
            survivors: vec![0],
            falsetickers: Vec::new(),
        }
    }

    fn after_step(rest_us: i64) -> Option<String> {
        let step = Action::Step {
            offset: micros(2_000_000),
        };
        let pair = (&measured(2_000_000), &measured(rest_us));
        unexplained(pair, &step, Offset::ZERO, ELAPSED).map(|it| it.to_string())
    }

    fn after_slew(pending_us: i64, rest_us: i64) -> Option<String> {
        let slew = Action::Slew {
            offset: micros(50_000),
            duration: Duration::from_secs(100),
            replaced: Offset::ZERO,
        };
        let pair = (&measured(50_000), &measured(rest_us));
        unexplained(pair, &slew, micros(pending_us), ELAPSED).map(|it| it.to_string())
    }

    /// 50 us and 50 us of the bounds, 50 us of 500 ppm in 100 ms, and the microsecond that nothing can set.
    #[test]
    fn rest_of_a_step_is_explained_up_to_its_bounds_and_not_a_hair_beyond() {
        for sign in [1, -1] {
            assert_eq!(after_step(sign * 151), None);
            assert!(after_step(sign * 152).is_some());
        }
    }

    #[test]
    fn step_without_effect_is_told_from_a_clock_that_two_programs_move() {
        let line = after_step(2_000_000).unwrap();
        assert!(
            line.contains("did not take the step of +2.000000 s"),
            "{line}"
        );
        assert!(line.contains("finds +2.000000 s ± 50.0 us"), "{line}");
        let line = after_step(-2_000_000).unwrap();
        assert!(line.contains("another program"), "{line}");
    }

    #[test]
    fn slew_that_has_only_begun_leaves_what_it_has_to_do() {
        assert_eq!(after_slew(50_000, 50_000), None);
        // Half of it is done, and shows; or does not.
        assert_eq!(after_slew(25_000, 25_000), None);
        assert!(after_slew(25_000, 50_000).is_some());
        // Somebody else has stepped it away meanwhile.
        assert!(after_slew(50_000, 0).is_some());
    }

    #[test]
    fn nothing_done_needs_no_explanation() {
        let action = Action::from(crate::Refusal::Unanswered);
        let pair = (&measured(0), &measured(9_000_000));
        assert_eq!(unexplained(pair, &action, Offset::ZERO, ELAPSED), None);
    }
}
