use std::time::{Duration, Instant};

/// Says in the log when a limit begins to turn somebody away: a counter alone is seen by nobody who does not
/// suspect it already.
#[derive(Debug, Default)]
pub struct LimitLog(Vec<Seen>);

#[derive(Debug)]
struct Seen {
    limit: &'static str,
    /// At the last look.
    count: u64,
    /// When it was last told, and the count then.
    told: Option<(Instant, u64)>,
}

impl LimitLog {
    /// What to say at `now`, when so much was turned away in all by each limit: of each at most once in ten minutes.
    pub fn look(&mut self, now: Instant, counts: &[(&'static str, u64)]) -> Vec<String> {
        let mut lines = Vec::new();
        for &(limit, count) in counts {
            let seen = match self.0.iter().position(|seen| seen.limit == limit) {
                Some(place) => &mut self.0[place],
                None => {
                    self.0.push(Seen {
                        limit,
                        count: 0,
                        told: None,
                    });
                    let last = self.0.len() - 1;
                    &mut self.0[last]
                }
            };
            let rises = count > seen.count;
            seen.count = count;
            let (at, before) = seen.told.unzip();
            if rises && at.is_none_or(|at| now >= at + AT_MOST_EVERY) {
                let more = count - before.unwrap_or(0);
                seen.told = Some((now, count));
                lines.push(format!(
                    "limit reached: --{limit} has turned {more} away{}; raise it if these are clients of yours \
                     (metric tsq_over_limit_total, told at most every 10 min)",
                    if before.is_some() { " since the last such line" } else { "" }
                ));
            }
        }
        lines
    }
}

const AT_MOST_EVERY: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_is_told_when_it_begins_to_bite_and_then_every_ten_minutes_while_it_does() {
        let mut log = LimitLog::default();
        let start = Instant::now();
        let mut look = |seconds: u64, a: u64, b: u64| {
            log.look(
                start + Duration::from_secs(seconds),
                &[("max-a", a), ("max-b", b)],
            )
        };
        assert_eq!(look(0, 0, 0), [""; 0]);
        let first = look(2, 3, 0);
        assert_eq!(first.len(), 1);
        assert!(first[0].contains("--max-a has turned 3 away;"), "{first:?}");
        assert_eq!(look(4, 9, 0), [""; 0]);
        assert_eq!(look(6, 9, 1).len(), 1, "another limit is other news");
        assert_eq!(look(601, 20, 1), [""; 0]);
        assert_eq!(look(603, 20, 1), [""; 0], "it bites no more");
        let again = look(605, 23, 1);
        assert!(again[0].contains("turned 20 away since"), "{again:?}");
    }

    #[test]
    fn page_for_operators_has_this_number() {
        let minutes = AT_MOST_EVERY.as_secs() / 60;
        crate::documented::in_words(&format!("at most every {minutes} min for each"));
    }
}
