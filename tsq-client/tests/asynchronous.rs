//! Sessions of async programs.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[expect(
    dead_code,
    reason = "these tests say little of what the server is to do"
)]
mod common;

use std::time::{Duration, Instant};

use common::{Before, Flights};
use tsq_client::{AsyncSession, Options, Session};

fn session(flights: &Flights) -> AsyncSession {
    let session = Session::new(vec![flights.server()], Options::default()).unwrap();
    AsyncSession::new(session).unwrap()
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[tokio::test]
async fn measurement_is_awaited_and_the_connection_kept_for_the_next() {
    let flights = Flights::start(Before::Anything);
    let session = session(&flights);
    let first = session.measure(later()).await.unwrap();
    assert_eq!(first[0].accepted().count(), 5, "{first:#?}");
    let second = session.measure(later()).await.unwrap();
    assert_eq!(second[0].accepted().count(), 5, "{second:#?}");
    assert_eq!(second[0].handshake, None);
    session.close().await;
}

#[tokio::test]
async fn cancelled_measurements_leave_the_session_as_good_as_it_was() {
    let flights = Flights::start(Before::Anything);
    let session = session(&flights);
    for _ in 0..3 {
        // Polled once, so that the thread is told, and dropped.
        tokio::select! {
            biased;
            _ = session.measure(later()) => {}
            () = std::future::ready(()) => {}
        }
    }
    let report = session.measure(later()).await.unwrap();
    assert_eq!(report[0].accepted().count(), 5, "{report:#?}");
    session.close().await;
}
