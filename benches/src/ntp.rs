//! chronyd as an NTP server that never touches the clock.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tsq_interop::Process;

use crate::Error;
use crate::load::plain::{Ntp, Protocol};

/// A running `chronyd -x`; killed on drop.
#[derive(Debug)]
pub(crate) struct Chronyd {
    process: Process,
    address: SocketAddr,
    _folder: TempDir,
}

impl Chronyd {
    /// Serves this host's clock at `address` (port 0 takes an unused one), and waits until it answers.
    ///
    /// # Errors
    /// It is not installed, or does not answer within 5 s.
    pub(crate) fn start(address: SocketAddr) -> Result<Self, Error> {
        Self::with(address, |_| String::new())
    }

    fn with(address: SocketAddr, extra: impl Fn(&Path) -> String) -> Result<Self, Error> {
        let program = chronyd()?;
        let address = unused(address)?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("chrony.conf");
        let text = configuration(address, folder.path()) + &extra(folder.path());
        fs::write(&file, text)?;
        let mut command = Command::new(program);
        // -x: the clock is not touched, whatever the configuration says.
        command.args(["-x", "-d", "-u", "root", "-f"]).arg(&file);
        let chronyd = Self {
            process: Process::start(command),
            address,
            _folder: folder,
        };
        chronyd.wait_until_it_answers()?;
        Ok(chronyd)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    fn wait_until_it_answers(&self) -> Result<(), Error> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let deadline = Instant::now() + Duration::from_secs(5);
        let (mut request, mut answer) = (Vec::new(), [0; 512]);
        while Instant::now() < deadline {
            Ntp.request(1, &mut request);
            socket.send_to(&request, self.address)?;
            match socket.recv(&mut answer) {
                Ok(length) if Ntp.check(&answer[..length]).is_some() => return Ok(()),
                _ => {}
            }
        }
        let lines = self.process.lines().join("\n");
        Err(format!("chronyd does not answer at {}:\n{lines}", self.address).into())
    }
}

fn configuration(address: SocketAddr, folder: &Path) -> String {
    let IpAddr::V4(ip) = address.ip() else {
        unreachable!("only IPv4 loopback addresses are given");
    };
    format!(
        "port {}\nbindaddress {ip}\nallow 127.0.0.0/8\nlocal stratum 8\ncmdport 0\n\
         bindcmdaddress /\npidfile {}\n",
        address.port(),
        folder.join("pid").display()
    )
}

/// The address with a port nobody has: chronyd cannot be asked which it took.
fn unused(address: SocketAddr) -> Result<SocketAddr, Error> {
    match address.port() {
        0 => Ok(UdpSocket::bind(address)?.local_addr()?),
        _ => Ok(address),
    }
}

/// The chronyd that `TSQ_CHRONYD` names, else the installed one.
pub(crate) fn chronyd() -> Result<PathBuf, Error> {
    std::env::var_os("TSQ_CHRONYD")
        .map(PathBuf::from)
        .or_else(|| find("chronyd"))
        .ok_or_else(|| "chronyd is not installed (or name one in TSQ_CHRONYD)".into())
}

/// A program in one of the usual folders; daemons are in those that are not in every PATH.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_serves_loopback_and_takes_no_commands() {
        let address = "127.0.0.1:11123".parse().unwrap();
        let text = configuration(address, Path::new("/tmp/x"));
        for line in [
            "port 11123",
            "bindaddress 127.0.0.1",
            "cmdport 0",
            "pidfile /tmp/x/pid",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}");
        }
    }
}
