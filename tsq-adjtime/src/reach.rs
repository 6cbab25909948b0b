//! Which servers to ask and how to know them, for the commands that set no clock.

use std::path::PathBuf;

use clap::Parser;
use tsq_certs::Pin;

use crate::args::{Args, BootstrapArg};
use crate::outcome::Outcome;
use crate::run::{View, synchronise};
use crate::settings::{Settings, Unusable};

/// How to reach servers and know them: the options of the main command that these commands share.
#[derive(Clone, Debug, clap::Args)]
pub struct Reach {
    /// UDP port of servers that name none
    #[arg(long, default_value_t = 443, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,

    /// Trust the certificates in this PEM file instead of the system's roots
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Trust this public key: SHA-256 of the SubjectPublicKeyInfo, 64 hex digits; repeatable
    #[arg(long, value_name = "SHA256")]
    pub pin: Vec<Pin>,

    /// Name the certificates must carry, instead of the server's own
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,

    /// Whether the dates of certificates may wait until enough servers agree on the time
    #[arg(long, value_enum, default_value = "auto")]
    pub bootstrap: BootstrapArg,

    /// Believe dates that waited once this many servers with different public keys agree
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..))]
    pub bootstrap_servers: u8,
}

impl Reach {
    /// A measurement of these servers that sets nothing; past the usual limit it says so.
    ///
    /// # Errors
    /// [`Unusable`]: a bad server, an unreadable CA file, or no roots.
    pub fn settings(&self, servers: &[String], timeout_ms: f64) -> Result<Settings, Unusable> {
        // What is asked about is TSQ: an answer by another protocol would hide why it fails.
        let plain = ["tsq-adjtime", "--dry-run", "--fallback=none", "-"];
        let args = Args::try_parse_from(plain).expect("these words are right");
        Settings::resolve(&Args {
            servers: servers.to_vec(),
            port: self.port,
            ca: self.ca.clone(),
            pin: self.pin.clone(),
            server_name: self.server_name.clone(),
            bootstrap: self.bootstrap,
            bootstrap_servers: self.bootstrap_servers,
            timeout: timeout_ms,
            ..args
        })
    }

    /// Measures them once.
    ///
    /// # Errors
    /// [`Unusable`]: as [`Self::settings`], or the system fails us.
    pub fn measure(&self, servers: &[String], timeout_ms: f64) -> Result<Outcome, Unusable> {
        let view = View {
            json: true,
            verbose: false,
        };
        synchronise(&self.settings(servers, timeout_ms)?, view)
    }
}

/// A time with its unit, as `10ms`, `30s`, `2min`; in milliseconds. Without a unit it is
/// milliseconds.
pub fn time_ms(text: &str) -> Result<f64, String> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "us" => 0.001,
        "" | "ms" => 1.0,
        "s" => 1e3,
        "min" => 60e3,
        unit => return Err(format!("\"{unit}\" is none of us, ms, s and min")),
    };
    match digits.parse::<f64>().map(|value| value * factor) {
        Ok(value) if (0.0..=MAX_MS).contains(&value) => Ok(value),
        _ => Err("not a time such as 10ms, 30s or 2min, of a day at most".into()),
    }
}

/// As [`time_ms`], long enough for a measurement.
pub fn measuring_ms(text: &str) -> Result<f64, String> {
    match time_ms(text)? {
        ms if ms >= 1.0 => Ok(ms),
        _ => Err("less than 1ms".into()),
    }
}

const MAX_MS: f64 = 86_400_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        for (text, ms) in [
            ("10ms", 10.0),
            ("250", 250.0),
            ("500us", 0.5),
            ("1.5s", 1500.0),
            ("2min", 120_000.0),
        ] {
            assert_eq!(time_ms(text), Ok(ms), "{text}");
        }
        for text in [
            "", "ms", "-1s", "10 ms", "1h", "NaN", "inf", "1e9s", "25000min",
        ] {
            assert!(time_ms(text).is_err(), "{text}");
        }
        assert_eq!(measuring_ms("1ms"), Ok(1.0));
        assert!(measuring_ms("999us").is_err());
    }

    #[test]
    fn words_of_the_plain_measurement_are_right_and_set_nothing() {
        let reach = Reach {
            port: 444,
            ca: None,
            pin: vec![Pin::of_public_key(b"")],
            server_name: None,
            bootstrap: BootstrapArg::Never,
            bootstrap_servers: 4,
        };
        let settings = reach.settings(&["a".into()], 700.0).unwrap();
        assert!(settings.dry_run);
        assert_eq!(settings.servers[0].target.port, 444);
        assert_eq!(settings.timeout.as_millis(), 700);
    }
}
