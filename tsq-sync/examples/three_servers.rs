//! Offset, bound and trust of the servers named on the command line; sets nothing.
//!
//! `cargo run -p tsq-sync --example three_servers -- time1.example time2.example time3.example`

#![forbid(unsafe_code)]

use std::error::Error;
use std::time::Duration;

use tsq_client::{Server, Target, Trust};
use tsq_sync::words::{bound_text, offset_text};
use tsq_sync::{Reason, Settings, Spelling, synchronise};

fn main() -> Result<(), Box<dyn Error>> {
    let trust = Trust::system()?;
    let servers = std::env::args()
        .skip(1)
        .map(|name| Ok(Server::new(Target::parse(&name, 443)?, trust.clone())))
        .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    let settings = Settings::to_look(servers, Duration::from_secs(3));
    let outcome = synchronise(&settings, &mut |_| {})?;
    for (source, verdict) in outcome.sources.iter().zip(&outcome.judged.verdicts) {
        println!("{}: {}", source.server, verdict.told(Spelling::PLAIN));
    }
    let combined = outcome.judged.combined.map_err(|none| none.to_string())?;
    let (offset, bound) = (offset_text(combined.offset), bound_text(combined.bound));
    let state = outcome.judged.trust.map(|trust| trust.state.name());
    println!("offset {offset} ± {bound}, trust: {}", state.unwrap_or("-"));
    Ok(())
}
