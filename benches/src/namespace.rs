//! Network namespaces of our own: a path that nothing else uses, with every port free.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::thread;

use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::Error;

/// A network namespace with loopback up; removed on drop.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one; `suffix` tells apart those of one process.
    ///
    /// # Errors
    /// Not root, or no `ip` program.
    pub(crate) fn new(suffix: &str) -> Result<Self, Error> {
        let name = format!("tsq-bench-{}{suffix}", std::process::id());
        ip(&["netns", "add", &name])?;
        // From here on a failure removes it.
        let namespace = Self { name };
        ip(&["-n", &namespace.name, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Does `work` in a thread that is inside: its sockets are, and so are the threads and programs it starts.
    ///
    /// # Errors
    /// It cannot be entered.
    ///
    /// # Panics
    /// When `work` does.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let handle = File::open(Path::new(HANDLES).join(&self.name))?;
        let done = thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(handle.as_fd(), kind)?;
                Ok::<T, Errno>(work())
            });
            match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        });
        Ok(done?)
    }

    /// Loopback passes on packets as a network would: of at most 1500 bytes, and one at a time.
    ///
    /// # Errors
    /// An `ip` program that does not know how.
    pub(crate) fn let_every_packet_be_seen(&self) -> Result<(), Error> {
        let device = ["-n", &self.name, "link", "set", "dev", "lo"];
        let words = ["mtu", "1500", "gso_max_segs", "1"];
        ip(&[&device[..], &words[..]].concat())
    }

    /// Joins two of them: this one has the address `ours`, the other `theirs` (with prefix lengths).
    ///
    /// # Errors
    /// The kernel has no veth devices.
    pub(crate) fn join(&self, ours: &str, other: &Self, theirs: &str) -> Result<(), Error> {
        let (a, b) = (self.name.as_str(), other.name.as_str());
        ip(&[
            "-n", a, "link", "add", DEVICE, "type", "veth", "peer", "name", DEVICE, "netns", b,
        ])?;
        for (name, address) in [(a, ours), (b, theirs)] {
            ip(&["-n", name, "addr", "add", address, "dev", DEVICE])?;
            ip(&["-n", name, "link", "set", DEVICE, "up"])?;
        }
        Ok(())
    }

    /// Gives the device of [`Self::join`] one more address.
    ///
    /// # Errors
    /// It has it already.
    pub(crate) fn add_address(&self, address: &str) -> Result<(), Error> {
        ip(&["-n", &self.name, "addr", "add", address, "dev", DEVICE])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its devices go with it.
        if let Err(error) = ip(&["netns", "del", &self.name]) {
            eprintln!("tsq-bench: {error}");
        }
    }
}

/// Where `ip netns` keeps them.
const HANDLES: &str = "/run/netns";
const DEVICE: &str = "veth0";

fn ip(args: &[&str]) -> Result<(), Error> {
    let output = Command::new("ip").args(args).output()?;
    if output.status.success() {
        return Ok(());
    }
    let problem = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {}: {}", args.join(" "), problem.trim()).into())
}
