use super::*;

use tsq_netem::{Bottleneck, REORDER_HOLD};

const PATIENCE: Duration = Duration::from_secs(5);
/// The most a loaded test machine may add; the precision itself is measured, not tested.
const LENIENCE: Duration = Duration::from_millis(200);

/// A bound socket that gives up waiting after a while.
fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// An upstream, a relay to it, and a client of the relay.
fn path(impairment: Impairment) -> (UdpSocket, Relay, UdpSocket) {
    let (upstream, client) = (socket(), socket());
    let relay = Relay::start(upstream.local_addr().unwrap(), impairment).unwrap();
    client.connect(relay.address()).unwrap();
    (upstream, relay, client)
}

fn received(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2000];
    let length = socket.recv(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

/// Counters settle a moment after the packet itself has arrived.
fn counters_reach(relay: &Relay, done: impl Fn(Counters) -> bool) -> Counters {
    let deadline = Instant::now() + PATIENCE;
    while !done(relay.counters()) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    relay.counters()
}

#[test]
fn packets_go_both_ways_after_the_delay() {
    let delay = Duration::from_millis(10);
    let (upstream, relay, client) = path(Impairment::round_trip(2 * delay));
    let mut buffer = [0; 16];
    let begun = Instant::now();
    client.send(b"ping").unwrap();
    let (length, from) = upstream.recv_from(&mut buffer).unwrap();
    let there = begun.elapsed();
    upstream.send_to(b"pong", from).unwrap();
    let back = received(&client);
    let round_trip = begun.elapsed();

    assert_eq!(
        (&buffer[..length], back.as_slice()),
        (&b"ping"[..], &b"pong"[..])
    );
    assert!(
        (delay..delay + LENIENCE).contains(&there),
        "one way took {there:?}"
    );
    assert!(
        (2 * delay..2 * delay + LENIENCE).contains(&round_trip),
        "both took {round_trip:?}"
    );
    let counters = counters_reach(&relay, |now| now.forwarded == 2);
    assert_eq!(
        counters,
        Counters {
            forwarded: 2,
            dropped: 0,
            overflowed: 0,
            corrupted: 0,
            retries: 0,
            ..Counters::default()
        }
    );
}

#[test]
fn order_is_kept_when_none_is_asked_to_change() {
    let (upstream, _relay, client) = path(Impairment::round_trip(Duration::from_millis(2)));
    let numbers = 0..100;
    for number in numbers.clone() {
        client.send(&[number]).unwrap();
    }
    let arrived: Vec<u8> = numbers.clone().map(|_| received(&upstream)[0]).collect();
    assert_eq!(arrived, numbers.collect::<Vec<_>>());
}

#[test]
fn reordering_changes_the_order_and_loses_nothing() {
    let (upstream, _relay, client) = path(Impairment {
        reorder_percent: 30.0,
        seed: 1,
        ..Impairment::default()
    });
    let numbers: Vec<u8> = (0..100).collect();
    for number in &numbers {
        client.send(&[*number]).unwrap();
    }
    let mut arrived: Vec<u8> = numbers.iter().map(|_| received(&upstream)[0]).collect();
    assert_ne!(arrived, numbers);
    arrived.sort_unstable();
    assert_eq!(arrived, numbers);
}

#[test]
fn lost_packets_are_the_same_for_the_same_seed() {
    let impairment = Impairment {
        loss_percent_each_way: 20.0,
        seed: 7,
        ..Impairment::default()
    };
    let run = || {
        let (upstream, relay, client) = path(impairment);
        for number in 0..100 {
            client.send(&[number]).unwrap();
        }
        let counters = counters_reach(&relay, |now| now.forwarded + now.dropped == 100);
        let arrived: Vec<u8> = (0..counters.forwarded)
            .map(|_| received(&upstream)[0])
            .collect();
        (arrived, counters)
    };
    let (arrived, counters) = run();
    assert!((5..=35).contains(&counters.dropped), "{counters:?}");
    assert_eq!(run(), (arrived, counters));
}

#[test]
fn clients_are_told_apart_by_their_source_at_the_upstream() {
    let (upstream, relay, first) = path(Impairment::default());
    let second = socket();
    second.connect(relay.address()).unwrap();
    let mut buffer = [0; 16];
    first.send(b"1").unwrap();
    let (_, first_source) = upstream.recv_from(&mut buffer).unwrap();
    second.send(b"2").unwrap();
    let (_, second_source) = upstream.recv_from(&mut buffer).unwrap();
    assert_ne!(first_source, second_source);
    upstream.send_to(b"for 2", second_source).unwrap();
    upstream.send_to(b"for 1", first_source).unwrap();
    assert_eq!(
        (received(&first), received(&second)),
        (b"for 1".to_vec(), b"for 2".to_vec())
    );
}

#[test]
fn strangers_cannot_answer_for_the_upstream() {
    let (upstream, relay, client) = path(Impairment::default());
    let mut buffer = [0; 16];
    client.send(b"ping").unwrap();
    let (_, source) = upstream.recv_from(&mut buffer).unwrap();
    socket().send_to(b"forged", source).unwrap();
    upstream.send_to(b"real", source).unwrap();
    assert_eq!(received(&client), b"real");
    assert_eq!(
        counters_reach(&relay, |now| now.forwarded == 2).forwarded,
        2
    );
}

#[test]
fn dropped_relay_stops_at_once_with_packets_waiting() {
    let hour = Duration::from_secs(3600);
    let (_upstream, relay, client) = path(Impairment::round_trip(hour));
    client.send(b"late").unwrap();
    thread::sleep(REORDER_HOLD);
    let begun = Instant::now();
    drop(relay);
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn retry_is_told_from_other_long_headers() {
    assert!(is_retry(&[0xf5, 0, 0, 0, 1, 8]));
    for other in [
        [0xc3, 0, 0, 0, 1, 8],
        [0xe0, 0, 0, 0, 1, 8],
        [0xf5, 0, 0, 0, 0, 8],
    ] {
        assert!(!is_retry(&other), "{other:x?}");
    }
    assert!(!is_retry(&[0x7f, 0, 0]));
}

#[test]
fn way_back_alone_is_longer() {
    let more = Duration::from_millis(30);
    let (upstream, _relay, client) = path(Impairment {
        more_on_the_way_back: more,
        ..Impairment::default()
    });
    let mut buffer = [0; 16];
    client.send(b"ping").unwrap();
    let (_, from) = upstream.recv_from(&mut buffer).unwrap();
    let begun = Instant::now();
    upstream.send_to(b"pong", from).unwrap();
    received(&client);
    let back = begun.elapsed();
    assert!(back >= more, "took {back:?}");
}

#[test]
fn bottleneck_is_on_the_way_to_the_server_alone() {
    let queue = Duration::from_millis(30);
    let (upstream, _relay, client) = path(Impairment {
        bottleneck: Some(Bottleneck {
            bits_per_second: 10_000_000,
            least_queue: queue,
            most_queue: queue,
            period: PATIENCE,
        }),
        ..Impairment::default()
    });
    let mut buffer = [0; 16];
    let begun = Instant::now();
    client.send(b"ping").unwrap();
    let (_, from) = upstream.recv_from(&mut buffer).unwrap();
    let there = begun.elapsed();
    assert!(there >= queue, "took {there:?}");
    // The one that waits in the queue does not keep the other from coming back.
    client.send(b"ping").unwrap();
    upstream.send_to(b"pong", from).unwrap();
    assert_eq!(received(&client), b"pong");
}

#[test]
fn first_client_goes_on_from_another_port_and_its_answers_arrive() {
    let (upstream, relay, client) = path(Impairment {
        rebind_after: Some(2),
        ..Impairment::default()
    });
    let mut buffer = [0; 16];
    let mut ask = |client: &UdpSocket| {
        client.send(b"ping").unwrap();
        let (_, from) = upstream.recv_from(&mut buffer).unwrap();
        upstream.send_to(b"pong", from).unwrap();
        received(client);
        from.port()
    };
    let ports = [0; 4].map(|_| ask(&client));
    assert_eq!(ports[0], ports[1]);
    assert_ne!(ports[1], ports[2]);
    assert_eq!(ports[2], ports[3]);
    let counters = relay.counters();
    assert_eq!((counters.from_second_port, counters.to_second_port), (2, 2));

    let other = socket();
    other.connect(relay.address()).unwrap();
    let ports = [0; 4].map(|_| ask(&other));
    assert_eq!(ports, [ports[0]; 4], "a later client keeps its port");
}
