//! Each server: what became of it, and what to do about it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tsq_algo::SourceEstimate;
use tsq_client::{Attempt, Failure, Protocol, SourceReport};

use super::{Finding, Level, advice};
use crate::outcome::Outcome;
use crate::verdict::Verdict;
use crate::words::{bound_text, offset_text};

pub(super) fn findings(outcome: &Outcome) -> Vec<Finding> {
    let mut found: Vec<Finding> = (0..outcome.sources.len())
        .flat_map(|index| {
            let rungs = rungs(&outcome.sources[index]);
            [one(outcome, index)].into_iter().chain(rungs)
        })
        .collect();
    if let Err(problem) = &outcome.judged.combined {
        let text = match offsets(outcome).as_str() {
            "" => problem.to_string(),
            offsets => format!("{problem} ({offsets})"),
        };
        found.push(Finding::problem(
            "servers",
            "no_result",
            text,
            advice::of_no_result(problem),
        ));
    }
    found
}

fn one(outcome: &Outcome, index: usize) -> Finding {
    let source = &outcome.sources[index];
    let server = source.server.as_str();
    let verdict = &outcome.judged.verdicts[index];
    let own = outcome.judged.estimates[index].map(own_offset);
    let with_own = |text: String| match &own {
        Some(own) => format!("{text}; {own}"),
        None => text,
    };
    match verdict {
        Verdict::Failed(failure) => failed(server, failure),
        Verdict::Duplicate { .. } => Finding::note(
            server,
            verdict.name(),
            with_own(verdict.to_string()),
            "nothing, or name another server in its place: one server has one vote",
        ),
        Verdict::Judged(judged) if judged.agrees() => {
            let by = match source.protocol {
                Protocol::Tsq => "",
                Protocol::Nts => " by NTS",
                Protocol::Ntp => " by NTP, which nothing authenticates",
            };
            Finding::ok(server, verdict.name(), with_own(format!("answers{by}")))
        }
        Verdict::Judged(judged) => Finding::problem(
            server,
            verdict.name(),
            with_own(verdict.to_string()),
            advice::of_verdict(judged),
        ),
    }
}

fn own_offset(estimate: SourceEstimate) -> String {
    format!(
        "the clock's offset from it is {} ± {}",
        offset_text(estimate.offset),
        bound_text(estimate.bound)
    )
}

/// Each server's own offset, where there are several to compare.
fn offsets(outcome: &Outcome) -> String {
    let estimates = outcome.sources.iter().zip(&outcome.judged.estimates);
    let own: Vec<String> = estimates
        .filter_map(|(source, estimate)| {
            let estimate = (*estimate)?;
            let (offset, bound) = (offset_text(estimate.offset), bound_text(estimate.bound));
            Some(format!("{}: {offset} ± {bound}", source.server))
        })
        .collect();
    if own.len() < 2 {
        return String::new();
    }
    own.join(", ")
}

/// What was tried besides: that TSQ failed is no problem where another protocol answers, and a refused certificate is
/// one even where nobody does.
fn rungs(source: &SourceReport) -> impl Iterator<Item = Finding> {
    let found = |attempt: &Attempt| {
        let finding = failed(&source.server, attempt.failure.as_ref()?);
        let level = if attempt.is_refused() {
            Level::Problem
        } else {
            Level::Note
        };
        Some(Finding {
            level,
            text: format!("by {}: {}", attempt.protocol, finding.text),
            ..finding
        })
    };
    source.attempts.iter().filter_map(found)
}

fn failed(server: &str, failure: &Failure) -> Finding {
    if let Failure::Silent {
        address,
        unsent: None,
        ..
    } = failure
    {
        return silent(server, *address, tcp(*address));
    }
    let advice = advice::of_failure(failure);
    Finding::problem(server, failure.name(), failure.to_string(), advice)
}

/// What a connection by TCP to the same port came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tcp {
    Open,
    Refused,
    Silent,
}

fn tcp(address: SocketAddr) -> Tcp {
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(_) => Tcp::Open,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Tcp::Refused,
        Err(_) => Tcp::Silent,
    }
}

fn silent(server: &str, address: SocketAddr, tcp: Tcp) -> Finding {
    let (port, host) = (address.port(), address.ip());
    match tcp {
        Tcp::Open => Finding::problem(
            server,
            "udp_blocked",
            format!(
                "{host} does not answer at UDP {port}, and TCP {port} is open: QUIC is blocked, by a firewall or by a network that wants a login first"
            ),
            format!(
                "log in where the network asks for it; let UDP {port} out in the firewall, or use a server on a port that it lets through (HOST:PORT)"
            ),
        ),
        Tcp::Refused => Finding::problem(
            server,
            "udp_silent_host_up",
            format!(
                "{host} is up (it refuses TCP {port}) and UDP {port} silent: a firewall drops it, here, there or between"
            ),
            format!(
                "let UDP {port} in on the server and out here, and see that tsq-server listens there"
            ),
        ),
        Tcp::Silent => Finding::problem(
            server,
            "silent",
            format!(
                "{host} answers neither by UDP {port} nor by TCP {port}: it is down, or a firewall drops both"
            ),
            "see whether the host is up from another network, and the firewalls on the way",
        ),
    }
}

const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn tcp_tells_a_blocked_udp_port_from_a_host_that_is_down() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(tcp(address), Tcp::Open);
        drop(listener);
        assert_eq!(tcp(address), Tcp::Refused);
        for (found, name) in [
            (Tcp::Open, "udp_blocked"),
            (Tcp::Refused, "udp_silent_host_up"),
            (Tcp::Silent, "silent"),
        ] {
            let finding = silent("a", address, found);
            assert_eq!(finding.name, name);
            assert!(finding.fix.is_some());
        }
    }
}
