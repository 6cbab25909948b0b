"""The datagram client of the field (F1): `tsq/1`, no streams, one 18-byte request per DATAGRAM frame.

With --impatient it does what the reference adjtime does (F4): a constant nonce, the request repeated every
millisecond until the first answer, T1 overwritten each time. Unlike that program it reports whether the nonce
came back (F5).
"""

import argparse
import asyncio
import secrets
import time

from aioquic.quic.events import DatagramFrameReceived, QuicEvent
from common import NONCE, ClientProtocol, Sample, options, run_client, sample, tlv

CONSTANT_NONCE = bytes(range(16))


class DatagramClient(ClientProtocol):
    """Keeps the answers with their T4."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        limit = self._quic._local_max_streams_bidi
        limit.value = limit.sent = 0
        self.answers: asyncio.Queue[tuple[bytes, int]] = asyncio.Queue()

    def quic_event_received(self, event: QuicEvent) -> None:
        super().quic_event_received(event)
        if isinstance(event, DatagramFrameReceived):
            self.answers.put_nowait((event.data, self.received_ns))

    # tsq: F1
    def send(self, nonce: bytes) -> int:
        """Send a request; returns T1."""
        self._quic.send_datagram_frame(tlv(NONCE, nonce))
        sent_ns = time.time_ns()
        self.transmit()
        return sent_ns


async def query(client: DatagramClient, args: argparse.Namespace) -> Sample:
    """One exchange."""
    if args.impatient:
        return await impatient_query(client)
    nonce = secrets.token_bytes(16)
    sent_ns = client.send(nonce)
    answer, received_ns = await client.answers.get()
    return sample(answer, nonce, sent_ns, received_ns)


# tsq: F4
async def impatient_query(client: DatagramClient) -> Sample:
    """One exchange in the manner of F4; late answers of the query before may be taken for this one's."""
    while True:
        sent_ns = client.send(CONSTANT_NONCE)
        await asyncio.sleep(0.001)
        if not client.answers.empty():
            break
    answer, received_ns = client.answers.get_nowait()
    return sample(answer, CONSTANT_NONCE, sent_ns, received_ns)


if __name__ == "__main__":
    parser = options(__doc__)
    parser.add_argument("--impatient", action="store_true", help="constant nonce, repeat each millisecond")
    run_client(parser.parse_args(), DatagramClient, query, datagrams=True)
