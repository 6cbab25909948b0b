"""The stream client of the field (F2): one stream per query, never finished; one read of at most 100 bytes."""

import argparse
import asyncio
import secrets
import time

from aioquic.quic.events import QuicEvent, StreamDataReceived, StreamReset
from common import NONCE, ClientProtocol, Sample, options, run_client, sample, tlv

READ_LIMIT = 100


class StreamClient(ClientProtocol):
    """Keeps the first piece of data of each stream, with its T4, as one `recv` would return it."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.reads: dict[int, asyncio.Future[tuple[bytes, int]]] = {}

    def quic_event_received(self, event: QuicEvent) -> None:
        super().quic_event_received(event)
        if not isinstance(event, (StreamDataReceived, StreamReset)):
            return
        read = self.reads.get(event.stream_id)
        if read is not None and not read.done():
            data = event.data[:READ_LIMIT] if isinstance(event, StreamDataReceived) else b""
            read.set_result((data, self.received_ns))


# tsq: F2
async def query(client: StreamClient, _args: argparse.Namespace) -> Sample:
    """One exchange on a stream of its own, which stays open behind it."""
    nonce = secrets.token_bytes(16)
    stream_id = client._quic.get_next_available_stream_id()
    read = client.reads[stream_id] = asyncio.get_running_loop().create_future()
    client._quic.send_stream_data(stream_id, tlv(NONCE, nonce), end_stream=False)
    sent_ns = time.time_ns()
    client.transmit()
    answer, received_ns = await read
    return sample(answer, nonce, sent_ns, received_ns)


if __name__ == "__main__":
    run_client(options(__doc__).parse_args(), StreamClient, query, datagrams=False)
