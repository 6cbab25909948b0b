//! How many connections each network has, in a table that never grows.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::seed::{Seed, hash_of};

/// Counts connections by network: an IPv4 address, and an IPv6 /64, /56 and /48. Never by port.
///
/// Four rows of counters, a network having one in each by a keyed hash; the least of the four is its
/// count or more than that, when others share all four. Without the key nobody can look for such
/// others, and by chance it is rarer than 1 in 50 000 (the rows are 16 times wider than there can be
/// networks at their limit).
///
/// Shared by all shards; touched when connections begin and end, not by requests.
#[derive(Debug)]
pub struct Prefixes {
    levels: [Level; 4],
    seed: Seed,
}

/// A kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// One IPv4 address.
    V4,
    /// An IPv6 /64: one link.
    V6Link,
    /// An IPv6 /56: often one household.
    V6Home,
    /// An IPv6 /48: often one site.
    V6Site,
}

/// How many connections each kind of network may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerNetwork {
    /// One IPv4 address.
    pub v4: u32,
    /// An IPv6 /64.
    pub v6_64: u32,
    /// An IPv6 /56.
    pub v6_56: u32,
    /// An IPv6 /48.
    pub v6_48: u32,
}

#[derive(Debug)]
struct Level {
    limit: u32,
    rows: Vec<[AtomicU32; ROWS]>,
}

impl Prefixes {
    /// Counters for `limits`, when there can be at most `connections` in all; which networks share a cell
    /// follows from `seed`.
    pub fn new(limits: &PerNetwork, connections: u32, seed: Seed) -> Self {
        let level = |limit: u32| Level {
            limit,
            rows: (0..width(limit, connections))
                .map(|_| Default::default())
                .collect(),
        };
        Self {
            levels: [
                level(limits.v4),
                level(limits.v6_64),
                level(limits.v6_56),
                level(limits.v6_48),
            ],
            seed,
        }
    }

    /// What such counters take, in bytes.
    pub fn bytes(limits: &PerNetwork, connections: u32) -> usize {
        let limits = [limits.v4, limits.v6_64, limits.v6_56, limits.v6_48];
        let widths = limits.map(|limit| usize::try_from(width(limit, connections)).unwrap_or(0));
        widths.iter().sum::<usize>() * size_of::<[AtomicU32; ROWS]>()
    }

    /// The network of `ip` that has all it may have.
    pub fn full(&self, ip: IpAddr) -> Option<Network> {
        networks(ip)
            .find(|&(network, prefix)| {
                let level = &self.levels[network as usize];
                let cells = self.cells(network, prefix);
                cells.map(|cell| cell.load(Ordering::Relaxed)).min() >= Some(level.limit)
            })
            .map(|(network, _)| network)
    }

    /// Counts a connection from `ip`.
    pub fn add(&self, ip: IpAddr) {
        for (network, prefix) in networks(ip) {
            for cell in self.cells(network, prefix) {
                cell.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Forgets a connection that was counted.
    pub fn remove(&self, ip: IpAddr) {
        for (network, prefix) in networks(ip) {
            for cell in self.cells(network, prefix) {
                cell.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn cells(&self, network: Network, prefix: u64) -> impl Iterator<Item = &AtomicU32> {
        let rows = &self.levels[network as usize].rows;
        let hash = hash_of((self.seed, network as u8, prefix));
        (0..ROWS).map(move |row| {
            // Widths are powers of two up to 2^16, so each row has bits of its own.
            let column = (hash >> (16 * row)) as usize & (rows.len() - 1);
            &rows[column][row]
        })
    }
}

/// Columns for networks that may have `limit` connections each, of so many.
fn width(limit: u32, connections: u32) -> u32 {
    let full = connections / limit.max(1);
    let width = full.saturating_mul(16).clamp(1 << 10, 1 << 16);
    width.next_power_of_two()
}

/// The networks an address is in, smallest first.
fn networks(ip: IpAddr) -> impl Iterator<Item = (Network, u64)> {
    let of = |ip: IpAddr| match ip.to_canonical() {
        IpAddr::V4(ip) => [Some((Network::V4, u64::from(ip.to_bits()))), None, None],
        IpAddr::V6(ip) => {
            let link = (ip.to_bits() >> 64) as u64;
            [
                Some((Network::V6Link, link)),
                Some((Network::V6Home, link >> 8)),
                Some((Network::V6Site, link >> 16)),
            ]
        }
    };
    of(ip).into_iter().flatten()
}

const ROWS: usize = 4;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const LIMITS: PerNetwork = PerNetwork {
        v4: 3,
        v6_64: 2,
        v6_56: 4,
        v6_48: 5,
    };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_more_than_the_limit_is_full_and_one_less_is_not() {
        let prefixes = Prefixes::new(&LIMITS, 100, Seed::random());
        for _ in 0..3 {
            assert_eq!(prefixes.full(ip("192.0.2.1")), None);
            prefixes.add(ip("192.0.2.1"));
        }
        assert_eq!(prefixes.full(ip("192.0.2.1")), Some(Network::V4));
        assert_eq!(prefixes.full(ip("::ffff:192.0.2.1")), Some(Network::V4));
        assert_eq!(prefixes.full(ip("192.0.2.2")), None);
        prefixes.remove(ip("192.0.2.1"));
        assert_eq!(prefixes.full(ip("192.0.2.1")), None);
    }

    #[test]
    fn wider_networks_have_limits_of_their_own() {
        let prefixes = Prefixes::new(&LIMITS, 100, Seed::random());
        for link in ["2001:db8:0:1::1", "2001:db8:0:1::2"] {
            prefixes.add(ip(link));
        }
        assert_eq!(prefixes.full(ip("2001:db8:0:1::3")), Some(Network::V6Link));
        assert_eq!(prefixes.full(ip("2001:db8:0:2::1")), None);
        prefixes.add(ip("2001:db8:0:2::1"));
        prefixes.add(ip("2001:db8:0:3::1"));
        assert_eq!(prefixes.full(ip("2001:db8:0:4::1")), Some(Network::V6Home));
        assert_eq!(prefixes.full(ip("2001:db8:0:104::1")), None);
        prefixes.add(ip("2001:db8:0:104::1"));
        assert_eq!(
            prefixes.full(ip("2001:db8:0:204::1")),
            Some(Network::V6Site)
        );
        assert_eq!(prefixes.full(ip("2001:db8:1::1")), None);
    }

    #[test]
    fn table_has_one_size_whatever_is_counted() {
        let prefixes = Prefixes::new(&LIMITS, 20_000, Seed::random());
        let size = |prefixes: &Prefixes| -> usize {
            prefixes.levels.iter().map(|level| level.rows.len()).sum()
        };
        let before = size(&prefixes);
        for n in 0..50_000_u32 {
            prefixes.add(IpAddr::V4(n.into()));
        }
        assert_eq!(size(&prefixes), before);
        assert!(before <= 4 << 16);
    }

    proptest! {
        /// A count is never too small; and when all are gone it is nothing.
        #[test]
        fn nobody_gets_past_the_limit(addresses in prop::collection::vec(0_u8..20, 1..200)) {
            let prefixes = Prefixes::new(&LIMITS, 200, Seed::random());
            let mut exact: HashMap<u8, u32> = HashMap::new();
            for &n in &addresses {
                let count = exact.entry(n).or_default();
                *count += 1;
                prefixes.add(IpAddr::from([10, 0, 0, n]));
                prop_assert!(*count < 3 || prefixes.full(IpAddr::from([10, 0, 0, n])).is_some());
            }
            for &n in &addresses {
                prefixes.remove(IpAddr::from([10, 0, 0, n]));
            }
            for n in 0..20 {
                prop_assert_eq!(prefixes.full(IpAddr::from([10, 0, 0, n])), None);
            }
        }
    }
}
