//! The cells in which a peer's client asks tsq-server.

use std::net::SocketAddr;

use serde_json::Value;

use super::aioquic;
use super::bench::{Bench, SigningKey};
use super::stack::Stack;
use super::trial::{
    MOMENTS, NO_EARLY_DATA, TRANSPORTS, by_both, impaired, milliseconds, offset_of, rebinding,
    retried,
};
use super::verdict::{Verdict, verdict};

pub(crate) fn handshake(bench: &Bench, stack: Stack) -> Verdict {
    verdict(ask(bench, stack, "stream", &[]).map(|_| String::new()))
}

// tsq: C2
pub(crate) fn alpn_draft(bench: &Bench, stack: Stack) -> Verdict {
    alpn(bench, stack, "tsq")
}

// tsq: C2
pub(crate) fn alpn_deployed(bench: &Bench, stack: Stack) -> Verdict {
    alpn(bench, stack, "tsq/1")
}

fn alpn(bench: &Bench, stack: Stack, name: &str) -> Verdict {
    let report = ask(bench, stack, "stream", &["--alpn", name]);
    verdict(report.and_then(|report| match &report["alpn"] {
        negotiated if negotiated == name => Ok(String::new()),
        other => Err(format!("{other} was negotiated")),
    }))
}

pub(crate) fn datagrams(bench: &Bench, stack: Stack) -> Verdict {
    verdict(ask(bench, stack, "datagram", &["--count", "20"]).and_then(|report| offset(&report)))
}

pub(crate) fn streams(bench: &Bench, stack: Stack) -> Verdict {
    verdict(ask(bench, stack, "stream", &["--count", "20"]).and_then(|report| offset(&report)))
}

// tsq: C4
pub(crate) fn pipelined(bench: &Bench, stack: Stack) -> Verdict {
    let options = ["--count", "100", "--pipelined"];
    verdict(by_both(|transport| {
        let server = bench.our_server(&[]);
        let report = ask_whole(bench, stack, server.address(), transport, &options)?;
        report["elapsed_ns"]
            .as_f64()
            .map(milliseconds)
            .ok_or("no time".into())
    }))
}

// tsq: M1 T4
pub(crate) fn unknown(bench: &Bench, stack: Stack) -> Verdict {
    if stack == Stack::Aioquic {
        return verdict(aioquic::unknown(&bench.our_server(&[])));
    }
    let options = ["--unknown", "--count", "5"];
    verdict(by_both(|transport| {
        quietly(ask(bench, stack, transport, &options))
    }))
}

// tsq: M6 T8
pub(crate) fn precision(bench: &Bench, stack: Stack) -> Verdict {
    let options = ["--precision", "--count", "5"];
    verdict(by_both(|transport| {
        let server = bench.our_server(&[]);
        let report = ask_whole(bench, stack, server.address(), transport, &options);
        quietly(report)
    }))
}

// tsq: M4 M5 M6 T10 T13
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
    let server = bench.our_server(&["--signing-key", &key.file]);
    for transport in TRANSPORTS {
        // The Python client does not ask for metadata.
        let all = match stack {
            Stack::Aioquic => &["--precision"][..],
            _ => &["--precision", "--metadata"],
        };
        for extra in [&[][..], all] {
            let options = ["--verify-key", &key.public, "--count", "5"];
            let options = [&options[..], extra].concat();
            ask_whole(bench, stack, server.address(), transport, &options)?;
        }
    }
    Ok(())
}

// tsq: M2 T7
pub(crate) fn error(bench: &Bench, stack: Stack) -> Verdict {
    if stack == Stack::Aioquic {
        return verdict(aioquic::error(&bench.our_server(&[])));
    }
    let report = ask(bench, stack, "stream", &["--malformed"]);
    verdict(
        report.and_then(|report| match report["error_code"].as_u64() {
            Some(1) => Ok(String::new()),
            other => Err(format!("Error code {other:?}")),
        }),
    )
}

// tsq: C1
pub(crate) fn retry(bench: &Bench, stack: Stack) -> Verdict {
    verdict(by_both(|transport| {
        let server = bench.our_server(&["--retry", "always"]);
        retried(server.address(), |relay| {
            quietly(ask_at(bench, stack, relay, transport, &["--count", "5"]))
        })
    }))
}

// tsq: C3
pub(crate) fn resumption(bench: &Bench, stack: Stack) -> Verdict {
    second_connection(bench, stack, "--resume", "resumed")
}

// tsq: C3
pub(crate) fn early(bench: &Bench, stack: Stack) -> Verdict {
    match stack {
        Stack::S2nQuic => Verdict::never(NO_EARLY_DATA),
        _ => second_connection(bench, stack, "--early", "early"),
    }
}

fn second_connection(bench: &Bench, stack: Stack, option: &str, field: &str) -> Verdict {
    verdict(by_both(|transport| {
        let server = bench.our_server(&[]);
        let options = [option, "--count", "5"];
        let report = ask_whole(bench, stack, server.address(), transport, &options)?;
        match report[field] == true {
            true => Ok(String::new()),
            false => Err(format!("answered, but not {field}")),
        }
    }))
}

/// By itself where the peer's library can, and in a relay at every moment.
// tsq: C6
pub(crate) fn migration(bench: &Bench, stack: Stack) -> Verdict {
    verdict(by_both(|transport| {
        let by_itself = migrates_by_itself(bench, stack, transport)?;
        let held = changes_survived(bench, stack, transport)?;
        Ok([by_itself, held].join(", ").trim_start_matches(", ").into())
    }))
}

fn migrates_by_itself(bench: &Bench, stack: Stack, transport: &str) -> Result<String, String> {
    let options: &[&str] = match (stack, transport) {
        (Stack::Aioquic, "datagram") => &["--rebind", "--count", "5"],
        (Stack::Quiche | Stack::Ngtcp2, _) => &["--count", "50", "--migrate"],
        _ => return Ok(String::new()),
    };
    match ask(bench, stack, transport, options)?["addresses"].as_u64() {
        Some(2..) => Ok("active".into()),
        other => Err(format!("{other:?} ports were used")),
    }
}

/// The first packet from which on a change costs the peer's client no answer.
///
/// RFC 9000 section 9: no change before the handshake is confirmed, so that a client that does not begin anew then has
/// no time; one after it must cost nothing.
fn changes_survived(bench: &Bench, stack: Stack, transport: &str) -> Result<String, String> {
    let mut lost_at = 0;
    for packets in MOMENTS {
        let server = bench.our_server(&[]);
        let relay = rebinding(server.address(), packets)?;
        let asked = ask_at(bench, stack, relay.address(), transport, &["--count", "50"]);
        let moved = relay.counters().to_second_port > 0;
        match asked {
            Ok(_) if !moved => return Err(format!("no change after {packets} packets")),
            Ok(_) => (),
            Err(_) if packets <= HANDSHAKE => lost_at = packets,
            Err(reason) => return Err(format!("change after {packets} packets: {reason}")),
        }
    }
    Ok(format!("from packet {}", lost_at + 2))
}

/// The most packets of a client's that a handshake takes.
const HANDSHAKE: u64 = 6;

pub(crate) fn loss(bench: &Bench, stack: Stack) -> Verdict {
    verdict(by_both(|transport| {
        let server = bench.our_server(&[]);
        // What a datagram carried is lost, and the Python client asks once.
        let loses = stack != Stack::Aioquic || transport == "stream";
        impaired(server.address(), loses, |relay| {
            let report = ask_at(bench, stack, relay, transport, &LOSSY)?;
            Ok(report["elapsed_ns"].as_f64())
        })
    }))
}

const LOSSY: [&str; 4] = ["--count", "50", "--timeout", "20"];

/// One run of the peer's client against a fresh tsq-server.
fn ask(bench: &Bench, stack: Stack, transport: &str, options: &[&str]) -> Result<Value, String> {
    let server = bench.our_server(&[]);
    ask_at(bench, stack, server.address(), transport, options)
}

fn ask_at(
    bench: &Bench,
    stack: Stack,
    server: SocketAddr,
    transport: &str,
    options: &[&str],
) -> Result<Value, String> {
    if stack == Stack::Aioquic {
        return aioquic::ask(&bench.ca(), server, transport, options);
    }
    let options = [&["--transport", transport], options].concat();
    bench.peer_client(stack, server, &options)
}

/// As [`ask_at`], by a client that knows the whole protocol.
fn ask_whole(
    bench: &Bench,
    stack: Stack,
    server: SocketAddr,
    transport: &str,
    options: &[&str],
) -> Result<Value, String> {
    match stack {
        Stack::Aioquic => aioquic::ask_whole(&bench.ca(), server, transport, options),
        _ => ask_at(bench, stack, server, transport, options),
    }
}

fn quietly(outcome: Result<Value, String>) -> Result<String, String> {
    outcome.map(|_| String::new())
}

fn offset(report: &Value) -> Result<String, String> {
    offset_of(report["offset_ns"].as_f64())
}
