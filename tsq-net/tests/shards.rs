//! Connections stay with their shard, over real sockets.

use common::{Client, Shards};

mod common;

const LOCALHOSTS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

/// So many that chance does not explain what they have in common: of 24 connections none to one
/// of two shards is one in 2^23, of 16 ports all hashed to one shard of two is one in 2^15.
const CONNECTIONS: usize = 24;
const PORTS: usize = 16;

#[test]
fn connections_from_one_address_are_spread_over_the_shards() {
    for (address, count) in LOCALHOSTS.into_iter().zip([2, 4]) {
        let shards = Shards::start(address, count);
        let mut answered = vec![0; count];
        for _ in 0..CONNECTIONS {
            answered[usize::from(Client::connect(shards.address).ask())] += 1;
        }
        let busy = answered.iter().filter(|&&n| n > 0).count();
        assert!(busy >= 2, "{answered:?}");
    }
}

/// As after a NAT has forgotten the client: its packets carry the same connection ID.
// tsq: C6
#[test]
fn connection_stays_with_its_shard_when_its_port_changes() {
    stays_with_its_shard(false);
}

/// The client goes on under a connection ID that it has not used before.
// tsq: C6
#[test]
fn connection_stays_with_its_shard_when_it_migrates() {
    stays_with_its_shard(true);
}

fn stays_with_its_shard(migrate: bool) {
    for address in LOCALHOSTS {
        for count in [2, 4] {
            let shards = Shards::start(address, count);
            let mut client = Client::connect(shards.address);
            let home = client.ask();
            for port in 0..PORTS {
                client.change_port(migrate);
                assert_eq!(client.ask(), home, "{address}, {count} shards, port {port}");
            }
        }
    }
}
