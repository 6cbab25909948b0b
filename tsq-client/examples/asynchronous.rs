//! As `offsets`, from an async program: `cargo run -p tsq-client --example asynchronous -- HOST[:PORT]...`

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use tsq_client::{AsyncSession, Options, Server, Session, Target, Trust};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let trust = Trust::system()?;
    let servers = std::env::args()
        .skip(1)
        .map(|host| Ok(Server::new(Target::parse(&host, 443)?, trust.clone())))
        .collect::<Result<Vec<_>, tsq_client::BadTarget>>()?;

    let session = AsyncSession::new(Session::new(servers, Options::default())?)?;
    let deadline = Instant::now() + Duration::from_secs(3);
    for source in session.measure(deadline).await? {
        let samples = source.accepted().map(|answer| answer.sample);
        match samples.min_by_key(|sample| sample.delay) {
            Some(best) => println!("{}: {} ± {:?}", source.server, best.offset, best.delay / 2),
            None => println!("{}: {:?}", source.server, source.failure),
        }
    }
    session.close().await;
    Ok(())
}
