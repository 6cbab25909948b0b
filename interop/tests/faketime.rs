//! Clocks that are really wrong: our programs under `faketime`.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::time::Duration;

use tsq_interop::{Adjtime, Report, Server};

/// The case this project began with: two servers on true time, five queries, and a client that is
/// 1444.208 ms behind.
const BEHIND: &str = "-1.444208s";
const OFFSET_NS: i64 = 1_444_208_000;
const PRECISION_NS: i64 = 1_000_000;

struct TwoServers([Server; 2]);

impl TwoServers {
    fn start() -> Self {
        Self([Server::start(&[]), Server::start(&[])])
    }

    fn words(&self) -> Vec<String> {
        let words = |server: &Server| {
            let address = server.address().to_string();
            ["--pin".to_string(), server.pin().to_string(), address]
        };
        self.0.iter().flat_map(words).collect()
    }

    fn ask_from(&self, shift: &str, options: &[&str]) -> Report {
        let words = self.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // On a loaded machine an answer may be read late, which its bound says: such a run shows nothing.
        for _ in 0..RUNS {
            let report = Adjtime::dry_run_at(shift, &[&words[..], options].concat());
            let bound = report.json["bound_ns"].as_i64();
            if bound.is_none_or(|bound| bound < PRECISION_NS) {
                return report;
            }
        }
        panic!("{RUNS} runs, none with a bound below {PRECISION_NS} ns");
    }
}

const RUNS: usize = 50;

#[track_caller]
fn assert_offset(report: &Report, expected_ns: i64) {
    let offset = report.json["offset_ns"].as_i64().unwrap();
    let error = (offset - expected_ns).abs();
    // The bound is smaller: `ask_from` saw to that.
    assert!(error < PRECISION_NS, "{error} ns off: {report:#?}");
}

/// The kernel stamps packets with a clock this process does not see: its stamps are not mixed in.
#[track_caller]
fn assert_own_stamps(report: &Report) {
    for index in 0..2 {
        assert_eq!(report.source(index, "timestamps"), "user", "{report:#?}");
    }
}

// tsq: E2
#[test]
fn client_behind_by_1444_208_ms_would_step_by_just_that() {
    let servers = TwoServers::start();
    for transport in ["datagram", "stream"] {
        let options = ["--max-offset", "2000", "--transport", transport];
        let report = servers.ask_from(BEHIND, &options);
        assert_eq!(report.outcome.code, Some(0), "{report:#?}");
        assert_eq!(report.json["action"], "step", "{report:#?}");
        assert_offset(&report, OFFSET_NS);
        assert_own_stamps(&report);
        for index in 0..2 {
            assert_eq!(report.source(index, "answered"), 5, "{report:#?}");
        }
    }
}

#[test]
fn the_same_offset_is_refused_by_the_default_limit() {
    let report = TwoServers::start().ask_from(BEHIND, &[]);
    assert_eq!(report.outcome.code, Some(5), "{report:#?}");
    assert_eq!(report.json["action"], "refused", "{report:#?}");
    assert_offset(&report, OFFSET_NS);
}

#[test]
fn people_read_the_step_and_its_size() {
    let servers = TwoServers::start();
    let words = servers.words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let options = ["--dry-run", "--max-offset", "2000"];
    let outcome = Adjtime::run_at(BEHIND, &[&options, &words[..]].concat());
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert!(
        outcome.stdout.contains("would step by +1.44"),
        "{outcome:#?}"
    );
}

#[test]
fn small_offset_would_be_slewed_at_the_kernels_pace() {
    let report = TwoServers::start().ask_from("-0.050s", &[]);
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert_eq!(report.json["action"], "slew", "{report:#?}");
    assert_offset(&report, 50_000_000);
    assert_own_stamps(&report);
    // 500 ppm: 2000 times as long as the offset.
    let slew_ns = report.json["slew_ns"].as_i64().unwrap();
    let expected = 2000 * report.json["offset_ns"].as_i64().unwrap();
    assert!((slew_ns - expected).abs() < 1_000_000_000, "{report:#?}");
}

/// Both ends must refuse the kernel's stamps, each by itself.
// tsq: E2
#[test]
fn servers_behind_are_seen_by_a_client_on_true_time() {
    let server = Server::start_at(BEHIND, &[]);
    let address = server.address().to_string();
    for transport in ["datagram", "stream"] {
        let words = ["--pin", server.pin(), &address, "--transport", transport];
        let report = Adjtime::dry_run(&[&words[..], &["--max-offset", "2000"]].concat());
        assert_eq!(report.outcome.code, Some(0), "{report:#?}");
        assert_eq!(report.json["action"], "step", "{report:#?}");
        assert_offset(&report, -OFFSET_NS);
    }
    server.process().wait_for(Duration::from_secs(1), |line| {
        line.contains("the kernel's clock is not this process's")
            .then_some(())
    });
}

#[test]
fn self_test_says_that_the_kernel_shows_another_clock_and_works() {
    let outcome = Adjtime::run_at("+100s", &["self-test", "--json"]);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    let report = outcome.json();
    let self_test = &report["self_test"];
    assert_eq!(self_test["kernel_timestamps"], "other_clock", "{report:#?}");
    assert!(self_test["median_error_ns"].is_u64(), "{report:#?}");
    assert!(report["offset_ns"].as_i64().unwrap().abs() < PRECISION_NS);

    let outcome = Adjtime::run_at("+100s", &["self-test", "--queries", "5"]);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert!(outcome.stdout.contains("another clock"), "{outcome:#?}");
}

#[test]
fn self_test_on_true_time_trusts_the_kernel() {
    let outcome = Adjtime::run(&["self-test", "--queries", "5", "--json"]);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    let report = outcome.json();
    assert_eq!(report["self_test"]["kernel_timestamps"], "work");
}
