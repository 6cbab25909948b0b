//! A whole client core and whole servers' cores under virtual time: hours in milliseconds, and every run the same.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod chance;
mod host;
mod world;

use std::net::SocketAddr;
use std::time::Duration;

use host::Identity;
use tsq_client::{
    Failure, Handshake, Options, SourceReport, Timestamps, Transport, TransportChoice,
};
use tsq_netem::Impairment;
use tsq_proto::Offset;
use tsq_server::limits::Retry;
use world::World;

const MS: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(3);
/// What the wire's fractions of a second do not show.
const NOTHING: Duration = Duration::from_nanos(2);

fn address(number: u8) -> SocketAddr {
    ([192, 0, 2, number], 443).into()
}

fn world_of(impairment: Impairment, identity: &Identity) -> World {
    let mut world = World::new(impairment);
    world.serve(address(1), identity, Retry::Never);
    world
}

/// One server, one measurement over `impairment`.
fn measured(impairment: Impairment, options: Options) -> (SourceReport, World) {
    let identity = Identity::new();
    let mut world = world_of(impairment, &identity);
    let mut client = world.driver(vec![identity.server_at(address(1))], options);
    let report = world.measure(&mut client, PATIENCE).remove(0);
    world.close(client);
    (report, world)
}

fn offsets(report: &SourceReport) -> Vec<Offset> {
    report
        .accepted()
        .map(|answer| answer.sample.offset)
        .collect()
}

#[track_caller]
fn assert_whole(report: &SourceReport, handshake: Option<Handshake>, round_trips: u32) {
    assert_eq!(report.failure, None, "{report:#?}");
    assert_eq!(report.accepted().count(), 5, "{report:#?}");
    assert_eq!(report.handshake, handshake, "{report:#?}");
    assert_eq!(report.round_trips, round_trips, "{report:#?}");
}

#[test]
fn offset_over_a_symmetrical_path_is_exact_and_there_after_two_round_trips() {
    let identity = Identity::new();
    let mut world = world_of(Impairment::round_trip(20 * MS), &identity);
    let mut client = world.driver(vec![identity.server_at(address(1))], Options::default());
    client.behind = 350_000_000;
    let begun = world.now();
    let report = world.measure(&mut client, PATIENCE).remove(0);
    assert_whole(&report, Some(Handshake::Full), 2);
    assert_eq!(world.now() - begun, 40 * MS);
    for answer in report.accepted() {
        let off = (answer.sample.offset - Offset::from_nanos(350_000_000)).abs();
        assert!(off <= NOTHING, "{answer:?}");
        assert_eq!(answer.timestamps, Timestamps::KernelAndFollowUp);
    }
    world.close(client);
    // One more that only brings the last follow-up.
    assert_eq!(world.hosts[0].answered(), 6);
}

#[test]
fn same_seed_gives_the_same_report_to_the_byte_and_another_gives_another() {
    let identity = Identity::new();
    let run = |seed: u64| {
        let bad = Impairment {
            jitter: 4 * MS,
            loss_percent_each_way: 15.0,
            reorder_percent: 10.0,
            corrupt_percent: 5.0,
            seed,
            ..Impairment::round_trip(30 * MS)
        };
        let mut world = World::new(bad);
        world.serve(address(1), &identity, Retry::Always);
        world.serve(address(2), &identity, Retry::Never);
        let servers = [1, 2].map(|number| identity.server_at(address(number)));
        let mut client = world.driver(servers.to_vec(), Options::default());
        let first = world.measure(&mut client, PATIENCE);
        world.rest(&mut client, Duration::from_secs(3600));
        let second = world.measure(&mut client, PATIENCE);
        let took = world.true_time();
        world.close(client);
        format!(
            "{took} {first:#?} {second:#?} {:?} {:x}",
            world.network.counters(),
            world.packets
        )
    };
    for seed in 1..=10 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1), run(2));
}

#[test]
fn lost_packets_cost_time_and_no_samples() {
    let mut lost = 0;
    for (seed, transport) in (0..30).flat_map(|seed| {
        [TransportChoice::Datagram, TransportChoice::Stream].map(|transport| (seed, transport))
    }) {
        let lossy = Impairment {
            loss_percent_each_way: 20.0,
            seed,
            ..Impairment::round_trip(20 * MS)
        };
        let options = Options {
            transport,
            ..Options::default()
        };
        let (report, world) = measured(lossy, options);
        assert_eq!(report.failure, None, "seed {seed}: {report:#?}");
        assert_eq!(report.accepted().count(), 5, "seed {seed}: {report:#?}");
        lost += world.network.counters().lost;
        for answer in report.accepted() {
            // A stream's request that QUIC had to send again left later than it was asked: that is in the delay.
            let late = answer.sample.delay.abs_diff(20 * MS);
            let off = answer.sample.offset.abs();
            assert!(off <= late / 2 + NOTHING, "seed {seed}: {answer:?}");
            assert!(
                late <= NOTHING || report.transport == Some(Transport::Stream),
                "seed {seed}: {answer:?}"
            );
        }
    }
    assert!(lost > 100, "{lost}");
}

#[test]
fn reordered_packets_lose_no_queries() {
    for seed in 0..30 {
        let reordering = Impairment {
            reorder_percent: 40.0,
            seed,
            ..Impairment::round_trip(20 * MS)
        };
        let (report, _) = measured(reordering, Options::default());
        assert_eq!(report.failure, None, "seed {seed}: {report:#?}");
        assert_eq!(report.accepted().count(), 5, "seed {seed}: {report:#?}");
        assert_eq!(report.sent, 5, "seed {seed}: {report:#?}");
    }
}

#[test]
fn server_that_asks_back_with_a_retry_is_measured_one_round_trip_later() {
    let identity = Identity::new();
    let mut world = World::new(Impairment::round_trip(20 * MS));
    world.serve(address(1), &identity, Retry::Always);
    let mut client = world.driver(vec![identity.server_at(address(1))], Options::default());
    let begun = world.now();
    let report = world.measure(&mut client, PATIENCE).remove(0);
    assert_eq!(report.accepted().count(), 5, "{report:#?}");
    assert_eq!(world.network.counters().retries, 1);
    assert_eq!(world.now() - begun, 60 * MS);
}

// tsq: C3
#[test]
fn later_connections_ask_in_their_first_flight() {
    let identity = Identity::new();
    let mut world = world_of(Impairment::round_trip(20 * MS), &identity);
    let server = identity.server_at(address(1));
    for number in 0..6 {
        let mut client = world.driver(vec![server.clone()], Options::default());
        let begun = world.now();
        let report = world.measure(&mut client, PATIENCE).remove(0);
        let (handshake, flights) = match number {
            0 => (Handshake::Full, 2),
            _ => (Handshake::Early, 1),
        };
        assert_whole(&report, Some(handshake), flights);
        assert_eq!(world.now() - begun, 20 * MS * flights);
        world.close(client);
        assert_eq!(world.hosts[0].connections(), 0);
    }
}

// tsq: C3
#[test]
fn early_queries_that_a_restarted_server_cannot_read_are_asked_anew() {
    let identity = Identity::new();
    let mut world = world_of(Impairment::round_trip(20 * MS), &identity);
    let server = identity.server_at(address(1));
    for handshake in [Handshake::Full, Handshake::EarlyRefused, Handshake::Early] {
        let mut client = world.driver(vec![server.clone()], Options::default());
        let begun = world.true_time();
        let report = world.measure(&mut client, PATIENCE).remove(0);
        let flights = if handshake == Handshake::Early { 1 } else { 2 };
        assert_whole(&report, Some(handshake), flights);
        if handshake == Handshake::EarlyRefused {
            assert!(report.sent > 5, "the lost ones count: {report:#?}");
            for answer in report.accepted() {
                let asked = answer.sample.t1.as_unix_nanos() - begun;
                assert_eq!(asked, 20_000_000, "T1 is that of the new query");
            }
        }
        world.close(client);
        if handshake == Handshake::Full {
            let now = world.now();
            world.hosts[0].restart(now);
        }
    }
}

// tsq: C6
#[test]
fn connection_outlives_a_nat_that_changes_the_clients_port() {
    let identity = Identity::new();
    let mut world = world_of(Impairment::round_trip(20 * MS), &identity);
    let mut client = world.driver(vec![identity.server_at(address(1))], Options::default());
    let report = world.measure(&mut client, PATIENCE).remove(0);
    assert_whole(&report, Some(Handshake::Full), 2);
    for _ in 0..5 {
        world.network.rebind();
        world.rest(&mut client, Duration::from_secs(3));
        let begun = world.now();
        let report = world.measure(&mut client, PATIENCE).remove(0);
        assert_whole(&report, None, 1);
        // The server answers to the new port as far as it may before it knows who reads there.
        assert!(world.now() - begun <= 40 * MS);
        assert_eq!(report.sent, 5);
    }
    assert_eq!(world.hosts[0].connections(), 1);
}

#[test]
fn silence_ends_with_the_deadline_and_is_called_silence() {
    let silent = Impairment {
        loss_percent_each_way: 100.0,
        ..Impairment::round_trip(20 * MS)
    };
    let identity = Identity::new();
    let mut world = world_of(silent, &identity);
    let mut client = world.driver(vec![identity.server_at(address(1))], Options::default());
    let begun = world.now();
    let report = world.measure(&mut client, PATIENCE).remove(0);
    assert_eq!(world.now() - begun, PATIENCE);
    assert!(
        matches!(
            report.failure,
            Some(Failure::Silent {
                waited_ms: 3000,
                ..
            })
        ),
        "{report:#?}"
    );
    // When the path is there again, so are the samples, with nobody's help.
    world.network.change(Impairment::default());
    let report = world
        .measure(&mut client, Duration::from_secs(10))
        .remove(0);
    assert_eq!(report.accepted().count(), 5, "{report:#?}");
}

// tsq: C5
#[test]
fn datagrams_or_streams_are_what_was_asked_for() {
    for (choice, transport) in [
        (TransportChoice::Auto, Transport::Datagram),
        (TransportChoice::Datagram, Transport::Datagram),
        (TransportChoice::Stream, Transport::Stream),
    ] {
        let options = Options {
            transport: choice,
            ..Options::default()
        };
        let (report, _) = measured(Impairment::round_trip(20 * MS), options);
        assert_whole(&report, Some(Handshake::Full), 2);
        assert_eq!(report.transport, Some(transport));
    }
}

#[test]
fn dead_addresses_of_a_name_hold_up_the_living_one_for_their_head_starts_alone() {
    let identity = Identity::new();
    let mut world = world_of(Impairment::round_trip(20 * MS), &identity);
    let mut server = identity.server_at(address(1));
    server.target = tsq_client::Target::parse("time.example", 443).unwrap();
    let mut client = world.driver(vec![server], Options::default());
    // The second has no way to it, the first is silent.
    client.names = vec![(
        "time.example".into(),
        vec![address(7), address(8), address(1)],
    )];
    client.no_way_to = vec![address(8)];
    let begun = world.now();
    let report = world.measure(&mut client, PATIENCE).remove(0);
    assert_eq!(report.address, Some(address(1)));
    assert_whole(&report, Some(Handshake::Full), 2);
    assert_eq!(world.now() - begun, 50 * MS + 40 * MS);
}

#[test]
fn unknown_name_is_told_at_once() {
    let identity = Identity::new();
    let mut world = world_of(Impairment::default(), &identity);
    let mut server = identity.server_at(address(1));
    server.target = tsq_client::Target::parse("nowhere.example", 443).unwrap();
    let mut client = world.driver(vec![server], Options::default());
    let begun = world.now();
    let report = world.measure(&mut client, PATIENCE).remove(0);
    assert!(
        matches!(report.failure, Some(Failure::Unresolved { .. })),
        "{report:#?}"
    );
    assert_eq!(world.now(), begun);
}

/// A day of a daemon: every measurement finds how far the clock has drifted since the beginning.
#[test]
fn day_of_measurements_follows_a_clock_that_drifts() {
    let identity = Identity::new();
    let jittery = Impairment {
        jitter: 2 * MS,
        loss_percent_each_way: 2.0,
        ..Impairment::round_trip(20 * MS)
    };
    let mut world = world_of(jittery, &identity);
    let mut client = world.driver(vec![identity.server_at(address(1))], Options::default());
    let begun = world.now();
    let mut measurements = 0;
    while world.now() - begun < Duration::from_secs(24 * 3600) {
        let report = world.measure(&mut client, PATIENCE).remove(0);
        assert_eq!(report.accepted().count(), 5, "{report:#?}");
        for offset in offsets(&report) {
            let error = offset - Offset::from_nanos(client.behind);
            assert!(error.abs() <= 2 * MS, "{report:#?}");
        }
        world.rest(&mut client, Duration::from_secs(1024));
        // 20 parts of a million.
        client.behind += 1_024_000 * 20;
        measurements += 1;
    }
    assert_eq!(measurements, 85);
}
