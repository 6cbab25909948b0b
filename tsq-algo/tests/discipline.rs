//! Keeping a clock, whatever the exchanges: nothing panics, no number is lost, and no correction is past its limits.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tsq_algo::discipline::{
    Action, Change, Keeper, Now, Observation, PollRange, Rate, ServerClock, Settings,
    SourceSettings, Stamps, Track,
};
use tsq_proto::{HostTime, Monotonic};

/// Numbers as they come from a network: small, large, equal, absurd.
fn seconds() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -1.0..1.0_f64,
        2 => -1e-6..1e-6_f64,
        1 => -1e12..1e12_f64,
        1 => Just(0.0),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1e300), Just(1e-300)],
    ]
}

fn observation() -> impl Strategy<Value = Observation> {
    let change = prop_oneof![
        6 => Just(None),
        1 => prop_oneof![Just(Change::Frequency), Just(Change::Path), Just(Change::Phase)].prop_map(Some),
    ];
    (seconds(), seconds(), seconds(), change).prop_map(|(at, up, down, change)| Observation {
        at,
        up,
        down,
        change,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn estimate_is_made_of_numbers_whatever_the_exchanges(observations in vec(observation(), 1..40)) {
        let mut track = Track::default();
        let mut at = 0.0;
        for observation in observations {
            // In order, mostly; what is not is left out.
            at += if observation.at.is_finite() { observation.at.abs() } else { 1.0 };
            if let Some(change) = observation.change {
                track.expect(change);
            }
            track.push(Observation { at, ..observation });
            if let Some(estimate) = track.get() {
                let later = estimate.at + 1e4;
                let numbers = [
                    estimate.offset_at(later),
                    estimate.frequency,
                    estimate.variance_at(later),
                    estimate.frequency_variance_at(later),
                ];
                prop_assert!(numbers.iter().all(|number| number.is_finite()), "{estimate:?}");
                prop_assert!(estimate.variance_at(estimate.at) >= 0.0);
            }
        }
    }

    #[test]
    fn no_correction_is_past_its_limits(
        nanos in vec((any::<i64>(), any::<i64>(), any::<u32>(), any::<u32>()), 1..30),
        sources in 1..4_usize,
    ) {
        let settings = Settings { max_slew_ppm: 1000, max_frequency_ppm: 100, ..Settings::default() };
        let source = SourceSettings {
            poll: PollRange { min: 0, max: 3 },
            authenticated: true,
            ..SourceSettings::default()
        };
        let start = 1_000_000_000_000_u64;
        let now = |nanos: u64| Now {
            raw: Monotonic::from_nanos(start + nanos),
            slept: Duration::ZERO,
            wall: HostTime::from_unix_nanos(1_700_000_000_000_000_000 + nanos as i64),
        };
        let mut keeper = Keeper::new(settings, vec![source; sources], 0.0, None, &now(0));
        let mut passed = 0;
        let mut steps = 0;
        for (index, (received, sent, trip, gap)) in nanos.into_iter().enumerate() {
            keeper.handle_timeout(&now(passed));
            let left = Monotonic::from_nanos(start + passed);
            passed += u64::from(trip);
            let stamps = Stamps {
                left,
                received: HostTime::from_unix_nanos(received),
                sent: HostTime::from_unix_nanos(sent),
                came: Monotonic::from_nanos(start + passed),
            };
            let clock = ServerClock { synchronised: true, error: None, smear: None };
            keeper.answered(index % sources, &stamps, clock, &now(passed));
            while let Some(action) = keeper.poll_action() {
                match action {
                    Action::Run { rate: Rate { frequency, slew }, .. } => {
                        prop_assert!(frequency.abs() <= 1e-4 && slew.abs() <= 1.000_001e-3);
                    }
                    Action::Step { .. } => steps += 1,
                    _ => {}
                }
            }
            passed += u64::from(gap);
        }
        prop_assert!(steps <= 3, "{steps} steps, and three are allowed");
    }
}
