//! Sockets that a service manager has bound for us (sd_listen_fds(3)).

use std::io;
use std::net::UdpSocket;

use listenfd::ListenFd;

/// The UDP sockets passed to this process; none if none were.
///
/// # Errors
/// One of what was passed is something else.
pub fn sockets() -> io::Result<Vec<UdpSocket>> {
    let mut passed = ListenFd::from_env();
    (0..passed.len())
        .filter_map(|index| passed.take_udp_socket(index).transpose())
        .collect()
}
