//! Addresses at which no server answers.

use std::net::{Ipv4Addr, UdpSocket};

/// A port of 127.0.0.1 that takes packets and never answers, for as long as the socket lives.
///
/// # Panics
/// When no socket can be had.
#[must_use]
pub fn silent_port() -> (UdpSocket, String) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    let address = socket.local_addr().expect("a bound socket has an address");
    (socket, address.to_string())
}

/// A port of 127.0.0.1 that refuses packets, for as long as the socket lives.
///
/// # Panics
/// When no socket can be had.
#[must_use]
pub fn closed_port() -> (UdpSocket, String) {
    let (socket, address) = silent_port();
    // Connected elsewhere, it holds the port, and to everyone else nobody listens there.
    socket
        .connect((Ipv4Addr::LOCALHOST, DISCARD))
        .expect("a UDP socket is connected without asking anybody");
    (socket, address)
}

/// Port 9 is the one to discard what is sent to it (RFC 863); nothing is.
const DISCARD: u16 = 9;

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use super::*;

    #[test]
    fn closed_port_refuses_and_silent_port_does_not() {
        for (port, refused) in [(closed_port(), true), (silent_port(), false)] {
            let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            client.connect(&port.1).unwrap();
            client
                .set_read_timeout(Some(Duration::from_millis(100)))
                .unwrap();
            client.send(b"?").unwrap();
            let error = client.recv(&mut [0; 8]).unwrap_err();
            assert_eq!(error.kind() == ErrorKind::ConnectionRefused, refused);
        }
    }
}
