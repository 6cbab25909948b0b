//! The sockets of an address's shards.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::steering::Steering;
use super::{Generation, MAX_SHARDS, Shard};
use crate::socket::{Binding, Socket};

/// The sockets that serve one address together, one for each shard, for one process or for two
/// of which one takes over from the other.
///
/// Packets are steered by their connection ID from before the second socket is there, so none ever
/// reaches a shard that is not its own. The kernel steers by a socket's place in the group, and a
/// socket that closes gives its place to the last one: so a group closes none. The process that takes
/// over holds the other generation's sockets until the process after it uses them again.
pub struct Group {
    address: SocketAddr,
    shards: u8,
    generation: Generation,
    /// In the kernel's order: the even generation's, then the odd one's if there was one.
    sockets: Vec<OwnedFd>,
    binding: Binding,
    /// Whether the kernel steers packets among them.
    steered: bool,
}

impl Group {
    /// Binds `shards` sockets to `addr`, which nobody else may have; port 0 takes a free one. `[::]` serves IPv4 too
    /// unless it is to be `only_v6`, beside `0.0.0.0`.
    ///
    /// There are fewer sockets, one, where the system spreads no packets over several ([`Self::is_steered`]). An
    /// address that no interface has is waited for ([`Self::awaits_address`]).
    ///
    /// # Errors
    /// Those of [`Socket::bind`].
    ///
    /// # Panics
    /// `shards` is not 1 to [`MAX_SHARDS`].
    pub fn bind(addr: SocketAddr, shards: usize, only_v6: bool) -> io::Result<(Self, Vec<Socket>)> {
        assert!(
            (1..=MAX_SHARDS).contains(&shards),
            "an address has 1 to {MAX_SHARDS} shards, not {shards}"
        );
        let mut binding = Binding {
            only_v6,
            awaits_address: false,
        };
        // A socket that shares with nobody proves that the port is free, and keeps it so until
        // the group's first socket has it too.
        let claim = match Socket::bind_as(addr, binding) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                binding.awaits_address = true;
                Socket::bind_as(addr, binding)?
            }
            bound => bound?,
        };
        let mut group = Self {
            address: claim.local_addr(),
            shards: u8::try_from(shards).unwrap_or(u8::MAX),
            generation: Generation::Even,
            sockets: Vec::new(),
            binding,
            steered: true,
        };
        if claim.share_port().is_err() {
            return group.alone(claim);
        }
        let first = group.join()?;
        drop(claim);
        if group.settle().is_err() {
            return group.alone(first);
        }
        let mut sockets = vec![first];
        for _ in 1..shards {
            sockets.push(group.join()?);
        }
        Ok((group, sockets))
    }

    /// With the one socket that there is: no packet needs to be steered to it.
    fn alone(mut self, socket: Socket) -> io::Result<(Self, Vec<Socket>)> {
        self.steered = false;
        self.shards = 1;
        self.sockets = vec![socket.as_fd().try_clone_to_owned()?];
        Ok((self, vec![socket]))
    }

    /// The group whose sockets another process has handed over, in its order, with the generation
    /// that is now serving.
    ///
    /// # Errors
    /// These are not the sockets of such a group.
    pub fn handed_over(
        address: SocketAddr,
        shards: usize,
        generation: Generation,
        sockets: Vec<OwnedFd>,
    ) -> io::Result<Self> {
        let whole = sockets.len() == 2 * shards
            || (sockets.len() == shards && generation == Generation::Even);
        if !(1..=MAX_SHARDS).contains(&shards) || !whole {
            return Err(io::Error::other(format!(
                "{} sockets are not those of {shards} shards",
                sockets.len()
            )));
        }
        for socket in &sockets {
            let bound = crate::socket::address_of(socket.as_fd())?;
            if bound != address {
                return Err(io::Error::other(format!(
                    "one of the sockets is bound to {bound} instead"
                )));
            }
        }
        let only_v6 = address.is_ipv6() && crate::socket::is_only_v6(sockets[0].as_fd())?;
        Ok(Self {
            address,
            shards: u8::try_from(shards).unwrap_or(u8::MAX),
            generation,
            sockets,
            binding: Binding {
                only_v6,
                // Theirs are bound: whether an interface has the address now is nothing to ours.
                awaits_address: true,
            },
            steered: true,
        })
    }

    /// The next generation's sockets; no packet comes to them before [`Self::begin`].
    ///
    /// # Errors
    /// Those of [`Socket::bind`]; an address is shared only among processes of one user.
    pub fn take_over(&mut self) -> io::Result<Vec<Socket>> {
        let shards = usize::from(self.shards);
        let first = match self.generation.next() {
            Generation::Even => 0,
            Generation::Odd => shards,
        };
        let sockets = if self.sockets.len() >= first + shards {
            self.sockets[first..first + shards]
                .iter()
                .map(|socket| Socket::adopt(socket.try_clone()?))
                .collect::<io::Result<_>>()?
        } else {
            (0..shards)
                .map(|_| self.join())
                .collect::<io::Result<_>>()?
        };
        self.generation = self.generation.next();
        Ok(sockets)
    }

    /// Sends new connections to the generation that has taken over, from this instant on; those of
    /// the one before keep it.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn begin(&self) -> io::Result<()> {
        self.steer(Steering::HandingOver {
            shards: self.shards,
            to: self.generation,
        })
    }

    /// Sends everything to the generation that serves: the other has ended. Clients that do not
    /// know it yet are told so by a stateless reset.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn settle(&self) -> io::Result<()> {
        self.steer(Steering::Settled {
            shards: self.shards,
            to: self.generation,
        })
    }

    /// The address served, with its real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Whether packets are spread over its sockets by the kernel; only then can another process take it over.
    pub fn is_steered(&self) -> bool {
        self.steered
    }

    /// Whether no interface had the address when it was bound: packets come when one does.
    pub fn awaits_address(&self) -> bool {
        self.binding.awaits_address
    }

    /// The generation that serves.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The shards of the generation that serves, in the order of their sockets.
    pub fn shards(&self) -> impl Iterator<Item = Shard> {
        Shard::all(self.shards.into(), self.generation)
            .expect("a group has as many sockets as an address can have shards")
    }

    /// All sockets of both generations in their order, to hand them over.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd)
    }

    fn join(&mut self) -> io::Result<Socket> {
        let socket = Socket::join(self.address, self.binding)?;
        self.sockets.push(socket.as_fd().try_clone_to_owned()?);
        Ok(socket)
    }

    fn steer(&self, steering: Steering) -> io::Result<()> {
        if !self.steered {
            return Ok(());
        }
        let any = self.sockets.first();
        let any = any.expect("a group has a socket from its beginning on");
        crate::socket::steer(any.as_fd(), &steering.program())
    }
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group")
            .field("address", &self.address)
            .field("shards", &self.shards)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
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

    fn bind(address: &str, shards: usize) -> (Group, Vec<Socket>) {
        Group::bind(address.parse().unwrap(), shards, false).unwrap()
    }

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
                let (_group, mut sockets) = bind(address, count);
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
        let (_group, mut sockets) = bind(LOCALHOSTS[0], 4);
        for first in 0..=u8::MAX {
            let place = reached(&mut sockets, &packet(INITIAL, &[first; 20]));
            assert_eq!(place, usize::from(first) % 4);
        }
    }

    #[test]
    fn packet_too_short_to_have_an_id_reaches_someone() {
        let (_group, mut sockets) = bind(LOCALHOSTS[0], 2);
        for packet in [&[][..], &[0x40], &[0xc0], &[0xc0, 0, 0, 0, 1, 8]] {
            assert_eq!(reached(&mut sockets, packet), 0);
        }
    }

    #[test]
    fn handing_over_keeps_known_connections_and_moves_new_ones() {
        for to in [Generation::Even, Generation::Odd] {
            let (mut group, mut sockets) = bind(LOCALHOSTS[0], 2);
            sockets.extend(group.take_over().unwrap());
            if to == Generation::Even {
                group.begin().unwrap();
                group.settle().unwrap();
                group.take_over().unwrap();
            }
            group.begin().unwrap();
            assert_eq!(group.generation(), to);
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
        let (mut group, even) = bind(LOCALHOSTS[0], 3);
        let odd = group.take_over().unwrap();
        let mut sockets: Vec<Socket> = even.into_iter().chain(odd).collect();
        group.begin().unwrap();
        group.settle().unwrap();
        for generation in [Generation::Even, Generation::Odd] {
            for shard in Shard::all(3, generation).unwrap() {
                let id = ShardIds::new(shard).generate_cid();
                for kind in [INITIAL, HANDSHAKE, SHORT] {
                    let place = reached(&mut sockets, &packet(kind, &id));
                    assert_eq!(place, 3 + shard.index(), "{kind:?}");
                }
            }
        }
    }

    #[test]
    fn sockets_waiting_to_take_over_get_nothing_before_it_begins() {
        let (mut group, mut sockets) = bind(LOCALHOSTS[0], 1);
        sockets.extend(group.take_over().unwrap());
        for first in 0..100 {
            let new = packet(INITIAL, &[first; 20]);
            assert_eq!(reached(&mut sockets, &new), 0);
        }
        group.begin().unwrap();
        assert_eq!(reached(&mut sockets, &packet(INITIAL, &[0; 20])), 1);
    }

    #[test]
    fn old_process_serves_all_again_when_the_new_one_dies() {
        let (mut group, mut sockets) = bind(LOCALHOSTS[0], 2);
        let dup = |group: &Group| {
            let sockets = group.sockets().map(|fd| fd.try_clone_to_owned().unwrap());
            let address = group.local_addr();
            Group::handed_over(address, 2, group.generation(), sockets.collect()).unwrap()
        };
        let mut theirs = dup(&group);
        let their_sockets = theirs.take_over().unwrap();
        theirs.begin().unwrap();
        drop((theirs, their_sockets));
        group.settle().unwrap();
        for shard in Shard::all(2, Generation::Even).unwrap() {
            let id = ShardIds::new(shard).generate_cid();
            assert_eq!(reached(&mut sockets, &packet(SHORT, &id)), shard.index());
            let new = packet(INITIAL, &[shard.index() as u8; 20]);
            assert_eq!(reached(&mut sockets, &new), shard.index());
        }
        // And can hand over again.
        let again = group.take_over().unwrap();
        sockets.extend(again);
        group.begin().unwrap();
        assert_eq!(reached(&mut sockets, &packet(INITIAL, &[1; 20])), 3);
    }

    #[test]
    fn foreign_sockets_are_no_group() {
        let (group, _sockets) = bind(LOCALHOSTS[0], 2);
        let (other, _others) = bind(LOCALHOSTS[0], 1);
        let fds = |group: &Group| -> Vec<OwnedFd> {
            group
                .sockets()
                .map(|fd| fd.try_clone_to_owned().unwrap())
                .collect()
        };
        let address = group.local_addr();
        let even = Generation::Even;
        assert!(Group::handed_over(address, 2, even, fds(&group)).is_ok());
        assert!(Group::handed_over(address, 2, Generation::Odd, fds(&group)).is_err());
        assert!(Group::handed_over(address, 3, even, fds(&group)).is_err());
        assert!(Group::handed_over(address, 0, even, Vec::new()).is_err());
        let error = Group::handed_over(address, 1, even, fds(&other)).unwrap_err();
        assert!(error.to_string().contains("bound to"), "{error}");
    }

    #[test]
    fn port_of_a_group_is_taken_for_everyone_else() {
        let (group, _sockets) = bind(LOCALHOSTS[0], 2);
        let error = Group::bind(group.local_addr(), 2, false).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let error = Socket::bind(group.local_addr()).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    /// 192.0.2.0/24 and 2001:db8::/32 are for documentation: no host has one.
    #[test]
    fn address_that_no_interface_has_yet_is_waited_for() {
        for address in ["192.0.2.77:0", "[2001:db8::77]:0"] {
            let (mut group, sockets) = bind(address, 2);
            assert!(group.awaits_address());
            assert_eq!(sockets.len(), 2);
            assert_eq!(sockets[1].local_addr(), group.local_addr());
            assert_eq!(group.take_over().unwrap().len(), 2);
            let error = Group::bind(group.local_addr(), 1, false).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        }
        assert!(!bind(LOCALHOSTS[0], 1).0.awaits_address());
    }

    #[test]
    fn both_families_wildcards_share_a_port_when_one_is_for_ipv6_only() {
        let (v4, mut v4_sockets) = bind("0.0.0.0:0", 1);
        let port = v4.local_addr().port();
        let v6 = SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), port);
        assert!(Group::bind(v6, 1, false).is_err());
        let (group, mut v6_sockets) = Group::bind(v6, 1, true).unwrap();
        // A process that takes over has to bind the like.
        let fds = group.sockets().map(|fd| fd.try_clone_to_owned().unwrap());
        let handed = Group::handed_over(v6, 1, Generation::Even, fds.collect());
        assert_eq!(handed.unwrap().take_over().unwrap().len(), 1);
        let mut batch = Batch::new();
        for (to, sockets) in [("127.0.0.1", &mut v4_sockets), ("::1", &mut v6_sockets)] {
            let to = SocketAddr::new(to.parse().unwrap(), port);
            let from = UdpSocket::bind(LOCALHOSTS[usize::from(to.is_ipv6())]).unwrap();
            from.send_to(b"packet", to).unwrap();
            wait(&[&sockets[0]], None, Some(Duration::from_secs(30))).unwrap();
            assert_eq!(sockets[0].receive(&mut batch).unwrap(), 1);
        }
    }
}
