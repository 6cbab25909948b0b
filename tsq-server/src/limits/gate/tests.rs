use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::limits::{PerNetwork, Seed};

const LIMITS: Limits = Limits {
    connections: 40,
    per_network: PerNetwork {
        v4: 4,
        v6_64: 4,
        v6_56: 8,
        v6_48: 16,
    },
    half_open: 20,
    handshake_rate: 100,
    handshake_time: Duration::from_secs(10),
    retry: Retry::Auto,
    retry_above: 10,
    connection_rate: 5,
    ..Limits::NONE
};

/// A gate, and connection ids as an engine hands them out.
struct Fixture {
    gate: Gate,
    now: Instant,
    next: u32,
}

impl Fixture {
    fn new(limits: Limits) -> Self {
        let now = Instant::now();
        let shared = Arc::new(Shared::new(&limits, Seed::random()));
        let gate = Gate::new(&limits, 1, shared, Arc::default(), now);
        Self { gate, now, next: 0 }
    }

    fn attempt(&mut self, from: [u8; 4], validated: bool) -> Result<ConnId, Verdict> {
        let attempt = Attempt {
            remote: SocketAddr::from((from, 4444)),
            validated,
            may_retry: !validated,
        };
        match self.gate.admit(self.now, &attempt) {
            Verdict::Accept => {
                let conn = ConnId::for_tests(self.next);
                self.next += 1;
                self.gate.accepted(self.now, conn, &attempt);
                Ok(conn)
            }
            other => Err(other),
        }
    }

    /// An attempt that no limit is reached for, or the leak lets through.
    fn insist(&mut self, from: [u8; 4]) -> ConnId {
        loop {
            if let Ok(conn) = self.attempt(from, true) {
                return conn;
            }
        }
    }

    fn counts(&self) -> crate::counts::Counts {
        self.gate.counters.snapshot()
    }

    fn held(&self) -> (u32, u32) {
        (self.gate.shared.connections(), self.gate.shared.half_open())
    }
}

#[test]
fn strangers_are_asked_for_a_token_when_handshakes_pile_up() {
    let mut fixture = Fixture::new(LIMITS);
    for n in 0..10 {
        assert!(fixture.attempt([10, 0, 0, n], false).is_ok(), "{n}");
    }
    assert_eq!(fixture.attempt([10, 0, 1, 1], false), Err(Verdict::Retry));
    assert!(fixture.attempt([10, 0, 1, 1], true).is_ok());
    assert_eq!(fixture.counts().retried, 1);
}

#[test]
fn always_and_never_mean_it() {
    let always = Limits {
        retry: Retry::Always,
        ..LIMITS
    };
    let mut fixture = Fixture::new(always);
    assert_eq!(fixture.attempt([10, 0, 0, 1], false), Err(Verdict::Retry));
    assert!(fixture.attempt([10, 0, 0, 1], true).is_ok());

    let never = Limits {
        retry: Retry::Never,
        ..LIMITS
    };
    let mut fixture = Fixture::new(never);
    for n in 0..200 {
        assert_ne!(fixture.attempt([10, 0, 0, n], false), Err(Verdict::Retry));
    }
    assert_eq!(fixture.counts().retried, 0);
    assert!(fixture.counts().over_half_open > 0);
}

#[test]
fn spoofed_attempts_use_up_nobodys_share() {
    let mut fixture = Fixture::new(LIMITS);
    for _ in 0..1000 {
        let _ = fixture.attempt([192, 0, 2, 1], false);
    }
    // The victim itself comes with a token, as often as it may.
    for _ in 0..4 {
        assert!(fixture.attempt([192, 0, 2, 1], true).is_ok());
    }
    assert_eq!(fixture.counts().over_v4, 0);
}

#[test]
fn an_address_has_what_it_may_have_and_by_chance_a_little_more() {
    let mut fixture = Fixture::new(LIMITS);
    for _ in 0..4 {
        let conn = fixture.attempt([10, 0, 0, 1], true).unwrap();
        assert!(fixture.gate.connected(conn));
    }
    let attempts = 10_000;
    let mut let_in = 0;
    for _ in 0..attempts {
        match fixture.attempt([10, 0, 0, 1], true) {
            Ok(conn) => {
                let_in += 1;
                assert!(fixture.gate.connected(conn), "the leak is meant");
                fixture.gate.forgotten(conn);
            }
            Err(verdict) => assert!(matches!(verdict, Verdict::Refuse | Verdict::Ignore)),
        }
    }
    assert!((300..1000).contains(&let_in), "{let_in} of {attempts}");
    let counts = fixture.counts();
    assert_eq!(counts.leaked, let_in);
    assert_eq!(counts.leaked + counts.over_v4, attempts);
    // Others are not concerned.
    assert!(fixture.attempt([10, 0, 0, 2], true).is_ok());
}

#[test]
fn too_many_that_were_let_in_unproven_are_closed_when_they_are_proven() {
    let mut fixture = Fixture::new(LIMITS);
    let conns: Vec<_> = (0..5)
        .map(|_| fixture.attempt([10, 0, 0, 1], false).unwrap())
        .collect();
    let kept: Vec<_> = conns
        .iter()
        .map(|conn| fixture.gate.connected(*conn))
        .collect();
    assert_eq!(kept, [true, true, true, true, false]);
    assert_eq!(fixture.counts().over_v4, 1);
}

#[test]
fn the_number_of_connections_has_no_hole() {
    let mut fixture = Fixture::new(LIMITS);
    for n in 0..40 {
        let conn = fixture.insist([10, 0, n, 1]);
        assert!(fixture.gate.connected(conn));
    }
    for n in 0..1000 {
        fixture.now += Duration::from_millis(50);
        let refused = fixture.attempt([10, 1, (n % 200) as u8, 1], true);
        assert!(refused.is_err(), "{n}");
    }
    assert_eq!(fixture.held(), (40, 0));
    fixture.gate.forgotten(ConnId::for_tests(7));
    fixture.now += Duration::from_secs(1);
    assert!(fixture.attempt([10, 2, 0, 1], true).is_ok());
}

#[test]
fn handshakes_over_the_rate_are_met_with_silence() {
    let mut fixture = Fixture::new(Limits {
        half_open: 1000,
        retry_above: 1000,
        connections: 1000,
        ..LIMITS
    });
    let (mut let_in, mut silence) = (0, 0);
    for n in 0..150 {
        match fixture.attempt([10, 0, n, 1], true) {
            Ok(_) => let_in += 1,
            Err(Verdict::Ignore) => silence += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    let leaked = fixture.counts().leaked;
    assert_eq!((let_in, silence), (100 + leaked, 50 - leaked));
    // A hundredth of a second later there is one more.
    fixture.now += Duration::from_millis(10);
    assert!(fixture.attempt([10, 1, 0, 1], true).is_ok());
}

#[test]
fn slow_handshakes_end_on_time_and_not_before() {
    let mut fixture = Fixture::new(LIMITS);
    let slow = fixture.attempt([10, 0, 0, 1], true).unwrap();
    let done = fixture.attempt([10, 0, 0, 2], true).unwrap();
    assert!(fixture.gate.connected(done));
    let deadline = fixture.now + Duration::from_secs(10);
    assert_eq!(fixture.gate.next_deadline(), Some(deadline));
    let before = deadline - Duration::from_nanos(1);
    assert_eq!(fixture.gate.expire(before), None);
    assert_eq!(fixture.gate.expire(deadline), Some(slow));
    assert_eq!(fixture.gate.expire(deadline), None);
    assert_eq!(fixture.gate.next_deadline(), None);
    assert_eq!(fixture.held(), (2, 1));
    fixture.gate.forgotten(slow);
    fixture.gate.forgotten(slow);
    assert_eq!(fixture.held(), (1, 0));
}

#[test]
fn closed_connection_counts_until_nothing_is_left_of_it() {
    let mut fixture = Fixture::new(LIMITS);
    let mine: Vec<ConnId> = (0..4)
        .map(|_| fixture.attempt([10, 0, 0, 1], true).unwrap())
        .collect();
    for &conn in &mine {
        assert!(fixture.gate.connected(conn));
        fixture.gate.closed(conn);
    }
    assert_eq!(fixture.held(), (4, 0));
    assert!(
        fixture
            .gate
            .shared
            .prefixes
            .full([10, 0, 0, 1].into())
            .is_some()
    );
    // Nor is a handshake that was closed given up once more.
    let half = fixture.attempt([10, 0, 0, 2], true).unwrap();
    fixture.gate.closed(half);
    let late = fixture.now + Duration::from_secs(60);
    assert_eq!(fixture.gate.expire(late), None);
    for conn in mine {
        fixture.gate.forgotten(conn);
    }
    assert_eq!(fixture.held(), (1, 1));
    assert!(
        fixture
            .gate
            .shared
            .prefixes
            .full([10, 0, 0, 1].into())
            .is_none()
    );
}

#[test]
fn requests_have_a_burst_and_a_rate_per_connection() {
    let mut fixture = Fixture::new(LIMITS);
    let (one, other) = (fixture.insist([10, 0, 0, 1]), fixture.insist([10, 0, 0, 2]));
    let now = fixture.now;
    let answered = (0..9).filter(|_| fixture.gate.request(now, one)).count();
    assert_eq!(answered, 5);
    assert!(fixture.gate.request(now, other));
    assert!(fixture.gate.request(now + Duration::from_millis(200), one));
    assert!(!fixture.gate.request(now + Duration::from_millis(200), one));
    assert_eq!(fixture.counts().over_connection_rate, 5);
}

#[test]
fn requests_have_a_rate_in_all() {
    let mut fixture = Fixture::new(Limits {
        connection_rate: 0,
        request_rate: 3,
        ..LIMITS
    });
    let conns = [1, 2, 3, 4, 5].map(|n| fixture.insist([10, 0, 0, n]));
    let now = fixture.now;
    let answered = conns.map(|conn| fixture.gate.request(now, conn));
    assert_eq!(answered, [true, true, true, false, false]);
    assert_eq!(fixture.counts().over_request_rate, 2);
}

#[test]
fn a_shard_has_its_share_of_a_rate() {
    let shared = Arc::new(Shared::new(&LIMITS, Seed::random()));
    let now = Instant::now();
    let gate = Gate::new(&LIMITS, 4, shared, Arc::default(), now);
    assert_eq!(gate.handshakes.0, Rate::new(25, 25));
}

proptest! {
    /// Whatever comes in whatever order: the books are right, and no limit without a hole is passed.
    #[test]
    fn books_balance(steps in prop::collection::vec((0_u8..6, 0_u8..5, any::<bool>()), 1..400)) {
        let mut fixture = Fixture::new(LIMITS);
        let mut open: Vec<ConnId> = Vec::new();
        let mut half: Vec<ConnId> = Vec::new();
        for (step, n, flag) in steps {
            match step {
                0..=2 => if let Ok(conn) = fixture.attempt([10, 0, 0, n], flag) {
                    open.push(conn);
                    half.push(conn);
                },
                3 => if let Some(conn) = half.pop() {
                    let _ = fixture.gate.connected(conn);
                },
                4 => if !open.is_empty() {
                    let conn = open.swap_remove(usize::from(n) % open.len());
                    half.retain(|other| *other != conn);
                    fixture.gate.forgotten(conn);
                },
                _ => {
                    fixture.now += Duration::from_secs(u64::from(n));
                    // They count on until they are forgotten.
                    while fixture.gate.expire(fixture.now).is_some() {}
                }
            }
            prop_assert_eq!(fixture.held(), (open.len() as u32, half.len() as u32));
            prop_assert!(open.len() <= 40);
        }
        for conn in open {
            fixture.gate.forgotten(conn);
        }
        prop_assert_eq!(fixture.held(), (0, 0));
        prop_assert!((0..5).all(|n| fixture.gate.shared.prefixes.full([10, 0, 0, n].into()).is_none()));
    }
}
