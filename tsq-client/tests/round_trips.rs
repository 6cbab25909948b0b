//! How many round trips a measurement takes, shown by a server that says nothing in between: an answer that came can only
//! be to what was asked before. No test looks at how long anything took.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::{Before, Flights};
use tsq_client::trust::Presented;
use tsq_client::{
    Handshake, MemoryStore, Options, Resumable, Server, Session, SourceReport, StoreProblem,
    Target, TicketStore, TransportChoice, Trust,
};

const BY: [TransportChoice; 3] = [
    TransportChoice::Auto,
    TransportChoice::Datagram,
    TransportChoice::Stream,
];

fn options(transport: TransportChoice) -> Options {
    Options {
        transport,
        ..Options::default()
    }
}

fn measured(session: &mut Session) -> SourceReport {
    let deadline = Instant::now() + Duration::from_secs(60);
    session.measure(deadline, &mut |_| {}).unwrap().remove(0)
}

/// One measurement over a connection of its own.
fn measure_once(server: &Server, transport: TransportChoice) -> SourceReport {
    let mut session = Session::new(vec![server.clone()], options(transport)).unwrap();
    let report = measured(&mut session);
    session.close();
    report
}

#[track_caller]
fn assert_whole(report: &SourceReport, handshake: Option<Handshake>, round_trips: u32) {
    assert_eq!(report.failure, None, "{report:#?}");
    assert_eq!(report.accepted().count(), 5, "{report:#?}");
    assert_eq!(report.handshake, handshake, "{report:#?}");
    assert_eq!(report.round_trips, round_trips, "{report:#?}");
    let presented = report.presented.as_ref();
    assert!(
        presented.is_some_and(Presented::is_pinned),
        "who it is must be known however the connection came about: {report:#?}"
    );
}

#[test]
fn first_sample_of_a_cold_run_is_there_after_two_round_trips() {
    for transport in BY {
        let flights = Flights::start(Before::OneFlight);
        let report = measure_once(&flights.server(), transport);
        assert_whole(&report, Some(Handshake::Full), 2);
    }
}

// tsq: C3
#[test]
fn later_connections_have_their_samples_after_one_round_trip() {
    for transport in BY {
        let flights = Flights::start(Before::OneFlight);
        let server = flights.server();
        measure_once(&server, transport);
        flights.set(Before::Nothing);
        // More often than the first connection gave tickets: new ones come with each.
        for _ in 0..6 {
            let report = measure_once(&server, transport);
            assert_whole(&report, Some(Handshake::Early), 1);
        }
    }
}

#[test]
fn connection_that_is_still_open_needs_one_round_trip_and_no_handshake() {
    let flights = Flights::start(Before::OneFlight);
    let mut session = Session::new(vec![flights.server()], options(TransportChoice::Auto)).unwrap();
    measured(&mut session);
    assert_whole(&measured(&mut session), None, 1);
    session.close();
}

// tsq: C3
#[test]
fn early_queries_a_server_refuses_are_asked_anew_after_the_handshake() {
    for transport in BY {
        let flights = Flights::start(Before::OneFlight);
        let server = flights.server();
        measure_once(&server, transport);
        flights.restart();
        *flights.shared.spoke.lock().unwrap() = None;
        let report = measure_once(&server, transport);
        assert_whole(&report, Some(Handshake::EarlyRefused), 2);
        assert!(report.sent > 5, "the lost ones count: {report:#?}");
        let spoke = flights.shared.spoke.lock().unwrap().unwrap();
        for answer in report.accepted() {
            assert!(
                answer.sample.t1 > spoke,
                "T1 is that of the new query: {report:#?}"
            );
        }
        // What the restarted server gave is good again.
        flights.set(Before::Nothing);
        let report = measure_once(&server, transport);
        assert_whole(&report, Some(Handshake::Early), 1);
    }
}

#[test]
fn session_connects_anew_to_a_server_that_ended_the_connection() {
    let flights = Flights::start(Before::Anything);
    let mut session = Session::new(vec![flights.server()], options(TransportChoice::Auto)).unwrap();
    assert_whole(&measured(&mut session), Some(Handshake::Full), 2);
    flights.restart();
    // It has no such connection, and says so when asked on it.
    let ended = measured(&mut session);
    if ended.failure.is_none() {
        // On a busy machine the silence before was long enough for a new connection within the measurement.
        return assert_whole(&ended, Some(Handshake::Full), ended.round_trips);
    }
    assert_whole(&measured(&mut session), Some(Handshake::EarlyRefused), 2);
    session.close();
}

#[test]
fn ticket_of_a_server_that_is_trusted_no_more_is_not_used() {
    let flights = Flights::start(Before::OneFlight);
    let server = flights.server();
    measure_once(&server, TransportChoice::Auto);
    let another = Server {
        trust: Trust::pins(vec![tsq_x509::Pin::of_public_key(b"another")]),
        ..server
    };
    let report = measure_once(&another, TransportChoice::Auto);
    assert!(
        matches!(report.failure, Some(tsq_client::Failure::Trust { .. })),
        "{report:#?}"
    );
    assert_eq!(report.accepted().count(), 0);
}

/// Keeps tickets, but not without trouble.
#[derive(Debug, Default)]
struct Trouble {
    store: MemoryStore,
    on_take: Option<StoreProblem>,
    on_keep: Option<StoreProblem>,
    asked: AtomicU32,
}

impl TicketStore for Trouble {
    fn take(&self, server: &Target) -> Result<Option<Resumable>, StoreProblem> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match &self.on_take {
            Some(problem) => Err(problem.clone()),
            None => self.store.take(server),
        }
    }

    fn keep(&self, server: &Target, resumable: Resumable) -> Result<(), StoreProblem> {
        assert!(resumable.tickets() > 0);
        match &self.on_keep {
            Some(problem) => Err(problem.clone()),
            None => self.store.keep(server, resumable),
        }
    }
}

fn words(problem: &str) -> String {
    problem.to_string()
}

#[test]
fn store_that_is_damaged_foreign_or_unreadable_costs_a_round_trip_and_is_named() {
    for problem in [
        StoreProblem::Corrupt {
            problem: words("line 3"),
        },
        StoreProblem::Foreign,
        StoreProblem::Unreadable {
            problem: words("permission denied"),
        },
    ] {
        let store = Arc::new(Trouble {
            on_take: Some(problem.clone()),
            ..Trouble::default()
        });
        let flights = Flights::start(Before::OneFlight);
        let server = flights.server().with_tickets(store.clone());
        for _ in 0..2 {
            let report = measure_once(&server, TransportChoice::Auto);
            assert_whole(&report, Some(Handshake::Full), 2);
            assert_eq!(report.store_problem, Some(problem.clone()));
        }
        assert_eq!(store.asked.load(Ordering::SeqCst), 2);
    }
}

#[test]
fn store_that_cannot_be_written_costs_the_next_run_a_round_trip_and_is_named() {
    let problem = StoreProblem::Unwritable {
        problem: words("no space left"),
    };
    let store = Arc::new(Trouble {
        on_keep: Some(problem.clone()),
        ..Trouble::default()
    });
    let flights = Flights::start(Before::OneFlight);
    let server = flights.server().with_tickets(store);
    for _ in 0..2 {
        let report = measure_once(&server, TransportChoice::Auto);
        assert_whole(&report, Some(Handshake::Full), 2);
        assert_eq!(report.store_problem, Some(problem.clone()));
    }
}

#[test]
fn store_that_mixes_servers_up_harms_nobody() {
    /// Gives everybody what was kept last.
    #[derive(Debug, Default)]
    struct Mixing(std::sync::Mutex<Option<Resumable>>);

    impl TicketStore for Mixing {
        fn take(&self, _: &Target) -> Result<Option<Resumable>, StoreProblem> {
            Ok(self.0.lock().unwrap().take())
        }

        fn keep(&self, _: &Target, resumable: Resumable) -> Result<(), StoreProblem> {
            *self.0.lock().unwrap() = Some(resumable);
            Ok(())
        }
    }

    let store = Arc::new(Mixing::default());
    let (one, two) = (
        Flights::start(Before::OneFlight),
        Flights::start(Before::OneFlight),
    );
    for flights in [&one, &two, &one] {
        let server = flights.server().with_tickets(store.clone());
        let report = measure_once(&server, TransportChoice::Auto);
        assert_whole(&report, Some(Handshake::Full), 2);
    }
}
