"""The stream client of the field (F2): one stream per query; one read of at most 100 bytes; only then does it end its side.

Like the QUIC library of that client, it fails a query whose stream was stopped before it has ended it.
"""

import argparse
import asyncio
import secrets
import time

from aioquic.quic.events import QuicEvent, StopSendingReceived, StreamDataReceived, StreamReset
from common import NONCE, ClientProtocol, Sample, options, run_client, sample, tlv

READ_LIMIT = 100


class StreamClient(ClientProtocol):
    """Keeps the first piece of data of each stream, with its T4, as one `recv` would return it."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.reads: dict[int, asyncio.Future[tuple[bytes, int]]] = {}
        self.stopped: set[int] = set()

    def quic_event_received(self, event: QuicEvent) -> None:
        super().quic_event_received(event)
        if isinstance(event, StopSendingReceived):
            self.stopped.add(event.stream_id)
        if not isinstance(event, (StreamDataReceived, StreamReset)):
            return
        read = self.reads.get(event.stream_id)
        if read is not None and not read.done():
            data = event.data[:READ_LIMIT] if isinstance(event, StreamDataReceived) else b""
            read.set_result((data, self.received_ns))


    def begin_only(self, count: int, abandon: bool) -> None:
        """Open streams, and send on each no more than the beginning of a request; nothing at all on the first."""
        for number in range(count):
            stream_id = self._quic.get_next_available_stream_id()
            self._quic.send_stream_data(stream_id, tlv(NONCE, bytes(16))[: 2 * number], end_stream=False)
            if abandon:
                self.transmit()  # or the bytes would never leave
                self._quic.reset_stream(stream_id, error_code=7)
        self.transmit()

    def end(self, stream_id: int) -> None:
        """End our side, as a program does that has read its answer."""
        if stream_id in self.stopped:
            raise ConnectionError("stream was reset")
        self._quic.send_stream_data(stream_id, b"", end_stream=True)
        self.transmit()


# tsq: F2
async def query(client: StreamClient, args: argparse.Namespace) -> Sample:
    """One exchange on a stream of its own."""
    client.begin_only(args.unfinished, args.abandon)
    args.unfinished = 0
    nonce = secrets.token_bytes(16)
    stream_id = client._quic.get_next_available_stream_id()
    read = client.reads[stream_id] = asyncio.get_running_loop().create_future()
    client._quic.send_stream_data(stream_id, tlv(NONCE, nonce), end_stream=False)
    sent_ns = time.time_ns()
    client.transmit()
    answer, received_ns = await read
    if not args.never_end:
        await asyncio.sleep(args.hold)
        client.end(stream_id)
    return sample(answer, nonce, sent_ns, received_ns)


if __name__ == "__main__":
    parser = options(__doc__)
    parser.add_argument("--hold", type=float, default=0.0, help="seconds from the answer to the end of its side")
    parser.add_argument("--never-end", action="store_true", help="leave every stream open")
    parser.add_argument("--unfinished", type=int, default=0, help="first open so many streams that ask nothing")
    parser.add_argument("--abandon", action="store_true", help="reset these")
    run_client(parser.parse_args(), StreamClient, query, datagrams=False)
