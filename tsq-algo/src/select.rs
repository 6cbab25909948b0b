use std::fmt;

use tsq_proto::words::Count;

use crate::combine::{agree, centre, outlies, pick, reach, within_most};
use crate::{Candidate, Combined, Disagreement, Limits, Rules, SourceEstimate, Verdict};

/// What became of the sources, and what they say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// One for each candidate, in the order given.
    pub verdicts: Vec<Verdict>,
    /// The result.
    pub combined: Result<Combined, NoSelection>,
    /// Whether authenticated sources decided; false too when nobody did.
    pub authenticated: bool,
}

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSelection {
    /// No candidate is fit to be used: each verdict says why.
    NoneFit {
        /// How many there are.
        of: usize,
    },
    /// Only sources that are not authenticated are fit, and the rules do not let them decide.
    Unauthenticated {
        /// How many.
        sources: usize,
    },
    /// None of those that are fit is one of the trusted, which alone may vote ([`Rules::trusted_only`]).
    NoneTrusted {
        /// How many are fit.
        sources: usize,
    },
    /// Some smear leap seconds and some do not, or otherwise, and neither kind is a majority.
    MixedTimescales {
        /// The number of sources with a vote.
        of: usize,
    },
    /// There is no majority.
    Disagreement(Disagreement),
    /// There is one, of too few.
    TooFew {
        /// How many agree.
        agreeing: usize,
        /// [`Rules::min_sources`].
        needed: usize,
    },
}

/// Judges every candidate, and combines those that agree.
///
/// 1. *Fit*: unsynchronised, stale, distant and jittery candidates are out. Each is judged by its own numbers;
///    so nobody can put another one out.
/// 2. *Votes*: those marked `trust`, if any is or [`Rules::trusted_only`]; else those that are authenticated; and only where there are none and
///    the rules allow it, those that are not.
/// 3. *Timescale*: of those with a vote, a strict majority must treat leap seconds alike; the others are out.
/// 4. *Agreement*: as in [`combine`](crate::combine). A strict majority of all votes, those of the other timescale
///    included, and at least [`Rules::min_sources`].
/// 5. *Combination*: outliers and whoever is outranked by a preferred source are left out. Those without a
///    vote that agree may move the result inside what the others allow by their own bounds, and no farther.
///
/// Stratum, source type and clock quality are a server's own word, and decide nothing.
// tsq: M7
pub fn select(candidates: &[Candidate], rules: &Rules) -> Selection {
    let mut verdicts: Vec<Option<Verdict>> = candidates
        .iter()
        .map(|candidate| unfit(candidate, &rules.limits))
        .collect();
    let (combined, authenticated) = match voters(candidates, &verdicts, rules) {
        Err(none) => (Err(none), false),
        Ok(voters) => {
            let combined = decide_among(candidates, &voters, rules, &mut verdicts);
            (combined, are_authenticated(candidates, &voters))
        }
    };
    let open = match combined {
        Err(NoSelection::Unauthenticated { .. }) => Verdict::Unauthenticated,
        _ => Verdict::Unresolved,
    };
    Selection {
        verdicts: verdicts
            .into_iter()
            .map(|verdict| verdict.unwrap_or_else(|| open.clone()))
            .collect(),
        authenticated: authenticated && combined.is_ok(),
        combined,
    }
}

fn unfit(candidate: &Candidate, limits: &Limits) -> Option<Verdict> {
    let distance = reach(&candidate.estimate);
    let jitter = candidate.estimate.stddev;
    if !candidate.synchronised {
        Some(Verdict::Unsynchronised)
    } else if candidate.age > limits.age {
        Some(Verdict::Stale {
            age: candidate.age,
            limit: limits.age,
        })
    } else if distance > limits.distance {
        Some(Verdict::Distant {
            distance,
            limit: limits.distance,
        })
    } else if jitter > limits.jitter {
        Some(Verdict::Jittery {
            jitter,
            limit: limits.jitter,
        })
    } else {
        None
    }
}

/// Who has a vote, of those that have no verdict yet.
fn voters(
    candidates: &[Candidate],
    verdicts: &[Option<Verdict>],
    rules: &Rules,
) -> Result<Vec<usize>, NoSelection> {
    let fit: Vec<usize> = (0..candidates.len())
        .filter(|&index| verdicts[index].is_none())
        .collect();
    if fit.is_empty() {
        return Err(NoSelection::NoneFit {
            of: candidates.len(),
        });
    }
    let of = |wanted: fn(&Candidate) -> bool| -> Vec<usize> {
        let is_wanted = |index: &usize| wanted(&candidates[*index]);
        fit.iter().copied().filter(is_wanted).collect()
    };
    let kinds = [
        of(|candidate| candidate.authenticated && candidate.mark.trust),
        of(|candidate| candidate.authenticated),
    ];
    let [trusted, authenticated] = kinds;
    let sources = fit.len();
    if !trusted.is_empty() {
        return Ok(trusted);
    }
    if !authenticated.is_empty() {
        return match rules.trusted_only {
            true => Err(NoSelection::NoneTrusted { sources }),
            false => Ok(authenticated),
        };
    }
    if !rules.allow_unauthenticated {
        return Err(NoSelection::Unauthenticated { sources });
    }
    let trusted = of(|candidate| candidate.mark.trust);
    match (trusted.is_empty(), rules.trusted_only) {
        (false, _) => Ok(trusted),
        (true, true) => Err(NoSelection::NoneTrusted { sources }),
        (true, false) => Ok(fit),
    }
}

fn are_authenticated(candidates: &[Candidate], voters: &[usize]) -> bool {
    voters.iter().all(|&voter| candidates[voter].authenticated)
}

/// Fills in the verdicts of those that had none, if there is a result.
fn decide_among(
    candidates: &[Candidate],
    voters: &[usize],
    rules: &Rules,
    verdicts: &mut [Option<Verdict>],
) -> Result<Combined, NoSelection> {
    let smear = timescale(candidates, voters)?;
    for (candidate, verdict) in candidates.iter().zip(verdicts.iter_mut()) {
        if verdict.is_none() && candidate.smear != smear {
            *verdict = Some(Verdict::OtherTimescale {
                smear: candidate.smear.clone(),
            });
        }
    }
    let (voting, others): (Vec<usize>, Vec<usize>) = (0..candidates.len())
        .filter(|&index| verdicts[index].is_none())
        .partition(|index| voters.contains(index));
    let estimates: Vec<SourceEstimate> = candidates.iter().map(|c| c.estimate).collect();
    let votes = pick(&estimates, &voting);
    let agreement = agree(&votes, voters.len()).map_err(NoSelection::Disagreement)?;
    let agreeing: Vec<usize> = agreement.survivors.iter().map(|&v| voting[v]).collect();
    let authenticated = are_authenticated(candidates, voters);
    let (admitted, contradicted): (Vec<usize>, Vec<usize>) = others
        .into_iter()
        .partition(|&other| agreement.admits(&estimates[other]));
    let survivors = pick(&estimates, &agreeing);
    let counts = |&&index: &&usize| candidates[index].authenticated || !authenticated;
    let agree_in_all = agreeing.len() + admitted.iter().filter(counts).count();
    if agree_in_all < rules.min_sources {
        return Err(NoSelection::TooFew {
            agreeing: agree_in_all,
            needed: rules.min_sources,
        });
    }
    // Who has no vote is held against those who have, however many there are.
    let (team, outliers): (Vec<usize>, Vec<usize>) = agreeing
        .iter()
        .chain(&admitted)
        .copied()
        .partition(|&index| outlies(&estimates[index], &survivors).is_zero());
    let preferred: Vec<usize> = team
        .iter()
        .copied()
        .filter(|&index| candidates[index].mark.prefer)
        .collect();
    let combining = if preferred.is_empty() {
        &team
    } else {
        &preferred
    };
    let used = pick(&estimates, combining);
    let wanted = centre(&used, rules.method);
    // Those without a vote move the result only within what those with one allow.
    let all_vote = combining.iter().all(|index| agreeing.contains(index));
    let wanted = if all_vote {
        wanted
    } else {
        within_most(&survivors, wanted)
    };
    let result = agreement.conclude(&survivors, wanted, &used);
    for &index in &team {
        verdicts[index] = Some(if !combining.contains(&index) {
            Verdict::Outranked
        } else if counts(&&index) {
            Verdict::Used
        } else {
            Verdict::Refines
        });
    }
    for index in outliers {
        let by = outlies(&estimates[index], &survivors);
        verdicts[index] = Some(Verdict::Outlier { by });
    }
    let liars = result.falsetickers.iter().map(|&liar| voting[liar]);
    for index in liars.chain(contradicted) {
        let by = estimates[index].offset - result.offset;
        verdicts[index] = Some(Verdict::Falseticker { by });
    }
    let named = |indices: &[usize]| indices.iter().map(|&index| voting[index]).collect();
    Ok(Combined {
        survivors: named(&result.survivors),
        falsetickers: named(&result.falsetickers),
        ..result
    })
}

/// How most of the voters treat leap seconds.
fn timescale(candidates: &[Candidate], voters: &[usize]) -> Result<Option<String>, NoSelection> {
    let votes_for = |smear: &Option<String>| {
        voters
            .iter()
            .filter(|&&voter| candidates[voter].smear == *smear)
            .count()
    };
    voters
        .iter()
        .map(|&voter| &candidates[voter].smear)
        .find(|smear| votes_for(smear) * 2 > voters.len())
        .cloned()
        .ok_or(NoSelection::MixedTimescales { of: voters.len() })
}

impl fmt::Display for NoSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneFit { of: 1 } => {
                f.write_str("the server that answered is not fit to be used")
            }
            Self::NoneFit { of } => {
                write!(f, "none of {of} servers that answered is fit to be used")
            }
            Self::Unauthenticated { sources } => write!(
                f,
                "only {} answered, and not authenticated",
                Count(*sources, "server")
            ),
            Self::NoneTrusted { sources } => write!(
                f,
                "no server marked as trusted can be used, and the {} may not vote",
                Count(*sources, "other")
            ),
            Self::MixedTimescales { of } => write!(
                f,
                "of {of} servers some smear leap seconds and some do not, or otherwise, and neither kind is a majority: name servers of one kind"
            ),
            Self::Disagreement(disagreement) => disagreement.fmt(f),
            Self::TooFew { agreeing, needed } => write!(
                f,
                "only {} agree{}, {needed} are needed",
                Count(*agreeing, "server"),
                if *agreeing == 1 { "s" } else { "" },
            ),
        }
    }
}

impl std::error::Error for NoSelection {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tsq_proto::Offset;

    use super::*;
    use crate::Mark;

    /// Offset and bound in milliseconds; a server without an error of its own.
    fn candidate(offset: i64, bound: u64) -> Candidate {
        Candidate {
            estimate: SourceEstimate {
                offset: Offset::from_nanos(offset * 1_000_000),
                delay: Duration::from_millis(2 * bound),
                stddev: Duration::ZERO,
                bound: Duration::from_millis(bound),
                samples: 1,
                consistent: true,
                server_error: Some(Duration::ZERO),
            },
            authenticated: true,
            synchronised: true,
            age: Duration::ZERO,
            smear: None,
            mark: Mark::default(),
        }
    }

    fn plain(offset: i64, bound: u64) -> Candidate {
        Candidate {
            authenticated: false,
            ..candidate(offset, bound)
        }
    }

    fn smeared(offset: i64) -> Candidate {
        Candidate {
            smear: Some("google-24h".into()),
            ..candidate(offset, 1)
        }
    }

    fn marked(prefer: bool, trust: bool, candidate: Candidate) -> Candidate {
        Candidate {
            mark: Mark { prefer, trust },
            ..candidate
        }
    }

    fn verdicts(candidates: &[Candidate]) -> Vec<&'static str> {
        let selection = select(candidates, &Rules::default());
        selection.verdicts.iter().map(Verdict::name).collect()
    }

    fn offset_us(candidates: &[Candidate]) -> i64 {
        let selection = select(candidates, &Rules::default());
        selection.combined.unwrap().offset.as_nanos() / 1_000
    }

    #[test]
    fn unfit_candidates_are_named_with_their_numbers_and_have_no_vote() {
        let limits = Limits::default();
        let mut jittery = candidate(900, 1);
        jittery.estimate.stddev = limits.jitter + Duration::from_nanos(1);
        let unfit = [
            Candidate {
                synchronised: false,
                ..candidate(900, 1)
            },
            Candidate {
                age: limits.age + Duration::from_nanos(1),
                ..candidate(900, 1)
            },
            candidate(900, 1_501),
            jittery,
        ];
        let all = [&[candidate(0, 1)], &unfit[..]].concat();
        let expected = ["used", "unsynchronised", "stale", "distant", "jittery"];
        assert_eq!(verdicts(&all), expected);
        let selection = select(&unfit, &Rules::default());
        assert_eq!(selection.combined, Err(NoSelection::NoneFit { of: 4 }));
        assert!(selection.verdicts[2].to_string().contains("wrong by 1.6 s"));
    }

    #[test]
    fn values_on_the_limits_are_fit() {
        let limits = Limits::default();
        let mut on = candidate(0, 1_000);
        on.estimate.server_error = Some(Duration::from_millis(500));
        on.estimate.stddev = limits.jitter;
        on.age = limits.age;
        assert_eq!(verdicts(&[on]), ["used"]);
    }

    #[test]
    fn min_sources_is_a_number_of_those_that_agree() {
        let two = [candidate(0, 1), candidate(1, 1), candidate(900, 1)];
        for (min_sources, enough) in [(2, true), (3, false)] {
            let rules = Rules {
                min_sources,
                ..Rules::default()
            };
            let selection = select(&two, &rules);
            assert_eq!(selection.combined.is_ok(), enough);
            assert_eq!(
                selection.verdicts[0].name(),
                if enough { "used" } else { "unresolved" }
            );
        }
    }

    #[test]
    fn smeared_and_unsmeared_are_never_mixed() {
        let most_do_not = [candidate(0, 1), candidate(0, 1), smeared(0)];
        assert_eq!(verdicts(&most_do_not), ["used", "used", "other_timescale"]);
        let most_do = [candidate(0, 1), smeared(0), smeared(0)];
        assert_eq!(verdicts(&most_do), ["other_timescale", "used", "used"]);
        let tie = select(&[candidate(0, 1), smeared(0)], &Rules::default());
        assert_eq!(tie.combined, Err(NoSelection::MixedTimescales { of: 2 }));
    }

    #[test]
    fn majority_is_one_of_all_votes_whatever_their_timescale() {
        // Two of three that do not smear agree, but they are two of five.
        let all = [
            candidate(500, 1),
            candidate(500, 1),
            candidate(0, 1),
            smeared(0),
            smeared(0),
        ];
        let selection = select(&all, &Rules::default());
        assert!(matches!(
            selection.combined,
            Err(NoSelection::Disagreement(Disagreement {
                agreeing: 2,
                of: 5,
                ..
            }))
        ));
    }

    #[test]
    fn trusted_source_decides_and_others_are_held_against_it() {
        let all = [
            marked(false, true, candidate(0, 1)),
            candidate(500, 1),
            candidate(500, 1),
            candidate(1, 1),
        ];
        let expected = ["used", "falseticker", "falseticker", "used"];
        assert_eq!(verdicts(&all), expected);
        let combined = select(&all, &Rules::default()).combined.unwrap();
        assert_eq!(
            (combined.survivors, combined.falsetickers),
            (vec![0], vec![])
        );
    }

    #[test]
    fn trust_does_not_make_an_unauthenticated_source_one_that_votes() {
        let all = [marked(true, true, plain(500, 1)), candidate(0, 1)];
        assert_eq!(verdicts(&all), ["falseticker", "used"]);
    }

    #[test]
    fn nobody_votes_for_a_trusted_source_that_is_not_there() {
        let rules = Rules {
            trusted_only: true,
            allow_unauthenticated: true,
            ..Rules::default()
        };
        for others in [
            vec![candidate(0, 1), candidate(0, 1)],
            vec![plain(0, 1), plain(0, 1)],
            vec![candidate(0, 1), marked(false, true, plain(0, 1))],
        ] {
            let selection = select(&others, &rules);
            assert_eq!(
                selection.combined,
                Err(NoSelection::NoneTrusted { sources: 2 })
            );
        }
        let there = [candidate(500, 1), marked(false, true, candidate(0, 1))];
        assert!(select(&there, &rules).combined.is_ok());
    }

    #[test]
    fn preferred_source_outranks_those_it_agrees_with_and_no_others() {
        let preferred = |offset| marked(true, false, candidate(offset, 2));
        let agreeing = [preferred(1), candidate(0, 1), candidate(0, 1)];
        assert_eq!(verdicts(&agreeing), ["used", "outranked", "outranked"]);
        assert_eq!(offset_us(&agreeing), 1_000);
        let contradicted = [preferred(500), candidate(0, 1), candidate(0, 1)];
        assert_eq!(verdicts(&contradicted), ["falseticker", "used", "used"]);
    }

    #[test]
    fn unauthenticated_sources_decide_only_if_allowed_and_alone() {
        let only = [plain(0, 1), plain(1, 1)];
        let refused = select(&only, &Rules::default());
        assert_eq!(
            refused.combined,
            Err(NoSelection::Unauthenticated { sources: 2 })
        );
        assert_eq!(refused.verdicts[0], Verdict::Unauthenticated);
        let rules = Rules {
            allow_unauthenticated: true,
            ..Rules::default()
        };
        let allowed = select(&only, &rules);
        assert_eq!(allowed.verdicts[0], Verdict::Used);
        assert!(allowed.combined.is_ok() && !allowed.authenticated);
        // One that is authenticated decides, however many others there are.
        let mixed = [plain(500, 1), plain(500, 1), candidate(0, 1)];
        let selection = select(&mixed, &rules);
        assert!(selection.authenticated);
        assert_eq!(selection.verdicts[2], Verdict::Used);
        assert_eq!(selection.verdicts[0].name(), "falseticker");
    }

    #[test]
    fn unauthenticated_source_refines_inside_the_authenticated_bound() {
        let (far, near) = (candidate(0, 20), plain(15, 1));
        let refined = [far.clone(), near];
        assert_eq!(verdicts(&refined), ["used", "refines"]);
        assert_eq!(offset_us(&refined), 14_000);
        let combined = select(&refined, &Rules::default()).combined.unwrap();
        assert_eq!(combined.bound, Duration::from_millis(34));
        // Many liars that touch the bound move the result to its end at most.
        let liars = [far, plain(30, 10), plain(30, 10), plain(30, 10)];
        assert_eq!(offset_us(&liars), 20_000);
    }
}
