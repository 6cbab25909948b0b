"""A server that misbehaves in one chosen way, by datagrams and by streams."""

import asyncio
import functools
import secrets
import time
from collections.abc import Callable

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


# What the mode says. The modes that change when or how often it is said are in `Hostile`.
ANSWERS: dict[str, Answer] = {
    "wrong-nonce": lambda _nonce, t2, t3: honest(secrets.token_bytes(16), t2, t3),
    # What somebody recorded an hour ago.
    "replay": lambda _nonce, t2, t3: honest(bytes(16), t2 - 3600 * SECOND, t3 - 3600 * SECOND),
    "no-nonce": lambda _nonce, t2, t3: times(t2, t3),
    "swapped": lambda nonce, t2, _t3: honest(nonce, t2, t2 - SECOND // 1000),
    # Symmetric about the truth, so that the offset is plausible and only the delay betrays it.
    "negative-delay": lambda nonce, t2, t3: honest(nonce, t2 - 5 * SECOND, t3 + 5 * SECOND),
    "far-future": shifted(TEN_YEARS),
    "truncated": lambda nonce, t2, t3: honest(nonce, t2, t3)[:-3],
    "garbage": lambda _nonce, _t2, _t3: b"\xde\xad\xbe\xef" * 10,
    "oversize": lambda nonce, t2, t3: honest(nonce, t2, t3) + 4 * tlv(77, bytes(250)),
    "error-tlv": lambda _nonce, _t2, _t3: tlv(ERROR, b"\x01\x00not today"),
    "unknown-tlv": lambda nonce, t2, t3: honest(nonce, t2, t3) + tlv(0, b"") + tlv(77, b"new") + tlv(200, bytes(9)),
    "silent": lambda _nonce, _t2, _t3: b"",
    "reset": honest,
    "wrong-alpn": honest,
    "late": honest,
    "duplicate": honest,
}


def answer_of(mode: str) -> Answer:
    """The answer of a mode by its name on the command line."""
    if mode.startswith("lie:"):
        return shifted(round(float(mode.removeprefix("lie:")) * 1_000_000))
    return ANSWERS[mode]


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
        elif times_sent:
            self.send_on_stream(stream_id, answer * times_sent, end=True)


if __name__ == "__main__":
    parser = options(__doc__, alpn="tsq,tsq/1")
    parser.add_argument("--mode", required=True, help=", ".join(ANSWERS) + " or lie:MILLISECONDS")
    arguments = parser.parse_args()
    if arguments.mode not in ANSWERS and not arguments.mode.startswith("lie:"):
        parser.error(f"no such mode: {arguments.mode}")
    if arguments.mode == "wrong-alpn":
        arguments.alpn = "h3"
    run_server(arguments, functools.partial(Hostile, arguments.mode), datagrams=True)
