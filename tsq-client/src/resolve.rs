//! Names to addresses, without holding up the servers that need none.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, channel};

use tsq_net::Waker;

use crate::target::{Host, Target};

/// Resolves names on threads of their own: the system's resolver can only be waited for.
#[derive(Debug)]
pub(crate) struct Resolver {
    sender: Sender<Resolved>,
    receiver: Receiver<Resolved>,
    waker: Waker,
}

/// What came of one name.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// Which server it was for.
    pub(crate) server: usize,
    /// Addresses in the order to try, or the resolver's words.
    pub(crate) result: Result<Vec<SocketAddr>, String>,
}

impl Resolver {
    pub(crate) fn new(waker: Waker) -> Self {
        let (sender, receiver) = channel();
        Self {
            sender,
            receiver,
            waker,
        }
    }

    /// Starts to resolve; the result comes from [`Self::poll`], after a wake-up.
    pub(crate) fn start(&self, server: usize, target: &Target) {
        let (sender, waker, port) = (self.sender.clone(), self.waker.clone(), target.port);
        let host = target.host.clone();
        let Host::Name(name) = &host else {
            return self.done(server, addresses_of(&host, port));
        };
        let spawned = std::thread::Builder::new()
            .name(format!("resolve {name}"))
            .spawn(move || {
                let result = addresses_of(&host, port);
                // Nobody listens when the run has ended by its timeout.
                let _ = sender.send(Resolved { server, result });
                waker.wake();
            });
        if let Err(error) = spawned {
            self.done(server, Err(format!("no thread to resolve with: {error}")));
        }
    }

    pub(crate) fn poll(&self) -> Option<Resolved> {
        self.receiver.try_recv().ok()
    }

    fn done(&self, server: usize, result: Result<Vec<SocketAddr>, String>) {
        // The receiver lives as long as `self`.
        let _ = self.sender.send(Resolved { server, result });
        self.waker.wake();
    }
}

/// The addresses of a host in the order to try; waits for the system's resolver.
///
/// # Errors
/// The resolver's words.
pub(crate) fn addresses_of(host: &Host, port: u16) -> Result<Vec<SocketAddr>, String> {
    match host {
        Host::Address(address) => Ok(vec![address.at(port)]),
        Host::Name(name) => match (name.as_str(), port).to_socket_addrs() {
            Ok(found) => Ok(in_order(found.collect())),
            Err(error) => Err(error.to_string()),
        },
    }
}

/// IPv6 and IPv4 in turn, IPv6 first, each in the resolver's order (RFC 8305, section 4).
fn in_order(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    // With their zones: two interfaces may have such a neighbour each.
    let mut seen: Vec<SocketAddr> = Vec::new();
    let fresh = found.into_iter().filter(|address| {
        let new = !seen.contains(address);
        seen.push(*address);
        new
    });
    let (v6, v4): (Vec<_>, Vec<_>) = fresh.partition(SocketAddr::is_ipv6);
    let longest = v6.len().max(v4.len());
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    (0..longest)
        .flat_map(|_| [v6.next(), v4.next()])
        .flatten()
        .take(MAX_ADDRESSES)
        .collect()
}

/// More addresses than a run could try.
const MAX_ADDRESSES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_doubles_are_dropped() {
        let list = [
            "10.0.0.1:1",
            "[::1]:1",
            "10.0.0.2:1",
            "[::1]:1",
            "10.0.0.3:1",
            "[::2]:1",
        ];
        let found = list.iter().map(|text| text.parse().unwrap()).collect();
        let order: Vec<String> = in_order(found).iter().map(ToString::to_string).collect();
        assert_eq!(
            order,
            [
                "[::1]:1",
                "10.0.0.1:1",
                "[::2]:1",
                "10.0.0.2:1",
                "10.0.0.3:1"
            ]
        );
    }
}
