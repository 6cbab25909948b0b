//! The sockets of an address's shards.

use std::io;
use std::net::SocketAddr;

use super::steering::Steering;
use super::{Generation, MAX_SHARDS};
use crate::socket::Socket;

/// The sockets that serve one address together, one for each shard.
///
/// Packets are steered by their connection ID from before the second socket is there, so none ever
/// reaches a shard that is not its own.
pub struct Group {
    sockets: Vec<Socket>,
}

impl Group {
    /// Binds `shards` sockets to `addr`, which nobody else may have; port 0 takes a free one.
    ///
    /// # Errors
    /// Those of [`Socket::bind`], and of a kernel that steers no packets (before Linux 4.5).
    ///
    /// # Panics
    /// `shards` is not 1 to [`MAX_SHARDS`].
    pub fn bind(addr: SocketAddr, shards: usize) -> io::Result<Self> {
        assert!(
            (1..=MAX_SHARDS).contains(&shards),
            "an address has 1 to {MAX_SHARDS} shards, not {shards}"
        );
        // A socket that shares with nobody proves that the port is free, and keeps it so until
        // the group's first socket has it too.
        let claim = Socket::bind(addr)?;
        claim.share_port()?;
        let addr = claim.local_addr();
        let mut sockets = vec![Socket::join(addr)?];
        drop(claim);
        let steering = Steering::Settled {
            shards: u8::try_from(shards).unwrap_or(u8::MAX),
            to: Generation::Even,
        };
        sockets[0].steer(&steering.program())?;
        for _ in 1..shards {
            sockets.push(Socket::join(addr)?);
        }
        Ok(Self { sockets })
    }

    /// The address served, with its real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.sockets[0].local_addr()
    }

    /// The sockets, that of the first shard first.
    pub fn into_sockets(self) -> Vec<Socket> {
        self.sockets
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use quinn_proto::ConnectionIdGenerator;

    use super::*;
    use crate::shard::{Shard, ShardIds};
    use crate::socket::{Batch, wait};

    const LOCALHOSTS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

    /// A short header packet, or a long one of this type, to the connection with this ID.
    fn packet(long: Option<u8>, id: &[u8]) -> Vec<u8> {
        let header = match long {
            Some(kind) => vec![0xc0 | kind << 4, 0, 0, 0, 1, id.len() as u8],
            None => vec![0x40],
        };
        [&header[..], id, &[0; 20]].concat()
    }

    const INITIAL: Option<u8> = Some(0);
    const ZERO_RTT: Option<u8> = Some(1);
    const HANDSHAKE: Option<u8> = Some(2);
    const SHORT: Option<u8> = None;

    /// Which of the sockets gets this packet when another address sends it.
    fn reached(sockets: &mut [Socket], packet: &[u8]) -> usize {
        let to = sockets[0].local_addr();
        let from: SocketAddr = LOCALHOSTS[usize::from(to.is_ipv6())].parse().unwrap();
        UdpSocket::bind(from).unwrap().send_to(packet, to).unwrap();
        let all: Vec<&Socket> = sockets.iter().collect();
        wait(&all, None, Some(Duration::from_secs(5))).unwrap();
        let mut batch = Batch::new();
        let counts: Vec<usize> = sockets
            .iter_mut()
            .map(|socket| socket.receive(&mut batch).unwrap())
            .collect();
        assert_eq!(counts.iter().sum::<usize>(), 1, "{counts:?}");
        counts.iter().position(|&count| count == 1).unwrap()
    }

    #[test]
    fn packets_of_a_connection_reach_its_shard_from_any_address() {
        for address in LOCALHOSTS {
            for count in [1, 2, 3, 4] {
                let group = Group::bind(address.parse().unwrap(), count).unwrap();
                let mut sockets = group.into_sockets();
                for shard in Shard::all(count, Generation::Even).unwrap() {
                    let id = ShardIds::new(shard).generate_cid();
                    for _ in 0..8 {
                        for kind in [INITIAL, ZERO_RTT, HANDSHAKE, SHORT] {
                            let place = reached(&mut sockets, &packet(kind, &id));
                            assert_eq!(place, shard.index(), "{kind:?} {address}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn new_connections_are_spread_over_all_shards() {
        let group = Group::bind(LOCALHOSTS[0].parse().unwrap(), 4).unwrap();
        let mut sockets = group.into_sockets();
        for first in 0..=u8::MAX {
            let place = reached(&mut sockets, &packet(INITIAL, &[first; 20]));
            assert_eq!(place, usize::from(first) % 4);
        }
    }

    #[test]
    fn packet_too_short_to_have_an_id_reaches_someone() {
        let group = Group::bind(LOCALHOSTS[0].parse().unwrap(), 2).unwrap();
        let mut sockets = group.into_sockets();
        for packet in [&[][..], &[0x40], &[0xc0], &[0xc0, 0, 0, 0, 1, 8]] {
            assert_eq!(reached(&mut sockets, packet), 0);
        }
    }

    #[test]
    fn handing_over_keeps_known_connections_and_moves_new_ones() {
        for to in [Generation::Even, Generation::Odd] {
            let mut sockets = Group::bind(LOCALHOSTS[0].parse().unwrap(), 2)
                .unwrap()
                .into_sockets();
            for _ in 0..2 {
                sockets.push(Socket::join(sockets[0].local_addr()).unwrap());
            }
            let steering = Steering::HandingOver { shards: 2, to };
            sockets[3].steer(&steering.program()).unwrap();
            for (base, generation) in [(0, Generation::Even), (2, Generation::Odd)] {
                for shard in Shard::all(2, generation).unwrap() {
                    let id = ShardIds::new(shard).generate_cid();
                    for kind in [INITIAL, ZERO_RTT, HANDSHAKE, SHORT] {
                        let place = reached(&mut sockets, &packet(kind, &id));
                        assert_eq!(place, base + shard.index(), "{kind:?} {to:?}");
                    }
                }
            }
            let base = if to == Generation::Odd { 2 } else { 0 };
            // Neither the length nor the mark alone makes an ID ours.
            for id in [
                &[7, 9, 1, 1, 1, 1, 1, 1][..],
                &[7, 0x5d, 1, 1, 1, 1, 1, 1, 1],
            ] {
                for kind in [INITIAL, ZERO_RTT] {
                    assert_eq!(reached(&mut sockets, &packet(kind, id)), base + 1);
                }
            }
        }
    }

    #[test]
    fn settled_steering_sends_the_other_generations_packets_to_the_same_shard() {
        let mut sockets = Group::bind(LOCALHOSTS[0].parse().unwrap(), 3)
            .unwrap()
            .into_sockets();
        for generation in [Generation::Even, Generation::Odd] {
            for shard in Shard::all(3, generation).unwrap() {
                let id = ShardIds::new(shard).generate_cid();
                assert_eq!(reached(&mut sockets, &packet(SHORT, &id)), shard.index());
            }
        }
    }

    #[test]
    fn port_of_a_group_is_taken_for_everyone_else() {
        let group = Group::bind(LOCALHOSTS[0].parse().unwrap(), 2).unwrap();
        let error = Group::bind(group.local_addr(), 2).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let error = Socket::bind(group.local_addr()).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
