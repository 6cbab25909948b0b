"""The datagram server of the field (F1): `tsq/1`, no streams at all, 18 bytes in, 38 bytes out."""

import time

from aioquic.quic.events import DatagramFrameReceived, QuicEvent
from common import NONCE, Malformed, ServerProtocol, options, request_nonce, run_server, times, tlv


class DatagramServer(ServerProtocol):
    """Answers each DATAGRAM frame with one of its own."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.forbid_streams()

    # tsq: F1
    def quic_event_received(self, event: QuicEvent) -> None:
        if not isinstance(event, DatagramFrameReceived):
            return
        try:
            nonce = request_nonce(event.data)
        except Malformed:
            return
        self.send_datagram(tlv(NONCE, nonce) + times(self.received_ns, time.time_ns()))


if __name__ == "__main__":
    run_server(options(__doc__).parse_args(), DatagramServer, datagrams=True)
