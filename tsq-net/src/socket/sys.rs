//! The system calls of a timestamped UDP socket: the only unsafe code of this crate.
//!
//! Every function here takes and returns safe types; what the kernel writes is read field by
//! field with the lengths it reports. The calls and their traps are described in the project's
//! notes on kernel timestamps (docs/design/timestamps.md).
#![allow(
    unsafe_code,
    reason = "recvmmsg, sendmsg and their control messages have no safe wrapper with timestamps"
)]

use std::ffi::CString;
use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use libc::{c_int, socklen_t};
use tsq_proto::time::HostTime;

/// Opens a non-blocking UDP socket of the address family of `addr`.
pub(super) fn open(addr: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if addr.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: socket(2) takes no pointers.
    let fd = check(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: `fd` was just returned by socket(2) and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn bind(fd: BorrowedFd<'_>, addr: &SocketAddr) -> io::Result<()> {
    let (storage, length) = encode_address(addr);
    // SAFETY: `storage` holds a socket address of `length` initialised bytes.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const storage).cast(), length) })?;
    Ok(())
}

pub(super) fn connect(fd: BorrowedFd<'_>, addr: &SocketAddr) -> io::Result<()> {
    let (storage, length) = encode_address(addr);
    // SAFETY: `storage` holds a socket address of `length` initialised bytes.
    check(unsafe { libc::connect(fd.as_raw_fd(), (&raw const storage).cast(), length) })?;
    Ok(())
}

pub(super) fn local_address(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    // SAFETY: all-zero bytes are a valid sockaddr_storage.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_storage>() as socklen_t;
    // SAFETY: `storage` has room for `length` bytes.
    check(unsafe {
        libc::getsockname(fd.as_raw_fd(), (&raw mut storage).cast(), &raw mut length)
    })?;
    decode_address(&storage).ok_or_else(|| io::ErrorKind::Unsupported.into())
}

pub(super) fn set_option(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: c_int,
) -> io::Result<()> {
    // SAFETY: `value` is an initialised int of the size given.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<c_int>() as socklen_t,
        )
    })?;
    Ok(())
}

pub(super) fn option(fd: BorrowedFd<'_>, level: c_int, name: c_int) -> io::Result<c_int> {
    let mut value: c_int = 0;
    let mut length = size_of::<c_int>() as socklen_t;
    // SAFETY: `value` has room for `length` bytes, and is initialised whatever is written.
    check(unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    })?;
    Ok(value)
}

/// Attaches a program that chooses a socket of the reuseport group `fd` is in, for each packet.
pub(super) fn steer(fd: BorrowedFd<'_>, program: &[libc::sock_filter]) -> io::Result<()> {
    let attached = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: `attached` names `len` initialised instructions, which the kernel only reads, and
    // checks before it runs them.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const attached).cast(),
            size_of::<libc::sock_fprog>() as socklen_t,
        )
    })?;
    Ok(())
}

/// Memory for up to [`Slots::COUNT`] received packets, with the headers recvmmsg(2) wants.
pub(super) struct Slots {
    headers: Box<[libc::mmsghdr]>,
    // The headers point into these; boxed, so that moving `Slots` moves none of them.
    vectors: Box<[libc::iovec]>,
    names: Box<[libc::sockaddr_storage]>,
    controls: Box<[Control]>,
    packets: Box<[[u8; super::MAX_PACKET]]>,
}

// SAFETY: the raw pointers in the headers point into the boxes owned by the same value, and are
// used only by `receive`, which takes the value by exclusive reference.
unsafe impl Send for Slots {}

/// What recvmmsg(2) reported about one packet.
#[derive(Default)]
pub(super) struct Received {
    pub(super) length: usize,
    pub(super) truncated: bool,
    pub(super) remote: Option<SocketAddr>,
    pub(super) ancillary: Ancillary,
}

/// The control messages of one packet.
#[derive(Clone, Copy, Default)]
pub(super) struct Ancillary {
    pub(super) kernel_time: Option<HostTime>,
    pub(super) local_ip: Option<IpAddr>,
    pub(super) error: Option<ExtendedError>,
}

/// The kernel's note on a packet of ours (struct sock_extended_err).
#[derive(Clone, Copy)]
pub(super) struct ExtendedError {
    pub(super) errno: i32,
    pub(super) origin: u8,
    pub(super) data: u32,
}

impl Slots {
    pub(super) const COUNT: usize = 64;

    pub(super) fn new() -> Self {
        // SAFETY: all four are plain C structures (or byte arrays) for which zeroes are valid.
        let mut slots = unsafe {
            Self {
                headers: Box::new_zeroed_slice(Self::COUNT).assume_init(),
                vectors: Box::new_zeroed_slice(Self::COUNT).assume_init(),
                names: Box::new_zeroed_slice(Self::COUNT).assume_init(),
                controls: Box::new_zeroed_slice(Self::COUNT).assume_init(),
                packets: Box::new_zeroed_slice(Self::COUNT).assume_init(),
            }
        };
        for i in 0..Self::COUNT {
            slots.vectors[i] = libc::iovec {
                iov_base: slots.packets[i].as_mut_ptr().cast(),
                iov_len: super::MAX_PACKET,
            };
            let header = &mut slots.headers[i].msg_hdr;
            header.msg_iov = &raw mut slots.vectors[i];
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut slots.names[i]).cast();
            header.msg_control = slots.controls[i].0.as_mut_ptr().cast();
            reset(header);
        }
        slots
    }

    /// Receives what is there, without waiting; at most [`Self::COUNT`] packets.
    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        // SAFETY: `headers` has COUNT entries whose pointers lead into boxes of `self`, which is
        // borrowed exclusively; a null timeout is allowed.
        let count = check(unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                self.headers.as_mut_ptr(),
                Self::COUNT as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        })?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// The report on packet `i` of the last [`Self::receive`], making its slot ready for the next.
    pub(super) fn take(&mut self, i: usize) -> Received {
        let header = &mut self.headers[i];
        let received = Received {
            length: (header.msg_len as usize).min(super::MAX_PACKET),
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            remote: decode_address(&self.names[i]),
            ancillary: read_control(&header.msg_hdr),
        };
        reset(&mut header.msg_hdr);
        received
    }

    pub(super) fn packet(&self, i: usize, length: usize) -> &[u8] {
        &self.packets[i][..length]
    }
}

/// What to send along with a packet.
pub(super) struct Outgoing<'a> {
    pub(super) bytes: &'a [u8],
    /// None on a connected socket.
    pub(super) remote: Option<SocketAddr>,
    /// Source address, where the socket is bound to none.
    pub(super) local_ip: Option<IpAddr>,
    /// Ask the kernel to stamp this packet, and how it names it.
    pub(super) stamp: StampRequest,
}

/// How to ask for a transmit stamp with one packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StampRequest {
    None,
    /// Named by our own number (Linux 6.13 or later).
    Named(u32),
}

pub(super) fn send(fd: BorrowedFd<'_>, packet: &Outgoing<'_>) -> io::Result<()> {
    let mut vector = libc::iovec {
        iov_base: packet.bytes.as_ptr().cast_mut().cast(),
        iov_len: packet.bytes.len(),
    };
    // SAFETY: zeroes are a valid msghdr (no name, no data, no control).
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    let mut name = packet.remote.as_ref().map(encode_address);
    if let Some((storage, length)) = &mut name {
        header.msg_name = (&raw mut *storage).cast();
        header.msg_namelen = *length;
    }
    let mut control = Control([0; CONTROL_SIZE]);
    let mut writer = ControlWriter {
        control: &mut control,
        used: 0,
    };
    if let StampRequest::Named(id) = packet.stamp {
        writer.push(
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPING,
            libc::SOF_TIMESTAMPING_TX_SOFTWARE,
        );
        writer.push(libc::SOL_SOCKET, SCM_TS_OPT_ID, id);
    }
    match packet.local_ip {
        Some(IpAddr::V4(ip)) => writer.push(libc::IPPROTO_IP, libc::IP_PKTINFO, in_pktinfo(ip)),
        Some(IpAddr::V6(ip)) => {
            writer.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, in6_pktinfo(ip));
        }
        None => {}
    }
    let used = writer.used;
    if used > 0 {
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = used as _;
    }
    // SAFETY: name, vector and control outlive the call and carry their own lengths; the kernel
    // only reads through `iov_base`.
    let sent = unsafe {
        libc::sendmsg(
            fd.as_raw_fd(),
            &raw const header,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Takes one entry of the socket's error queue; None when it is empty.
pub(super) fn receive_error(fd: BorrowedFd<'_>) -> io::Result<Option<Ancillary>> {
    let mut control = Control([0; CONTROL_SIZE]);
    // SAFETY: zeroes are a valid msghdr.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL_SIZE as _;
    // SAFETY: `header` has no data buffer and CONTROL_SIZE bytes of control room.
    let got = unsafe {
        libc::recvmsg(
            fd.as_raw_fd(),
            &raw mut header,
            libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
        )
    };
    if got >= 0 {
        return Ok(Some(read_control(&header)));
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        error => Err(error),
    }
}

/// Waits until one of `fds` is readable or has an error queued, or until `timeout`; true if the last of them is.
pub(super) fn poll<'a>(
    fds: impl Iterator<Item = BorrowedFd<'a>>,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let mut entries = fds.map(|fd| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    // A server waits for a socket and a wake-up, thousands of times a second: without allocating.
    let mut few = [libc::pollfd {
        fd: -1,
        events: 0,
        revents: 0,
    }; 4];
    let mut many: Vec<libc::pollfd>;
    let mut count = 0;
    for (place, entry) in few.iter_mut().zip(&mut entries) {
        *place = entry;
        count += 1;
    }
    let entries = match entries.next() {
        None => &mut few[..count],
        Some(next) => {
            many = few.iter().copied().chain([next]).chain(entries).collect();
            &mut many[..]
        }
    };
    let spec = timeout.map(|t| libc::timespec {
        tv_sec: t.as_secs().min(1 << 30) as libc::time_t,
        tv_nsec: libc::c_long::from(t.subsec_nanos()),
    });
    let spec_ptr = spec.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `entries` has the length given, `spec_ptr` is null or points to a live timespec.
    match check(unsafe {
        libc::ppoll(
            entries.as_mut_ptr(),
            entries.len() as libc::nfds_t,
            spec_ptr,
            std::ptr::null(),
        )
    }) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(error) if super::Trouble::of(&error) == super::Trouble::Passing => {
            // No memory for the wait: the caller comes again, and must not spin meanwhile.
            std::thread::sleep(Duration::from_millis(1));
            Ok(false)
        }
        other => other.map(|_| entries.last().is_some_and(|entry| entry.revents != 0)),
    }
}

/// The number of this host's interface with this name.
pub(super) fn interface_number(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: `name` ends with a zero byte; the call only reads it.
    Some(unsafe { libc::if_nametoindex(name.as_ptr()) }).filter(|number| *number != 0)
}

/// Whether this host has an interface with this number.
pub(super) fn interface_exists(number: u32) -> bool {
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: `name` has room for the longest name of an interface with its zero byte.
    !unsafe { libc::if_indextoname(number, name.as_mut_ptr()) }.is_null()
}

/// Room for every control message we ask for or send: two timestamps, packet info, one error.
const CONTROL_SIZE: usize = 256;

#[repr(C, align(8))]
struct Control([u8; CONTROL_SIZE]);

/// `SCM_TS_OPT_ID`: our own number for a packet's transmit stamp (Linux 6.13, asm-generic/socket.h).
const SCM_TS_OPT_ID: c_int = 81;

fn reset(header: &mut libc::msghdr) {
    header.msg_namelen = size_of::<libc::sockaddr_storage>() as socklen_t;
    header.msg_controllen = CONTROL_SIZE as _;
}

struct ControlWriter<'a> {
    control: &'a mut Control,
    used: usize,
}

impl ControlWriter<'_> {
    fn push<T: Copy>(&mut self, level: c_int, kind: c_int, value: T) {
        let size = size_of::<T>() as u32;
        // SAFETY: CMSG_SPACE and CMSG_LEN only compute sizes.
        let (space, length) = unsafe { (libc::CMSG_SPACE(size) as usize, libc::CMSG_LEN(size)) };
        assert!(
            self.used + space <= CONTROL_SIZE,
            "control buffer holds all messages of one packet"
        );
        // SAFETY: `space` bytes are free behind `used` in a buffer aligned to 8, and `used` is a
        // sum of CMSG_SPACEs, so header and value are aligned and in bounds.
        unsafe {
            let header: *mut libc::cmsghdr = self.control.0.as_mut_ptr().add(self.used).cast();
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = length as _;
            libc::CMSG_DATA(header).cast::<T>().write_unaligned(value);
        }
        self.used += space;
    }
}

fn read_control(header: &libc::msghdr) -> Ancillary {
    let mut found = Ancillary::default();
    // SAFETY: `header` was filled by the kernel, which set msg_controllen to what it wrote.
    let mut cursor = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !cursor.is_null() {
        // SAFETY: `cursor` is not null, so the macros gave a whole header inside the buffer.
        let message = unsafe { &*cursor };
        match (message.cmsg_level, message.cmsg_type) {
            (libc::SOL_SOCKET, libc::SO_TIMESTAMPING) => {
                let stamps: Option<[libc::timespec; 3]> = value(message);
                found.kernel_time = stamps.and_then(|all| host_time(&all[0]));
            }
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let info: Option<libc::in_pktinfo> = value(message);
                found.local_ip =
                    info.map(|i| Ipv4Addr::from(u32::from_be(i.ipi_addr.s_addr)).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let info: Option<libc::in6_pktinfo> = value(message);
                found.local_ip = info.map(|i| Ipv6Addr::from(i.ipi6_addr.s6_addr).into());
            }
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                let error: Option<libc::sock_extended_err> = value(message);
                found.error = error.map(|e| ExtendedError {
                    errno: i32::try_from(e.ee_errno).unwrap_or(0),
                    origin: e.ee_origin,
                    data: e.ee_data,
                });
            }
            _ => {}
        }
        // SAFETY: as for CMSG_FIRSTHDR; `cursor` came from it.
        cursor = unsafe { libc::CMSG_NXTHDR(header, cursor) };
    }
    found
}

/// The value of a control message, if it is at least as long as `T`.
fn value<T: Copy>(message: &libc::cmsghdr) -> Option<T> {
    // SAFETY: CMSG_LEN only computes a size.
    let needed = unsafe { libc::CMSG_LEN(size_of::<T>() as u32) } as usize;
    // SAFETY: the kernel wrote `cmsg_len` bytes, at least header plus `T`; `T` is plain data.
    (message.cmsg_len >= needed)
        .then(|| unsafe { libc::CMSG_DATA(message).cast::<T>().read_unaligned() })
}

/// The kernel leaves stamps it did not take at zero.
fn host_time(spec: &libc::timespec) -> Option<HostTime> {
    let nanos = u32::try_from(spec.tv_nsec).ok()?;
    (spec.tv_sec != 0 || nanos != 0).then(|| HostTime::from_unix(spec.tv_sec, nanos))
}

fn in_pktinfo(source: Ipv4Addr) -> libc::in_pktinfo {
    libc::in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: libc::in_addr {
            s_addr: u32::from(source).to_be(),
        },
        ipi_addr: libc::in_addr { s_addr: 0 },
    }
}

fn in6_pktinfo(source: Ipv6Addr) -> libc::in6_pktinfo {
    libc::in6_pktinfo {
        ipi6_addr: libc::in6_addr {
            s6_addr: source.octets(),
        },
        ipi6_ifindex: 0,
    }
}

fn encode_address(addr: &SocketAddr) -> (libc::sockaddr_storage, socklen_t) {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let length = match addr {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from(*v4.ip()).to_be(),
                },
                sin_zero: [0; 8],
            };
            // SAFETY: sockaddr_storage is larger than and aligned for sockaddr_in.
            unsafe { storage.as_mut_ptr().cast::<libc::sockaddr_in>().write(raw) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: v6.ip().octets(),
                },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: sockaddr_storage is larger than and aligned for sockaddr_in6.
            unsafe { storage.as_mut_ptr().cast::<libc::sockaddr_in6>().write(raw) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    // SAFETY: every byte was zeroed or written above.
    (unsafe { storage.assume_init() }, length as socklen_t)
}

fn decode_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let pointer = std::ptr::from_ref(storage);
    match c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says this is a sockaddr_in, and the storage is large enough.
            let raw = unsafe { &*pointer.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says this is a sockaddr_in6, and the storage is large enough.
            let raw = unsafe { &*pointer.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
            Some(
                SocketAddrV6::new(
                    ip,
                    u16::from_be(raw.sin6_port),
                    raw.sin6_flowinfo,
                    raw.sin6_scope_id,
                )
                .into(),
            )
        }
        _ => None,
    }
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernels_form() {
        for text in [
            "127.0.0.1:443",
            "[::1]:4433",
            "[fe80::1%3]:9",
            "[::ffff:10.0.0.1]:1",
        ] {
            let addr: SocketAddr = text.parse().unwrap();
            let (storage, _) = encode_address(&addr);
            assert_eq!(decode_address(&storage), Some(addr), "{text}");
        }
    }

    #[test]
    fn a_stamp_the_kernel_did_not_take_is_none() {
        assert_eq!(
            host_time(&libc::timespec {
                tv_sec: 0,
                tv_nsec: 0
            }),
            None
        );
        assert_eq!(
            host_time(&libc::timespec {
                tv_sec: 1,
                tv_nsec: 5
            }),
            Some(HostTime::from_unix_nanos(1_000_000_005))
        );
    }
}
