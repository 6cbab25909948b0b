//! Two QUIC engines, or a client's and the server's core; one pretend clock, and packets handed over in memory.

mod pair;
mod served;
mod trust;

use tsq_proto::{HostTime, Nonce, Prepared, Request};

use crate::Pass;
use pair::{Pair, Transport};
use served::Served;

/// A request in a datagram, its answer in another, all packets and timers of both sides included.
pub(crate) fn datagrams() -> Pass {
    exchange(Transport::Datagram)
}

/// The same on a stream of its own.
pub(crate) fn streams() -> Pass {
    exchange(Transport::Stream)
}

/// A request in a datagram, answered by the server's own core: gate, rules, counters and what it tells of itself
/// included. What it takes beyond [`datagrams`] is the server's.
pub(crate) fn responder() -> Pass {
    let mut served = Served::connected();
    Box::new(move || {
        let mut packet = [0; 64];
        let request = request(&mut packet);
        assert_ne!(served.ask(request), 0);
    })
}

/// From the client's first packet until both sides know, with a P-256 certificate and no ticket; and the connection's
/// end, until both sides have forgotten it.
pub(crate) fn handshake() -> Pass {
    let mut pair = Pair::new();
    Box::new(move || {
        pair.connect();
        pair.forget();
    })
}

fn exchange(transport: Transport) -> Pass {
    let mut pair = Pair::new();
    pair.connect();
    Box::new(move || {
        let mut packet = [0; 64];
        let answer_len = pair.exchange(transport, request(&mut packet), answer);
        assert_eq!(answer_len, 38);
    })
}

fn request(room: &mut [u8; 64]) -> &[u8] {
    let len = Request::new(Nonce::new([7; 16]))
        .encode(room)
        .expect("64 bytes hold a request");
    &room[..len]
}

/// What a server does with a request: an answer in `out`, of the length returned.
fn answer(request: &[u8], t2: HostTime, out: &mut [u8]) -> usize {
    let request = Request::decode(request).expect("the client encoded it");
    let prepared = Prepared::answer(&request, t2, out).expect("the buffer holds an answer");
    prepared.stamp(t2).len()
}
