//! One UDP socket whose packets carry the kernel's receive and transmit stamps.

mod sys;
mod trouble;
mod wake;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use libc::c_int;
use tsq_proto::time::HostTime;

use crate::stamp::{KernelClock, Stamp, kernel_clock, now};
pub use trouble::{Trouble, Unsent};
pub use wake::{Wake, Waker};

/// The largest UDP payload that is received whole; longer ones are dropped.
///
/// We advertise 1472 bytes (`max_udp_payload_size`), so no honest peer sends more.
pub const MAX_PACKET: usize = 1536;

/// A non-blocking UDP socket with kernel timestamps.
pub struct Socket {
    fd: OwnedFd,
    local: SocketAddr,
    connected: bool,
    departures: DepartureNames,
    /// Read before the last receive call that emptied the queue: later packets arrived after it.
    drained: HostTime,
    believe_kernel: bool,
}

/// How the kernel names the packets whose departure it reports.
#[derive(Clone, Copy, Debug)]
enum DepartureNames {
    /// By the number we gave with the packet.
    Ours { next: u32 },
    /// By counting the packets sent (before Linux 6.13): every packet is stamped.
    Counted { sent: u32 },
    /// Not at all.
    None,
}

/// How a socket is bound, beyond its address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Binding {
    /// `[::]` is for IPv6 alone.
    pub(crate) only_v6: bool,
    /// The address may be one that this host does not have yet.
    pub(crate) awaits_address: bool,
}

/// How one packet is to be sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct SendOptions {
    /// Source address, for a socket bound to the unspecified address.
    pub local_ip: Option<IpAddr>,
    /// Report the instant the packet left, through [`Socket::departures`].
    pub report_departure: bool,
}

/// A packet that was handed to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Names the packet in a later [`ErrorReport::Departed`]; None when none will come.
    pub id: Option<u32>,
    /// Our clock just before the system call: the user-space stamp of the departure.
    pub before: HostTime,
}

impl Departure {
    /// The departure's stamp, at `now`: the kernel's if it fits between our reads around it, else our own.
    pub fn stamp(&self, kernel: Option<HostTime>, now: HostTime) -> Stamp {
        match Stamp::fitting(kernel, self.before, now, Duration::ZERO) {
            stamp if stamp.source == crate::StampSource::Kernel => stamp,
            _ => Stamp::user(self.before),
        }
    }
}

/// Something the kernel reports about packets sent earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorReport {
    /// The packet with this id left at this time (kernel's transmit stamp, unchecked).
    Departed {
        /// [`Departure::id`] of the packet.
        id: u32,
        /// CLOCK_REALTIME as the kernel saw it.
        at: HostTime,
    },
    /// An ICMP error: the peer's host or port cannot be reached.
    Unreachable {
        /// The error number: ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EMSGSIZE ...
        errno: i32,
    },
}

impl Socket {
    /// Binds to `addr`; `[::]` serves IPv4 and IPv6 alike.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2): the port is taken, no permission for it, no such address.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        Self::bind_as(addr, Binding::default())
    }

    pub(crate) fn bind_as(addr: SocketAddr, binding: Binding) -> io::Result<Self> {
        Ok(Self::bind_fd(sys::open(&addr)?, addr, binding)?.trusting_the_kernel())
    }

    /// Serves a socket that somebody else has bound: a service manager, for one.
    ///
    /// # Errors
    /// Those of setsockopt(2): it is no UDP socket of the Internet.
    pub fn passed(bound: UdpSocket) -> io::Result<Self> {
        bound.set_nonblocking(true)?;
        let addr = bound.local_addr()?;
        let fd = OwnedFd::from(bound);
        never_fragment(fd.as_fd(), &addr)?;
        if addr.ip().is_unspecified() {
            report_destination(fd.as_fd(), &addr)?;
        }
        Ok(Self::finish(fd, false)?.trusting_the_kernel())
    }

    /// Binds to an address that other sockets of ours have already shared ([`Self::share_port`]).
    pub(crate) fn join(addr: SocketAddr, binding: Binding) -> io::Result<Self> {
        let fd = sys::open(&addr)?;
        share_port(fd.as_fd())?;
        Ok(Self::bind_fd(fd, addr, binding)?.trusting_the_kernel())
    }

    /// Lets further sockets of this user have the same address.
    pub(crate) fn share_port(&self) -> io::Result<()> {
        share_port(self.fd.as_fd())
    }

    /// Goes on with a bound socket that another process has used: what came for that one, packets
    /// and reports, is thrown away.
    pub(crate) fn adopt(fd: OwnedFd) -> io::Result<Self> {
        let mut socket = Self::finish(fd, false)?.trusting_the_kernel();
        let mut batch = Batch::new();
        // As much as the buffer can hold, and not for ever if more keeps coming.
        for _ in 0..STALE_BATCHES {
            if socket.receive(&mut batch)? == 0 {
                break;
            }
        }
        while socket.departures()?.is_some() {}
        Ok(socket)
    }

    /// As [`Self::bind`], believing kernel stamps without trying them: for that very trial.
    pub(crate) fn bind_unchecked(addr: SocketAddr) -> io::Result<Self> {
        Self::bind_fd(sys::open(&addr)?, addr, Binding::default())
    }

    fn bind_fd(fd: OwnedFd, addr: SocketAddr, binding: Binding) -> io::Result<Self> {
        if addr.is_ipv6() {
            let only_v6 = c_int::from(!addr.ip().is_unspecified() || binding.only_v6);
            sys::set_option(fd.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, only_v6)?;
        }
        if binding.awaits_address {
            await_address(fd.as_fd(), &addr);
        }
        never_fragment(fd.as_fd(), &addr)?;
        sys::bind(fd.as_fd(), &addr)?;
        if addr.ip().is_unspecified() {
            report_destination(fd.as_fd(), &addr)?;
        }
        Self::finish(fd, false)
    }

    /// A socket for talking with `remote` only; the kernel drops packets of others.
    ///
    /// # Errors
    /// Those of socket(2) and connect(2): no route, or no address of this family.
    pub fn connect(remote: SocketAddr) -> io::Result<Self> {
        let fd = sys::open(&remote)?;
        let (level, name) = if remote.is_ipv4() {
            (libc::IPPROTO_IP, libc::IP_RECVERR)
        } else {
            (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
        };
        sys::set_option(fd.as_fd(), level, name, 1)?;
        never_fragment(fd.as_fd(), &remote)?;
        sys::connect(fd.as_fd(), &remote)?;
        let mut socket = Self::finish(fd, true)?;
        socket.believe_kernel = kernel_clock() != KernelClock::Differs;
        Ok(socket)
    }

    fn trusting_the_kernel(mut self) -> Self {
        enlarge_receive_buffer(self.fd.as_fd());
        self.believe_kernel = kernel_clock() != KernelClock::Differs;
        self
    }

    fn finish(fd: OwnedFd, connected: bool) -> io::Result<Self> {
        let departures = enable_stamps(fd.as_fd());
        let local = sys::local_address(fd.as_fd())?;
        Ok(Self {
            fd,
            local,
            connected,
            departures,
            drained: now(),
            believe_kernel: true,
        })
    }

    /// The address the socket is bound to, with its real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Receives the packets that are there, at most 64, without waiting.
    ///
    /// # Errors
    /// Those of recvmmsg(2), but what passes ([`Trouble::Passing`]) is 0 packets. An ICMP error may be reported here.
    pub fn receive(&mut self, batch: &mut Batch) -> io::Result<usize> {
        batch.earliest = self.drained;
        batch.believe_kernel = self.believe_kernel;
        batch.count = 0;
        let before = now();
        let count = match batch.slots.receive(self.fd.as_fd()) {
            Ok(count) => count,
            Err(error) if Trouble::of(&error) == Trouble::Passing => 0,
            Err(error) => return Err(error),
        };
        batch.read_at = now();
        batch.count = count;
        for i in 0..count {
            batch.received[i] = batch.slots.take(i);
        }
        if count < sys::Slots::COUNT {
            self.drained = before;
        }
        Ok(count)
    }

    /// Hands one packet to the kernel.
    ///
    /// # Errors
    /// Those of sendmsg(2); [`Trouble`] tells which of them cost this packet and no more: QUIC recovers.
    pub fn send(
        &mut self,
        remote: SocketAddr,
        bytes: &[u8],
        options: SendOptions,
    ) -> io::Result<Departure> {
        let mut packet = sys::Outgoing {
            bytes,
            remote: (!self.connected).then_some(remote),
            local_ip: options.local_ip,
            stamp: sys::StampRequest::None,
        };
        if let (DepartureNames::Ours { next }, true) = (self.departures, options.report_departure) {
            packet.stamp = sys::StampRequest::Named(next);
        }
        let before = now();
        match sys::send(self.fd.as_fd(), &packet) {
            Ok(()) => {}
            Err(error) if packet.stamp != sys::StampRequest::None && is_invalid(&error) => {
                self.count_departures();
                packet.stamp = sys::StampRequest::None;
                sys::send(self.fd.as_fd(), &packet)?;
            }
            // What the network has said of an earlier packet is told here once, and is in the error queue as well.
            Err(error) if self.connected && Trouble::of(&error) != Trouble::Passing => {
                sys::send(self.fd.as_fd(), &packet)?;
            }
            Err(error) => return Err(error),
        }
        let id = self.departures.sent(options.report_departure);
        Ok(Departure { id, before })
    }

    /// Whether the kernel reports every departure, asked for or not: all must then be taken away.
    pub fn reports_all(&self) -> bool {
        matches!(self.departures, DepartureNames::Counted { .. })
    }

    /// Takes one report from the socket's error queue; call until None before waiting.
    ///
    /// # Errors
    /// Those of recvmsg(2) that do not pass.
    pub fn departures(&mut self) -> io::Result<Option<ErrorReport>> {
        loop {
            match sys::receive_error(self.fd.as_fd()) {
                Ok(Some(entry)) => {
                    if let Some(report) = report(&entry) {
                        return Ok(Some(report));
                    }
                }
                Ok(None) => return Ok(None),
                Err(error) if Trouble::of(&error) == Trouble::Passing => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// The stamp of a packet's departure: the kernel's if it fits between our reads around it.
    pub fn departure_stamp(&self, departure: &Departure, kernel: Option<HostTime>) -> Stamp {
        departure.stamp(kernel.filter(|_| self.believe_kernel), now())
    }

    /// Whether the kernel's stamps are of the clock that this process sees.
    pub fn believes_kernel(&self) -> bool {
        self.believe_kernel
    }

    /// For kernels that do not take our numbers: they count every packet that was sent.
    fn count_departures(&mut self) {
        let flags = RECEIVE_FLAGS | SEND_FLAGS | libc::SOF_TIMESTAMPING_TX_SOFTWARE;
        self.departures = match set_stamping(self.fd.as_fd(), flags) {
            Ok(()) => DepartureNames::Counted { sent: 0 },
            Err(_) => DepartureNames::None,
        };
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl DepartureNames {
    fn sent(&mut self, asked: bool) -> Option<u32> {
        let counter = match self {
            Self::Ours { next } if asked => next,
            Self::Counted { sent } => sent,
            Self::Ours { .. } | Self::None => return None,
        };
        let id = *counter;
        *counter = counter.wrapping_add(1);
        asked.then_some(id)
    }
}

/// Memory for a batch of received packets; make one and use it again.
pub struct Batch {
    slots: sys::Slots,
    received: Vec<sys::Received>,
    count: usize,
    earliest: HostTime,
    read_at: HostTime,
    believe_kernel: bool,
}

/// One received UDP packet.
#[derive(Debug)]
pub struct Packet<'a> {
    /// Its payload.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub remote: SocketAddr,
    /// Which of our addresses it was sent to, on a socket bound to none.
    pub local_ip: Option<IpAddr>,
    /// When it arrived.
    pub stamp: Stamp,
}

impl Batch {
    /// Packets one [`Socket::receive`] brings at most; that many mean there may be more.
    pub const CAPACITY: usize = sys::Slots::COUNT;

    /// Room for 64 packets, about 100 KiB.
    pub fn new() -> Self {
        Self {
            slots: sys::Slots::new(),
            received: (0..sys::Slots::COUNT)
                .map(|_| sys::Received::default())
                .collect(),
            count: 0,
            earliest: HostTime::from_unix_nanos(0),
            read_at: HostTime::from_unix_nanos(0),
            believe_kernel: true,
        }
    }

    /// Packet `i` of the last [`Socket::receive`]; None past the last, or if it was cut off.
    pub fn packet(&self, i: usize) -> Option<Packet<'_>> {
        let received = self.received[..self.count].get(i)?;
        let remote = received.remote.filter(|_| !received.truncated)?;
        let kernel = received
            .ancillary
            .kernel_time
            .filter(|_| self.believe_kernel);
        Some(Packet {
            bytes: self.slots.packet(i, received.length),
            remote,
            local_ip: received.ancillary.local_ip,
            stamp: Stamp::fitting(kernel, self.earliest, self.read_at, ARRIVAL_SLACK),
        })
    }

    /// The kernel's stamp of packet `i` as it came, unchecked.
    pub(crate) fn kernel_time(&self, i: usize) -> Option<HostTime> {
        self.received[..self.count].get(i)?.ancillary.kernel_time
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits until one of `sockets` (or `wake`) has something to read, or until `timeout`; forgets the wake-ups.
///
/// # Errors
/// Those of ppoll(2); an interrupting signal is not one.
pub fn wait(sockets: &[&Socket], wake: Option<&Wake>, timeout: Option<Duration>) -> io::Result<()> {
    let fds = sockets.iter().map(|socket| socket.as_fd());
    let last = sys::poll(fds.chain(wake.map(AsFd::as_fd)), timeout)?;
    // Asked only when it is due: a server under load waits thousands of times a second.
    if let Some(wake) = wake.filter(|_| last) {
        wake.take();
    }
    Ok(())
}

/// A packet is stamped by the network stack a little before it can be read; on a loaded host the
/// stack may be that much behind.
const ARRIVAL_SLACK: Duration = Duration::from_millis(10);

const RECEIVE_FLAGS: u32 = libc::SOF_TIMESTAMPING_SOFTWARE | libc::SOF_TIMESTAMPING_RX_SOFTWARE;
const SEND_FLAGS: u32 = libc::SOF_TIMESTAMPING_OPT_ID | libc::SOF_TIMESTAMPING_OPT_TSONLY;

/// `SO_EE_ORIGIN_TIMESTAMPING`, `SO_EE_ORIGIN_ICMP` and `SO_EE_ORIGIN_ICMP6` (linux/errqueue.h).
const ORIGIN_TIMESTAMPING: u8 = 4;
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;

/// Turns on what stamps this kernel has; a socket without any still works, with user stamps.
fn enable_stamps(fd: BorrowedFd<'_>) -> DepartureNames {
    if set_stamping(fd, RECEIVE_FLAGS | SEND_FLAGS).is_ok() {
        return DepartureNames::Ours { next: 0 };
    }
    // Without stamps every packet is marked `user`, which is all an error here could tell.
    let _ = set_stamping(fd, RECEIVE_FLAGS);
    DepartureNames::None
}

fn set_stamping(fd: BorrowedFd<'_>, flags: u32) -> io::Result<()> {
    let flags = c_int::try_from(flags).map_err(io::Error::other)?;
    sys::set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags)
}

/// QUIC packets must not be fragmented (RFC 9000, section 14).
fn never_fragment(fd: BorrowedFd<'_>, addr: &SocketAddr) -> io::Result<()> {
    if addr.is_ipv6() {
        sys::set_option(
            fd,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_PROBE,
        )?;
    }
    // A dual-stack socket sends IPv4 packets too; one for IPv6 only does not take the option.
    match sys::set_option(
        fd,
        libc::IPPROTO_IP,
        libc::IP_MTU_DISCOVER,
        libc::IP_PMTUDISC_PROBE,
    ) {
        Err(error) if addr.is_ipv4() => Err(error),
        _ => Ok(()),
    }
}

/// Lets a socket have an address before an interface has it. Where the kernel cannot, binding says so.
fn await_address(fd: BorrowedFd<'_>, addr: &SocketAddr) {
    let _ = if addr.is_ipv4() {
        sys::set_option(fd, libc::IPPROTO_IP, libc::IP_FREEBIND, 1)
    } else {
        sys::set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_FREEBIND, 1)
    };
}

/// Whether a socket that is bound to `[::]` is for IPv6 alone.
pub(crate) fn is_only_v6(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(sys::option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)? != 0)
}

/// Chooses by `program` which socket of the group `fd` is in gets a packet.
pub(crate) fn steer(fd: BorrowedFd<'_>, program: &[libc::sock_filter]) -> io::Result<()> {
    sys::steer(fd, program)
}

/// The address a socket is bound to.
pub(crate) fn address_of(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    sys::local_address(fd)
}

/// The number of this host's interface with this name.
pub(crate) fn interface_number(name: &str) -> Option<u32> {
    sys::interface_number(name)
}

/// Whether this host has an interface with this number.
pub(crate) fn interface_exists(number: u32) -> bool {
    sys::interface_exists(number)
}

/// More than [`RECEIVE_BUFFER`] holds.
const STALE_BATCHES: usize = 256;

fn share_port(fd: BorrowedFd<'_>) -> io::Result<()> {
    sys::set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)
}

/// The default holds some 270 small packets; a burst of a thousand clients lost most of its own.
fn enlarge_receive_buffer(fd: BorrowedFd<'_>) {
    // Beyond the system's limit only root may go; less is a smaller burst, not an error.
    if sys::set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER).is_err() {
        let _ = sys::set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, RECEIVE_BUFFER);
    }
}

/// Some 5000 small packets: 20 ms of the most a core can answer.
const RECEIVE_BUFFER: c_int = 4 * 1024 * 1024;

fn report_destination(fd: BorrowedFd<'_>, addr: &SocketAddr) -> io::Result<()> {
    if addr.is_ipv4() {
        sys::set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    } else {
        sys::set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    }
}

fn report(entry: &sys::Ancillary) -> Option<ErrorReport> {
    let error = entry.error?;
    match error.origin {
        ORIGIN_TIMESTAMPING => Some(ErrorReport::Departed {
            id: error.data,
            at: entry.kernel_time?,
        }),
        ORIGIN_ICMP | ORIGIN_ICMP6 => Some(ErrorReport::Unreachable { errno: error.errno }),
        _ => None,
    }
}

fn is_invalid(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINVAL)
}

#[cfg(test)]
mod tests;
