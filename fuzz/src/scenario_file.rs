//! No scenario file makes the simulator panic: it is refused with a reason, or it runs, and its figures are numbers.

use tsq_sim::Scenario;
use tsq_sim::run::run;

/// Longer runs find nothing that shorter ones do not.
const SECONDS: u64 = 120;
const EVENTS: usize = 20;

/// Reads `text` as a file, and runs what it says for two minutes of its time.
///
/// # Panics
///
/// When the property does not hold.
pub fn check(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let mut scenario = match Scenario::read("fuzz", text) {
        Ok(scenario) => scenario,
        Err(error) => {
            assert!(!error.reason.is_empty() && !error.reason.contains('\n'));
            return;
        }
    };
    scenario.duration = scenario.duration.min(SECONDS);
    scenario.measure_from = scenario.measure_from.min(scenario.duration - 1);
    scenario.events.truncate(EVENTS);
    let Ok(outcome) = run(&scenario, 1) else {
        return;
    };
    for (metric, value) in outcome.values.0 {
        assert!(
            value.is_none_or(|value| !value.is_nan()),
            "{}",
            metric.name()
        );
    }
}
