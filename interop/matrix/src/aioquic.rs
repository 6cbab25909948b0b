//! The Python peers: some play the programs in the field, two know the whole protocol, and one sends any bytes.

use std::net::SocketAddr;

use data_encoding::HEXLOWER;
use serde_json::Value;
use tsq_interop::{Peer, Server};

use super::bench::content;

/// One run of the client for this transport.
pub(crate) fn ask(
    ca: &str,
    server: SocketAddr,
    transport: &str,
    options: &[&str],
) -> Result<Value, String> {
    run(&format!("{transport}_client.py"), ca, server, options)
}

/// One run of the client that knows the whole protocol.
pub(crate) fn ask_whole(
    ca: &str,
    server: SocketAddr,
    transport: &str,
    options: &[&str],
) -> Result<Value, String> {
    let options = [&["--transport", transport], options].concat();
    run("draft_client.py", ca, server, &options)
}

fn run(script: &str, ca: &str, server: SocketAddr, options: &[&str]) -> Result<Value, String> {
    let trust = ["--ca", ca, "--server-name", "localhost"];
    content(&Peer::run(script, server, &[&trust, options].concat()))
}

/// Unknown elements are skipped and nothing is said of them.
// tsq: M1 T4 M9
pub(crate) fn unknown(server: &Server) -> Result<String, String> {
    by_both(server, &format!("{NONCE}0401{ZERO}f601{ZERO}"), |answer| {
        answer.len() == 38 && answer[..18] == bytes(NONCE)
    })
}

// tsq: M2 T7
pub(crate) fn error(server: &Server) -> Result<String, String> {
    let answer = raw(server, "stream", "0110000000")?;
    match answer.as_slice() {
        [249, _, 1, 0, ..] => Ok(String::new()),
        other => Err(format!("not Error 1 but {other:?}")),
    }
}

fn by_both(
    server: &Server,
    request: &str,
    is_good: impl Fn(&[u8]) -> bool,
) -> Result<String, String> {
    for mode in ["datagram", "stream"] {
        let answer = raw(server, mode, request)?;
        if !is_good(&answer) {
            return Err(format!("{mode}s: the answer was {answer:?}"));
        }
    }
    Ok(String::new())
}

/// What came back for these bytes, which are given in hex.
fn raw(server: &Server, mode: &str, request: &str) -> Result<Vec<u8>, String> {
    let options = ["--insecure", "--mode", mode, "--hex", request];
    let outcome = Peer::run("raw_client.py", server.address(), &options);
    match outcome.json()["answer"].as_str() {
        Some(hex) => Ok(bytes(hex)),
        None => Err(format!("{mode}s: no answer")),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    HEXLOWER.decode(hex.as_bytes()).expect("hexadecimal")
}

const NONCE: &str = "0110000102030405060708090a0b0c0d0e0f";
const ZERO: &str = "00";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_pairwise() {
        assert_eq!(bytes("01fe"), [1, 254]);
        assert_eq!(bytes(NONCE).len(), 18);
    }
}
