//! Names with many addresses, most of them of no use.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tsq_interop::{Report, Server, bin, run};

/// Runs the client where `hosts` says what the names of this host's `/etc/hosts` are: in a mount namespace of its own,
/// which needs no privilege where the kernel lets users make them.
#[track_caller]
fn ask(hosts: &str, args: &[&str]) -> Report {
    let folder = tempfile::tempdir().expect("the folder for temporary files is writable");
    let file = folder.path().join("hosts");
    fs::write(&file, hosts).expect("an own folder is writable");
    let mut command = in_namespace(&file);
    command
        .arg(bin("tsq-adjtime"))
        .args(["--dry-run", "--json"]);
    command.args(args);
    Report::of(run(command, Duration::from_secs(30)))
}

fn in_namespace(hosts: &Path) -> Command {
    let mut command = Command::new("unshare");
    let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    command.args(["--map-root-user", "--mount", "sh", "-c", script]);
    command.arg(hosts);
    command
}

/// A busy machine gets 6 s here; that all forty are tried within 0.8 s is shown where that is decided.
#[test]
fn one_living_address_of_forty_is_found_in_time() {
    // The resolver puts it last: of all of them it is the least like our own address, 127.0.0.1.
    let server = Server::start(&["--listen", "127.0.2.1:0"]);
    let port = server.address().port();
    // Silent and not closed: nobody says that they are dead.
    let dead: Vec<UdpSocket> = (1..40)
        .map(|n| UdpSocket::bind((Ipv4Addr::new(127, 0, 1, n), port)).expect("127/8 is all ours"))
        .collect();
    let addresses = dead
        .iter()
        .map(|socket| socket.local_addr().expect("it is bound").ip());
    let lines: Vec<String> = addresses
        .chain([server.address().ip()])
        .map(|ip| format!("{ip} forty.example"))
        .collect();
    let name = format!("forty.example:{port}");
    let report = ask(
        &lines.join("\n"),
        &["--pin", server.pin(), "--timeout", "6000", &name],
    );
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert_eq!(report.source(0, "protocol"), "tsq", "{report:#?}");
    assert_eq!(
        report.source(0, "address"),
        server.address().to_string().as_str()
    );
}

#[test]
fn broken_ipv6_does_not_matter() {
    let server = Server::start(&[]);
    let port = server.address().port();
    let name = format!("both.example:{port}");
    // No route to the first, nobody at the second.
    let hosts = "2001:db8::1 both.example\n::1 both.example\n127.0.0.1 both.example\n";
    let report = ask(hosts, &["--pin", server.pin(), &name]);
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert_eq!(
        report.source(0, "address"),
        server.address().to_string().as_str()
    );
}
