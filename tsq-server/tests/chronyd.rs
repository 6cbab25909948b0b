//! What a real chronyd says of its clock.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::path::Path;
use std::time::Duration;

use tsq_clock::KernelLeap;
use tsq_host::own_clock::Tracking;
use tsq_interop::{Certs, Chronyd, Server};

#[test]
fn chronyd_tells_what_it_keeps() {
    let certs = Certs::new();
    let chronyd = Chronyd::start_drifting(&certs.server("chronyd", "127.0.0.1", &[]), 12.5);
    let tracking = Tracking::ask(Some(&chronyd.commands())).unwrap();
    assert_eq!(tracking.stratum, 8);
    // How chronyd says that it follows its own clock.
    assert_eq!(tracking.reference_id, 0x7f7f_0101);
    assert_eq!(tracking.leap, Some(KernelLeap::None));
    assert_eq!(tracking.root_delay, Duration::ZERO);
    assert_eq!(tracking.frequency_ppb, 12_500);
    let left = std::fs::read_dir(chronyd.commands().parent().unwrap()).unwrap();
    let ours = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("tsq.");
    assert!(!left.map(Result::unwrap).any(|file| ours(&file.file_name())));
}

#[test]
fn chronyd_without_a_source_calls_itself_unsynchronised() {
    let certs = Certs::new();
    let chronyd = Chronyd::start_unsynchronised(&certs.server("chronyd", "127.0.0.1", &[]));
    let tracking = Tracking::ask(Some(&chronyd.commands())).unwrap();
    assert_eq!((tracking.stratum, tracking.leap), (0, None));
}

#[test]
fn no_chronyd_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        Tracking::ask(Some(&folder.path().join("chronyd.sock"))),
        None
    );
}

/// The first question is asked in the sandbox, before the server says where it listens.
#[test]
fn confined_server_can_ask_chronyd() {
    let certs = Certs::new();
    let chronyd = Chronyd::start(&certs.server("chronyd", "127.0.0.1", &[]));
    assert!(!is_refused(&chronyd.commands()));
    assert!(is_refused(&chronyd.commands().with_file_name("other.sock")));
}

fn is_refused(commands: &Path) -> bool {
    let args = ["--log-level", "debug", "--chrony-socket"];
    let server = Server::start(&[&args[..], &[commands.to_str().unwrap()]].concat());
    let lines = server.process().lines();
    lines
        .iter()
        .any(|line| line.contains("chronyd does not say"))
}
