"""A server that misbehaves in one chosen way, by datagrams and by streams: for testing clients, ours and others.

    setup.sh                                             # once; prints the Python to use
    hostile_server.py --list                             # the ways, the rules they break, what a client must do
    hostile_server.py --mode split-stratum-0 --port 4433 # prints its pin and "listening on ADDRESS"

Rules are those of draft/protocol.md. Whatever the mode, a client never crashes, hangs or adjusts a clock by a sample it should refuse.
"""

import asyncio
import functools
import json
import secrets
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from aioquic.quic.events import DatagramFrameReceived, QuicEvent, StreamDataReceived
from common import (
    ERROR,
    NONCE,
    REQUEST_SIZE,
    Malformed,
    ServerProtocol,
    options,
    request_nonce,
    run_server,
    times,
    tlv,
)
from draft import PADDING, PRECISION, SIGNATURE, TIME_SOURCE

SECOND = 1_000_000_000
TEN_YEARS = 3652 * 24 * 3600 * SECOND  # beyond the wrap of 2036 as well
LATE_S = 0.4

Answer = Callable[[bytes, int, int], bytes]  # from the nonce, T2 and T3


def honest(nonce: bytes, t2: int, t3: int) -> bytes:
    """The 38 bytes that every mode departs from."""
    return tlv(NONCE, nonce) + times(t2, t3)


def shifted(shift_ns: int) -> Answer:
    """An honest answer from a clock that is off by so much."""
    return lambda nonce, t2, t3: honest(nonce, t2 + shift_ns, t3 + shift_ns)


class Misbehaviour(NamedTuple):
    """One way to misbehave, and what a correct client makes of it."""

    rules: str
    answer: Answer
    what: str
    must: str  # in words
    outcome: str  # by either transport: a reason of E4 or of the page it stands on, `accepted`, or `nothing`
    on_a_stream: str | None = None  # the outcome there, where it is another
    client_asks: str = ""  # what the client has to ask for, beyond the time


def replay(_nonce: bytes, t2: int, t3: int) -> bytes:
    """What somebody recorded an hour ago."""
    return honest(bytes(16), t2 - 3600 * SECOND, t3 - 3600 * SECOND)


# What the mode says. The modes that change when, how often or in how many pieces it is said are in `Hostile`.
MODES: dict[str, Misbehaviour] = {
    "no-nonce": Misbehaviour(
        "E4 M11", lambda _nonce, t2, t3: times(t2, t3), "T2 and T3 without a Nonce", "refuse each answer", "nonce_missing"
    ),
    "short-nonce": Misbehaviour(
        "E4 T1", lambda nonce, t2, t3: tlv(NONCE, nonce[:15]) + times(t2, t3), "a Nonce of 15 bytes", "refuse each answer", "nonce_malformed"
    ),
    "truncated": Misbehaviour(
        "E4 M1", lambda nonce, t2, t3: honest(nonce, t2, t3)[:-3], "the last 3 bytes are missing", "refuse each answer", "malformed"
    ),
    "garbage": Misbehaviour("E4 M1", lambda _nonce, _t2, _t3: b"\xde\xad\xbe\xef" * 10, "an element that is longer than the answer", "refuse each answer", "malformed"),
    "oversize": Misbehaviour(
        "M1",
        lambda nonce, t2, t3: honest(nonce, t2, t3) + 4 * tlv(77, bytes(250)),
        "1046 bytes, most of them in elements nobody knows",
        "skip those, or refuse the answer",
        "accepted",
    ),
    "error-tlv": Misbehaviour(
        "E4 M3 T7", lambda _nonce, _t2, _t3: tlv(ERROR, b"\x01\x00not today"), "an Error", "fail the request; show the reason escaped", "server_error"
    ),
    "error-cut-off": Misbehaviour(
        "E4 M3 T7", lambda _nonce, _t2, _t3: tlv(ERROR, b"\x01"), "an Error of one byte", "refuse each answer; no reason to show", "malformed"
    ),
    "wrong-nonce": Misbehaviour(
        "E4 T1", lambda _nonce, t2, t3: honest(secrets.token_bytes(16), t2, t3), "a Nonce that was not sent", "refuse each answer", "nonce_mismatch"
    ),
    "replay": Misbehaviour("E4 T1", replay, "an answer to somebody else, an hour old", "refuse each answer", "nonce_mismatch"),
    "unsigned": Misbehaviour("E4 M5", honest, "no signature", "refuse each answer", "signature_missing", client_asks="signature"),
    "badly-signed": Misbehaviour(
        "E4 M5",
        lambda nonce, t2, t3: honest(nonce, t2, t3) + tlv(SIGNATURE, b"\x01\0\0\0\x07\0\x40" + bytes(64)),
        "a signature of zeros, by Ed25519 key 7",
        "refuse each answer, and look at no timestamp of it",
        "signature_invalid",
        client_asks="signature",
    ),
    "unasked-precision": Misbehaviour(
        "E4 M6",
        lambda nonce, t2, t3: honest(nonce, t2, t3) + tlv(PRECISION, b"") + tlv(PADDING, bytes(200)),
        "a claim of Precision Mode at another length than the request's",
        "refuse each answer, whatever was asked for",
        "precision_length",
    ),
    "swapped": Misbehaviour(
        "E4", lambda nonce, t2, _t3: honest(nonce, t2, t2 - SECOND // 1000), "T3 is 1 ms before T2", "refuse each answer", "send_before_receive"
    ),
    # Symmetric about the truth, so that the offset is plausible and only the delay betrays it.
    "negative-delay": Misbehaviour(
        "E4",
        lambda nonce, t2, t3: honest(nonce, t2 - 5 * SECOND, t3 + 5 * SECOND),
        "it says it held the request for 10 s",
        "refuse each answer",
        "delay_not_positive",
    ),
    "stratum-0": Misbehaviour(
        "T9 M7",
        lambda nonce, t2, t3: honest(nonce, t2, t3) + tlv(TIME_SOURCE, b"\0\x05"),
        "its clock is not synchronised, it says",
        "use no sample of it",
        "unsynchronised",
    ),
    "split-stratum-0": Misbehaviour(
        "M1 T9",
        lambda nonce, t2, t3: honest(nonce, t2, t3) + tlv(TIME_SOURCE, b"\0\x05"),
        "the same, on a stream in two packets: the first ends with T3",
        "not take the first as the answer: wait for the stream's end",
        "unsynchronised",
    ),
    "split-cut-off": Misbehaviour(
        "M1",
        lambda nonce, t2, t3: honest(nonce, t2, t3) + tlv(TIME_SOURCE, b"\x02\x03")[:3],
        "the last element is cut off; on a stream in two packets, the first ends with T3",
        "refuse each answer",
        "malformed",
    ),
    "open-end": Misbehaviour(
        "M1", honest, "on a stream, nothing behind the time and no end", "wait for the end, and use nothing without it", "accepted", "nothing"
    ),
    "far-future": Misbehaviour("E4", shifted(TEN_YEARS), "a time ten years ahead", "not adjust the clock", "nothing"),
    "unknown-tlv": Misbehaviour(
        "M1 T0 T4",
        lambda nonce, t2, t3: honest(nonce, t2, t3) + tlv(0, b"") + tlv(77, b"new") + tlv(200, bytes(9)),
        "elements of types nobody knows",
        "skip them",
        "accepted",
    ),
    "duplicate": Misbehaviour("E4", honest, "each answer twice; on a stream behind one another", "count a sample once", "accepted", "malformed"),
    "late": Misbehaviour("E4", honest, "each answer 0.4 s late", "take it for its own request, or as superseded", "accepted"),
    "silent": Misbehaviour("C5", lambda _nonce, _t2, _t3: b"", "no answer", "give up in time, and say so", "nothing"),
    "reset": Misbehaviour("C5", honest, "the stream is reset; for a datagram the connection closed", "give up in time, and say so", "nothing"),
    "wrong-alpn": Misbehaviour("C2", honest, "another protocol (h3)", "close before asking anything", "nothing"),
}
SPLIT = ("split-stratum-0", "split-cut-off")
PAUSE_S = 0.05  # between the packets of an answer that is split


def table() -> str:
    """The misbehaviours as text."""
    lines = []
    for name, mode in MODES.items():
        outcome = mode.outcome + (f", {mode.on_a_stream} on a stream" if mode.on_a_stream else "")
        asks = f" (the client asks for: {mode.client_asks})" if mode.client_asks else ""
        lines.append(f"{name:18} {mode.rules:10} {mode.what}{asks}\n{'':29} a correct client must {mode.must}: {outcome}")
    return "\n".join([*lines, f"{'lie:MILLISECONDS':29} a clock that is off by so much"])


def as_json() -> str:
    """The same for programs."""
    return json.dumps([{"name": name, **mode._replace(answer=None)._asdict()} for name, mode in MODES.items()])


def answer_of(mode: str) -> Answer:
    """The answer of a mode by its name on the command line."""
    if mode.startswith("lie:"):
        return shifted(round(float(mode.removeprefix("lie:")) * 1_000_000))
    return MODES[mode].answer


class Hostile(ServerProtocol):
    """Answers requests on either transport in the manner of its mode."""

    def __init__(self, mode: str, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.mode = mode
        self.make_answer = answer_of(mode)
        self.requests: dict[int, bytes] = {}

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, DatagramFrameReceived):
            self.request_arrived(event.data, None)
        elif isinstance(event, StreamDataReceived):
            before = self.requests.get(event.stream_id, b"")
            request = self.requests[event.stream_id] = before + event.data
            if len(before) < REQUEST_SIZE <= len(request):
                self.request_arrived(request[:REQUEST_SIZE], event.stream_id)

    def request_arrived(self, request: bytes, stream_id: int | None) -> None:
        """React to one request; `stream_id` is None for a datagram."""
        try:
            nonce = request_nonce(request)
        except Malformed:
            return
        if self.mode == "reset":
            self.abandon(stream_id)
            return
        delay_s = LATE_S if self.mode == "late" else 0.0
        asyncio.get_running_loop().call_later(delay_s, self.reply, nonce, self.received_ns, stream_id)

    def abandon(self, stream_id: int | None) -> None:
        """Reset the stream; a datagram has none, so there the connection goes."""
        if stream_id is None:
            self.close(error_code=7, reason_phrase="go away")
            return
        self._quic.stop_stream(stream_id, error_code=7)
        self._quic.reset_stream(stream_id, error_code=7)

    def reply(self, nonce: bytes, received_ns: int, stream_id: int | None) -> None:
        """Send the mode's answer; a stream ends with it."""
        answer = self.make_answer(nonce, received_ns, time.time_ns())
        times_sent = 0 if not answer else 2 if self.mode == "duplicate" else 1
        if stream_id is None:
            for _ in range(times_sent):
                self.send_datagram(answer)
        elif self.mode in SPLIT:
            self.send_on_stream(stream_id, answer[:38], end=False)
            asyncio.get_running_loop().call_later(PAUSE_S, self.send_on_stream, stream_id, answer[38:], True)
        elif times_sent:
            self.send_on_stream(stream_id, answer * times_sent, end=self.mode != "open-end")


if __name__ == "__main__":
    parser = options(__doc__, alpn="tsq,tsq/1")
    parser.add_argument("--mode", help="one of the names that --list prints, or lie:MILLISECONDS")
    parser.add_argument("--list", choices=["text", "json"], nargs="?", const="text", help="print the misbehaviours and what a client must do")
    arguments = parser.parse_args()
    if arguments.list:
        print(as_json() if arguments.list == "json" else table())
        sys.exit(0)
    if arguments.mode not in MODES and not (arguments.mode or "").startswith("lie:"):
        parser.error(f"no such mode: {arguments.mode}; --list prints them")
    if arguments.mode == "wrong-alpn":
        arguments.alpn = "h3"
    run_server(arguments, functools.partial(Hostile, arguments.mode), datagrams=True)
