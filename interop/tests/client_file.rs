//! `tsq-adjtime --config` and `--quiet`: a run as a timer or cron starts it.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use tsq_interop::{Adjtime, Outcome, Server, closed_port};

/// A file with these lines.
fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("the folder for temporary files is writable");
    let path = folder.path().join("tsq-adjtime.toml");
    fs::write(&path, text).expect("it is writable");
    (folder, path)
}

fn run(text: &str, words: &[&str]) -> Outcome {
    let (_folder, path) = file(text);
    let path = path.to_str().expect("UTF-8");
    Adjtime::run(&[words, &["--config", path]].concat())
}

/// Servers and pins in a file; nothing sets this machine's clock.
fn text(servers: &[String], pins: &[&str]) -> String {
    format!(
        "servers = {servers:?}\npin = {pins:?}\ntimeout = 10000\ndry-run = true\nfallback = [\"none\"]\n"
    )
}

#[test]
fn run_takes_servers_pins_and_options_from_its_file() {
    let servers = [Server::start(&[]), Server::start(&[])];
    let addresses = servers.each_ref().map(|it| it.address().to_string());
    let pins = servers.each_ref().map(Server::pin);
    let file = text(&addresses, &pins);
    let outcome = run(&file, &["--json"]);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert_eq!(outcome.json()["sources"].as_array().map(Vec::len), Some(2));
    let quiet = run(&file, &["--quiet"]);
    let said = (quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str());
    assert_eq!(said, (Some(0), "", ""));
}

#[test]
fn server_that_did_not_count_is_named_and_can_be_made_a_failure() {
    let server = Server::start(&[]);
    let (_held, gone) = closed_port();
    let addresses = [server.address().to_string(), gone.clone()];
    let file = text(&addresses, &[server.pin()]);
    let outcome = run(&file, &["--quiet", "--timeout", "2000"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), ""));
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
    let told = format!("1 of 2 servers did not count: {gone}: ");
    assert!(outcome.stderr.contains(&told), "{outcome:#?}");

    let failure = run(&file, &["--require-all", "--json", "--timeout", "2000"]);
    assert_eq!(failure.code, Some(4), "{failure:#?}");
    let json = failure.json();
    assert_eq!(json["action"], "refused");
    let reason = json["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(&told), "{json:#}");
    assert!(reason.contains("--require-all"), "{json:#}");
    let all = run(&file, &["--require-all", &addresses[0]]);
    assert_eq!(all.code, Some(0), "{all:#?}");
}

#[test]
fn mistake_in_the_file_is_one_line_with_its_place() {
    for (text, told) in [
        (
            "servers = [\"a\"]\nmax-ofset = 3\n",
            ".toml:2:1: unknown key max-ofset",
        ),
        ("", "no server is named"),
    ] {
        let outcome = run(text, &[]);
        assert_eq!(outcome.code, Some(2), "{outcome:#?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
        assert!(outcome.stderr.contains(told), "{outcome:#?}");
    }
}
