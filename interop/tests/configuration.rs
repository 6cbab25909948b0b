//! `tsq-server --config`: what a file can say, what it is refused for, and where.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tsq_interop::{Adjtime, Certs, Outcome, Server};

/// A folder with a configuration file in it.
struct Config {
    folder: TempDir,
    path: PathBuf,
}

impl Config {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tsq.toml");
        fs::write(&path, text).unwrap();
        Self { folder, path }
    }

    fn words(&self) -> [&str; 2] {
        ["--config", self.path.to_str().unwrap()]
    }

    fn run(&self, words: &[&str]) -> Outcome {
        Server::run(&[&self.words()[..], words].concat())
    }

    fn check(&self) -> Outcome {
        self.run(&["--check"])
    }
}

#[track_caller]
fn assert_ended(outcome: &Outcome, code: i32, words: &str) {
    assert_eq!(outcome.code, Some(code), "{outcome:#?}");
    assert!(
        outcome.stderr.contains(words),
        "no {words:?} in {outcome:#?}"
    );
    assert!(!outcome.stderr.contains("listening"), "{outcome:#?}");
}

#[test]
fn file_is_served_as_it_says() {
    let config =
        Config::new("stratum = 7\nannotate = [\"site=here\"]\nname = [\"time.example\"]\n");
    let server = Server::start(&config.words());
    let address = server.address().to_string();
    let report = Adjtime::dry_run(&["--pin", server.pin(), &address]);
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert_eq!(report.source(0, "stratum"), 7, "{report:#?}");
}

#[test]
fn mistake_in_the_file_exits_2_with_its_place() {
    for (text, place, reason) in [
        ("\n  stratm = 2\n", ":2:3: ", "did you mean stratum"),
        ("stratum = 0\n", ":1:11: ", "1..=15"),
        (
            "listen = [\"127.0.0.1:0\",\n  \"nowhere\"]\n",
            ":2:3: ",
            "not an address and port",
        ),
        ("smear = \"\"\n", ":1:9: ", "must not be empty"),
        ("serve-unsynchronised = 1\n", ":1:24: ", "true or false"),
        ("= 1\n", ":1:1: ", "key"),
    ] {
        let config = Config::new(text);
        for outcome in [config.run(&[]), config.check()] {
            assert_ended(&outcome, 2, &format!("tsq.toml{place}"));
            assert!(outcome.stderr.contains(reason), "{outcome:#?}");
            assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
        }
    }
}

#[test]
fn missing_file_exits_2_and_is_named() {
    let outcome = Server::run(&["--config", "/nonexistent/tsq.toml"]);
    assert_ended(&outcome, 2, "/nonexistent/tsq.toml");
}

#[test]
fn contradiction_between_file_and_flag_exits_2() {
    let config = Config::new("cert = \"c.pem\"\nkey = \"k.pem\"\n");
    assert_ended(&config.run(&["--name", "time.example"]), 2, "--name");
    let half = Config::new("cert = \"c.pem\"\n");
    assert_ended(&half.check(), 2, "--key");
}

#[test]
fn check_reads_certificate_and_keys_without_serving() {
    let certs = Certs::new();
    let (good, other) = (
        certs.server("good", "127.0.0.1", &[]),
        certs.server("other", "127.0.0.1", &[]),
    );
    let text = |key: &str| format!("cert = {:?}\nkey = {key:?}\n", good.cert);
    let config = Config::new(&text(&good.key));
    // An address nobody has: it must not be bound.
    let outcome = config.run(&["--check", "--listen", "203.0.113.1:443"]);
    assert_ended(&outcome, 0, "");
    assert!(outcome.stdout.contains("good"), "{outcome:#?}");
    let outcome = Config::new(&text(&other.key)).check();
    assert_ended(&outcome, 3, "not the key of the certificate");
    let outcome = config.run(&["--check", "--signing-key", "/nonexistent/key.toml"]);
    assert_ended(&outcome, 3, "/nonexistent/key.toml");
}

#[test]
fn check_makes_no_certificate_and_warns_of_unwise_settings() {
    let config = Config::new("stratum = 1\nserve-unsynchronised = true\n");
    let state = config.folder.path().join("state");
    let outcome = config.run(&["--check", "--state-dir", state.to_str().unwrap()]);
    assert_ended(&outcome, 0, "claims a reference clock");
    assert!(!state.exists());
}

#[test]
fn printed_configuration_is_one() {
    let config = Config::new("stratum = 3\nlisten = [\"127.0.0.1:0\"]\n");
    let first = config.run(&["--print-config", "--no-chrony"]);
    assert_ended(&first, 0, "");
    for line in [
        "stratum = 3",
        "listen = [\"127.0.0.1:0\"]",
        "no-chrony = true",
    ] {
        assert!(
            first.stdout.lines().any(|found| found == line),
            "{first:#?}"
        );
    }
    let second = Config::new(&first.stdout).run(&["--print-config"]);
    assert_eq!(second.stdout, first.stdout);
}

#[test]
fn shipped_sample_is_good_as_it_is_and_with_all_that_it_shows() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/tsq-server.toml");
    let text = fs::read_to_string(sample).unwrap();
    let outcome = Config::new(&text).check();
    assert_ended(&outcome, 0, "");
    // A test machine's clock may be kept by nobody, which is no fault of the sample's.
    let told: Vec<&str> = outcome
        .stderr
        .lines()
        .filter(|line| !line.contains("this host's clock is"))
        .collect();
    assert_eq!(told, [""; 0], "a sample must not be warned of");
    // What is shown names files that are not there: that is all that may be wrong.
    let shown: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if is_setting(setting) => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert_ne!(shown, text);
    let outcome = Config::new(&shown).check();
    assert_ended(&outcome, 3, "/etc/");
}

/// `key = …` or `[table]`, rather than a sentence.
///
/// Several certificates are another way to say what stands before them.
fn is_setting(line: &str) -> bool {
    if line.starts_with("cert = [") || line.starts_with("key = [") {
        return false;
    }
    let key = line.split(" = ").next().unwrap_or_default();
    (line.contains(" = ") && !key.contains(' ')) || (line.starts_with('[') && line.ends_with(']'))
}

#[test]
fn only_addresses_that_rules_allow_are_served() {
    for (rules, served) in [
        (&["--allow", "127.0.0.0/8"][..], true),
        (&["--deny", "127.0.0.0/8", "--allow", "127.0.0.1"], true),
        (&["--deny", "127.0.0.1"], false),
        (&["--allow", "192.0.2.0/24"], false),
    ] {
        let server = Server::start(rules);
        let address = server.address().to_string();
        let timeout = if served { "10000" } else { "500" };
        let report = Adjtime::dry_run(&["--pin", server.pin(), "--timeout", timeout, &address]);
        let code = if served { 0 } else { 3 };
        assert_eq!(report.outcome.code, Some(code), "{rules:?}: {report:#?}");
    }
}

#[test]
fn slip_in_a_prefix_exits_2_and_says_what_may_be_meant() {
    let config = Config::new("allow = [\"10.0.0.1/8\"]\n");
    assert_ended(
        &config.check(),
        2,
        ":1:10: has bits behind the prefix; is 10.0.0.0/8 meant?",
    );
}

/// The clock of a test machine is kept by nobody; where it is, there is nothing to warn of.
#[test]
fn stratum_that_will_not_be_told_is_warned_of() {
    let state = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(tsq_interop::bin("tsq-server"));
    command.args(["--listen", "127.0.0.1:0", "--stratum", "1", "--state-dir"]);
    command.arg(state.path());
    let mut server = tsq_interop::Process::start(command);
    let limit = std::time::Duration::from_secs(30);
    server.wait_for(limit, |line| line.contains("listening").then_some(()));
    let lines = server.lines();
    let unkept = lines
        .iter()
        .any(|line| line.contains("clock is not synchronised"));
    let warned = lines
        .iter()
        .any(|line| line.contains("are told only while"));
    assert_eq!(warned, unkept, "{lines:#?}");
    // Both name the remedy, and so does the check beforehand.
    let mut command = std::process::Command::new(tsq_interop::bin("tsq-server"));
    command.args(["--check", "--state-dir"]).arg(state.path());
    let checked = tsq_interop::run(command, limit);
    assert_eq!(checked.code, Some(0), "{checked:#?}");
    let remedy = "--serve-unsynchronised serves it";
    assert_eq!(checked.stderr.contains(remedy), unkept, "{checked:#?}");
    assert_eq!(
        lines.iter().any(|line| line.contains(remedy)),
        unkept,
        "{lines:#?}"
    );
    assert_eq!(server.terminate().code(), Some(0));
}
