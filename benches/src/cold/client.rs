//! The programs, their command lines, and what a complete answer of each looks like.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tsq_interop::{Outcome, Server, bin, run};

use crate::args::ColdOptions;
use crate::ntp::{self, find};
use crate::{Error, Quantiles};
use tsq_perf::Transport;

/// A program with its arguments.
pub(super) struct Client {
    pub(super) name: String,
    /// Slow programs are run less often.
    most_runs: usize,
    program: PathBuf,
    args: Vec<String>,
    is_complete: fn(&Outcome) -> bool,
}

impl Client {
    /// `tsq-adjtime` with its defaults, which are five queries.
    pub(super) fn tsq(transport: Transport, ends: [SocketAddr; 2], servers: &[Server; 2]) -> Self {
        let mut args: Vec<String> = ["--dry-run", "--json", "--queries", "5", "--transport"]
            .map(String::from)
            .into();
        args.push(transport.name().into());
        for server in servers {
            args.extend(["--pin".into(), server.pin().into()]);
        }
        args.extend(ends.map(|end| end.to_string()));
        Self {
            name: format!("tsq-adjtime, {}", transport.names()),
            most_runs: usize::MAX,
            program: bin("tsq-adjtime"),
            args,
            is_complete: all_samples_answered,
        }
    }

    /// How often to run it.
    pub(super) fn runs(&self, options: &ColdOptions) -> usize {
        usize::from(options.runs).min(self.most_runs)
    }

    /// Milliseconds of each of `runs` runs.
    ///
    /// # Errors
    /// A run gave no complete answer: its time would mean nothing.
    pub(super) fn times(&self, runs: usize) -> Result<Quantiles, Error> {
        let mut times = Vec::new();
        for _ in 0..runs {
            let mut command = Command::new(&self.program);
            command.args(&self.args);
            let outcome = run(command, RUN_LIMIT);
            if !(self.is_complete)(&outcome) {
                return Err(format!("{}: no complete answer: {outcome:#?}", self.name).into());
            }
            times.push(outcome.elapsed.as_secs_f64() * 1000.0);
        }
        Quantiles::of(times).ok_or_else(|| "no runs".into())
    }
}

const RUN_LIMIT: Duration = Duration::from_secs(30);

fn all_samples_answered(outcome: &Outcome) -> bool {
    let json = outcome.json();
    let sources = json["sources"].as_array().map_or(&[][..], Vec::as_slice);
    outcome.code == Some(0)
        && json["dry_run"] == true
        && sources.len() == 2
        && sources
            .iter()
            .all(|source| source["answered"] == 5 && source["offset_ns"].is_i64())
}

/// The NTP programs that are installed. None of these command lines sets the clock: ntpdig does with
/// `-s` or `-S` only, chronyd never with `-Q`. `folder` is for their files, `ca` the certificate file that
/// the NTS servers are trusted by.
pub(super) fn peers(ends: [SocketAddr; 2], folder: &Path, ca: &str) -> Result<Vec<Client>, Error> {
    let ntpdig = find("ntpdig").map_or_else(Vec::new, |program| ntpdig(&program, ends));
    Ok(ntpdig
        .into_iter()
        .chain(chronyd(&ntp::chronyd()?, ends, folder, ca))
        .collect())
}

fn ntpdig(program: &Path, ends: [SocketAddr; 2]) -> Vec<Client> {
    let client = |(samples, name): (&str, &str)| {
        let mut args: Vec<String> = ["-p", samples].map(String::from).into();
        args.extend(ends.map(|end| end.ip().to_string()));
        Client {
            name: name.into(),
            most_runs: usize::MAX,
            program: program.to_path_buf(),
            args,
            is_complete: |outcome| outcome.code == Some(0) && !outcome.stdout.is_empty(),
        }
    };
    [("1", "ntpdig, 1 sample"), ("5", "ntpdig, 5 samples")]
        .map(client)
        .into()
}

fn chronyd(program: &Path, ends: [SocketAddr; 2], folder: &Path, ca: &str) -> Vec<Client> {
    let client = |(name, options, most_runs): (&str, &str, usize)| {
        let mut args: Vec<String> = ["-Q", "-x", "-u", "root"].map(String::from).into();
        args.extend(ends.map(|end| format!("server {} port {} {options}", end.ip(), end.port())));
        args.extend(["cmdport 0", "bindcmdaddress /"].map(String::from));
        args.push(format!("ntstrustedcerts {ca}"));
        args.push(format!("pidfile {}", folder.join("pid").display()));
        Client {
            name: name.into(),
            most_runs,
            program: program.to_path_buf(),
            args,
            is_complete: |outcome| {
                outcome.code == Some(0) && outcome.stderr.contains("System clock wrong by")
            },
        }
    };
    let least = "iburst minpoll -6 maxpoll -6";
    [
        ("chronyd -Q, iburst", "iburst", 3),
        ("chronyd -Q, iburst, least interval", least, 10),
        ("chronyd -Q, NTS, iburst", "nts iburst", 3),
        (
            "chronyd -Q, NTS, iburst, least interval",
            "nts iburst minpoll -6 maxpoll -6",
            10,
        ),
    ]
    .map(client)
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(answered: [u8; 2]) -> Outcome {
        let source = |n: u8| format!(r#"{{"answered":{n},"offset_ns":-12}}"#);
        let sources = answered.map(source).join(",");
        Outcome {
            code: Some(0),
            stdout: format!(r#"{{"dry_run":true,"sources":[{sources}]}}"#),
            stderr: String::new(),
            elapsed: Duration::ZERO,
        }
    }

    #[test]
    fn a_run_counts_only_with_all_samples_of_both_servers() {
        assert!(all_samples_answered(&outcome([5, 5])));
        assert!(!all_samples_answered(&outcome([5, 4])));
        let failed = Outcome {
            code: Some(4),
            ..outcome([5, 5])
        };
        assert!(!all_samples_answered(&failed));
    }

    #[test]
    fn no_peer_is_told_to_set_the_clock() {
        let ends = ["127.0.0.1:1", "127.0.0.2:2"].map(|end| end.parse().unwrap());
        for peer in ntpdig(Path::new("ntpdig"), ends) {
            let sets = |arg: &String| arg == "-s" || arg == "-S";
            assert!(!peer.args.iter().any(sets), "{}", peer.name);
        }
        for peer in chronyd(
            Path::new("chronyd"),
            ends,
            Path::new("/nowhere"),
            "/nowhere/ca.pem",
        ) {
            let has = |flag: &str| peer.args.iter().any(|arg| arg == flag);
            assert!(has("-Q") && has("-x") && !has("-q"), "{}", peer.name);
        }
    }
}
