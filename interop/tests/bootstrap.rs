//! Two-phase trust: clients whose clocks are wrong enough that certificates look expired or not yet
//! valid, and servers that lie to them.
//!
//! `--bootstrap always` makes the outcome the same whether or not somebody keeps this machine's clock.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use tsq_interop::{Adjtime, Certs, Peer, Report, Server};

const SLOW: &str = "-61200s";
const FAST: &str = "+94608000s";

const BEGUN: &[&str] = &["--not-before", "-1h", "--not-after", "+10d"];

/// Honest servers with certificates of one authority, each with a key of its own.
struct Honest {
    certs: Certs,
    servers: Vec<Server>,
}

impl Honest {
    fn start(count: usize) -> Self {
        let certs = Certs::new();
        let servers = (0..count)
            .map(|index| {
                let files = certs.server(&format!("honest-{index}"), "127.0.0.1", BEGUN);
                Server::start(&["--cert", &files.cert, "--key", &files.key])
            })
            .collect();
        Self { certs, servers }
    }

    /// Another server of the same authority: it answers in this mode.
    fn liar(&self, label: &str, mode: &str) -> Peer {
        let files = self.certs.server(label, "127.0.0.1", BEGUN);
        let identity = ["--cert", &files.cert, "--key", &files.key, "--mode", mode];
        Peer::start("hostile_server.py", &identity)
    }

    /// Asks these, and others, with a clock that is off by `shift`.
    fn ask(&self, shift: &str, others: &[&Peer], options: &[&str]) -> Report {
        let own = self.servers.iter().map(Server::address);
        let addresses: Vec<String> = own
            .chain(others.iter().map(|peer| peer.address()))
            .map(|address| address.to_string())
            .collect();
        let ca = self.certs.ca();
        let bootstrap: &[&str] = match options.contains(&"--bootstrap") {
            true => &[],
            false => &["--bootstrap", "always"],
        };
        let limit: &[&str] = match options.contains(&"--max-offset") {
            true => &[],
            false => &["--max-offset", "none"],
        };
        let words: Vec<&str> = ["--ca", &ca]
            .iter()
            .chain(limit)
            .chain(bootstrap)
            .copied()
            .chain(addresses.iter().map(String::as_str))
            .chain(options.iter().copied())
            .collect();
        Adjtime::dry_run_at(shift, &words)
    }
}

fn trust<'a>(report: &'a Report, field: &str) -> &'a serde_json::Value {
    &report.json["trust"][field]
}

#[track_caller]
fn assert_stepped(report: &Report, offset_s: f64) {
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert_eq!(report.json["action"], "step", "{report:#?}");
    let offset = report.offset_ms().unwrap() / 1e3;
    assert!((offset - offset_s).abs() < 1.0, "{report:#?}");
    assert_eq!(trust(report, "state"), "verified", "{report:#?}");
}

#[track_caller]
fn assert_distrusted(report: &Report, refused: Option<&str>) {
    assert_eq!(report.outcome.code, Some(7), "{report:#?}");
    assert_eq!(report.json["action"], "refused", "{report:#?}");
    assert_eq!(report.offset_ms(), None, "{report:#?}");
    assert_ne!(trust(report, "state"), "verified", "{report:#?}");
    assert_eq!(trust(report, "refused").as_str(), refused, "{report:#?}");
}

/// A slow clock makes certificates look not yet valid, a fast one expired: never the other way round.
#[test]
fn three_servers_set_a_clock_to_which_their_certificates_are_invalid() {
    let honest = Honest::start(3);
    for (shift, offset_s, held_against) in [
        (SLOW, 61_200.0, "certificate_not_yet_valid"),
        (FAST, -94_608_000.0, "certificate_expired"),
    ] {
        let report = honest.ask(shift, &[], &[]);
        assert_stepped(&report, offset_s);
        assert_eq!(trust(&report, "keys"), 3, "{report:#?}");
        for index in 0..3 {
            let certificate = report.source(index, "certificate");
            assert_eq!(certificate["deferred"], held_against, "{report:#?}");
            assert_eq!(report.source(index, "verdict"), "used", "{report:#?}");
        }
        let never = honest.ask(shift, &[], &["--bootstrap", "never"]);
        assert_distrusted(&never, None);
        assert_eq!(never.source(0, "verdict"), held_against, "{never:#?}");
    }
}

#[test]
fn people_read_which_certificates_waited_and_which_way_the_clock_is_wrong() {
    let honest = Honest::start(3);
    let ca = honest.certs.ca();
    let addresses: Vec<String> = honest
        .servers
        .iter()
        .map(|server| server.address().to_string())
        .collect();
    for (shift, words) in [
        (
            SLOW,
            "by our slow clock not yet valid, is valid at the time",
        ),
        (FAST, "by our fast clock expired, is valid at the time"),
    ] {
        let options = ["--dry-run", "--bootstrap", "always", "--ca", &ca];
        let servers: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let outcome = Adjtime::run_at(shift, &[&options[..], &servers].concat());
        // The clock is further off than the default --max-offset: trust does not widen that.
        assert_eq!(outcome.code, Some(5), "{outcome:#?}");
        assert_eq!(outcome.stdout.matches(words).count(), 3, "{outcome:#?}");
        assert!(outcome.stdout.contains("-> verified"), "{outcome:#?}");

        let options = ["explain", "--bootstrap", "always", "--ca", &ca];
        let outcome = Adjtime::run_at(shift, &[&options[..], &servers].concat());
        assert_eq!(outcome.code, Some(0), "{outcome:#?}");
        assert_eq!(outcome.stdout.matches(words).count(), 3, "{outcome:#?}");
        let state = "trust: the servers' time is verified: 3 different keys vouch";
        assert!(outcome.stdout.contains(state), "{outcome:#?}");
    }
}

#[test]
fn two_servers_are_too_few_to_be_heard() {
    let report = Honest::start(2).ask(SLOW, &[], &[]);
    assert_distrusted(&report, None);
    for index in 0..2 {
        let verdict = report.source(index, "verdict");
        assert_eq!(verdict, "certificate_not_yet_valid", "{report:#?}");
        assert_eq!(report.source(index, "answered"), 0, "{report:#?}");
    }
}

#[test]
fn one_pinned_server_is_enough() {
    let honest = Honest::start(1);
    let pin = honest.servers[0].pin().to_string();
    let report = honest.ask(SLOW, &[], &["--pin", &pin]);
    assert_stepped(&report, 61_200.0);
}

#[test]
fn servers_of_one_key_are_one_witness() {
    let certs = Certs::new();
    let files = certs.server("shared", "127.0.0.1", BEGUN);
    let identity = ["--cert", files.cert.as_str(), "--key", &files.key];
    let servers = (0..3).map(|_| Server::start(&identity)).collect();
    let report = Honest { certs, servers }.ask(SLOW, &[], &[]);
    assert_distrusted(&report, Some("too_few_keys"));
    let reason = report.json["reason"].as_str().unwrap();
    assert!(reason.contains("only 1"), "{reason}");
    assert!(reason.contains("3 are needed"), "{reason}");
}

#[test]
fn two_liars_outvote_one_honest_server_and_are_too_few_all_the_same() {
    let honest = Honest::start(1);
    let liars = ["a", "b"].map(|label| honest.liar(label, "lie:10800000"));
    let report = honest.ask(SLOW, &[&liars[0], &liars[1]], &[]);
    assert_distrusted(&report, Some("too_few_keys"));
}

#[test]
fn one_liar_of_four_is_named() {
    let honest = Honest::start(3);
    let liar = honest.liar("liar", "lie:10800000");
    let report = honest.ask(SLOW, &[&liar], &[]);
    assert_stepped(&report, 61_200.0);
    assert_eq!(report.source(3, "verdict"), "falseticker", "{report:#?}");
}

/// Their certificates end in 10 days, and they say that it is in 20.
#[test]
fn majority_that_lies_outside_its_own_certificates_is_thrown_out() {
    let honest = Honest::start(1);
    let liars = ["a", "b", "c"].map(|label| honest.liar(label, "lie:1728000000"));
    let others: Vec<&Peer> = liars.iter().collect();
    let report = honest.ask(SLOW, &others, &[]);
    // What is left is one honest server: too few.
    assert_distrusted(&report, Some("too_few_keys"));
    for index in 1..4 {
        let verdict = report.source(index, "verdict");
        assert_eq!(verdict, "certificate_expired", "{report:#?}");
        let reason = report.source(index, "reason").as_str().unwrap();
        assert!(reason.contains("the servers agree"), "{reason}");
        assert_eq!(report.accepted(index), 0, "{report:#?}");
        assert!(report.reasons(index).contains(&"distrusted"), "{report:#?}");
    }
    // With the clock right, the honest server's dates need not wait, and it is believed.
    let report = honest.ask("+0s", &others, &["--bootstrap", "never"]);
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert!(report.offset_ms().unwrap().abs() < 1_000.0, "{report:#?}");
}

/// No honest server is there to disagree; the certificates began an hour ago and end in 10 days.
#[test]
fn lie_of_all_outside_their_certificates_is_refused_with_its_reason() {
    let honest = Honest::start(0);
    for (mode, verdict, words) in [
        ("lie:1728000000", "certificate_expired", "expired"),
        ("lie:-7200000", "certificate_not_yet_valid", "not yet valid"),
    ] {
        let liars = ["a", "b", "c"].map(|label| honest.liar(&format!("{label}-{mode}"), mode));
        let others: Vec<&Peer> = liars.iter().collect();
        // Whatever our own clock shows, and whether or not their dates may wait.
        for (shift, bootstrap) in [("+0s", "never"), ("+0s", "always"), (SLOW, "always")] {
            let report = honest.ask(shift, &others, &["--bootstrap", bootstrap]);
            assert_distrusted(&report, None);
            for index in 0..3 {
                assert_eq!(report.source(index, "verdict"), verdict, "{report:#?}");
                let reason = report.source(index, "reason").as_str().unwrap();
                assert!(reason.contains(words), "{reason}");
                assert!(reason.contains("the servers agree"), "{reason}");
            }
        }
    }
}

/// A majority wins: what is left against it are the limits.
#[test]
fn two_liars_of_three_are_stopped_by_the_limit_where_the_clock_is_right() {
    let honest = Honest::start(1);
    let liars = ["a", "b"].map(|label| honest.liar(label, "lie:10800000"));
    let others = [&liars[0], &liars[1]];
    for bootstrap in ["never", "always"] {
        let options = ["--bootstrap", bootstrap, "--max-offset", "1000"];
        let report = honest.ask("+0s", &others, &options);
        assert_eq!(report.outcome.code, Some(5), "{report:#?}");
        assert_eq!(report.json["action"], "refused", "{report:#?}");
        let verdict = report.source(0, "verdict");
        assert_eq!(verdict, "falseticker", "{report:#?}");
        let reason = report.json["reason"].as_str().unwrap();
        assert!(reason.contains("past the limit of 1000 ms"), "{reason}");
        assert!(reason.contains("raise --max-offset"), "{reason}");
    }
}

#[test]
fn agreed_time_before_this_program_was_made_is_refused() {
    let honest = Honest::start(0);
    // Ten years: the certificates allow it.
    let mut liars = Vec::new();
    for label in ["a", "b", "c"] {
        let dates = ["--not-before", "-4000d", "--not-after", "+10d"];
        let files = honest.certs.server(label, "127.0.0.1", &dates);
        let mode = "lie:-315576000000";
        let identity = ["--cert", &files.cert, "--key", &files.key, "--mode", mode];
        liars.push(Peer::start("hostile_server.py", &identity));
    }
    let others: Vec<&Peer> = liars.iter().collect();
    let report = honest.ask("+0s", &others, &[]);
    assert_distrusted(&report, Some("below_floor"));
    for index in 0..3 {
        assert_eq!(
            report.source(index, "verdict"),
            "below_floor",
            "{report:#?}"
        );
    }
    let reason = report.json["reason"].as_str().unwrap();
    assert!(reason.contains("this program was made then"), "{reason}");
}

// tsq: E4
#[test]
fn replayed_answers_bring_no_witness() {
    let honest = Honest::start(2);
    let replayer = honest.liar("replayer", "replay");
    let report = honest.ask(SLOW, &[&replayer], &["--timeout", "1500"]);
    assert_distrusted(&report, Some("too_few_keys"));
    assert_eq!(report.source(2, "verdict"), "unanswered", "{report:#?}");
    assert!(report.reasons(2).contains(&"nonce_mismatch"), "{report:#?}");
}

#[test]
fn certificate_of_a_stranger_is_refused_whatever_its_dates() {
    let honest = Honest::start(2);
    let stranger = Honest::start(1);
    let addresses = [&honest.servers[0], &honest.servers[1], &stranger.servers[0]]
        .map(|server| server.address().to_string());
    let ca = honest.certs.ca();
    let words = ["--ca", &ca, "--bootstrap", "always"];
    let servers: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let report = Adjtime::dry_run_at(SLOW, &[&words[..], &servers].concat());
    assert_distrusted(&report, Some("too_few_keys"));
    let verdict = report.source(2, "verdict");
    assert_eq!(verdict, "certificate_unknown_issuer", "{report:#?}");
    assert_eq!(report.source(2, "answered"), 0, "{report:#?}");
}
