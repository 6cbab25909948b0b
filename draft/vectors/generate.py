#!/usr/bin/env python3
"""Write the test vectors of the TSQ protocol, or check that the files hold what this program makes.

    python generate.py           # writes *.json beside this file
    python generate.py --check   # changes nothing; exit code 1 if a file differs

Written from ../protocol.md alone. It must share nothing with the Rust crates: bytes, verdicts and meanings stand
here as a reader of the protocol finds them, so that the crates can be wrong. Needs `cryptography` for Ed25519.
"""

import argparse
import hashlib
import hmac
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

FORMAT = "tsq-vectors/1"

NONCE, RECEIVE, SEND = 1, 2, 3
METADATA_QUERY, QUALITY, ERROR, PRECISION, SOURCE = 247, 248, 249, 250, 251
SIGNATURE_REQUEST, METADATA, PADDING, SIGNATURE = 252, 253, 254, 255

# --- keys: for tests only, known to everybody --------------------------------------------------------------------

# RFC 8032, section 7.1, TEST 1 and TEST 2.
ED25519_SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
OTHER_SECRET = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
HMAC_SECRET = bytes(range(32))
ED25519_ID, HMAC_ID, OTHER_ID = 7, 0x01020304, 8


def ed25519(message: bytes, secret: bytes = ED25519_SECRET) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(secret).sign(message)


def hmac_sha256(message: bytes) -> bytes:
    return hmac.new(HMAC_SECRET, message, hashlib.sha256).digest()


def keys() -> list[dict[str, Any]]:
    def ed25519_key(key_id: int, secret: bytes) -> dict[str, Any]:
        public = Ed25519PrivateKey.from_private_bytes(secret).public_key()
        return {
            "id": key_id,
            "algorithm": "ed25519",
            "secret": secret.hex(),
            "public": public.public_bytes(Encoding.Raw, PublicFormat.Raw).hex(),
        }

    return [
        ed25519_key(ED25519_ID, ED25519_SECRET),
        ed25519_key(OTHER_ID, OTHER_SECRET),
        {"id": HMAC_ID, "algorithm": "hmac-sha256", "secret": HMAC_SECRET.hex()},
    ]


# --- elements -----------------------------------------------------------------------------------------------------


def tlv(kind: int, value: bytes = b"") -> bytes:
    return bytes((kind, len(value))) + value


def ntp(unix_ns: int) -> int:
    """The 64 bits of a time, to the nearest 2^-32 s; the era is lost."""
    return ((unix_ns + 2_208_988_800 * 10**9) * 2**32 + 5 * 10**8) // 10**9 % 2**64


def u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def pairs(*texts: tuple[str, str]) -> bytes:
    """The value of one Metadata element."""
    strings = [text.encode() for pair in texts for text in pair]
    return b"".join(bytes((len(string),)) + string for string in strings)


def quality(kind: int, error_us: int, drift_ppb: int, tag: bytes = b"", reserved: int = 0) -> bytes:
    return tlv(QUALITY, bytes((kind, reserved)) + error_us.to_bytes(2, "big") + drift_ppb.to_bytes(2, "big") + tag)


def source(stratum: int, kind: int, info: bytes = b"") -> bytes:
    return tlv(SOURCE, bytes((stratum, kind)) + info)


def error(code: int, reason: bytes = b"", reserved: int = 0) -> bytes:
    return tlv(ERROR, bytes((code, reserved)) + reason)


def block(algorithm: int, key_id: int, signature: bytes) -> bytes:
    head = bytes((algorithm,)) + key_id.to_bytes(4, "big") + len(signature).to_bytes(2, "big")
    return tlv(SIGNATURE, head + signature)


def padding(total: int) -> bytes:
    """Padding of `total` bytes, headers included."""
    out = b""
    while total:
        size = min(total, 257)
        size -= total - size == 1  # one byte alone cannot be an element
        out += tlv(PADDING, bytes(size - 2))
        total -= size
    return out


# --- what most messages start with --------------------------------------------------------------------------------

N = bytes(range(16))
ASK = tlv(NONCE, N)
T2, T3 = 1_795_181_400_123_456_789, 1_795_181_400_123_466_789  # 2026-11-20 13:30:00 UTC
GIVE = ASK + tlv(RECEIVE, u64(ntp(T2))) + tlv(SEND, u64(ntp(T3)))

# --- vectors ------------------------------------------------------------------------------------------------------


def accepted(kind: str, rules: str, name: str, message: bytes, /, **meaning: Any) -> dict[str, Any]:
    head = {"name": name, "rules": rules.split(), "kind": kind, "hex": message.hex(), "verdict": "accepted"}
    return {**head, "meaning": meaning}


def malformed(kind: str, rules: str, name: str, message: bytes, error: str, /, **numbers: int) -> dict[str, Any]:
    head = {"name": name, "rules": rules.split(), "kind": kind, "hex": message.hex(), "verdict": "malformed"}
    return {**head, "error": error, "numbers": numbers}


def request(rules: str, name: str, message: bytes, asks: str = "", metadata: Any = ()) -> dict[str, Any]:
    asked = asks.split()
    assert set(asked) <= {"metadata", "precision", "signature"}
    return accepted(
        "request",
        rules,
        name,
        message,
        nonce=N.hex(),
        asks_metadata="metadata" in asked,
        asks_precision="precision" in asked,
        asks_signature="signature" in asked,
        metadata=[list(pair) for pair in metadata],
        length=len(message),
    )


def requests() -> list[dict[str, Any]]:
    def bad(rules: str, name: str, message: bytes, error: str, /, **numbers: int) -> dict[str, Any]:
        return malformed("request", rules, name, message, error, **numbers)

    full = ASK + tlv(METADATA_QUERY) + tlv(PRECISION) + tlv(SIGNATURE_REQUEST) + tlv(METADATA, pairs(("site", "lab")))
    long_value = "v" * 200
    site = pairs(("site", "us-east"))
    return [
        request("T1 F1", "nonce alone, as the programs in the field ask", ASK),
        request("T5", "metadata query", ASK + tlv(METADATA_QUERY), "metadata"),
        request("T8 M6 T12", "precision mode, padded to 40 bytes", ASK + tlv(PRECISION) + padding(20), "precision"),
        request("T8 M6", "precision mode in a request too short for an equal answer", ASK + tlv(PRECISION), "precision"),
        request("T10", "signature request", ASK + tlv(SIGNATURE_REQUEST), "signature"),
        request(
            "T5 T8 T10 T11 T12 M11",
            "everything a request may ask, padded to 400 bytes with two elements",
            full + padding(400 - len(full)),
            "metadata precision signature",
            [("site", "lab")],
        ),
        request(
            "M11",
            "optional elements in another order",
            ASK + tlv(SIGNATURE_REQUEST) + tlv(PRECISION) + tlv(METADATA_QUERY),
            "metadata precision signature",
        ),
        request("T11", "metadata: the draft's example", ASK + tlv(METADATA, site), "", [("site", "us-east")]),
        request("M10 T5 T11", "follow-ups asked for", ASK + tlv(METADATA_QUERY) + tlv(METADATA, pairs(("follow_up", ""))), "metadata", [("follow_up", "")]),
        request("T11", "metadata element without pairs", ASK + tlv(METADATA)),
        request(
            "T11",
            "metadata with an empty value, an equal key again and an empty key",
            ASK + tlv(METADATA, pairs(("", "x"), ("a", ""), ("a", "2"), ("b", "\u00fc"))),
            "",
            [("", "x"), ("a", ""), ("a", "2"), ("b", "\u00fc")],
        ),
        request(
            "T11",
            "metadata over two elements, each sorted by itself",
            ASK + tlv(METADATA, pairs(("b", long_value))) + tlv(METADATA, pairs(("a", long_value))),
            "",
            [("b", long_value), ("a", long_value)],
        ),
        request("T11", "metadata of 253 bytes of text", ASK + tlv(METADATA, pairs(("k", "v" * 252))), "", [("k", "v" * 252)]),
        request("T0 T4 M1", "reserved types 0, 4 and 246 are skipped", ASK + tlv(0) + tlv(4, b"abc") + tlv(246, b"\xff"), ""),
        request("M1", "reserved element of 255 bytes is skipped", ASK + tlv(99, b"\xff" * 255) + tlv(PRECISION), "precision"),
        request("M1 T12", "reserved element after padding is skipped", ASK + padding(4) + tlv(77, b"x"), ""),
        request(
            "M1",
            "elements of a response are skipped in a request, whatever they hold",
            ASK + tlv(RECEIVE) + tlv(SEND, b"x") + tlv(QUALITY) + tlv(ERROR) + tlv(SOURCE),
        ),
        request("T12", "padding of two bytes", ASK + tlv(PADDING)),
        request("T12", "padding of 1182 bytes in several elements", ASK + padding(1182)),
        request("T13", "signature block at the end of a request has no meaning", ASK + tlv(SIGNATURE, b"x")),
        bad("M11 T1", "nothing at all", b"", "NonceMissing"),
        bad("M11 T1", "nonce not first", tlv(PRECISION) + ASK, "NonceNotFirst", kind=PRECISION),
        bad("M11 T0", "reserved element before the nonce", tlv(0) + ASK, "NonceNotFirst", kind=0),
        bad("T1", "nonce of 15 bytes", tlv(NONCE, N[:15]), "NonceLength", len=15),
        bad("T1", "nonce of 17 bytes", tlv(NONCE, N + b"x"), "NonceLength", len=17),
        bad("T1", "nonce of no bytes", tlv(NONCE), "NonceLength", len=0),
        bad("M1", "one byte", b"\x01", "Truncated", at=0, needed=2, have=1),
        bad("M1", "nonce cut off", ASK[:17], "Truncated", at=0, needed=18, have=17),
        bad("M1", "type without length", ASK + b"\xfe", "Truncated", at=18, needed=2, have=1),
        bad("M1", "reserved element cut off", ASK + b"\x63\x05ab", "Truncated", at=18, needed=7, have=4),
        bad("M1 T1", "nonce twice", ASK + ASK, "DuplicateElement", kind=NONCE),
        bad("M1 T5", "metadata query twice", ASK + tlv(METADATA_QUERY) * 2, "DuplicateElement", kind=METADATA_QUERY),
        bad("M1 T8", "precision mode twice", ASK + tlv(PRECISION) * 2, "DuplicateElement", kind=PRECISION),
        bad("M1 T10", "signature request twice", ASK + tlv(SIGNATURE_REQUEST) * 2, "DuplicateElement", kind=SIGNATURE_REQUEST),
        bad("M11 T12", "precision mode after padding", ASK + padding(2) + tlv(PRECISION), "OutOfOrder", kind=PRECISION, after=PADDING),
        bad("T13", "padding after the signature block", ASK + tlv(SIGNATURE) + padding(2), "OutOfOrder", kind=PADDING, after=SIGNATURE),
        bad("T13", "reserved element after the signature block", ASK + tlv(SIGNATURE) + tlv(99), "OutOfOrder", kind=99, after=SIGNATURE),
        bad("T5", "metadata query with a value", ASK + tlv(METADATA_QUERY, b"x"), "ElementLength", kind=METADATA_QUERY, len=1, expected=0),
        bad("T8", "precision mode with a value", ASK + tlv(PRECISION, b"x"), "ElementLength", kind=PRECISION, len=1, expected=0),
        bad("T10", "signature request with a value", ASK + tlv(SIGNATURE_REQUEST, b"x"), "ElementLength", kind=SIGNATURE_REQUEST, len=1, expected=0),
        bad("T12", "padding that is not zero", ASK + tlv(PADDING, b"\0\0\1\0"), "PaddingNotZero", at=2),
        bad("T12", "second padding element that is not zero", ASK + padding(5) + tlv(PADDING, b"\x80"), "PaddingNotZero", at=0),
        bad("T11", "metadata key that is not UTF-8", ASK + tlv(METADATA, b"\x01\xff\x00"), "BadUtf8", kind=METADATA),
        bad("T11", "metadata value that is not UTF-8", ASK + tlv(METADATA, b"\x01a\x02\xc3\x28"), "BadUtf8", kind=METADATA),
        bad("T11", "metadata key cut off", ASK + tlv(METADATA, b"\x05site"), "MetadataTruncated", at=0),
        bad("T11", "metadata key without a value", ASK + tlv(METADATA, b"\x04site"), "MetadataTruncated", at=5),
        bad("T11", "metadata value cut off", ASK + tlv(METADATA, b"\x04site\x02u"), "MetadataTruncated", at=5),
        bad("T11", "metadata not sorted", ASK + tlv(METADATA, pairs(("b", "1"), ("a", "2"))), "MetadataUnsorted", at=4),
    ]


def response(rules: str, name: str, message: bytes, **told: Any) -> dict[str, Any]:
    meaning = {
        "nonce": N.hex(),
        "receive_timestamp": f"{ntp(T2):016x}",
        "send_timestamp": f"{ntp(T3):016x}",
        "precision": False,
        "time_source": None,
        "clock_quality": None,
        "metadata": [],
        "signature": None,
        "length": len(message),
    }
    return accepted("response", rules, name, message, **{**meaning, **told})


def signed(message: bytes, algorithm: int, key_id: int, signature: bytes, verdict: str) -> tuple[bytes, dict[str, Any]]:
    """The message with its Signature Block, and what that means."""
    told = {"algorithm": algorithm, "key_id": key_id, "signed_length": len(message), "signature_length": len(signature)}
    return message + block(algorithm, key_id, signature), {**told, "verification": verdict}


def responses() -> list[dict[str, Any]]:
    def bad(rules: str, name: str, message: bytes, error: str, /, **numbers: int) -> dict[str, Any]:
        return malformed("response", rules, name, message, error, **numbers)

    gps = {"stratum": 1, "source": 1, "info": "roof"}
    gnss = {"class": 1, "error_us": 3, "drift_ppb": 12, "tag": "gps"}
    told = [("leap", "0"), ("root_delay_ns", "0"), ("site", "us-east")]
    followed = [("follow_up", f"{number:032x} {ntp(T3 + 4000 * number):016x}") for number in (1, 2)]
    full = GIVE + tlv(PRECISION) + source(1, 1, b"roof") + quality(1, 3, 12, b"gps") + tlv(METADATA, pairs(*told))
    between = ASK + tlv(0) + tlv(RECEIVE, u64(ntp(T2))) + tlv(99, b"x") + tlv(247) + tlv(SEND, u64(ntp(T3)))
    r, s = tlv(RECEIVE, u64(ntp(T2))), tlv(SEND, u64(ntp(T3)))
    return [
        response("T2 T3 F3 M9", "mandatory elements alone, as the servers in the field answer", GIVE),
        response("T8 M6", "precision mode, padded to 64 bytes", GIVE + tlv(PRECISION) + padding(24), precision=True),
        response("T8 M6", "precision mode with nothing to pad", GIVE + tlv(PRECISION), precision=True),
        response("T9", "time source", GIVE + source(1, 1, b"roof"), time_source=gps),
        response(
            "T9", "time source of a server that is not synchronised", GIVE + source(0, 5), time_source={"stratum": 0, "source": 5, "info": ""}
        ),
        response(
            "T9", "time source of a type not yet given out", GIVE + source(16, 77), time_source={"stratum": 16, "source": 77, "info": ""}
        ),
        response("T6", "clock quality", GIVE + quality(1, 3, 12, b"gps"), clock_quality=gnss),
        response("T6", "clock quality with a reserved byte that is not zero", GIVE + quality(1, 3, 12, b"gps", 9), clock_quality=gnss),
        response(
            "T6",
            "clock quality with both fields at their end",
            GIVE + quality(5, 65535, 65535),
            clock_quality={"class": 5, "error_us": 65535, "drift_ppb": 65535, "tag": ""},
        ),
        response("T11", "metadata", GIVE + tlv(METADATA, pairs(*told)), metadata=[list(pair) for pair in told]),
        response(
            "M10 T11",
            "metadata, then follow-ups of two earlier answers in an element of their own",
            GIVE + tlv(METADATA, pairs(*told)) + tlv(METADATA, pairs(*followed)),
            metadata=[list(pair) for pair in told + followed],
        ),
        response(
            "T6 T8 T9 T11 T12 M11",
            "everything but a signature, padded to 200 bytes",
            full + padding(200 - len(full)),
            precision=True,
            time_source=gps,
            clock_quality=gnss,
            metadata=[list(pair) for pair in told],
        ),
        response(
            "M11", "optional elements in another order", GIVE + quality(1, 3, 12, b"gps") + source(1, 1, b"roof"), time_source=gps, clock_quality=gnss
        ),
        response("T0 T4 M1", "reserved elements and those of a request are skipped between T2 and T3", between),
        response("M1", "elements of a request are skipped at the end", GIVE + tlv(METADATA_QUERY, b"x") + tlv(SIGNATURE_REQUEST)),
        *signed_responses(),
        bad("M11", "nothing at all", b"", "NonceMissing"),
        bad("M11", "no nonce", r + s, "NonceNotFirst", kind=RECEIVE),
        bad("T1", "nonce of 8 bytes", tlv(NONCE, N[:8]) + r + s, "NonceLength", len=8),
        bad("M11", "nonce alone", ASK, "MissingElement", kind=RECEIVE),
        bad("M11", "no send timestamp", ASK + r, "MissingElement", kind=SEND),
        bad("M11", "timestamps swapped", ASK + s + r, "OutOfOrder", kind=SEND, after=NONCE),
        bad("M11", "option before the timestamps", ASK + tlv(PRECISION) + r + s, "OutOfOrder", kind=PRECISION, after=NONCE),
        bad("M11 T12", "padding between the timestamps", ASK + r + padding(2) + s, "OutOfOrder", kind=PADDING, after=RECEIVE),
        bad("T7", "error after the mandatory elements", GIVE + error(1), "OutOfOrder", kind=ERROR, after=SEND),
        bad("M11 T12", "time source after padding", GIVE + padding(9) + source(1, 1), "OutOfOrder", kind=SOURCE, after=PADDING),
        bad("T13", "two signature blocks", GIVE + block(1, 7, b"") * 2, "OutOfOrder", kind=SIGNATURE, after=SIGNATURE),
        bad("T13", "padding after the signature block", GIVE + block(1, 7, b"") + padding(3), "OutOfOrder", kind=PADDING, after=SIGNATURE),
        bad("M1", "receive timestamp twice", GIVE + r, "DuplicateElement", kind=RECEIVE),
        bad("M1", "send timestamp twice", GIVE + s, "DuplicateElement", kind=SEND),
        bad("M1", "time source twice", GIVE + source(1, 1) * 2, "DuplicateElement", kind=SOURCE),
        bad("M1", "clock quality twice", GIVE + quality(1, 1, 1) * 2, "DuplicateElement", kind=QUALITY),
        bad("T2", "receive timestamp of 4 bytes", ASK + tlv(RECEIVE, bytes(4)) + s, "ElementLength", kind=RECEIVE, len=4, expected=8),
        bad("T3", "send timestamp of 9 bytes", ASK + r + tlv(SEND, bytes(9)), "ElementLength", kind=SEND, len=9, expected=8),
        bad("T6", "clock quality of 5 bytes", GIVE + tlv(QUALITY, bytes(5)), "ElementLength", kind=QUALITY, len=5, expected=6),
        bad("T9", "time source of 1 byte", GIVE + tlv(SOURCE, bytes(1)), "ElementLength", kind=SOURCE, len=1, expected=2),
        bad("T8", "precision mode with a value", GIVE + tlv(PRECISION, b"x"), "ElementLength", kind=PRECISION, len=1, expected=0),
        bad("T13", "signature block of 6 bytes", GIVE + tlv(SIGNATURE, bytes(6)), "ElementLength", kind=SIGNATURE, len=6, expected=7),
        bad("T13", "signature longer than its field says", GIVE + tlv(SIGNATURE, bytes((1, 0, 0, 0, 7, 0, 1, 5, 5))), "SignatureLength", stated=1, have=2),
        bad("T13", "signature shorter than its field says", GIVE + tlv(SIGNATURE, bytes((1, 0, 0, 0, 7, 1, 0, 5, 5))), "SignatureLength", stated=256, have=2),
        bad("T6", "clock quality with a tag that is not UTF-8", GIVE + quality(1, 1, 1, b"\xc3"), "BadUtf8", kind=QUALITY),
        bad("T9", "time source with a text that is not UTF-8", GIVE + source(1, 1, b"\x80"), "BadUtf8", kind=SOURCE),
        bad("T12", "padding that is not zero", GIVE + tlv(PADDING, b"\x20"), "PaddingNotZero", at=0),
        bad("T11", "metadata not sorted", GIVE + tlv(METADATA, pairs(("site", "x"), ("leap", "0"))), "MetadataUnsorted", at=7),
        bad("M1", "time source cut off", GIVE + source(1, 1, b"roof")[:-1], "Truncated", at=38, needed=8, have=7),
    ]


def signed_responses() -> list[dict[str, Any]]:
    precise = GIVE + tlv(PRECISION)
    padded = precise + padding(1200 - len(precise) - 73)
    flipped = bytearray(ed25519(GIVE))
    flipped[63] ^= 0x01
    late = GIVE[:-1] + bytes((GIVE[-1] ^ 1,))
    hmac_flipped = bytes((hmac_sha256(GIVE)[0] ^ 1,)) + hmac_sha256(GIVE)[1:]
    table = [
        ("T13 M4 M5", "signed with Ed25519", GIVE, 1, ED25519_ID, ed25519(GIVE), "valid", {}),
        ("T13 M4 M5", "signed with HMAC-SHA256", GIVE, 2, HMAC_ID, hmac_sha256(GIVE), "valid", {}),
        ("M4 M6", "signed with Ed25519 and padded to 1200 bytes in all", padded, 1, ED25519_ID, ed25519(padded), "valid", {"precision": True}),
        ("M5", "signature with one bit changed", GIVE, 1, ED25519_ID, bytes(flipped), "bad_signature", {}),
        ("M5", "HMAC with one bit changed", GIVE, 2, HMAC_ID, hmac_flipped, "bad_signature", {}),
        ("M4 M5", "signature that leaves out the last element", padded, 1, ED25519_ID, ed25519(precise), "bad_signature", {"precision": True}),
        ("M5", "signature made by another key than named", GIVE, 1, ED25519_ID, ed25519(GIVE, OTHER_SECRET), "bad_signature", {}),
        ("M5", "HMAC cut to 16 bytes", GIVE, 2, HMAC_ID, hmac_sha256(GIVE)[:16], "bad_signature", {}),
        ("M5", "key nobody has", GIVE, 1, 99, ed25519(GIVE), "unknown_key", {}),
        ("M5", "algorithm that is not the key's", GIVE, 2, ED25519_ID, ed25519(GIVE), "wrong_algorithm", {}),
        ("T13 M5", "algorithm not yet given out", GIVE, 3, ED25519_ID, b"\x01\x02", "unknown_algorithm", {}),
        ("T13 M5", "signature of no bytes", GIVE, 1, ED25519_ID, b"", "bad_signature", {}),
        ("T13 M5", "longest signature an element holds", GIVE, 1, ED25519_ID, bytes(248), "bad_signature", {}),
    ]
    out = []
    for rules, name, message, algorithm, key_id, signature, verdict, told in table:
        whole, means = signed(message, algorithm, key_id, signature, verdict)
        out.append(response(rules, name, whole, signature=means, **told))
    # T3 changed after signing: the bytes of the answer are not those signed.
    whole, means = signed(late, 1, ED25519_ID, ed25519(GIVE), "bad_signature")
    changed = {"send_timestamp": late[-8:].hex()}
    return [*out, response("M4 M5", "send timestamp changed after signing", whole, signature=means, **changed)]


def answers() -> list[dict[str, Any]]:
    def refused(rules: str, name: str, message: bytes, code: int, reason: str) -> dict[str, Any]:
        return accepted("answer", rules, name, message, error={"code": code, "reason": reason})

    def bad(rules: str, name: str, message: bytes, error: str, /, **numbers: int) -> dict[str, Any]:
        return malformed("answer", rules, name, message, error, **numbers)

    alone = error(2, b"no signing key")
    return [
        refused("T7", "error 1 without a reason", error(1), 1, ""),
        refused("T7", "error 2 with a reason", alone, 2, "no signing key"),
        refused("T7", "error 3 with a reason in UTF-8", error(3, "nur für Gäste".encode()), 3, "nur für Gäste"),
        refused("T7", "error code not yet given out", error(200, b"later"), 200, "later"),
        refused("T7", "error with a reserved byte that is not zero", error(1, b"x", 9), 1, "x"),
        refused("T7", "error with the longest reason", error(1, b"r" * 253), 1, "r" * 253),
        refused("T7 M4", "error with a signature over it", alone + block(1, ED25519_ID, ed25519(alone)), 2, "no signing key"),
        refused("M3", "error with a whole response behind it", error(1, b"x") + GIVE, 1, "x"),
        refused("M3", "error with a cut-off element behind it", error(1, b"x") + b"\x02\xff\x00", 1, "x"),
        accepted("answer", "T2 T3", "no error: a response", GIVE, response={"nonce": N.hex()}),
        bad("T7", "error of 1 byte", tlv(ERROR, b"\x01"), "ElementLength", kind=ERROR, len=1, expected=2),
        bad("T7", "error with a reason that is not UTF-8", error(1, b"\xff"), "BadUtf8", kind=ERROR),
        bad("M1", "error cut off", error(1, b"abc")[:-1], "Truncated", at=0, needed=7, have=6),
        bad("T7 M11", "error behind the nonce", ASK + error(1), "OutOfOrder", kind=ERROR, after=NONCE),
    ]


# --- exchanges ----------------------------------------------------------------------------------------------------

DAY_NS = 86_400 * 10**9
NOW_NS = 1_795_181_400 * 10**9
ERA_1_NS = (2**32 - 2_208_988_800) * 10**9  # 2036-02-07 06:28:16 UTC


def exchange(rules: str, name: str, base_ns: int, times: tuple[int, int, int, int], **more: Any) -> dict[str, Any]:
    """Times are nanoseconds after `base_ns`; T1 and T4 by the client's clock, T2 and T3 by the server's."""
    t1, t2, t3, t4 = (base_ns + time for time in times)
    answer = more.pop("answer", ASK + tlv(RECEIVE, u64(ntp(t2))) + tlv(SEND, u64(ntp(t3))))
    limit = more.pop("limit_ns", DAY_NS)
    precise, signed_by = more.pop("precise_length", None), more.pop("signature_required", False)
    head = {"name": name, "rules": rules.split(), "kind": "exchange", "hex": answer.hex(), "nonce": N.hex()}
    head |= {"t1_ns": t1, "t4_ns": t4, "offset_limit_ns": limit}
    if precise is not None:
        head["precise_length"] = precise
    if signed_by:
        head["signature_required"] = True
    if refusal := more.pop("refusal", None):
        return {**head, "verdict": "refused", "refusal": refusal}
    assert not more
    delay, twice_offset = (t4 - t1) - (t3 - t2), (t2 - t1) + (t3 - t4)
    # tsq: E2
    offset = abs(twice_offset) // 2 * (1 if twice_offset > 0 else -1)
    assert delay > 0 and abs(offset) <= limit
    sample = {"t2_ns": t2, "t3_ns": t3, "offset_ns": offset, "delay_ns": delay}
    return {**head, "verdict": "accepted", "meaning": sample}


# T2 and T3 of GIVE, in nanoseconds after T2.
EXACT = (0, T3 - T2)
PRECISE = GIVE + tlv(PRECISION) + padding(10)


def signed_by_ed25519(message: bytes, secret: bytes = ED25519_SECRET, key_id: int = ED25519_ID) -> bytes:
    return message + block(1, key_id, ed25519(message, secret))


def signed_exchanges() -> list[dict[str, Any]]:
    """A signature was asked for; the request has 20 bytes."""

    def one(name: str, answer: bytes, refusal: str | None = None, t4: int = 20_000, rules: str = "M4 M5", precise: int = 20) -> dict[str, Any]:
        return exchange(
            rules, f"signature asked for: {name}", T2, (0, *EXACT, t4), answer=answer, refusal=refusal, precise_length=precise, signature_required=True
        )

    flipped = signed_by_ed25519(GIVE)
    other = GIVE[:17] + bytes((GIVE[17] ^ 1,)) + GIVE[18:]
    swapped = ASK + tlv(RECEIVE, u64(ntp(T3))) + tlv(SEND, u64(ntp(T2)))
    precise = GIVE + tlv(PRECISION)
    padded = precise + padding(200 - len(precise) - 73)
    return [
        one("Ed25519", signed_by_ed25519(GIVE)),
        one("HMAC-SHA-256", GIVE + block(2, HMAC_ID, hmac_sha256(GIVE))),
        one("none", GIVE, "signature_missing"),
        one("one bit changed", flipped[:-1] + bytes((flipped[-1] ^ 1,)), "signature_invalid"),
        one("unknown key", signed_by_ed25519(GIVE, key_id=99), "signature_invalid"),
        one("another key's", signed_by_ed25519(GIVE, OTHER_SECRET), "signature_invalid"),
        one("another algorithm than the key's", GIVE + block(2, ED25519_ID, hmac_sha256(GIVE)), "signature_invalid"),
        one("another nonce comes before a bad signature", other + block(1, ED25519_ID, bytes(64)), "nonce_mismatch", rules="E4 M5"),
        one("a bad signature comes before impossible times", swapped + block(1, ED25519_ID, bytes(64)), "signature_invalid", rules="E4 M5"),
        one("impossible times that are signed", signed_by_ed25519(swapped), "send_before_receive", rules="E4 M5"),
        one("signed and precise", signed_by_ed25519(padded), rules="M4 M6", precise=200),
        one("signed and precise at another length", signed_by_ed25519(padded), "precision_length", rules="M4 M6", precise=201),
        one("a server error instead", error(2, b"no key") + tlv(SIGNATURE), "server_error", rules="M3 M5"),
    ]


def exchanges() -> list[dict[str, Any]]:
    other_nonce = GIVE[:17] + bytes((GIVE[17] ^ 1,)) + GIVE[18:]
    half_era = 2**31 * 10**9
    return [
        exchange("E2", "client 1444.203 ms behind", NOW_NS, (0, 1_444_208_000, 1_444_218_000, 20_000)),
        exchange("E2", "client 1 ms ahead", NOW_NS, (0, -999_500, -999_400, 1_100)),
        exchange("E2 E4", "delay of 2 ns", NOW_NS, (0, 1, 1, 2)),
        exchange("E2", "odd sum of 3 ns: the half is dropped", NOW_NS, (0, 12, 12, 21)),
        exchange("E2", "odd sum of -3 ns: the half is dropped towards zero", NOW_NS, (0, 9, 9, 21)),
        exchange("E2", "odd sum of -1 ns: no offset", NOW_NS, (0, 10, 10, 21)),
        exchange("E2 E4", "half a nanosecond past the limit is within it", NOW_NS, (0, 1_006, 1_006, 11), limit_ns=1_000),
        exchange("E3", "era 0 ends while the request travels", ERA_1_NS, (-5_000, 20_000, 21_000, -3_000)),
        exchange("E3", "era 0 ends between T2 and T3", ERA_1_NS, (-2_000, -1_000, 1_000, 2_000)),
        exchange("E3", "client already in era 1, server still in era 0", ERA_1_NS, (5_000, -20_000, -19_000, 7_000)),
        exchange("E3", "both in era 1", ERA_1_NS + 365 * DAY_NS, (0, 700_000, 800_000, 1_500_000)),
        exchange("E3", "timestamps of zero bits", ERA_1_NS, (-1_000, 0, 0, 1_000)),
        exchange("E3", "client 67 years behind", 0, (0, 67 * 365 * DAY_NS, 67 * 365 * DAY_NS, 10_000), limit_ns=68 * 365 * DAY_NS),
        exchange(
            "E3", "exactly half an era away: the earlier time is taken", NOW_NS, (0, -half_era, -half_era, 10_000), limit_ns=half_era + 5_000
        ),
        exchange("E4", "offset at the limit", NOW_NS, (0, 1_005, 1_005, 10), limit_ns=1_000),
        exchange("E4", "offset 1 ns past the limit", NOW_NS, (0, 1_006, 1_006, 10), limit_ns=1_000, refusal="offset_past_limit"),
        exchange("E4", "offset at the limit, client ahead", NOW_NS, (0, -995, -995, 10), limit_ns=1_000),
        exchange("E4", "offset 1 ns past the limit, client ahead", NOW_NS, (0, -996, -996, 10), limit_ns=1_000, refusal="offset_past_limit"),
        exchange("E4", "timestamps of zero bits in 2026", NOW_NS, (0, ERA_1_NS - NOW_NS, ERA_1_NS - NOW_NS, 10_000), refusal="offset_past_limit"),
        exchange("E4", "server held the request as long as the exchange took", NOW_NS, (0, 5_000, 7_000, 2_000), refusal="delay_not_positive"),
        exchange("E4", "server held the request longer than the exchange took", NOW_NS, (0, 0, 3_000, 2_000), refusal="delay_not_positive"),
        exchange("E4", "T3 before T2", NOW_NS, (0, 2_000, 1_999, 10_000), refusal="send_before_receive"),
        exchange("E4", "T3 before T2 across the end of era 0", ERA_1_NS, (-5_000, 1_000, -1_000, 5_000), refusal="send_before_receive"),
        exchange("E4", "T4 before T1", NOW_NS, (10_000, 0, 0, 9_999), refusal="received_before_sent"),
        exchange("E4 T1", "nonce with one bit changed", T2, (0, 0, 0, 20_000), answer=other_nonce, refusal="nonce_mismatch"),
        exchange("E4 M11", "no nonce", T2, (0, 0, 0, 20_000), answer=GIVE[18:], refusal="nonce_missing"),
        exchange("E4 M1", "first element cut off", T2, (0, 0, 0, 20_000), answer=b"\xde\xad\xbe\xef", refusal="malformed"),
        exchange("E4 M1", "one byte", T2, (0, 0, 0, 20_000), answer=b"\x01", refusal="malformed"),
        exchange("E4", "nothing", T2, (0, 0, 0, 20_000), answer=b"", refusal="nonce_missing"),
        exchange("E4 T1", "nonce of 15 bytes", T2, (0, 0, 0, 20_000), answer=tlv(NONCE, N[:15]) + GIVE[18:], refusal="nonce_malformed"),
        exchange("E4 M1", "answer cut off", T2, (0, 0, 0, 20_000), answer=GIVE[:-1], refusal="malformed"),
        exchange("M6", "precision acknowledged at the request's length", T2, (0, *EXACT, 20_000), answer=PRECISE, precise_length=50),
        exchange("M6", "precision acknowledged at another length", T2, (0, *EXACT, 20_000), answer=PRECISE, precise_length=51, refusal="precision_length"),
        exchange("M6", "precision not acknowledged", T2, (0, *EXACT, 20_000), answer=GIVE, precise_length=51),
        exchange("M6", "precision claimed for a request of the nonce alone", T2, (0, *EXACT, 20_000), answer=PRECISE, refusal="precision_length"),
        exchange("M3 T7", "error cut off", T2, (0, 0, 0, 20_000), answer=error(1, b"no")[:-1], refusal="malformed"),
        exchange("M3 T7", "error of one byte", T2, (0, 0, 0, 20_000), answer=tlv(ERROR, b"\x01"), refusal="malformed"),
        exchange("M3 T7", "error with a reason that is not UTF-8", T2, (0, 0, 0, 20_000), answer=error(1, b"\xff"), refusal="malformed"),
        *signed_exchanges(),
        exchange("M3", "server error", T2, (0, 0, 0, 20_000), answer=error(1, b"no") + GIVE, refusal="server_error"),
    ]


# --- streams ------------------------------------------------------------------------------------------------------


def stream(rules: str, name: str, request: bytes, pieces: list[bytes], end: str, verdict: str, settled: int | None) -> dict[str, Any]:
    head = {"name": name, "rules": rules.split(), "kind": "stream", "request": request.hex(), "pieces": [piece.hex() for piece in pieces]}
    head |= {"end": end, "nonce": N.hex(), "t1_ns": T2, "t4_ns": T2 + 20_000, "offset_limit_ns": DAY_NS, "settled_after": settled}
    if verdict in ("accepted", "waiting"):
        return {**head, "verdict": verdict}
    return {**head, "verdict": "refused", "refusal": verdict}


def streams() -> list[dict[str, Any]]:
    asking = ASK + tlv(METADATA_QUERY)
    signing = ASK + tlv(SIGNATURE_REQUEST)
    precise = ASK + tlv(PRECISION) + padding(30)
    told = GIVE + source(2, 3)
    unkept = source(0, 5)
    whole = signed_by_ed25519(GIVE)
    equal = GIVE + tlv(PRECISION) + padding(10)
    return [
        stream("F3 M1", "nonce alone: whole with T3, though the stream stays open", ASK, [GIVE], "open", "accepted", 1),
        stream("F3 M1", "nonce alone: in three pieces", ASK, [GIVE[:18], GIVE[18:30], GIVE[30:]], "open", "accepted", 3),
        stream("F3 M1", "nonce alone: cut before T3 is whole", ASK, [GIVE[:37]], "open", "waiting", None),
        stream("M1", "nonce alone: ends before T3 is whole", ASK, [GIVE[:37]], "fin", "malformed", 2),
        stream("M1 T5", "metadata asked for: whole at the end", asking, [told], "fin", "accepted", 2),
        stream("M1 T5", "metadata asked for: 38 bytes and no end", asking, [GIVE], "open", "waiting", None),
        stream("M1 T5", "metadata asked for: all of it and no end", asking, [told], "open", "waiting", None),
        stream("M1 T5", "metadata asked for: 38 bytes are an answer at the end", asking, [GIVE], "fin", "accepted", 2),
        stream("M1 T9", "metadata asked for: stratum 0 behind byte 38", asking, [GIVE, unkept], "fin", "unsynchronised", 3),
        stream("M1", "metadata asked for: the rest is cut off", asking, [GIVE, unkept[:3]], "fin", "malformed", 3),
        stream("M1", "metadata asked for: reset behind byte 38", asking, [GIVE], "reset", "stream_aborted", 2),
        stream("M5", "signature asked for: whole at the end", signing, [GIVE, whole[38:]], "fin", "accepted", 3),
        stream("M5", "signature asked for: 38 bytes and no end", signing, [GIVE], "open", "waiting", None),
        stream("M5", "signature asked for: 38 bytes and the end", signing, [GIVE], "fin", "signature_missing", 2),
        stream("M6", "precision asked for: whole at the end", precise, [equal[:40], equal[40:]], "fin", "accepted", 3),
        stream("M6", "precision asked for: the padding does not come", precise, [equal[:40]], "fin", "precision_length", 2),
        stream("M6", "precision asked for: not acknowledged", precise, [GIVE], "fin", "accepted", 2),
        stream("M6", "precision not asked for and claimed", ASK, [equal], "fin", "precision_length", 1),
        stream("M3", "an error is known before the end", asking, [error(1, b"no")], "open", "server_error", 1),
        stream("M3", "an error cut off by the end", asking, [error(1, b"no")[:-1]], "fin", "malformed", 2),
        stream("M1", "what nothing can mend is known before the end", asking, [GIVE + GIVE[18:28]], "open", "malformed", 1),
        stream("M1", "nothing but the end", asking, [], "fin", "nonce_missing", 1),
    ]


# --- dialogues ----------------------------------------------------------------------------------------------------


def dialogue(name: str, told: list[list[tuple[int, int]]], samples: list[tuple[int, int, bool]], ignored: dict[str, int]) -> dict[str, Any]:
    """Each answer comes 200 us after its request, which the server got 100 us before and answered at once; `told` are follow-ups in
    it: whose answer, and how many nanoseconds after its T3 that left."""
    steps, base = [], T2
    nonces = [bytes((number + 1,)) * 16 for number in range(8)]
    for number, follow_ups in enumerate(told):
        t1 = base + number * 1_000_000
        middle = u64(ntp(t1 + 100_000))
        request = tlv(NONCE, nonces[number]) + tlv(METADATA_QUERY) + tlv(METADATA, pairs(("follow_up", "")))
        response = tlv(NONCE, nonces[number]) + tlv(RECEIVE, middle) + tlv(SEND, middle)
        texts = []
        for about, after in follow_ups:
            left = ntp(base + about * 1_000_000 + 100_000 + after)
            texts.append(("follow_up", f"{nonces[about].hex()} {left:016x}"))
        if texts:
            response += tlv(METADATA, pairs(*texts))
        steps.append({"request": request.hex(), "response": response.hex(), "t1_ns": t1, "t4_ns": t1 + 200_000})
    meaning = {
        "samples": [{"offset_ns": offset, "delay_ns": delay, "corrected": corrected} for offset, delay, corrected in samples],
        "ignored": ignored,
    }
    head = {"name": name, "rules": ["M10"], "kind": "dialogue", "offset_limit_ns": DAY_NS, "steps": steps}
    return {**head, "verdict": "accepted", "meaning": meaning}


def dialogues() -> list[dict[str, Any]]:
    as_it_was, corrected = (0, 200_000, False), (2_000, 196_000, True)
    return [
        dialogue("no follow-up comes", [[], []], [as_it_was, as_it_was], {}),
        dialogue("the second answer tells of the first", [[], [(0, 4_000)]], [corrected, as_it_was], {}),
        dialogue("the third answer tells of both before it", [[], [], [(0, 4_000), (1, 4_000)]], [corrected, corrected, as_it_was], {}),
        dialogue("an answer that tells of one that has not come yet", [[(1, 4_000)], []], [as_it_was, corrected], {}),
        dialogue("told twice: the second does not count", [[], [(0, 4_000)], [(0, 8_000)]], [corrected, as_it_was, as_it_was], {"repeated": 1}),
        dialogue("of a nonce nobody sent", [[], [(7, 4_000)]], [as_it_was, as_it_was], {"unknown_nonce": 1}),
        dialogue("1 us before T3 is noise: T3 stays", [[], [(0, -1_000)]], [(0, 200_000, True), as_it_was], {}),
        dialogue("more than 1 us before T3", [[], [(0, -1_002)]], [as_it_was, as_it_was], {"before_send": 1}),
        dialogue("more than 1 s after T3", [[], [(0, 1_000_000_002)]], [as_it_was, as_it_was], {"too_late": 1}),
        dialogue("so late that no delay is left", [[], [(0, 200_001)]], [as_it_was, as_it_was], {"delay_not_positive": 1}),
    ]


# --- receipts -----------------------------------------------------------------------------------------------------


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def chain(*lines: dict[str, Any]) -> str:
    """A receipt file of these lines; a field given is not what it would be otherwise."""
    out, prev = "", "0" * 64
    for number, fields in enumerate(lines):
        signed_with = fields.get("signed_with", "ed25519")
        t2 = fields.get("t2_ns", T2)
        message = fields.get("message", ASK + tlv(RECEIVE, u64(ntp(t2))) + tlv(SEND, u64(ntp(fields.get("t3_ns", t2 + 10_000)))))
        if signed_with == "ed25519":
            key_id, response = ED25519_ID, signed_by_ed25519(message)
        else:
            key_id, response = HMAC_ID, message + block(2, HMAC_ID, hmac_sha256(message))
        line = {
            "seq": number,
            "prev": prev,
            "server": "time.example",
            "address": "192.0.2.1:443",
            "request": (ASK + tlv(SIGNATURE_REQUEST)).hex(),
            "response": response.hex(),
            "key_id": key_id,
            "algorithm": signed_with,
            "t1_ns": T2,
            "t4_ns": T2 + 20_000,
            "action": "slew",
            "offset_ns": -5_000,
            "bound_ns": 5_000,
            "written_ns": T2 + 1_000_000,
        }
        line |= {key: value for key, value in fields.items() if key in line}
        body = json.dumps(line, separators=(",", ":"), ensure_ascii=False)[:-1]
        text = f'{body},"check":"{sha256(body)}"}}'
        out, prev = out + text + "\n", sha256(text)
    return out


def receipt_file(name: str, text: str, refused_at: int | None = None, private: int = 0, expect_head: str | None = None) -> dict[str, Any]:
    head = {"name": name, "rules": ["M4", "M5"], "kind": "receipts", "text": text, "expect_head": expect_head}
    if refused_at is not None:
        return {**head, "verdict": "refused", "line": refused_at}
    lines = text.splitlines()
    return {**head, "verdict": "accepted", "meaning": {"lines": len(lines), "head": sha256(lines[-1]), "private": private}}


def receipts() -> list[dict[str, Any]]:
    two = chain({}, {})
    first, second = two.splitlines(keepends=True)
    last = 2**63 - 1
    past = {"t1_ns": last - 9, "t4_ns": last, "t2_ns": last + 15, "t3_ns": last + 30}
    return [
        receipt_file("one line", chain({})),
        receipt_file("two lines", two),
        receipt_file("signed by HMAC-SHA-256", chain({}, {"signed_with": "hmac-sha256"}), private=1),
        receipt_file("each of the four actions", chain(*({"action": action} for action in ("none", "slew", "step", "refused")))),
        receipt_file("no offset was found", chain({"action": "refused", "offset_ns": None, "bound_ns": None})),
        receipt_file("a name with characters that are escaped", chain({"server": 'a"b\\c\n\u001f\u00e9'})),
        receipt_file("two lines, and their head is known", two, expect_head=sha256(second[:-1])),
        receipt_file("the last line was cut off", first, 2, expect_head=sha256(second[:-1])),
        receipt_file("nothing", "", 1),
        receipt_file("no line feed at the end", two[:-1], 2),
        receipt_file("lines exchanged", second + first, 1),
        receipt_file("first line removed", second, 1),
        receipt_file("a line twice", first + first, 2),
        receipt_file("one digit of a time changed", first + second.replace(f'"t4_ns":{T2 + 20_000}', f'"t4_ns":{T2 + 20_001}'), 2),
        receipt_file("sealed again: another number", chain({"seq": 1}), 1),
        receipt_file("sealed again: an action there is not", chain({}, {"action": "leap"}), 2),
        receipt_file("sealed again: a key that did not sign", chain({"key_id": OTHER_ID}), 1),
        receipt_file("sealed again: an algorithm that did not sign", chain({"algorithm": "hmac-sha256"}), 1),
        receipt_file("sealed again: the request asks for no signature", chain({"request": ASK.hex()}), 1),
        receipt_file("sealed again: the request has another nonce", chain({"request": (tlv(NONCE, bytes(16)) + tlv(SIGNATURE_REQUEST)).hex()}), 1),
        receipt_file("sealed again: no signature", chain({"response": GIVE.hex()}), 1),
        receipt_file("sealed again: another time than was signed", chain({"response": (GIVE[:-1] + b"\0" + signed_by_ed25519(GIVE)[38:]).hex()}), 1),
        receipt_file("sealed again: T4 before T1", chain({"t4_ns": T2 - 1}), 1),
        receipt_file("sealed again: T4 so early that no delay is left", chain({"t4_ns": T2 + 10_000}), 1),
        receipt_file("sealed again: T3 before T2", chain({"t3_ns": T2 - 10}), 1),
        receipt_file("sealed again: hex digits in capitals", chain({"request": (ASK + tlv(SIGNATURE_REQUEST)).hex().upper()}), 1),
        receipt_file("sealed again: a number with a point", chain({"t1_ns": float(10**15)}), 1),
        receipt_file("sealed again: a time that 64 bits do not hold", chain({"t4_ns": 2**63}), 1),
        receipt_file("T3 and the delay end past 64 bits", chain({"t1_ns": last - 20_000, "t4_ns": last, "t2_ns": last - 15_000}), 1),
        receipt_file("times of the server past the end of 64 bits, which cut off would hold", chain(past), 1),
    ]


# --- files --------------------------------------------------------------------------------------------------------


def files() -> dict[str, str]:
    contents = {
        "requests.json": {"vectors": requests()},
        "responses.json": {"vectors": responses()},
        "answers.json": {"vectors": answers()},
        "exchanges.json": {"vectors": exchanges()},
        "streams.json": {"vectors": streams()},
        "dialogues.json": {"vectors": dialogues()},
        "receipts.json": {"vectors": receipts()},
        "keys.json": {"keys": keys()},
    }
    for name, content in contents.items():
        names = [vector["name"] for vector in content.get("vectors", [])]
        assert len(names) == len(set(names)), f"{name}: a name stands twice"
    return {name: as_text({"format": FORMAT, **content}) for name, content in contents.items()}


def as_text(content: dict[str, Any]) -> str:
    """One vector a line, so that a change shows as the lines that changed."""
    (key, entries) = list(content.items())[-1]
    lines = ",\n".join("  " + json.dumps(entry, ensure_ascii=True) for entry in entries)
    return f'{{"format": "{content["format"]}", "{key}": [\n{lines}\n]}}\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file differs")
    check = parser.parse_args().check
    here, differs = Path(__file__).resolve().parent, []
    for name, text in files().items():
        path = here / name
        if not check:
            path.write_text(text, encoding="ascii")
        elif not path.exists() or path.read_text(encoding="ascii") != text:
            differs.append(name)
    for name in differs:
        print(f"{name} is not what generate.py makes", file=sys.stderr)
    return 1 if differs else 0


if __name__ == "__main__":
    sys.exit(main())
