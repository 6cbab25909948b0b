//! Each server: what became of it, and what to do about it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tsq_client::{Attempt, Failure, Protocol, SourceReport, TrustRefusal};

use super::{Finding, Level};
use crate::analysis::Verdict;
use crate::outcome::Outcome;
use crate::table::{bound_text, offset_text};

pub(super) fn findings(outcome: &Outcome) -> Vec<Finding> {
    let mut found: Vec<Finding> = (0..outcome.sources.len())
        .flat_map(|index| {
            let rungs = rungs(&outcome.sources[index]);
            [one(outcome, index)].into_iter().chain(rungs)
        })
        .collect();
    if let Err(problem) = &outcome.analysis.combined {
        found.push(
            Finding::problem("servers", "no_result", problem.to_string())
                .fix("see what is said of each server"),
        );
    }
    found
}

fn one(outcome: &Outcome, index: usize) -> Finding {
    let server = outcome.sources[index].server.as_str();
    let verdict = &outcome.analysis.verdicts[index];
    match (verdict, outcome.analysis.estimates[index]) {
        (Verdict::Failed(failure), _) => failed(server, failure),
        (verdict, Some(estimate)) if verdict.agrees() => Finding::ok(
            server,
            verdict.name(),
            format!(
                "answers{}; the clock's offset from it is {} ± {}",
                match outcome.sources[index].protocol {
                    Protocol::Tsq => "",
                    Protocol::Nts => " by NTS",
                    Protocol::Ntp => " by NTP, which nothing authenticates",
                },
                offset_text(estimate.offset),
                bound_text(estimate.bound)
            ),
        ),
        (other, _) => Finding::problem(server, other.name(), other.to_string()).fix(
            "ask more servers, of different operators, so that a majority can show who is wrong",
        ),
    }
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
    let finding = Finding::problem(server, failure.name(), failure.to_string());
    match failure {
        Failure::Unresolved { .. } => {
            finding.fix("check the name and the resolver, or give the server's address and its --pin")
        }
        Failure::Silent {
            unsent: Some(_), ..
        } => finding.fix(
            "look at this host's own side first: its packet filter, and the queue of its interface (tc -s qdisc)",
        ),
        Failure::PathTooNarrow { .. } => finding.fix(
            "let the path carry packets of 1280 bytes (the MTU of a tunnel or an interface), or leave --fallback away, so that NTS is tried",
        ),
        Failure::Silent { address, .. } => silent(server, *address, tcp(*address)),
        Failure::Unreachable { .. } => {
            finding.fix("check this host's network and routes, and whether the address family works here")
        }
        Failure::PortClosed { address } => finding.fix(format!(
            "start tsq-server there, or name the right port (HOST:PORT); nothing has UDP {} open",
            address.port()
        )),
        Failure::NotTsq { .. } => finding.fix(
            "it is another service, as a web server or the login page of a hotel's network: name a TSQ server, or another port",
        ),
        Failure::Connection { .. } => {
            finding.fix("look at the server's log; a network that changes packets does this as well")
        }
        Failure::Trust { refusal, .. } => untrusted(finding, refusal),
        Failure::NoDatagrams => finding.fix("leave --transport away"),
        Failure::NoStreams => finding.fix("leave --transport away"),
        Failure::NoSamples | Failure::Unanswered { .. } => {
            finding.fix("look at the server's log, and at the refused samples: tsq-adjtime --dry-run --verbose")
        }
    }
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
            format!("{host} does not answer at UDP {port}, and TCP {port} is open: QUIC is blocked, by a firewall or by a network that wants a login first"),
        )
        .fix(format!("log in where the network asks for it; let UDP {port} out in the firewall, or use a server on a port that it lets through (HOST:PORT)")),
        Tcp::Refused => Finding::problem(
            server,
            "udp_silent_host_up",
            format!("{host} is up (it refuses TCP {port}) and UDP {port} silent: a firewall drops it, here, there or between"),
        )
        .fix(format!("let UDP {port} in on the server and out here, and see that tsq-server listens there")),
        Tcp::Silent => Finding::problem(
            server,
            "silent",
            format!("{host} answers neither by UDP {port} nor by TCP {port}: it is down, or a firewall drops both"),
        )
        .fix("see whether the host is up from another network, and the firewalls on the way"),
    }
}

fn untrusted(finding: Finding, refusal: &TrustRefusal) -> Finding {
    match refusal {
        TrustRefusal::NotYetValid { .. } => finding.fix(
            "is this host's clock slow? Then name three servers, or one and its --pin: their dates can wait until they agree on the time",
        ),
        TrustRefusal::Expired { .. } => finding.fix(
            "is this host's clock fast? Then name three servers, or one and its --pin: their dates can wait until they agree on the time. If it is right, the server's operator must renew the certificate",
        ),
        TrustRefusal::BelowFloor { .. } => finding.fix(
            "do not use this server; if its time is right, the saved clock is not: remove it from the state folder",
        ),
        TrustRefusal::UnknownIssuer { missing: Some(_) } => finding.fix(
            "the server's operator should serve the whole chain (fullchain.pem); where the authority is private, --ca is to name its root, or --pin the server's key",
        ),
        TrustRefusal::UnknownIssuer { missing: None } => {
            finding.fix("for a private server name its authority with --ca, or its key with --pin; if it is neither, something on the way answers in its place, as the login page of a hotel's network does")
        }
        TrustRefusal::WrongName { .. } => {
            finding.fix("ask by a name that the certificate carries, or check that one with --server-name")
        }
        TrustRefusal::WrongPin { .. } => finding.fix(
            "if the server's operator confirms a new key, pin that one; until then somebody else may be answering",
        ),
        TrustRefusal::Other { .. } => finding.fix(
            "the server's operator must see to its certificate; where you know its key, --pin needs no authority",
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

    #[test]
    fn slow_and_fast_clocks_are_suspected_the_right_way_round() {
        let by = tsq_client::trust::By::OurClock;
        let now = 1_800_000_000;
        let advice = |refusal| {
            let finding = Finding::problem("a", "x", "y");
            untrusted(finding, &refusal).fix.unwrap()
        };
        let early = TrustRefusal::NotYetValid {
            not_before: now + 1,
            now,
            by,
        };
        assert!(advice(early).contains("clock slow?"));
        let late = TrustRefusal::Expired {
            not_after: now - 1,
            now,
            by,
        };
        assert!(advice(late).contains("clock fast?"));
    }
}
