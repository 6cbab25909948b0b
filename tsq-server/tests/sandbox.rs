//! What a confined process can no longer do, tried in one, and that a server is one.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tsq_interop::Server;
use tsq_server::sandbox::{Enforced, Sandbox};

/// Tells [`confined`] its folder.
const FOLDER: &str = "TSQ_TEST_SANDBOX";

#[test]
fn confined_process_serves_and_can_do_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["own", "other"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("file"), name).unwrap();
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "confined", "--ignored", "--nocapture"]);
    let outcome = child.env(FOLDER, folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&outcome.stdout) + String::from_utf8_lossy(&outcome.stderr);
    assert!(outcome.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

/// The process of the test above.
#[test]
#[ignore = "gives up what other tests need; it is started in a process of its own"]
fn confined() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let (own, other) = (folder.join("own/file"), folder.join("other/file"));
    let socket = folder.join("own/socket");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let report = Sandbox {
        read: vec![own.clone()],
        sockets: vec![socket],
    }
    .enter();
    report.calls.unwrap();
    serves();
    refuses_programs();
    match report.files {
        Ok(enforced) => {
            confined_files(&own, &other);
            if enforced == Enforced::Fully {
                assert_denied(&TcpStream::connect(tcp.local_addr().unwrap()));
            }
        }
        Err(error) => eprintln!("files are not confined here: {error}"),
    }
}

/// Threads, packets, and word to other processes.
fn serves() {
    let here = UdpSocket::bind("127.0.0.1:0").unwrap();
    here.set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let address = here.local_addr().unwrap();
    let thread = std::thread::Builder::new().name("one more".into());
    let sent = thread.spawn(move || {
        let from = UdpSocket::bind((address.ip(), 0)).unwrap();
        from.send_to(b"packet", address).unwrap()
    });
    assert_eq!(sent.unwrap().join().unwrap(), 6);
    assert_eq!(here.recv(&mut [0; 16]).unwrap(), 6);
    here.set_nonblocking(true).unwrap();
    let nothing = here.recv(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    let (mut one, _other) = UnixStream::pair().unwrap();
    one.write_all(b"word").unwrap();
    assert!(tsq_clock::SystemClock::state().is_ok());
    fs::read_to_string("/proc/self/status").unwrap();
}

/// Neither its own nor those of others.
fn refuses_programs() {
    assert_denied(&Command::new("/bin/true").spawn());
    let first = rustix::process::Pid::from_raw(1).unwrap();
    assert_denied(&rustix::process::test_kill_process(first).map_err(io::Error::from));
}

fn confined_files(own: &Path, other: &Path) {
    assert_eq!(fs::read_to_string(own).unwrap(), "own");
    fs::File::open("/dev/urandom").unwrap();
    assert_denied(&fs::read_to_string(other));
    assert_denied(&fs::read_to_string("/etc/passwd"));
    assert_denied(&fs::write(own, "mine"));
    assert_denied(&fs::write(own.with_file_name("new"), "mine"));
    assert_denied(&fs::create_dir(own.with_file_name("folder")));
    // As chronyd is asked, and as certificates are renewed, by others.
    let name = own.with_file_name("mine.socket");
    drop(std::os::unix::net::UnixDatagram::bind(&name).unwrap());
    fs::remove_file(&name).unwrap();
}

#[track_caller]
fn assert_denied<T>(outcome: &io::Result<T>) {
    let kind = outcome.as_ref().err().map(io::Error::kind);
    assert_eq!(kind, Some(ErrorKind::PermissionDenied));
}

#[test]
fn every_thread_of_a_server_is_confined_unless_told_otherwise() {
    let ours = filters("self");
    let confined = Server::start(&[]);
    let pid = confined.process().id().to_string();
    let expected = ours.iter().map(|count| count + 2).collect();
    assert_eq!(filters(&pid), expected);
    let free = Server::start(&["--no-sandbox"]);
    assert_eq!(filters(&free.process().id().to_string()), ours);
}

/// How many filters the threads of a process have.
fn filters(pid: &str) -> BTreeSet<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let count = |task: io::Result<fs::DirEntry>| {
        // A thread may have ended meanwhile.
        let status = fs::read_to_string(task.ok()?.path().join("status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("Seccomp_filters:"));
        Some(
            line.expect("Linux 5.9 and later say so")
                .trim()
                .parse()
                .unwrap(),
        )
    };
    tasks.filter_map(count).collect()
}
