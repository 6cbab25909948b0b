"""A server of the whole protocol, by datagrams and streams; it answers a stream at its end."""

import argparse
import functools
import time

from aioquic.quic.events import DatagramFrameReceived, QuicEvent, StreamDataReceived
from common import ERROR, NONCE, Malformed, ServerProtocol, options, run_server, times, tlv
from draft import PADDING, PRECISION, Key, read_request

SIGNATURE_SIZES = {1: 9 + 64, 2: 9 + 32}


class DraftServer(ServerProtocol):
    """Answers what is asked."""

    def __init__(self, args: argparse.Namespace, *rest: object, **kwargs: object) -> None:
        super().__init__(*rest, **kwargs)
        self.args = args
        self.parts: dict[int, bytes] = {}

    # tsq: M2 M3 T7
    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, DatagramFrameReceived):
            try:
                self.send_datagram(self.answer(event.data))
            except Malformed:
                return
        elif isinstance(event, StreamDataReceived):
            whole = self.parts[event.stream_id] = self.parts.get(event.stream_id, b"") + event.data
            if not event.end_stream:
                return
            try:
                answer = self.error(self.args.error) if self.args.error else self.answer(whole)
            except Malformed:
                answer = self.error(1)
            self.send_on_stream(event.stream_id, answer, end=True)

    def error(self, code: int) -> bytes:
        """An Error element, alone."""
        return tlv(ERROR, bytes((code, 0)) + b"as told")

    # tsq: M4 M5 M6 M9 T8 T12 T13
    def answer(self, request: bytes) -> bytes:
        """The time, with what the request asks for and this server has."""
        asked = read_request(request)
        key = self.args.signing_key if asked["asks_signature"] else None
        if asked["asks_signature"] and key is None:
            raise Malformed("no key")
        answer = tlv(NONCE, bytes.fromhex(asked["nonce"])) + times(self.received_ns, time.time_ns())
        if self.args.unknown:
            answer += tlv(4, b"new") + tlv(246, b"")
        room = len(request) - (SIGNATURE_SIZES[key.algorithm] if key else 0) - len(answer) - 2
        if asked["asks_precision"] and (room == 0 or room >= 2):
            print("precise", flush=True)
            answer += tlv(PRECISION, b"")
            while room:
                # Never leave a single byte, which no element fits.
                size = room if room <= 257 else 257 if room != 258 else 255
                answer += tlv(PADDING, bytes(size - 2))
                room -= size
        return answer + (key.block(answer) if key else b"")


if __name__ == "__main__":
    parser = options(__doc__, alpn="tsq,tsq/1")
    parser.add_argument("--signing-key", type=Key.from_word, help="ALGORITHM:ID:HEX")
    parser.add_argument("--unknown", action="store_true", help="put elements of unknown types into each answer")
    parser.add_argument("--error", type=int, default=0, help="answer each stream with an Error of this code")
    arguments = parser.parse_args()
    run_server(arguments, functools.partial(DraftServer, arguments), datagrams=True)
