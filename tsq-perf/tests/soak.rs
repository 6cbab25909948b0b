//! Many connections for a while, and what can go wrong in between.
//!
//! Each test takes seconds. The long form of the first is
//!
//! ```sh
//! ulimit -n 4096
//! TSQ_SOAK_SECONDS=300 TSQ_SOAK_IDLE=10000 TSQ_SOAK_BUSY=200 TSQ_SOAK_OFFSET_US=1 \
//!     cargo nextest run --release -p tsq-perf --test soak --no-capture memory_stays_flat
//! ```
//!
//! with the bound on the 99th percentile of |offset|, corrected by follow-ups, only where `TSQ_SOAK_OFFSET_US` names it: it says
//! something of a quiet machine and nothing of a loaded one.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde_json::Value;
use tsq_client::Trust;
use tsq_interop::{Impairment, Relay, Server, faketime_by, run};
use tsq_perf::{Ask, Believed, Crowd, Pace, Schedule, Tally};

#[test]
fn memory_stays_flat_under_idle_and_busy_connections() {
    let [seconds, idle, busy] = [
        ("TSQ_SOAK_SECONDS", 3),
        ("TSQ_SOAK_IDLE", 300),
        ("TSQ_SOAK_BUSY", 40),
    ]
    .map(|(name, usual)| option(name).unwrap_or(usual));
    // All come from one address: more than a thousand a server open to the world does not let in.
    let many = (idle + busy + 100).to_string();
    let server = match idle + busy {
        ..900 => Server::start(&[]),
        _ => Server::start(&["--max-connections-per-ipv4", &many]),
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsq-perf"));
    command
        // Less than a client's connection lives in silence: while one lost request is waited for, the others are silent.
        .args(["--json", "--timeout", "8000", "--pin", server.pin()])
        .arg("--follow-up")
        .args(["--idle", &idle.to_string(), "-c", &busy.to_string()])
        .args(["-d", &seconds.to_string()])
        // One turn of the idle ones, in which the server's buffers grow to what they will be.
        .args(["--warm-up", if seconds > 30 { "10" } else { "1" }])
        .arg(server.address().to_string());
    let limit = Duration::from_secs(u64::from(seconds) + 120);
    let outcome = run(command, limit);
    println!("{}", outcome.stdout);
    let json: Value = serde_json::from_str(&outcome.stdout).expect(&outcome.stderr);
    let busy = &json["results"][0];
    for result in [busy, &json["idle"]] {
        assert!(result["answered"].as_u64() > Some(0), "{result:#}");
        // In five minutes a busy machine overflows a socket's buffer now and then, and a datagram is not sent again.
        let count = |name: &str| result[name].as_u64().expect(name);
        let lost = count("sent") - count("answered");
        assert!(lost <= count("sent") / 100_000, "{result:#}");
        assert_eq!(result["closed"], serde_json::json!({}), "{result:#}");
    }
    let kib = |name: &str| busy["server"][name].as_u64().expect(name);
    let (before, after) = (kib("resident_kib_before"), kib("resident_kib_after"));
    assert!(
        after <= before + before / 10 + 2048,
        "{before} KiB became {after}"
    );
    assert_eq!(busy["offset_us"]["stamps"], "kernel+follow-up");
    let micros = |name: &str| busy["offset_us"][name].as_f64().expect(name);
    assert!(micros("median").abs() <= micros("bound_max"), "{busy:#}");
    if let Some(most) = option("TSQ_SOAK_OFFSET_US") {
        assert!(micros("p99_size") <= most.into(), "{busy:#}");
    }
}

fn option(name: &str) -> Option<u32> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

#[test]
fn spoiled_packets_cost_themselves_and_nothing_else() {
    let server = Server::start(&[]);
    let spoiling = Impairment {
        corrupt_percent: 10.0,
        seed: 1,
        ..Impairment::default()
    };
    let relay = Relay::start(server.address(), spoiling).unwrap();
    let mut crowd = connect(relay.address(), server.pin(), 20);
    let (mut pace, stop) = (
        Pace::Open(Schedule::new(Instant::now(), 3000.0, false)),
        AtomicBool::new(false),
    );
    // Until enough were spoiled to have met every part of a packet.
    until(|| {
        let end = Instant::now() + Duration::from_millis(100);
        crowd.run(&mut pace, end, &stop).expect("connections live");
        relay.counters().corrupted >= 2000
    });
    crowd.finish().expect("connections live");
    let total = crowd.take_tally();
    assert!(total.answered > 0);
    assert!(total.refused.is_empty(), "{:?}", total.refused);
    assert!(total.closed.is_empty(), "{:?}", total.closed);
    assert!(total.lost > 0, "what was spoiled did not arrive");
    // Handshakes come through the same: QUIC repeats what is spoiled.
    assert_eq!(connect(relay.address(), server.pin(), 10).alive(), 10);
    // Whoever is not spoiled is served as before.
    let tally = ask_for(
        &mut connect(server.address(), server.pin(), 5),
        Duration::from_millis(200),
    );
    assert_eq!((tally.answered, tally.lost), (tally.sent, 0));
    assert!(server.terminate().success());
}

#[test]
fn clock_stepped_under_load_is_told_at_once_and_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shift");
    fs::write(&file, "+0s").unwrap();
    // Its sandbox would not let faketime read the file.
    let server = Server::start_prepared(&["--no-sandbox"], |command| faketime_by(command, &file));
    let mut crowd = connect(server.address(), server.pin(), 20);
    let tally = ask_for(&mut crowd, Duration::from_millis(300));
    assert!(tally.offsets.median().abs() < 1e6, "{}", tally.json());

    let (mut total, mut median) = (Tally::default(), 0.0);
    fs::write(&file, "+5s").unwrap();
    until(|| {
        let tally = ask_for(&mut crowd, Duration::from_millis(200));
        median = tally.offsets.median();
        total.merge(&tally);
        median > 4e6
    });
    assert!((4.9e6..5.1e6).contains(&median), "{median} us");
    fs::write(&file, "-5s").unwrap();
    until(|| {
        let tally = ask_for(&mut crowd, Duration::from_millis(200));
        median = tally.offsets.median();
        total.merge(&tally);
        median < -4e6
    });
    // A request that was there when the clock jumped has T2 by the one and T3 by the other: no client takes that.
    let known = ["delay_not_positive", "send_before_receive"];
    assert!(
        total.refused.keys().all(|name| known.contains(name)),
        "{:?}",
        total.refused
    );
    assert!(total.closed.is_empty(), "{:?}", total.closed);
    assert_eq!(crowd.alive(), 20);
    assert!(server.terminate().success());
}

/// Tries until it is true.
#[track_caller]
fn until(mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never was");
    }
}

fn connect(address: SocketAddr, pin: &str, count: usize) -> Crowd {
    let trust = Trust::pins(vec![pin.parse().expect("a pin")]);
    let believed = Believed::new(&trust, "server").expect("trust without roots");
    let ask = Ask {
        patience: Duration::from_secs(2),
        ..Ask::default()
    };
    let crowd = Crowd::connect(address, &believed, count, ask, &AtomicBool::new(false));
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
