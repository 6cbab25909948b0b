//! The columns of the matrix.

use super::bench::Bench;
use super::stack::Stack;
use super::verdict::Verdict;
use super::{client, server};

/// One column.
pub(crate) struct Cell {
    pub(crate) name: &'static str,
    /// What a cell of it means, for the reader of the table.
    pub(crate) about: &'static str,
    pub(crate) our_server: Side,
    pub(crate) our_client: Side,
}

/// Runs a cell from one side.
pub(crate) type Side = fn(&Bench, Stack) -> Verdict;

pub(crate) const CELLS: [Cell; 15] = [
    Cell {
        name: "handshake",
        about: "connection and one exchange, the server's certificate verified by the client's TLS stack",
        our_server: client::handshake,
        our_client: server::handshake,
    },
    Cell {
        name: "ALPN tsq",
        about: "the peer offers or takes `tsq` alone",
        our_server: client::alpn_draft,
        our_client: server::alpn_draft,
    },
    Cell {
        name: "ALPN tsq/1",
        about: "the peer offers or takes `tsq/1` alone",
        our_server: client::alpn_deployed,
        our_client: server::alpn_deployed,
    },
    Cell {
        name: "datagrams",
        about: "20 exchanges; the figure is the offset found, where the truth is 0",
        our_server: client::datagrams,
        our_client: server::datagrams,
    },
    Cell {
        name: "streams",
        about: "20 exchanges, a stream each; figure as before",
        our_server: client::streams,
        our_client: server::streams,
    },
    Cell {
        name: "100 at once",
        about: "100 exchanges; a peer's client sends all requests before it reads an answer, tsq-adjtime as many as it \
                does by itself. The figures are milliseconds for datagrams / streams: from first request to last \
                answer, or the whole run of tsq-adjtime",
        our_server: client::pipelined,
        our_client: server::pipelined,
    },
    Cell {
        name: "unknown TLVs",
        about: "elements of types 4 and 246 in each request, or in each answer; both transports",
        our_server: client::unknown,
        our_client: server::unknown,
    },
    Cell {
        name: "precision",
        about: "Precision Mode acknowledged, request and answer of one length; both transports",
        our_server: client::precision,
        our_client: server::precision,
    },
    Cell {
        name: "signature",
        about: "Ed25519 and HMAC-SHA256, alone and with Precision Mode; both transports",
        our_server: client::signature,
        our_client: server::signature,
    },
    Cell {
        name: "error",
        about: "a malformed request on a stream gets Error 1; tsq-adjtime names the Error 2 that a server sends",
        our_server: client::error,
        our_client: server::error,
    },
    Cell {
        name: "Retry",
        about: "the server validates the client's address by a Retry first, which a relay between them sees; both \
                transports",
        our_server: client::retry,
        our_client: server::retry,
    },
    Cell {
        name: "resumption",
        about: "a second connection resumes the session of the first, both transports; our side is tsq-perf, for \
                tsq-adjtime makes one connection to a server",
        our_server: client::resumption,
        our_client: server::resumption,
    },
    Cell {
        name: "0-RTT",
        about: "requests on a second connection are taken in 0-RTT, both transports; our side is tsq-perf",
        our_server: client::early,
        our_client: server::early,
    },
    Cell {
        name: "migration",
        about: "the client's UDP port changes among 50 exchanges: by itself where `active`, and in a relay, as behind a \
                NAT, from the packet told on and again from later ones, no answer lost. Before that the handshake is \
                not confirmed, and RFC 9000 section 9 lets no address change: tsq-adjtime begins anew then, which a \
                peer's client does not",
        our_server: client::migration,
        our_client: server::migration,
    },
    Cell {
        name: "loss, reordering",
        about: "50 exchanges, while a relay holds 30 % of the packets each way 3 ms longer than the others and loses \
                10 % (none where aioquic's client asks by datagrams: it asks once), \
                again until 5 are lost; the figures are those of 100 at once, of the slowest run",
        our_server: client::loss,
        our_client: server::loss,
    },
];
