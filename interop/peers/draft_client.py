"""A client of the whole protocol, by datagrams or streams, one query after the other or all at once."""

import argparse
import asyncio
import secrets
import time
from typing import Any

from aioquic.quic.events import DatagramFrameReceived, QuicEvent, StreamDataReceived
from common import NONCE, ClientProtocol, Malformed, Sample, options, run_client, sample, tlv
from draft import PADDING, PRECISION, SIGNATURE_REQUEST, Key, read_response, refusal

PRECISE_LENGTH = 200  # room for the time and any signature
LIMIT_NS = 60 * 10**9


class DraftClient(ClientProtocol):
    """Hands each answer to the query it belongs to: by nonce, or by stream at its end."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: dict[bytes | int, asyncio.Future[tuple[bytes, int]]] = {}
        self.parts: dict[int, bytes] = {}

    def quic_event_received(self, event: QuicEvent) -> None:
        super().quic_event_received(event)
        if isinstance(event, DatagramFrameReceived):
            self.answered(event.data[2:18], event.data)
        elif isinstance(event, StreamDataReceived):
            whole = self.parts[event.stream_id] = self.parts.get(event.stream_id, b"") + event.data
            if event.end_stream:
                self.answered(event.stream_id, whole)

    def answered(self, key: bytes | int, answer: bytes) -> None:
        """An answer is whole; nobody waits for a second one."""
        waiting = self.waiting.pop(key, None)
        if waiting is not None and not waiting.done():
            waiting.set_result((answer, self.received_ns))


# tsq: M5 M6 T8 T10 T12
def request_of(nonce: bytes, args: argparse.Namespace) -> bytes:
    """What the options ask for."""
    request = tlv(NONCE, nonce)
    if args.precision:
        request += tlv(PRECISION, b"")
    if args.verify_key:
        request += tlv(SIGNATURE_REQUEST, b"")
    if args.precision:
        request += tlv(PADDING, bytes(PRECISE_LENGTH - len(request) - 2))
    return request


# tsq: C4 E4 M5 M6
async def query(client: DraftClient, args: argparse.Namespace) -> Sample:
    """One exchange; an answer that breaks a rule raises Malformed."""
    nonce = secrets.token_bytes(16)
    request = request_of(nonce, args)
    future: asyncio.Future[tuple[bytes, int]] = asyncio.get_running_loop().create_future()
    if args.transport == "datagram":
        client.waiting[nonce] = future
        client._quic.send_datagram_frame(request)
    else:
        stream_id = client._quic.get_next_available_stream_id()
        client.waiting[stream_id] = future
        client._quic.send_stream_data(stream_id, request, end_stream=True)
    sent_ns = time.time_ns()
    client.transmit()
    answer, received_ns = await future
    why = refusal(answer, nonce, sent_ns, received_ns, LIMIT_NS, len(request))
    if why:
        raise Malformed(why)
    keys = {} if args.verify_key is None else {args.verify_key.key_id: args.verify_key}
    check(read_response(answer, keys), args)
    return sample(answer, nonce, sent_ns, received_ns)


def check(told: dict[str, Any], args: argparse.Namespace) -> None:
    """What was asked for is there, and nothing else."""
    if told["precision"] != args.precision:
        raise Malformed("precision mode is not as asked")
    if bool(told["signature"]) != bool(args.verify_key):
        raise Malformed("a signature is not as asked")
    if args.verify_key and told["signature"]["verification"] != "valid":
        raise Malformed(f"signature: {told['signature']['verification']}")


if __name__ == "__main__":
    parser = options(__doc__, alpn="tsq,tsq/1")
    parser.add_argument("--transport", required=True, choices=["datagram", "stream"])
    parser.add_argument("--precision", action="store_true", help="ask for an answer as long as the request")
    parser.add_argument("--verify-key", type=Key.from_word, help="ALGORITHM:ID:HEX; ask for a signature by it")
    run_client(parser.parse_args(), DraftClient, query, datagrams=True)
