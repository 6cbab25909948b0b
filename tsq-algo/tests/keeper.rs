//! What a keeper does about its sources, moment by moment; hours of it are `tsq-sim`'s part.

use std::time::Duration;

use tsq_algo::discipline::{
    Action, Hold, Keeper, Now, PollRange, Reason, ServerClock, Settings, SourceSettings, Stamps,
};
use tsq_algo::{NoSelection, Verdict};
use tsq_proto::{HostTime, Monotonic};

const START: u64 = 1_000_000_000_000;
const EPOCH: i64 = 1_700_000_000_000_000_000;
const MS: u64 = 1_000_000;

/// A host whose clocks run exactly, 0.1 s behind; its servers are 20 ms away and off by so many ms each.
struct Rack {
    keeper: Keeper,
    passed: u64,
    slept: Duration,
    wall_ahead: i64,
    servers_ms: Vec<i64>,
    held: Vec<Hold>,
    asked: Vec<usize>,
}

impl Rack {
    fn new(servers_ms: &[i64]) -> Self {
        let source = SourceSettings {
            poll: PollRange { min: 6, max: 10 },
            authenticated: true,
            ..SourceSettings::default()
        };
        let sources = vec![source; servers_ms.len()];
        Self {
            keeper: Keeper::new(Settings::default(), sources, 0.0, None, &at(0)),
            passed: 0,
            slept: Duration::ZERO,
            wall_ahead: -100 * MS as i64,
            servers_ms: servers_ms.to_vec(),
            held: Vec::new(),
            asked: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        let Now { raw, wall, .. } = at(self.passed);
        Now {
            raw,
            slept: self.slept,
            wall: HostTime::from_unix_nanos(wall.as_unix_nanos() + self.wall_ahead),
        }
    }

    /// Everything that happens within so many seconds; servers answer 20 ms after they were asked, if they `answer`.
    fn run(&mut self, seconds: u64, answer: bool) -> Vec<Action> {
        let until = self.passed + seconds * 1000 * MS;
        let mut corrections = Vec::new();
        while let Some(next) = self.keeper.poll_timeout(&self.now()) {
            let next = next.as_nanos().saturating_sub(START).max(self.passed);
            if next > until {
                break;
            }
            self.passed = next;
            self.keeper.handle_timeout(&self.now());
            corrections.extend(self.act(answer));
        }
        self.passed = until;
        corrections
    }

    fn act(&mut self, answer: bool) -> Vec<Action> {
        let mut corrections = Vec::new();
        while let Some(action) = self.keeper.poll_action() {
            match action {
                Action::Ask { source } => {
                    self.asked.push(source);
                    self.exchange(source, answer);
                }
                Action::Hold(hold) => self.held.push(hold),
                correction => corrections.push(correction),
            }
        }
        corrections
    }

    fn exchange(&mut self, source: usize, answer: bool) {
        let left = self.now().raw;
        self.passed += 10 * MS;
        let server = EPOCH + self.passed as i64 + self.servers_ms[source] * MS as i64;
        self.passed += 10 * MS;
        let now = self.now();
        if !answer {
            return self.keeper.lost(source, &now);
        }
        let stamps = Stamps {
            left,
            received: HostTime::from_unix_nanos(server),
            sent: HostTime::from_unix_nanos(server),
            came: now.raw,
        };
        let clock = ServerClock {
            synchronised: true,
            error: Some(Duration::ZERO),
            smear: None,
        };
        self.keeper.answered(source, &stamps, clock, &now);
    }
}

fn at(passed: u64) -> Now {
    Now {
        raw: Monotonic::from_nanos(START + passed),
        slept: Duration::ZERO,
        wall: HostTime::from_unix_nanos(EPOCH + passed as i64),
    }
}

#[test]
fn clock_that_is_behind_is_slewed_forward_and_the_slew_ends() {
    let mut rack = Rack::new(&[0, 0, 0]);
    let corrections = rack.run(30, true);
    let Some(Action::Run {
        rate,
        reason: Reason::Slew { offset, over },
    }) = corrections.first()
    else {
        panic!("{corrections:?}");
    };
    assert!(
        (offset.as_nanos() - 100 * MS as i64).abs() < MS as i64,
        "{offset:?}"
    );
    assert!(rate.slew > 0.0 && rate.slew <= 0.083_334, "{rate:?}");
    assert!(*over >= Duration::from_millis(1190), "{over:?}");
    assert!(corrections.iter().any(|c| matches!(
        c,
        Action::Run {
            reason: Reason::SlewEnds,
            ..
        }
    )));
}

#[test]
fn nothing_is_corrected_before_every_source_was_asked_a_few_times_or_failed() {
    let mut rack = Rack::new(&[0, 50, 50]);
    assert!(rack.run(1, true).is_empty());
    assert!(rack.keeper.bound(&rack.now()).is_none());
}

#[test]
fn two_against_two_hold_the_clock_and_say_so() {
    let mut rack = Rack::new(&[0, 0, 50, 50]);
    assert!(rack.run(600, true).is_empty());
    let disagree = |hold: &Hold| matches!(hold, Hold::NoSelection(NoSelection::Disagreement(d)) if d.agreeing == 2);
    assert!(
        !rack.held.is_empty() && rack.held.iter().all(disagree),
        "{:?}",
        rack.held
    );
}

#[test]
fn bound_goes_on_and_grows_while_the_sources_quarrel() {
    let mut rack = Rack::new(&[0, 0, 0, 0]);
    rack.run(2000, true);
    rack.servers_ms = vec![0, 0, 50, 50];
    rack.run(2000, true);
    let hold = |hold: &Hold| matches!(hold, Hold::NoSelection(NoSelection::Disagreement(_)));
    assert!(rack.held.last().is_some_and(hold), "{:?}", rack.held);
    let quarrel = rack.keeper.bound(&rack.now()).expect("a bound");
    rack.run(2000, true);
    let later = rack.keeper.bound(&rack.now()).expect("a bound");
    assert!(quarrel < later, "{quarrel:?} {later:?}");
}

#[test]
fn liar_of_three_is_named_and_has_no_weight() {
    let mut rack = Rack::new(&[0, 0, 50]);
    assert!(!rack.run(10, true).is_empty());
    let verdicts = &rack.keeper.selection().expect("a selection").verdicts;
    assert!(
        matches!(verdicts[2], Verdict::Falseticker { .. }),
        "{verdicts:?}"
    );
    let weights: Vec<f64> = rack.keeper.weights().collect();
    assert!(
        weights[2] == 0.0 && (weights[0] + weights[1] - 1.0).abs() < 1e-9,
        "{weights:?}"
    );
}

#[test]
fn source_that_is_silent_is_asked_at_the_longest_interval() {
    let mut rack = Rack::new(&[0]);
    rack.run(10, false);
    rack.asked.clear();
    rack.run(10_240, false);
    assert!(
        (9..=11).contains(&rack.asked.len()),
        "asked {} times",
        rack.asked.len()
    );
}

#[test]
fn sleep_is_followed_by_a_few_exchanges_at_once_and_a_correction_by_what_they_say() {
    let mut rack = Rack::new(&[0]);
    rack.run(7000, true);
    rack.asked.clear();
    // It slept for an hour; its clock went on and lost 0.3 s.
    rack.slept = Duration::from_secs(3600);
    rack.wall_ahead += (3600 * 1000 - 300) * MS as i64;
    for server in &mut rack.servers_ms {
        *server += 3600 * 1000;
    }
    rack.keeper.handle_timeout(&rack.now());
    let corrections = [rack.act(true), rack.run(3, true)].concat();
    assert!(rack.asked.len() >= 4, "asked {} times", rack.asked.len());
    let slewed = corrections.iter().find_map(|correction| match correction {
        Action::Run {
            reason: Reason::Slew { offset, .. },
            ..
        } => Some(offset.as_nanos()),
        _ => None,
    });
    // The rack does not carry out corrections, so the first 0.1 s are still there.
    let expected = 400 * MS as i64;
    assert!(
        slewed.is_some_and(|slewed| (slewed - expected).abs() < 5 * MS as i64),
        "{slewed:?}"
    );
}

/// The request left before the machine slept, and the answer is read when it wakes.
#[test]
fn answer_to_a_request_from_before_a_sleep_is_left_out() {
    let mut rack = Rack::new(&[0]);
    rack.run(7000, true);
    while let Some(next) = rack.keeper.poll_timeout(&rack.now()) {
        rack.passed = rack.passed.max(next.as_nanos() - START);
        rack.keeper.handle_timeout(&rack.now());
        if matches!(rack.keeper.poll_action(), Some(Action::Ask { .. })) {
            break;
        }
    }
    let left = rack.now().raw;
    let server = HostTime::from_unix_nanos(EPOCH + (rack.passed + 10 * MS) as i64);
    rack.passed += 20 * MS;
    rack.slept = Duration::from_secs(3600);
    rack.wall_ahead += 3600 * 1000 * MS as i64;
    let now = rack.now();
    let stamps = Stamps {
        left,
        received: server,
        sent: server,
        came: now.raw,
    };
    let clock = ServerClock {
        synchronised: true,
        error: Some(Duration::ZERO),
        smear: None,
    };
    rack.keeper.answered(0, &stamps, clock, &now);
    assert_eq!(rack.keeper.poll_action(), None);
    let soon = rack
        .keeper
        .poll_timeout(&rack.now())
        .expect("it is asked again");
    assert!(soon - now.raw <= Duration::from_secs(1));
}

#[test]
fn error_above_a_second_is_stepped_once() {
    let mut rack = Rack::new(&[0]);
    rack.wall_ahead = -5_000 * MS as i64;
    let corrections = rack.run(3, true);
    let Some(Action::Step { by }) = corrections.first() else {
        panic!("{corrections:?}");
    };
    assert!(
        (by.as_nanos() - 5_000 * MS as i64).abs() < MS as i64,
        "{by:?}"
    );
}
