"""What all peers share: the wire format, certificates, options, and the two main loops.

Written from draft/PROTOCOL.md alone. It must share nothing with the Rust crates: its worth is that it
can disagree with them.
"""

import argparse
import asyncio
import contextlib
import datetime
import hashlib
import ipaddress
import json
import signal
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, QuicEvent
from aioquic.tls import SessionTicket
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

NONCE, RECEIVE_TIME, SEND_TIME, ERROR = 1, 2, 3, 249
REQUEST_SIZE = 18  # the request in the field: a Nonce and nothing else (F1)
DATAGRAM_LIMIT = 1350  # what the reference programs accept (F1)

# --- wire format (PROTOCOL.md sections 2 and 3) -------------------------------------------------

_UNIX_TO_NTP = 2_208_988_800  # seconds from 1900-01-01 to 1970-01-01
_ERA = 1 << 32


class Malformed(ValueError):
    """The bytes are not a sequence of TLVs, or a TLV has an impossible length."""


# tsq: E3
def ntp_from_unix(unix_ns: int) -> int:
    """The 64-bit NTP timestamp of a Unix time in nanoseconds; the era is lost, as on the wire."""
    seconds, nanos = divmod(unix_ns, 1_000_000_000)
    return ((seconds + _UNIX_TO_NTP) % _ERA) << 32 | (nanos << 32) // 1_000_000_000


# tsq: E3
def unix_from_ntp(ntp: int, pivot_ns: int) -> int:
    """Unix nanoseconds of an NTP timestamp, in the era that brings it nearest to the pivot."""
    pivot_seconds = pivot_ns // 1_000_000_000 + _UNIX_TO_NTP
    distance = ((ntp >> 32) - pivot_seconds + _ERA // 2) % _ERA - _ERA // 2
    fraction_ns = ((ntp & (_ERA - 1)) * 1_000_000_000 + _ERA // 2) >> 32
    return (pivot_seconds + distance - _UNIX_TO_NTP) * 1_000_000_000 + fraction_ns


def tlv(kind: int, value: bytes) -> bytes:
    """One TLV."""
    return bytes((kind, len(value))) + value


# tsq: M1
def parse(message: bytes) -> list[tuple[int, bytes]]:
    """All TLVs of a message, in order."""
    tlvs = []
    while message:
        if len(message) < 2 or len(message) < 2 + message[1]:
            raise Malformed(f"a TLV is cut off, {len(message)} bytes left")
        tlvs.append((message[0], message[2 : 2 + message[1]]))
        message = message[2 + message[1] :]
    return tlvs


def times(receive_ns: int, send_ns: int) -> bytes:
    """T2 and T3 as TLVs, from Unix nanoseconds."""
    return b"".join(
        tlv(kind, ntp_from_unix(ns).to_bytes(8, "big"))
        for kind, ns in ((RECEIVE_TIME, receive_ns), (SEND_TIME, send_ns))
    )


# tsq: T1 M11
def request_nonce(message: bytes) -> bytes:
    """The nonce of a request; the Nonce must come first."""
    tlvs = parse(message)
    if not tlvs or tlvs[0][0] != NONCE or len(tlvs[0][1]) != 16:
        raise Malformed("a request starts with a 16-byte Nonce")
    return tlvs[0][1]


class Sample(NamedTuple):
    """One exchange as a client sees it."""

    offset_ns: int
    rtt_ns: int
    nonce_ok: bool


# tsq: E2 F5
def sample(answer: bytes, nonce: bytes, sent_ns: int, received_ns: int) -> Sample:
    """The sample of one answer, whatever nonce it has; raises Malformed when T2 or T3 is not in it."""
    found = dict(parse(answer))
    stamps = [found.get(kind, b"") for kind in (RECEIVE_TIME, SEND_TIME)]
    if any(len(stamp) != 8 for stamp in stamps):
        raise Malformed("the answer lacks T2 or T3")
    t2, t3 = (unix_from_ntp(int.from_bytes(stamp, "big"), sent_ns) for stamp in stamps)
    twice = (t2 - sent_ns) + (t3 - received_ns)
    return Sample(
        offset_ns=abs(twice) // 2 * (1 if twice > 0 else -1),  # towards zero
        rtt_ns=(received_ns - sent_ns) - (t3 - t2),
        nonce_ok=found.get(NONCE) == nonce,
    )


# --- options and certificates -------------------------------------------------------------------


def options(doc: str | None, alpn: str = "tsq/1") -> argparse.ArgumentParser:
    """The options that every peer has; servers and clients ignore what is not theirs."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="address to bind, or name to connect to")
    parser.add_argument("--port", type=int, default=0, help="0 lets a server choose and print one")
    parser.add_argument("--alpn", default=alpn, help="comma-separated, in order of preference")
    parser.add_argument("--cert", type=Path, help="server: PEM chain; made in memory when absent")
    parser.add_argument("--key", type=Path, help="server: PEM key")
    parser.add_argument("--ready-file", type=Path, help="server: write HOST:PORT here once bound")
    parser.add_argument("--ca", type=Path, help="client: trust this PEM file")
    parser.add_argument("--insecure", action="store_true", help="client: trust any certificate")
    parser.add_argument("--server-name", help="client: the name to expect in the certificate")
    parser.add_argument("--count", type=int, default=1, help="client: queries on one connection")
    parser.add_argument("--pipelined", action="store_true", help="client: all queries at once")
    parser.add_argument("--pause", type=float, default=0.0, help="client: seconds between queries")
    parser.add_argument("--rebind", action="store_true", help="client: another UDP port for each query")
    parser.add_argument("--resume", action="store_true", help="client: ask on a second connection, by the ticket of a first")
    parser.add_argument("--early", action="store_true", help="client: as --resume, with the first request in 0-RTT")
    parser.add_argument("--retry", action="store_true", help="server: send a Retry before each connection")
    parser.add_argument("--timeout", type=float, default=3.0, help="client: seconds for each step")
    return parser


def _self_signed() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A P-256 certificate for localhost, good for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost")] + [x509.IPAddress(ipaddress.ip_address(a)) for a in ("127.0.0.1", "::1")]
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, SHA256())
    )
    return certificate, key


def _pin(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate's public key (SubjectPublicKeyInfo), in hex."""
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(spki).hexdigest()


# --- servers ------------------------------------------------------------------------------------


class ServerProtocol(QuicConnectionProtocol):
    """A server's side of a connection; `received_ns` is when the current packet was read (T2)."""

    received_ns = 0

    def datagram_received(self, data: bytes | str, addr: Any) -> None:
        self.received_ns = time.time_ns()
        super().datagram_received(data, addr)

    def forbid_streams(self) -> None:
        """Announce initial_max_streams_bidi = 0; aioquic has no option for it."""
        limit = self._quic._local_max_streams_bidi
        limit.value = limit.sent = 0

    def send_on_stream(self, stream_id: int, data: bytes, end: bool) -> None:
        """Write unless the stream or connection is gone by now."""
        with contextlib.suppress(ValueError):
            self._quic.send_stream_data(stream_id, data, end_stream=end)
        self.transmit()

    def send_datagram(self, data: bytes) -> None:
        """Send one DATAGRAM frame now."""
        self._quic.send_datagram_frame(data)
        self.transmit()


def run_server(
    args: argparse.Namespace, protocol: Callable[..., ServerProtocol], datagrams: bool
) -> None:
    """Serve until SIGTERM or SIGINT."""
    configuration = QuicConfiguration(
        is_client=False,
        alpn_protocols=args.alpn.split(","),
        max_datagram_frame_size=DATAGRAM_LIMIT if datagrams else None,
    )
    if args.cert:
        configuration.load_cert_chain(args.cert, args.key)
    else:
        configuration.certificate, configuration.private_key = _self_signed()
    asyncio.run(_serve(args, configuration, protocol))


async def _serve(
    args: argparse.Namespace, configuration: QuicConfiguration, protocol: Callable[..., ServerProtocol]
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tickets: dict[bytes, SessionTicket] = {}
    server = await serve(
        args.host,
        args.port,
        configuration=configuration,
        create_protocol=protocol,
        retry=args.retry,
        session_ticket_fetcher=lambda label: tickets.pop(label, None),  # each once, for 0-RTT
        session_ticket_handler=lambda ticket: tickets.update({ticket.ticket: ticket}),
    )
    port = server._transport.get_extra_info("sockname")[1]  # aioquic offers no other way
    address = f"[{args.host}]:{port}" if ":" in args.host else f"{args.host}:{port}"
    print(f"pin {_pin(configuration.certificate)}", flush=True)
    print(f"listening on {address}", flush=True)
    if args.ready_file:
        args.ready_file.write_text(address + "\n")
    await stop.wait()
    server.close()


# --- clients ------------------------------------------------------------------------------------


class ClientProtocol(QuicConnectionProtocol):
    """A client's side of a connection; remembers the ALPN and when the current packet was read (T4)."""

    alpn: str | None = None
    resumed = early = False
    close_reason: str | None = None  # of the class: a failed handshake leaves no instance to ask
    received_ns = 0
    addresses = 1

    def datagram_received(self, data: bytes | str, addr: Any) -> None:
        self.received_ns = time.time_ns()
        super().datagram_received(data, addr)

    async def between_queries(self, args: argparse.Namespace) -> None:
        """Pause or change address, as the options say."""
        # tsq: F6
        await asyncio.sleep(args.pause)
        if args.rebind:
            await self.rebind()

    # tsq: C6
    async def rebind(self) -> None:
        """Go on from another UDP port, as when a NAT has forgotten us."""
        before, old_name = self._transport, self._transport.get_extra_info("sockname")
        other = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # aioquic maps IPv4 addresses
        other.bind(("::", 0))
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=other)
        before.close()
        self.addresses += other.getsockname() != old_name and self._transport is not before

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, HandshakeCompleted):
            self.alpn = event.alpn_protocol
            self.resumed, self.early = event.session_resumed, event.early_data_accepted
        elif isinstance(event, ConnectionTerminated):
            ClientProtocol.close_reason = f"code {event.error_code:#x} {event.reason_phrase}"


def client_configuration(args: argparse.Namespace, datagrams: bool) -> QuicConfiguration:
    """A client's side of QUIC and TLS, from the options."""
    configuration = QuicConfiguration(
        alpn_protocols=args.alpn.split(","),
        max_datagram_frame_size=DATAGRAM_LIMIT if datagrams else None,
        server_name=args.server_name,
        verify_mode=ssl.CERT_NONE if args.insecure else None,
    )
    if args.ca:
        configuration.load_verify_locations(str(args.ca))
    return configuration


def run_client(
    args: argparse.Namespace,
    protocol: Callable[..., ClientProtocol],
    query: Callable[[Any, argparse.Namespace], Awaitable[Sample]],
    datagrams: bool,
) -> None:
    """Make `--count` queries one after the other, print one JSON line, exit 0 only if all were good."""
    report: dict[str, Any] = {"alpn": None, "asked": args.count, "answered": 0, "error": None}
    samples: list[Sample] = []
    try:
        asyncio.run(_query_all(args, protocol, query, datagrams, report, samples))
    except Exception as error:  # whatever it was belongs in the report: the test shows nothing else
        report["error"] = f"{type(error).__name__}: {error}"
    report["answered"] = len(samples)
    report["closed"] = ClientProtocol.close_reason
    report["nonce_ok"] = bool(samples) and all(one.nonce_ok for one in samples)
    if samples:
        best = min(samples, key=lambda one: one.rtt_ns)
        report.update(offset_ns=best.offset_ns, rtt_ns=best.rtt_ns)
    print(json.dumps(report), flush=True)
    sys.exit(0 if report["nonce_ok"] and len(samples) == args.count else 1)


async def _query_all(
    args: argparse.Namespace,
    protocol: Callable[..., ClientProtocol],
    query: Callable[[Any, argparse.Namespace], Awaitable[Sample]],
    datagrams: bool,
    report: dict[str, Any],
    samples: list[Sample],
) -> None:
    configuration = client_configuration(args, datagrams)
    # tsq: C3
    if args.resume or args.early:
        async with asyncio.timeout(args.timeout):
            configuration.session_ticket = await _ticket(args, configuration, protocol)
    async with asyncio.timeout(args.timeout * (args.count + 1)):
        async with connect(
            args.host,
            args.port,
            configuration=configuration,
            create_protocol=protocol,
            wait_connected=not args.early,
        ) as client:
            report["alpn"] = client.alpn
            if args.pipelined:
                begun = time.monotonic_ns()
                samples += await asyncio.gather(*(query(client, args) for _ in range(args.count)))
                report["elapsed_ns"] = time.monotonic_ns() - begun
            for number in range(0 if args.pipelined else args.count):
                if number > 0:
                    await client.between_queries(args)
                async with asyncio.timeout(args.timeout):
                    samples.append(await query(client, args))
            # Not only before: an early request is asked before there is a connection. aioquic offers early data
            # with every ticket that allows it, so that alone says nothing of requests.
            early = args.early and client.early
            report.update(alpn=client.alpn, addresses=client.addresses, resumed=client.resumed, early=early)


async def _ticket(
    args: argparse.Namespace, configuration: QuicConfiguration, protocol: Callable[..., ClientProtocol]
) -> SessionTicket:
    """The first ticket of a connection made for nothing else."""
    tickets: asyncio.Queue[SessionTicket] = asyncio.Queue()
    async with connect(
        args.host,
        args.port,
        configuration=configuration,
        create_protocol=protocol,
        session_ticket_handler=tickets.put_nowait,
    ):
        return await tickets.get()
