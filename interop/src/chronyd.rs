//! chronyd as an NTP and NTS server that never touches the clock.

use std::env;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Process, ServerCert};

/// A running `chronyd -x` on 127.0.0.1; killed on drop.
#[derive(Debug)]
pub struct Chronyd {
    process: Process,
    ntp: SocketAddr,
    nts: SocketAddr,
    folder: TempDir,
}

impl Chronyd {
    /// Serves this host's clock by NTP, and by NTS with this certificate, each on an unused port.
    ///
    /// # Panics
    /// When it is not installed and `TSQ_CHRONYD` names none, or it does not answer within 10 s.
    #[must_use]
    #[track_caller]
    pub fn start(certificate: &ServerCert) -> Self {
        Self::with(certificate, "local stratum 8", 0.0)
    }

    /// Starts one that corrects its clock by so many parts per million.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    #[track_caller]
    pub fn start_drifting(certificate: &ServerCert, ppm: f64) -> Self {
        Self::with(certificate, "local stratum 8", ppm)
    }

    /// Starts one that says of itself that its clock is not synchronised.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    #[track_caller]
    pub fn start_unsynchronised(certificate: &ServerCert) -> Self {
        Self::with(certificate, "", 0.0)
    }

    #[track_caller]
    fn with(certificate: &ServerCert, extra: &str, drift_ppm: f64) -> Self {
        let folder = tempfile::tempdir().expect("the folder for temporary files is writable");
        let (ntp, nts) = (unused_udp(), unused_tcp());
        let drift = folder.path().join("drift");
        fs::write(&drift, format!("{drift_ppm} 0.0625\n")).expect("an own folder is writable");
        let extra = format!("{extra}\ndriftfile {}", drift.display());
        let file = folder.path().join("chrony.conf");
        fs::write(
            &file,
            configuration(ntp, nts, certificate, folder.path(), &extra),
        )
        .expect("an own folder is writable");
        let mut command = Command::new(program());
        // -x: the clock is not touched, whatever the configuration says.
        command.args(["-x", "-d", "-u", "root", "-f"]).arg(&file);
        let chronyd = Self {
            process: Process::start(command),
            ntp,
            nts,
            folder,
        };
        chronyd.wait_until_it_answers();
        chronyd
    }

    /// Where it serves NTP, and NTS-protected NTP.
    #[must_use]
    pub fn ntp(&self) -> SocketAddr {
        self.ntp
    }

    /// Where it exchanges keys.
    #[must_use]
    pub fn nts(&self) -> SocketAddr {
        self.nts
    }

    /// Its command socket.
    #[must_use]
    pub fn commands(&self) -> PathBuf {
        self.folder.path().join(COMMANDS)
    }

    #[track_caller]
    fn wait_until_it_answers(&self) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("50 ms is a time limit");
        let mut request = [0; 48];
        request[0] = 0x23;
        let deadline = Instant::now() + Duration::from_secs(10);
        let answers = || {
            let sent = socket.send_to(&request, self.ntp);
            sent.is_ok() && socket.recv(&mut [0; 512]).is_ok_and(|length| length >= 48)
        };
        while !(answers() && TcpStream::connect(self.nts).is_ok()) {
            assert!(
                Instant::now() < deadline,
                "chronyd does not answer at {} and {}:\n{}",
                self.ntp,
                self.nts,
                self.process.lines().join("\n")
            );
        }
    }
}

fn configuration(
    ntp: SocketAddr,
    nts: SocketAddr,
    certificate: &ServerCert,
    folder: &Path,
    extra: &str,
) -> String {
    let (ServerCert { cert, key }, folder) = (certificate, folder.display());
    format!(
        "port {}\nbindaddress 127.0.0.1\nallow 127.0.0.0/8\ncmdport 0\nbindcmdaddress {folder}/{COMMANDS}\n\
         pidfile {folder}/pid\nntsport {}\nntsntpserver 127.0.0.1\nntsserverkey {key}\n\
         ntsservercert {cert}\nntsdumpdir {folder}\nntsprocesses 0\n{extra}\n",
        ntp.port(),
        nts.port(),
    )
}

/// In a folder that chronyd makes, for it wants one that is closed to others.
const COMMANDS: &str = "run/chronyd.sock";

/// `TSQ_CHRONYD`, or else the installed one; daemons are in folders that are not in every PATH.
#[track_caller]
fn program() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = || {
        env::split_paths(&path)
            .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
            .map(|folder| folder.join("chronyd"))
            .find(|path| path.is_file())
    };
    env::var_os("TSQ_CHRONYD")
        .map(PathBuf::from)
        .or_else(installed)
        .expect("chronyd is installed, or TSQ_CHRONYD names one (cargo xtask test unpacks it)")
}

/// chronyd cannot be asked which port it took.
fn unused_udp() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    socket.local_addr().expect("a bound socket has an address")
}

fn unused_tcp() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    socket.local_addr().expect("a bound socket has an address")
}
