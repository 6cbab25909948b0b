"""The stream server of the field (F2, F3): no datagrams; answers at 18 bytes, closes its side 5 s later."""

import asyncio
import time

from aioquic.quic.events import QuicEvent, StreamDataReceived
from common import NONCE, REQUEST_SIZE, Malformed, ServerProtocol, options, request_nonce, run_server, times, tlv

LINGER_S = 5.0  # how long the reference keeps its side open after the answer


class StreamServer(ServerProtocol):
    """Answers each bidirectional stream once, without waiting for its end."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.requests: dict[int, bytes] = {}

    def quic_event_received(self, event: QuicEvent) -> None:
        if not isinstance(event, StreamDataReceived):
            return
        before = self.requests.get(event.stream_id, b"")
        request = self.requests[event.stream_id] = before + event.data
        if len(before) < REQUEST_SIZE <= len(request):
            self.answer(event.stream_id, request[:REQUEST_SIZE])

    # tsq: F3
    def answer(self, stream_id: int, request: bytes) -> None:
        """Send the 38 bytes now and the end of the stream much later."""
        try:
            nonce = request_nonce(request)
        except Malformed:
            return
        answer = tlv(NONCE, nonce) + times(self.received_ns, time.time_ns())
        self.send_on_stream(stream_id, answer, end=False)
        asyncio.get_running_loop().call_later(LINGER_S, self.send_on_stream, stream_id, b"", True)


if __name__ == "__main__":
    run_server(options(__doc__).parse_args(), StreamServer, datagrams=False)
