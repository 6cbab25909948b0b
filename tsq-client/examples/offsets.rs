//! What some servers think of this host's clock; it is not set.
//!
//! `cargo run -p tsq-client --example offsets -- [PIN] HOST[:PORT]...`; without a pin the system's roots decide.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use tsq_client::{Options, Pin, Server, Session, Target, Trust};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    let pin = arguments.next_if(|first| first.parse::<Pin>().is_ok());
    let trust = match pin {
        Some(pin) => Trust::pins(vec![pin.parse()?]),
        None => Trust::system()?,
    };
    let servers = arguments
        .map(|host| Ok(Server::new(Target::parse(&host, 443)?, trust.clone())))
        .collect::<Result<Vec<_>, tsq_client::BadTarget>>()?;

    let mut session = Session::new(servers, Options::default())?;
    let deadline = Instant::now() + Duration::from_secs(3);
    for source in session.measure(deadline, &mut |_| {})? {
        // If the server is right, the true offset lies within half the delay of the one measured.
        let samples = source.accepted().map(|answer| answer.sample);
        match (samples.min_by_key(|sample| sample.delay), &source.failure) {
            (Some(best), _) => {
                println!("{}: {} ± {:?}", source.server, best.offset, best.delay / 2);
            }
            (None, Some(failure)) => println!("{}: {failure}", source.server),
            (None, None) => println!("{}: no samples", source.server),
        }
    }
    session.close();
    Ok(())
}
