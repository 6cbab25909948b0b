"""Sends any bytes as a request and prints what comes back, as JSON with the answer in hex.

Afterwards it asks properly on the same connection: "lives" says whether that was answered.
"""

import argparse
import asyncio
import contextlib
import json
import secrets

from aioquic.asyncio import connect
from aioquic.quic.events import DatagramFrameReceived, QuicEvent, StreamDataReceived, StreamReset
from common import NONCE, ClientProtocol, client_configuration, options, tlv

QUIET_S = 0.2  # this long without an answer is silence; our server waits 3 ms at most


class RawClient(ClientProtocol):
    """Keeps what comes back: datagrams under the key None, streams under their ids."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.received: dict[int | None, bytes] = {}
        self.ended: dict[int | None, asyncio.Event] = {}

    def quic_event_received(self, event: QuicEvent) -> None:
        super().quic_event_received(event)
        if isinstance(event, DatagramFrameReceived):
            self.received[None] = self.received.get(None, b"") + event.data
            self.ended_of(None).set()
        elif isinstance(event, StreamDataReceived):
            self.received[event.stream_id] = self.received.get(event.stream_id, b"") + event.data
            if event.end_stream:
                self.ended_of(event.stream_id).set()
        elif isinstance(event, StreamReset):
            self.ended_of(event.stream_id).set()

    def ended_of(self, key: int | None) -> asyncio.Event:
        """Set when the answer under this key is complete."""
        return self.ended.setdefault(key, asyncio.Event())

    async def ask(self, mode: str, request: bytes, ending: str) -> bytes | None:
        """The answer to a request; None when there is none."""
        stream_id = None
        if mode == "datagram":
            self.received.pop(None, None)
            self.ended.pop(None, None)
            self._quic.send_datagram_frame(request)
        else:
            stream_id = self._quic.get_next_available_stream_id()
            self._quic.send_stream_data(stream_id, request, end_stream=ending == "fin")
            if ending == "reset":
                self.transmit()  # or the bytes would never leave
                self._quic.reset_stream(stream_id, error_code=7)
        self.transmit()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIET_S):
                await self.ended_of(stream_id).wait()
        return self.received.get(stream_id)


async def main(args: argparse.Namespace) -> None:
    """Send the bytes, then a proper request."""
    configuration = client_configuration(args, datagrams=True)
    configuration.max_datagram_size = args.packet_size
    async with connect(args.host, args.port, configuration=configuration, create_protocol=RawClient) as client:
        answer = await client.ask(args.mode, bytes.fromhex(args.hex), args.ending)
        nonce = tlv(NONCE, secrets.token_bytes(16))
        proper = await client.ask(args.mode, nonce, "fin")
        report = {
            "answer": None if answer is None else answer.hex(),
            "lives": proper is not None and proper.startswith(nonce),
            "closed": ClientProtocol.close_reason,
        }
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    parser = options(__doc__)
    parser.add_argument("--mode", required=True, choices=["stream", "datagram"])
    parser.add_argument("--hex", required=True, help="the bytes of the request; may be empty on a stream")
    parser.add_argument("--ending", default="fin", choices=["fin", "open", "reset"], help="of the stream")
    parser.add_argument("--packet-size", type=int, default=1200, help="the longest UDP payload to send")
    asyncio.run(main(parser.parse_args()))
