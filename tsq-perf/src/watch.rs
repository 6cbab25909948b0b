//! The server's process, when it runs on this host.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use crate::cpu::CpuTime;

/// A process that is looked at before and after.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    pid: u32,
}

/// What a process had used at one instant.
#[derive(Clone, Debug)]
pub struct Usage {
    cpu: CpuTime,
    resident: u64,
}

/// What it used between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Processor time of all threads; None if a thread ended in between and took its account along.
    pub cpu: Option<Duration>,
    /// Resident memory before, in KiB.
    pub resident_before: u64,
    /// And after.
    pub resident_after: u64,
}

impl Watched {
    /// The process with this id.
    ///
    /// # Errors
    /// There is none, or it may not be looked at.
    pub fn process(pid: u32) -> io::Result<Self> {
        let watched = Self { pid };
        watched.usage().map(|_| watched)
    }

    /// The process that has a UDP socket bound to this address, if it is on this host and may be looked
    /// at.
    pub fn of_socket(address: SocketAddr) -> Option<Self> {
        let inodes = inodes(address);
        let pids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            has_socket(&entry.path(), &inodes).then_some(pid)
        });
        pids.min().and_then(|pid| Self::process(pid).ok())
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// It is gone.
    pub fn usage(&self) -> io::Result<Usage> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        Ok(Usage {
            cpu: CpuTime::of(self.pid)?,
            resident: resident(&status).unwrap_or(0),
        })
    }
}

impl Usage {
    /// What was used since `earlier`.
    pub fn since(&self, earlier: &Self) -> Used {
        Used {
            cpu: self.cpu.since(&earlier.cpu).ok(),
            resident_before: earlier.resident,
            resident_after: self.resident,
        }
    }
}

/// Processor time of this process, threads that have ended included, to 10 ms.
pub(crate) fn own_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in brackets, may hold spaces; utime and stime are the 14th and 15th field.
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|it| it.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The sockets bound to this address or, at its port, to none.
fn inodes(address: SocketAddr) -> Vec<u64> {
    ["/proc/net/udp", "/proc/net/udp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| {
            let found = table.lines().filter_map(socket).collect::<Vec<_>>();
            found.into_iter()
        })
        .filter(|(local, _)| {
            local.port() == address.port()
                && (local.ip().is_unspecified() || local.ip().to_canonical() == address.ip())
        })
        .map(|(_, inode)| inode)
        .collect()
}

/// Local address and inode in one line of such a table.
fn socket(line: &str) -> Option<(SocketAddr, u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (ip, port) = fields.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Each word of 32 bits is printed as this machine's number.
    let words: Option<Vec<u8>> = (0..ip.len() / 8)
        .map(|i| u32::from_str_radix(ip.get(i * 8..i * 8 + 8)?, 16).ok())
        .map(|word| word.map(u32::to_ne_bytes))
        .collect::<Option<Vec<_>>>()
        .map(|words| words.concat());
    let ip: IpAddr = match words? {
        bytes if bytes.len() == 4 => <[u8; 4]>::try_from(bytes).ok()?.into(),
        bytes => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into(),
    };
    Some((SocketAddr::new(ip, port), fields.get(9)?.parse().ok()?))
}

fn has_socket(process: &Path, inodes: &[u64]) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    files.flatten().any(|file| {
        fs::read_link(file.path()).is_ok_and(|target| {
            let target = target.to_string_lossy();
            let inode = target
                .strip_prefix("socket:[")
                .and_then(|rest| rest.strip_suffix(']'))
                .and_then(|number| number.parse().ok());
            inode.is_some_and(|inode| inodes.contains(&inode))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn our_own_socket_is_found_to_be_ours() {
        for bind in ["127.0.0.1:0", "[::]:0", "[::1]:0"] {
            let Ok(socket) = UdpSocket::bind(bind) else {
                continue;
            };
            let mut address = socket.local_addr().unwrap();
            if address.ip().is_unspecified() {
                address.set_ip("127.0.0.1".parse().unwrap());
            }
            let found = Watched::of_socket(address).map(|it| it.pid());
            assert_eq!(found, Some(std::process::id()), "{bind}");
        }
    }

    #[test]
    fn nobody_is_found_behind_an_address_of_elsewhere() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut address = socket.local_addr().unwrap();
        address.set_ip("192.0.2.1".parse().unwrap());
        assert!(Watched::of_socket(address).is_none());
    }

    #[test]
    fn resident_memory_is_that_of_its_line() {
        let status = "Name:\tx\nVmHWM:\t 9 kB\nVmRSS:\t    1234 kB\n";
        assert_eq!(resident(status), Some(1234));
        assert!(Watched::process(u32::MAX).is_err());
    }
}
