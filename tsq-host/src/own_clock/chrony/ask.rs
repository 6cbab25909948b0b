//! A question to chronyd, by its command socket or its command port.
//!
//! Not through `chronyc`: a server that is to start no program (seccomp) cannot start that one either.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tsq_net::Trouble;

use super::Tracking;
use super::wire;

/// Where chronyd listens for root and for its own user.
pub(super) const USUAL: &str = "/run/chrony/chronyd.sock";

/// Asks at chronyd's command socket, from one of ours beside it.
pub(super) fn by_path(path: &Path) -> io::Result<Tracking> {
    let ours = Ours::beside(path)?;
    let socket = &ours.socket;
    socket.connect(path)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // A stopped chronyd reads nothing, and questions asked before fill its queue: the next would wait for ever.
    socket.set_write_timeout(Some(PATIENCE))?;
    exchange(|bytes| socket.send(bytes), |bytes| socket.recv(bytes))
}

/// Asks at the command port, which answers this question to everybody on this host by default.
pub(super) fn by_port() -> io::Result<Tracking> {
    let v4 = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST);
    let v6 = (Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST);
    at_port(v4.0.into(), (v4.1, PORT).into()).or_else(|_| at_port(v6.0.into(), (v6.1, PORT).into()))
}

fn at_port(from: std::net::IpAddr, to: SocketAddr) -> io::Result<Tracking> {
    let socket = UdpSocket::bind((from, 0))?;
    // Connected: only root can answer from a port below 1024 here.
    socket.connect(to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    exchange(|bytes| socket.send(bytes), |bytes| socket.recv(bytes))
}

fn exchange(
    send: impl Fn(&[u8]) -> io::Result<usize>,
    receive: impl Fn(&mut [u8]) -> io::Result<usize>,
) -> io::Result<Tracking> {
    let mut last = io::ErrorKind::TimedOut.into();
    for attempt in 0..ATTEMPTS {
        match send(&wire::request(attempt)) {
            // No memory just now, or a signal: the next attempt may get through. The limit of time is told as WouldBlock.
            Err(error)
                if Trouble::of(&error) == Trouble::Passing
                    && error.kind() != io::ErrorKind::WouldBlock =>
            {
                last = error;
                continue;
            }
            sent => sent?,
        };
        // One more than there should be, to see what is too long.
        let mut reply = [0; wire::LENGTH + 1];
        match receive(&mut reply) {
            Ok(length) => return wire::parse(&reply[..length]),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A socket with a name, which chronyd answers to.
struct Ours {
    socket: UnixDatagram,
    name: PathBuf,
}

impl Ours {
    fn beside(path: &Path) -> io::Result<Self> {
        let name = path.with_file_name(format!("tsq.{}.sock", std::process::id()));
        // Left by an earlier process that had our number.
        let _ = fs::remove_file(&name);
        let ours = Self {
            socket: UnixDatagram::bind(&name)?,
            name,
        };
        // chronyd has another user. Who may not enter the folder cannot write here either.
        fs::set_permissions(&ours.name, fs::Permissions::from_mode(0o666))?;
        Ok(ours)
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // chronyd's end removes the folder with all that is in it.
        let _ = fs::remove_file(&self.name);
    }
}

const PORT: u16 = 323;

const ATTEMPTS: u16 = 2;

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// Who asks is the thread that tells clients what the clock is worth.
    #[test]
    fn stopped_chronyd_with_a_full_queue_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chronyd.sock");
        let _deaf = UnixDatagram::bind(&path).unwrap();
        let filler = UnixDatagram::unbound().unwrap();
        filler.set_nonblocking(true).unwrap();
        while filler.send_to(b"unread", &path).is_ok() {}
        let (done, ended) = mpsc::channel();
        thread::spawn(move || done.send(by_path(&path).is_err()));
        // Its patience is a second; a minute is for busy machines.
        assert_eq!(ended.recv_timeout(Duration::from_secs(60)), Ok(true));
    }
}
