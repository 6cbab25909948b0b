//! What a real chronyd says of its clock.

use std::time::Duration;

use tsq_clock::KernelLeap;
use tsq_interop::{Certs, Chronyd};
use tsq_server::own_clock::Tracking;

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
    let ours = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("tsq-server.");
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
