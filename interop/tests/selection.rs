//! Which servers are used, and why the others are not.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use tsq_interop::{Adjtime, Report, Server};

fn ask(servers: &[&Server], options: &[&str]) -> Report {
    let addresses: Vec<String> = servers.iter().map(|s| s.address().to_string()).collect();
    let pins = servers.iter().flat_map(|server| ["--pin", server.pin()]);
    let words: Vec<&str> = pins
        .chain(options.iter().copied())
        .chain(addresses.iter().map(String::as_str))
        .collect();
    Adjtime::dry_run(&words)
}

#[track_caller]
fn assert_verdicts(report: &Report, code: i32, verdicts: &[&str]) {
    let told: Vec<_> = (0..verdicts.len())
        .map(|index| report.source(index, "verdict").as_str().unwrap())
        .collect();
    assert_eq!(told, verdicts, "{report:#?}");
    assert_eq!(report.outcome.code, Some(code), "{report:#?}");
}

#[test]
fn smeared_server_is_left_out_where_most_do_not_smear() {
    let smeared = Server::start(&["--smear", "google-24h"]);
    let (told, untold) = (Server::start(&["--smear", "none"]), Server::start(&[]));
    let report = ask(&[&told, &smeared, &untold], &[]);
    assert_verdicts(&report, 0, &["used", "other_timescale", "used"]);
    let reason = report.source(1, "reason").as_str().unwrap();
    assert!(reason.contains("google-24h"), "{reason}");
    let tie = ask(&[&told, &smeared], &[]);
    assert_verdicts(&tie, 4, &["unresolved"; 2]);
}

#[test]
fn trusted_server_outvotes_two_that_agree_on_a_lie() {
    let right = Server::start(&[]);
    let wrong = [Server::start_at("+30s", &[]), Server::start_at("+30s", &[])];
    let all = [&right, &wrong[0], &wrong[1]];
    let lied_to = ask(&all, &["--max-offset", "60000"]);
    assert_verdicts(&lied_to, 0, &["falseticker", "used", "used"]);
    let name = right.address().to_string();
    let trusting = ask(&all, &["--trust", &name]);
    assert_verdicts(&trusting, 0, &["used", "falseticker", "falseticker"]);
    assert!(trusting.offset_ms().unwrap().abs() < 50.0, "{trusting:#?}");
}

#[test]
fn preferred_server_is_used_alone() {
    let servers = [Server::start(&[]), Server::start(&[])];
    let name = servers[1].address().to_string();
    let report = ask(&[&servers[0], &servers[1]], &["--prefer", &name]);
    // On a busy machine the other one's samples may be the better ones by far.
    let other = report.source(0, "verdict").as_str().unwrap();
    assert!(["outranked", "outlier"].contains(&other), "{report:#?}");
    assert_eq!(report.source(1, "verdict"), "used", "{report:#?}");
}

#[test]
fn too_few_that_agree_exit_4_and_name_the_option() {
    let servers = [Server::start(&[]), Server::start(&[])];
    let liar = Server::start_at("+30s", &[]);
    let all = [&servers[0], &servers[1], &liar];
    let enough = ask(&all, &["--min-sources", "2"]);
    assert_eq!(enough.outcome.code, Some(0), "{enough:#?}");
    let too_few = ask(&all, &["--min-sources", "3"]);
    assert_verdicts(&too_few, 4, &["unresolved"; 3]);
    let reason = too_few.json["reason"].as_str().unwrap();
    assert!(reason.contains("--min-sources"), "{reason}");
}

#[test]
fn both_ways_to_combine_give_offset_bound_and_spread() {
    let servers = [Server::start(&[]), Server::start(&[])];
    for method in ["median", "weighted"] {
        let report = ask(&[&servers[0], &servers[1]], &["--combine", method]);
        assert_eq!(report.outcome.code, Some(0), "{report:#?}");
        let [offset, bound] = ["offset_ns", "bound_ns"].map(|f| report.json[f].as_i64().unwrap());
        // Both servers read our clock.
        assert!(offset.abs() <= bound, "{report:#?}");
        assert!(report.json["spread_ns"].is_u64(), "{report:#?}");
        assert_eq!(report.json["authenticated"], true, "{report:#?}");
    }
}
