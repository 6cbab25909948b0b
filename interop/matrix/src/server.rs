//! The cells in which tsq-adjtime asks a peer's server.

use std::net::SocketAddr;
use std::time::Duration;

use tsq_interop::{Peer, Report};

use super::bench::{Bench, PeerServer, SigningKey};
use super::stack::Stack;
use super::trial::{
    MOMENTS, NO_EARLY_DATA, by_both, impaired, milliseconds, offset_of, rebinding, retried,
};
use super::verdict::{Verdict, verdict};

/// A peer's server of either kind.
enum Peers {
    Python(Peer),
    Rust(PeerServer),
}

pub(crate) fn handshake(bench: &Bench, stack: Stack) -> Verdict {
    verdict(ask(bench, stack, "stream", &[], &[]).map(|_| String::new()))
}

// tsq: C2
pub(crate) fn alpn_draft(bench: &Bench, stack: Stack) -> Verdict {
    // By a peer that ends its answers, as the draft's servers do and those in the field do not (F3).
    let peer = Peers::start_whole(bench, stack, "stream", &["--alpn", "tsq"]);
    let asked = peer.asked_well(bench, peer.address(), "stream", &[]);
    verdict(asked.map(|_| String::new()))
}

// tsq: C2
pub(crate) fn alpn_deployed(bench: &Bench, stack: Stack) -> Verdict {
    verdict(ask(bench, stack, "stream", &["--alpn", "tsq/1"], &[]).map(|_| String::new()))
}

pub(crate) fn datagrams(bench: &Bench, stack: Stack) -> Verdict {
    verdict(
        ask(bench, stack, "datagram", &[], &["--queries", "20"]).and_then(|report| offset(&report)),
    )
}

pub(crate) fn streams(bench: &Bench, stack: Stack) -> Verdict {
    verdict(
        ask(bench, stack, "stream", &[], &["--queries", "20"]).and_then(|report| offset(&report)),
    )
}

// tsq: C4
pub(crate) fn pipelined(bench: &Bench, stack: Stack) -> Verdict {
    verdict(by_both(|transport| {
        let report = ask(bench, stack, transport, &[], &["--queries", "100"])?;
        report.json["duration_ns"]
            .as_f64()
            .map(milliseconds)
            .ok_or("no time".into())
    }))
}

// tsq: M1 T4
pub(crate) fn unknown(bench: &Bench, stack: Stack) -> Verdict {
    verdict(by_both(|transport| {
        let peer = Peers::start_whole(bench, stack, transport, &["--unknown"]);
        let report = peer.asked_well(bench, peer.address(), transport, &[]);
        report.map(|_| String::new())
    }))
}

// tsq: M6
pub(crate) fn precision(bench: &Bench, stack: Stack) -> Verdict {
    verdict(by_both(|transport| {
        let peer = Peers::start_whole(bench, stack, transport, &[]);
        peer.asked_well(bench, peer.address(), transport, &["--precision"])?;
        peer.must_say("precise")
    }))
}

// tsq: M4 M5 M6
pub(crate) fn signature(bench: &Bench, stack: Stack) -> Verdict {
    let outcome = [(1, "ed25519"), (2, "hmac-sha256")]
        .into_iter()
        .try_for_each(|(id, algorithm)| {
            let key = bench.signing_key(id, algorithm);
            signed(bench, stack, &key).map_err(|reason| format!("{algorithm}: {reason}"))
        });
    verdict(outcome.map(|()| String::new()))
}

fn signed(bench: &Bench, stack: Stack, key: &SigningKey) -> Result<(), String> {
    let signing = ["--signing-key", &key.secret];
    let verifying = ["--verify-key", &key.public_file];
    for extra in [&[][..], &["--precision"]] {
        by_both(|transport| {
            let options = [&verifying[..], extra].concat();
            let peer = Peers::start_whole(bench, stack, transport, &signing);
            let report = peer.asked_well(bench, peer.address(), transport, &options);
            report.map(|_| String::new())
        })?;
    }
    // An answer that is not signed must not count.
    let unsigned = Peers::start(bench, stack, "stream", &[]);
    let report = bench.our_client(unsigned.address(), &verifying);
    match report.outcome.code {
        Some(NO_USABLE_ANSWER) => Ok(()),
        code => Err(format!("unsigned answers: exit {code:?}")),
    }
}

// tsq: M3 T7
pub(crate) fn error(bench: &Bench, stack: Stack) -> Verdict {
    let peer = Peers::start_whole(bench, stack, "stream", &["--error", "2"]);
    let report = bench.our_client(peer.address(), &["--transport", "stream"]);
    let said = format!("{} {:?}", report.source(0, "reason"), report.reasons(0));
    verdict(match report.outcome.code {
        Some(NO_USABLE_ANSWER) if said.contains("rror") => Ok(String::new()),
        code => Err(format!("exit {code:?}, {said}")),
    })
}

// tsq: C1
pub(crate) fn retry(bench: &Bench, stack: Stack) -> Verdict {
    verdict(by_both(|transport| {
        let peer = Peers::start_whole(bench, stack, transport, &["--retry"]);
        retried(peer.address(), |relay| {
            let report = peer.asked_well(bench, relay, transport, &[]);
            report.map(|_| String::new())
        })
    }))
}

// tsq: C3
pub(crate) fn resumption(bench: &Bench, stack: Stack) -> Verdict {
    match stack {
        Stack::S2nQuic => Verdict::never("the peer's server gives no tickets"),
        _ => second_connection(bench, stack, "0:1:0", "resumed"),
    }
}

// tsq: C3
pub(crate) fn early(bench: &Bench, stack: Stack) -> Verdict {
    match stack {
        Stack::S2nQuic => Verdict::never(NO_EARLY_DATA),
        _ => second_connection(bench, stack, "0:0:1", "early_accepted"),
    }
}

/// By tsq-perf: tsq-adjtime makes one connection to a server and keeps no session.
fn second_connection(bench: &Bench, stack: Stack, mix: &str, counted: &str) -> Verdict {
    verdict(by_both(|transport| {
        let peer = Peers::start_whole(bench, stack, transport, &[]);
        let report = bench.our_load(peer.address(), &["--transport", transport, "--mix", mix])?;
        let of = &report["results"][0];
        match (of[counted].as_u64(), of["loss"].as_f64()) {
            // Each connection asks once.
            (Some(1..), Some(0.0)) => Ok(String::new()),
            _ => Err(format!(
                "{counted} {}, lost {}, {}",
                of[counted], of["lost"], of["failed"]
            )),
        }
    }))
}

// tsq: C6
pub(crate) fn migration(bench: &Bench, stack: Stack) -> Verdict {
    verdict(by_both(|transport| {
        let peer = Peers::start(bench, stack, transport, &[]);
        for packets in MOMENTS {
            let relay = rebinding(peer.address(), packets)?;
            peer.asked_well(bench, relay.address(), transport, &["--queries", "50"])
                .map_err(|reason| format!("change after {packets} packets: {reason}"))?;
            if relay.counters().from_second_port == 0 {
                return Err(format!("no change after {packets} packets"));
            }
        }
        Ok("from packet 2".into())
    }))
}

pub(crate) fn loss(bench: &Bench, stack: Stack) -> Verdict {
    verdict(by_both(|transport| {
        let peer = Peers::start(bench, stack, transport, &[]);
        impaired(peer.address(), true, |relay| {
            let options = ["--queries", "50", "--timeout", "20000"];
            let report = peer.asked_well(bench, relay, transport, &options)?;
            Ok(report.json["duration_ns"].as_f64())
        })
    }))
}

/// One run of tsq-adjtime against a fresh server.
fn ask(
    bench: &Bench,
    stack: Stack,
    transport: &str,
    server: &[&str],
    client: &[&str],
) -> Result<Report, String> {
    let peer = Peers::start(bench, stack, transport, server);
    peer.asked_well(bench, peer.address(), transport, client)
}

impl Peers {
    fn start(bench: &Bench, stack: Stack, transport: &str, options: &[&str]) -> Self {
        match stack {
            Stack::Aioquic => {
                let script = format!("{transport}_server.py");
                let options = [&bench.identity()[..], options].concat();
                Self::Python(Peer::start(&script, &options))
            }
            _ => Self::Rust(bench.peer_server(stack, options)),
        }
    }

    /// A server that knows the whole protocol.
    fn start_whole(bench: &Bench, stack: Stack, transport: &str, options: &[&str]) -> Self {
        match stack {
            Stack::Aioquic => {
                let options = [&bench.identity()[..], options].concat();
                Self::Python(Peer::start("draft_server.py", &options))
            }
            _ => Self::start(bench, stack, transport, options),
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Python(peer) => peer.address(),
            Self::Rust(peer) => peer.address,
        }
    }

    /// Runs tsq-adjtime; every exchange asked for must be there.
    fn asked_well(
        &self,
        bench: &Bench,
        address: SocketAddr,
        transport: &str,
        options: &[&str],
    ) -> Result<Report, String> {
        let options = [&["--transport", transport], options].concat();
        good(bench.our_client(address, &options), &options)
    }

    /// The peers print a word for what cannot be seen from outside.
    fn must_say(&self, word: &str) -> Result<String, String> {
        match self {
            Self::Python(peer) => peer.must_say(SAY_LIMIT, word),
            Self::Rust(peer) => {
                peer.process
                    .wait_for(SAY_LIMIT, |line| (line == word).then_some(()));
            }
        }
        Ok(String::new())
    }
}

/// For a line that is already on its way.
const SAY_LIMIT: Duration = Duration::from_secs(10);

/// Every exchange asked for gave a valid sample; which of them the estimate then rests on is not asked here.
fn good(report: Report, options: &[&str]) -> Result<Report, String> {
    let wanted = options
        .iter()
        .skip_while(|word| **word != "--queries")
        .nth(1);
    let wanted = wanted.and_then(|n| n.parse().ok()).unwrap_or(QUERIES);
    let answered = report.source(0, "answered").as_u64().unwrap_or(0);
    if report.outcome.code == Some(0) && answered == wanted {
        return Ok(report);
    }
    let (code, reason) = (report.outcome.code, report.source(0, "reason"));
    Err(format!(
        "{answered} of {wanted} answered, exit {code:?}, reason {reason}"
    ))
}

/// An exit code of tsq-adjtime.
const NO_USABLE_ANSWER: i32 = 3;

/// What tsq-adjtime takes without being told.
const QUERIES: u64 = 5;

fn offset(report: &Report) -> Result<String, String> {
    offset_of(report.json["offset_ns"].as_f64())
}
