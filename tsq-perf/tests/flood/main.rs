//! What strangers can do to a server that is open to all, and what its clients notice of it: nothing.
//!
//! Each test takes seconds. The long form of the first is
//!
//! ```sh
//! TSQ_FLOOD_SOURCES=50000 TSQ_FLOOD_RATE=10000 \
//!     cargo nextest run --release -p tsq-perf --test flood --no-capture spoofed_handshakes
//! ```
//!
//! Honest clients ask on streams here: QUIC repeats what the socket's full buffer lost, so that each question
//! that stays open is the server's fault, however busy the machine is.

mod common;
mod limits;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Caller, LIMIT, believed, initials, is_retry, option, send_from, until};
use tsq_interop::{Adjtime, Server};
use tsq_net::Event;
use tsq_perf::{Ask, Crowd, Pace, Schedule, Tally, Transport};
use tsq_proto::{Nonce, Request};

const METRICS: &[&str] = &["--metrics", "127.0.0.1:0"];

#[test]
fn honest_clients_keep_all_answers_in_a_flood_of_spoofed_handshakes() {
    let sources = option("TSQ_FLOOD_SOURCES", 6000);
    let rate = option("TSQ_FLOOD_RATE", 3000);
    let server = Server::start(METRICS);
    let packets = initials(&server, 500);
    let mut early = connect(&server, 50);
    let before = server.metric("process_resident_memory_bytes");
    let sent = AtomicU32::new(0);
    let flood = || {
        let mut schedule = Schedule::new(Instant::now(), rate.into(), false);
        for source in 0..sources {
            thread::sleep(schedule.next().saturating_duration_since(Instant::now()));
            schedule.take(Instant::now());
            let packet = &packets[source as usize % packets.len()];
            send_from(source, server.address(), packet);
            sent.store(source + 1, Ordering::Relaxed);
        }
    };
    let (known, new) = thread::scope(|scope| {
        scope.spawn(flood);
        // So many that were never heard of again have begun that strangers must prove themselves.
        until(|| server.metric("tsq_half_open_connections") >= 200.0);
        let mut late = connect(&server, 50);
        let (mut known, mut new) = (Tally::default(), Tally::default());
        loop {
            let over = sent.load(Ordering::Relaxed) == sources;
            known.merge(&ask_for(&mut early, Duration::from_millis(200)));
            new.merge(&ask_for(&mut late, Duration::from_millis(200)));
            if over {
                break (known, new);
            }
        }
    });
    for tally in [known, new] {
        println!("{}", tally.json());
        assert!(tally.sent > 0);
        assert_all_answered(&tally);
    }
    let retried = server.metric("tsq_retries_total");
    let held = server.metric("tsq_connections");
    let after = server.metric("process_resident_memory_bytes");
    println!(
        "{sources} sources: {retried} asked for a token, {held} connections, {before} B became {after} B"
    );
    assert!(retried > 0.0);
    assert!(held <= 100.0 + 1000.0, "{held}");
    assert!(after < before + 100e6, "{before} B became {after} B");
    assert!(server.terminate().success());
}

#[test]
fn handshakes_held_open_by_strangers_keep_nobody_out() {
    let forever = ["--handshake-timeout", "600", "--idle-timeout", "600"];
    let server = Server::start(&[METRICS, &["--retry-above", "10"], &forever].concat());
    let mut stranger = Caller::new(&server, Ipv4Addr::new(127, 9, 9, 9));
    for _ in 0..100 {
        stranger.begin();
    }
    // It sends, and does not want to know what comes back.
    until(|| {
        stranger.turn(|_| false);
        server.metric("tsq_half_open_connections") >= 10.0
            && server.metric("tsq_retries_total") > 0.0
    });
    let mut crowd = connect(&server, 20);
    assert_all_answered(&ask_for(&mut crowd, Duration::from_millis(200)));
    // Two threads that look at once may both see room for one more.
    let held = server.metric("tsq_half_open_connections");
    assert!((10.0..=12.0).contains(&held), "{held}");
    let refused = server.metric(r#"tsq_over_limit_total{limit="max-handshakes"}"#);
    assert_eq!(refused, 0.0);
}

#[test]
fn handshakes_held_open_by_proven_clients_are_given_up_in_time() {
    let limits = [
        "--retry",
        "always",
        "--max-handshakes",
        "20",
        "--handshake-timeout",
        "2",
    ];
    let server = Server::start(&[METRICS, &limits].concat());
    let mut crowd = connect(&server, 5);
    let mut slow = Caller::new(&server, Ipv4Addr::new(127, 9, 9, 9));
    for _ in 0..20 {
        slow.begin();
    }
    // It proves that it reads at its address, and goes no further.
    let given_up = r#"tsq_over_limit_total{limit="handshake-timeout"}"#;
    until(|| {
        slow.turn(is_retry);
        server.metric(given_up) >= 20.0
    });
    assert_all_answered(&ask_for(&mut crowd, Duration::from_millis(200)));
    until(|| server.metric("tsq_half_open_connections") == 0.0);
    assert!(
        Caller::new(&server, Ipv4Addr::LOCALHOST)
            .connect()
            .is_some()
    );
}

#[test]
fn malformed_initials_never_stop_the_service() {
    let server = Server::start(METRICS);
    let mut crowd = connect(&server, 20);
    let good = initials(&server, 1).remove(0);
    let mut source = 0;
    let mut send = |packet: &[u8]| {
        source += 1;
        send_from(source, server.address(), packet);
    };
    let mut total = Tally::default();
    for round in 0..20_usize {
        // Each byte of the header and many of the rest is spoiled once; the whole ends everywhere.
        for at in (0..64).chain((64 + round..good.len()).step_by(37)) {
            let mut spoiled = good.clone();
            spoiled[at] ^= 1 << (round % 8);
            send(&spoiled);
        }
        for length in (round..good.len()).step_by(61) {
            send(&good[..length]);
        }
        // Lengths that promise more than there is, tokens of nobody's, versions of the future.
        for (at, bytes) in [
            (1, [0xff; 4]),
            (5, [0xff; 4]),
            (6, [21; 4]),
            (15, [0x7f; 4]),
        ] {
            let mut spoiled = good.clone();
            spoiled[at..at + 4].copy_from_slice(&bytes);
            send(&spoiled);
        }
        send(&[good.clone(), good.clone()].concat());
        total.merge(&ask_for(&mut crowd, Duration::from_millis(50)));
    }
    assert!(total.sent > 0);
    assert_all_answered(&total);
    assert_eq!(connect(&server, 20).alive(), 20);
    assert!(server.terminate().success());
}

#[test]
fn full_network_is_refused_but_for_chance_and_others_are_not() {
    let limits = ["--retry", "always", "--max-connections-per-ipv4", "5"];
    let server = Server::start(&[METRICS, &limits].concat());
    let (mut full, mut other) = (
        Caller::new(&server, Ipv4Addr::new(127, 9, 9, 9)),
        Caller::new(&server, Ipv4Addr::new(127, 9, 9, 10)),
    );
    for n in 0..5 {
        assert!(full.connect().is_some(), "{n}");
    }
    let (mut refused, mut leaked) = (0.0, 0.0);
    until(|| {
        match full.connect() {
            Some(_) => leaked += 1.0,
            None => refused += 1.0,
        }
        leaked > 0.0 && refused > 0.0
    });
    for n in 0..5 {
        assert!(other.connect().is_some(), "{n}");
    }
    // An attempt that QUIC repeats is counted each time.
    let over = server.metric(r#"tsq_over_limit_total{limit="max-connections-per-ipv4"}"#);
    assert!(over >= refused, "{over} of {refused}");
    assert!(server.metric("tsq_leaked_total") >= leaked);
}

#[test]
fn every_client_proves_its_address_where_retry_is_always_asked_for() {
    let server = Server::start(&[METRICS, &["--retry", "always"]].concat());
    let address = server.address().to_string();
    let report = Adjtime::dry_run(&["--pin", server.pin(), &address]);
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");
    assert!(server.metric("tsq_retries_total") >= 1.0);
    assert_eq!(connect(&server, 20).alive(), 20);
}

#[test]
fn burst_of_a_thousand_requests_is_answered_and_ends_nothing() {
    let server = Server::start(METRICS);
    let mut caller = Caller::new(&server, Ipv4Addr::LOCALHOST);
    let (sent, answered) = burst(&mut caller);
    assert_eq!(sent, 1000);
    // The rest, if any, was lost on the way.
    let got = |outcome: &str| {
        server.metric(&format!(
            r#"tsq_requests_total{{transport="datagram",outcome="{outcome}"}}"#
        ))
    };
    assert!(f64::from(answered) <= got("answered"));
    assert_eq!((got("dropped"), got("refused")), (0.0, 0.0));
}

#[test]
fn requests_over_the_rate_are_dropped_and_the_connection_lives() {
    let limits = ["--max-requests-per-connection", "50"];
    let server = Server::start(&[METRICS, &limits].concat());
    let mut caller = Caller::new(&server, Ipv4Addr::LOCALHOST);
    let (_, answered) = burst(&mut caller);
    assert!(answered >= 50, "{answered}");
    let dropped = server.metric(r#"tsq_over_limit_total{limit="max-requests-per-connection"}"#);
    let counted = server.metric(r#"tsq_requests_total{transport="datagram",outcome="dropped"}"#);
    assert!(dropped > 0.0);
    // More were perhaps on their way when the first was read.
    assert!(counted >= dropped, "{counted} of {dropped}");
}

/// Asks a thousand times at once on a new connection, then until one more is answered: how many of the
/// thousand were sent, and how many answers came in all.
fn burst(caller: &mut Caller) -> (u32, u32) {
    let conn = caller.connect().expect("the server has room");
    let (mut sent, mut answered, mut asked) = (0, 0, 0_u128);
    let mut last = None;
    until(|| {
        // No more than QUIC takes: it drops the oldest of too many.
        while sent < 1000 && !caller.engine.has_unsent_datagrams(conn) {
            asked += 1;
            let request = request(asked);
            caller.engine.send_datagram(conn, &request).expect("alive");
            caller.send();
            sent += 1;
        }
        if sent == 1000 {
            asked += 1;
            let request = request(asked);
            last.get_or_insert_with(|| request.clone());
            caller.engine.send_datagram(conn, &request).expect("alive");
        }
        caller.turn(|_| true);
        let mut after = false;
        while let Some(event) = caller.engine.poll_event() {
            match event {
                Event::Datagram { data, .. } => {
                    answered += 1;
                    // Nonces are counted: one asked after the thousand is greater.
                    after |= last.as_ref().is_some_and(|last| data[2..18] >= last[2..18]);
                }
                Event::Closed { reason, .. } => panic!("{reason:?}"),
                _ => {}
            }
        }
        after
    });
    (sent, answered)
}

fn request(number: u128) -> Vec<u8> {
    let mut buffer = [0; 64];
    let request = Request::new(Nonce::new(number.to_be_bytes()));
    let length = request.encode(&mut buffer).expect("a request fits");
    buffer[..length].to_vec()
}

fn connect(server: &Server, count: usize) -> Crowd {
    let ask = Ask {
        transport: Transport::Stream,
        patience: LIMIT,
        ..Ask::default()
    };
    let stop = AtomicBool::new(false);
    let crowd = Crowd::connect(server.address(), &believed(server), count, ask, &stop);
    let crowd = crowd.expect("connected");
    assert!(crowd.connections().complete(), "{:?}", crowd.connections());
    crowd
}

fn ask_for(crowd: &mut Crowd, duration: Duration) -> Tally {
    let (mut pace, stop) = (Pace::Closed(20), AtomicBool::new(false));
    crowd
        .run(&mut pace, Instant::now() + duration, &stop)
        .and_then(|()| crowd.finish())
        .expect("the connections live");
    crowd.take_tally()
}

#[track_caller]
fn assert_all_answered(tally: &Tally) {
    assert_eq!(tally.answered, tally.sent, "{:#}", tally.json());
    assert!(tally.closed.is_empty(), "{:#}", tally.json());
}
