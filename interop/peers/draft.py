"""The whole protocol as draft/protocol.md has it: strict readers, signatures, and the verdict on an exchange.

`common.py` knows what the programs in the field know; this knows the rest.
"""

import hmac
import struct
from collections.abc import Callable, Iterable
from typing import Any

from common import ERROR, NONCE, RECEIVE_TIME, SEND_TIME, Malformed, parse, sample, tlv, unix_from_ntp
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

METADATA_QUERY, CLOCK_QUALITY, PRECISION, TIME_SOURCE = 247, 248, 250, 251
SIGNATURE_REQUEST, METADATA, PADDING, SIGNATURE = 252, 253, 254, 255
ALGORITHMS = {"ed25519": 1, "hmac-sha256": 2}

# --- elements -----------------------------------------------------------------------------------


def text(value: bytes) -> str:
    """UTF-8, or the message is malformed."""
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Malformed("not UTF-8") from error


def empty(value: bytes) -> bool:
    """An element whose presence says it all."""
    if value:
        raise Malformed("a value where none belongs")
    return True


# tsq: T11
def pairs(value: bytes) -> list[list[str]]:
    """Keys and values, sorted by key."""
    strings, rest = [], value
    while rest:
        if len(rest) < 1 + rest[0]:
            raise Malformed("a string is cut off")
        strings.append(rest[1 : 1 + rest[0]])
        rest = rest[1 + rest[0] :]
    keys = strings[::2]
    if len(strings) % 2 or keys != sorted(keys):
        raise Malformed("a key without a value, or out of order")
    return [[text(key), text(held)] for key, held in zip(keys, strings[1::2], strict=True)]


# tsq: T6
def clock_quality(value: bytes) -> dict[str, Any]:
    """Class, error, drift and tag."""
    if len(value) < 6:
        raise Malformed("clock quality is cut off")
    grade, _, error_us, drift_ppb = struct.unpack(">BBHH", value[:6])
    return {"class": grade, "error_us": error_us, "drift_ppb": drift_ppb, "tag": text(value[6:])}


# tsq: T9
def time_source(value: bytes) -> dict[str, Any]:
    """Stratum, type and what else is said."""
    if len(value) < 2:
        raise Malformed("time source is cut off")
    return {"stratum": value[0], "source": value[1], "info": text(value[2:])}


# tsq: T13
def signature_block(value: bytes) -> tuple[int, int, bytes]:
    """Algorithm, key id and signature."""
    if len(value) < 7 or struct.unpack(">H", value[5:7])[0] != len(value) - 7:
        raise Malformed("a signature of another length than stated")
    return value[0], int.from_bytes(value[1:5], "big"), value[7:]


def zeros(value: bytes) -> None:
    """Padding."""
    if any(value):
        raise Malformed("padding that is not zero")


# --- messages -----------------------------------------------------------------------------------

Readers = dict[int, Callable[[bytes], Any]]
REPEATABLE = {METADATA, PADDING}
ASKED: Readers = {METADATA_QUERY: empty, PRECISION: empty, SIGNATURE_REQUEST: empty, METADATA: pairs, PADDING: zeros}
TOLD: Readers = {
    PRECISION: empty,
    CLOCK_QUALITY: clock_quality,
    TIME_SOURCE: time_source,
    METADATA: pairs,
    PADDING: zeros,
    SIGNATURE: signature_block,
}


# tsq: M1 M11 T12
def options_of(tlvs: Iterable[tuple[int, bytes]], readers: Readers, mandatory: set[int]) -> dict[int, Any]:
    """What the optional elements say; those without a reader are skipped."""
    found: dict[int, Any] = {METADATA: []}
    seen = set(mandatory)
    for kind, value in tlvs:
        if SIGNATURE in seen:
            raise Malformed("an element behind the signature")
        known = kind in readers or kind in mandatory
        if PADDING in seen and known and kind not in (PADDING, SIGNATURE):
            raise Malformed("an element behind the padding")
        if known and kind in seen - REPEATABLE:
            raise Malformed("an element twice")
        seen |= {kind} & (readers.keys() | {SIGNATURE})
        if kind not in readers:
            continue
        read = readers[kind](value)
        found[kind] = found[kind] + read if kind == METADATA else read
    return found


# tsq: T1 M11
def nonce_first(message: bytes) -> list[tuple[int, bytes]]:
    """All elements of a message that begins with a Nonce."""
    tlvs = parse(message)
    if not tlvs or tlvs[0][0] != NONCE or len(tlvs[0][1]) != 16:
        raise Malformed("a message starts with a 16-byte Nonce")
    return tlvs


def read_request(message: bytes) -> dict[str, Any]:
    """What a request asks, as the test vectors say it."""
    tlvs = nonce_first(message)
    asked = options_of(tlvs[1:], ASKED, {NONCE})
    return {
        "nonce": tlvs[0][1].hex(),
        "asks_metadata": METADATA_QUERY in asked,
        "asks_precision": PRECISION in asked,
        "asks_signature": SIGNATURE_REQUEST in asked,
        "metadata": asked[METADATA],
        "length": len(message),
    }


# tsq: T2 T3 M11
def read_response(message: bytes, keys: dict[int, "Key"] | None = None) -> dict[str, Any]:
    """What a response tells, as the test vectors say it."""
    tlvs = nonce_first(message)
    foreign = {METADATA_QUERY, SIGNATURE_REQUEST}
    rest = tlvs[1:]
    stamps = []
    for wanted in (RECEIVE_TIME, SEND_TIME):
        while rest and (rest[0][0] in foreign or rest[0][0] == 0 or 4 <= rest[0][0] <= 246):
            rest = rest[1:]
        if not rest or rest[0][0] != wanted or len(rest[0][1]) != 8:
            raise Malformed("T2 or T3 is missing")
        stamps.append(rest[0][1].hex())
        rest = rest[1:]
    if any(kind == ERROR for kind, _ in rest):
        raise Malformed("an error stands alone")
    told = options_of(rest, TOLD, {NONCE, RECEIVE_TIME, SEND_TIME})
    signature = None
    if block := told.get(SIGNATURE):
        covered = len(message) - 9 - len(block[2])
        verdict = verification(message[:covered], block, keys or {})
        names = ("algorithm", "key_id", "signed_length", "signature_length", "verification")
        signature = dict(zip(names, (block[0], block[1], covered, len(block[2]), verdict), strict=True))
    return {
        "nonce": tlvs[0][1].hex(),
        "receive_timestamp": stamps[0],
        "send_timestamp": stamps[1],
        "precision": PRECISION in told,
        "time_source": told.get(TIME_SOURCE),
        "clock_quality": told.get(CLOCK_QUALITY),
        "metadata": told[METADATA],
        "signature": signature,
        "length": len(message),
    }


# tsq: M3 T7
def read_answer(message: bytes) -> dict[str, Any]:
    """A response, or the Error in its place; nothing behind that is looked at."""
    if message[:1] == bytes((ERROR,)):
        if len(message) < 2 or len(message) < 2 + message[1] or message[1] < 2:
            raise Malformed("an error that is cut off")
        return {"error": {"code": message[2], "reason": text(message[4 : 2 + message[1]])}}
    return {"response": {"nonce": read_response(message)["nonce"]}}


# --- signatures ---------------------------------------------------------------------------------


class Key:
    """A key that verifies, and signs if its secret is known."""

    def __init__(self, algorithm: str, key_id: int, secret: bytes | None = None, public: bytes | None = None) -> None:
        self.algorithm, self.key_id, self.secret = ALGORITHMS[algorithm], key_id, secret
        if self.algorithm == 1 and secret:
            made = Ed25519PrivateKey.from_private_bytes(secret).public_key()
            public = made.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = public

    @classmethod
    def from_word(cls, word: str) -> "Key":
        """From ALGORITHM:ID:HEX, as the peers in stacks/ take it; `ed25519-public` verifies only."""
        algorithm, key_id, digits = word.split(":")
        value = bytes.fromhex(digits)
        if algorithm == "ed25519-public":
            return cls("ed25519", int(key_id), public=value)
        return cls(algorithm, int(key_id), secret=value)

    # tsq: M4 T13
    def block(self, message: bytes) -> bytes:
        """The Signature Block of a message."""
        assert self.secret is not None
        if self.algorithm == 1:
            signature = Ed25519PrivateKey.from_private_bytes(self.secret).sign(message)
        else:
            signature = hmac.digest(self.secret, message, "sha256")
        return tlv(SIGNATURE, struct.pack(">BIH", self.algorithm, self.key_id, len(signature)) + signature)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether this key made the signature."""
        if self.algorithm == 2:
            assert self.secret is not None
            return hmac.compare_digest(hmac.digest(self.secret, message, "sha256"), signature)
        assert self.public is not None
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


# tsq: M4 M5
def verification(message: bytes, block: tuple[int, int, bytes], keys: dict[int, Key]) -> str:
    """`valid`, or why the signature is not."""
    algorithm, key_id, signature = block
    if algorithm not in ALGORITHMS.values():
        return "unknown_algorithm"
    if key_id not in keys:
        return "unknown_key"
    if keys[key_id].algorithm != algorithm:
        return "wrong_algorithm"
    return "valid" if keys[key_id].verifies(message, signature) else "bad_signature"


# --- exchange -----------------------------------------------------------------------------------


# tsq: E2 E3 E4 M6
def refusal(
    message: bytes, nonce: bytes, t1: int, t4: int, limit: int, request_length: int, keys: dict[int, "Key"] | None = None
) -> str | None:
    """Why the answer gives no sample; None when it gives one. With `keys`, one of them must have signed it."""
    if message[:1] != bytes((ERROR,)):
        try:
            first = parse(message[: 2 + message[1]]) if len(message) > 1 else parse(message)
        except Malformed:
            return "malformed"
        if not first or first[0][0] != NONCE:
            return "nonce_missing"
        if len(first[0][1]) != 16:
            return "nonce_malformed"
    try:
        if "error" in read_answer(message):
            return "server_error"
        told = read_response(message, keys)
    except Malformed:
        return "malformed"
    if told["nonce"] != nonce.hex():
        return "nonce_mismatch"
    if keys is not None and told["signature"] is None:
        return "signature_missing"
    if keys is not None and told["signature"]["verification"] != "valid":
        return "signature_invalid"
    if told["precision"] and request_length != len(message):
        return "precision_length"
    measured = sample(message, nonce, t1, t4)
    stamps = (unix_from_ntp(int(told[name], 16), t1) for name in ("receive_timestamp", "send_timestamp"))
    if any(not -(2**63) <= stamp < 2**63 for stamp in stamps):
        return "time_out_of_range"
    if t4 < t1:
        return "received_before_sent"
    if measured.rtt_ns > t4 - t1:
        return "send_before_receive"
    if measured.rtt_ns <= 0:
        return "delay_not_positive"
    return "offset_past_limit" if abs(measured.offset_ns) > limit else None
