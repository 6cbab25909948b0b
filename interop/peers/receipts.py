"""Checks a receipt file as draft/profile.md, section 6, says."""

import hashlib
import json
from typing import Any, NamedTuple

from common import Malformed, unix_from_ntp
from draft import ALGORITHMS, Key, read_request, read_response, refusal

FIELDS = [
    "seq", "prev", "server", "address", "request", "response", "key_id", "algorithm",
    "t1_ns", "t4_ns", "action", "offset_ns", "bound_ns", "written_ns",
]  # fmt: skip
ACTIONS = ("none", "slew", "step", "refused")
SIGNED, UNSIGNED, KEY_ID = (-(2**63), 2**63 - 1), (0, 2**64 - 1), (0, 2**32 - 1)
RANGES = {
    "seq": UNSIGNED, "key_id": KEY_ID, "t1_ns": SIGNED, "t4_ns": SIGNED, "offset_ns": SIGNED, "bound_ns": UNSIGNED, "written_ns": SIGNED,
}  # fmt: skip
MAY_BE_NULL = ("offset_ns", "bound_ns")
LONGEST_LINE = 64 * 1024
NO_LIMIT = 2**70


class Refused(ValueError):
    """The file does not hold."""


class Checked(NamedTuple):
    """A file that holds."""

    lines: int
    head: str
    private: int


def sha256(text: str) -> str:
    """Of the text as UTF-8, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def fields_of(text: str) -> dict[str, Any]:
    """The object of a line, if it is written in the one way there is."""
    body, found, check = text.rpartition(',"check":"')
    if not found or check != sha256(body) + '"}':
        raise Refused("the check does not hold")
    line = json.loads(body + "}")
    if list(line) != FIELDS or json.dumps(line, separators=(",", ":"), ensure_ascii=False) != body + "}":
        raise Refused("not written as receipts are")
    for name, value in line.items():
        if name not in RANGES:
            right = isinstance(value, str)
        elif value is None:
            right = name in MAY_BE_NULL
        else:
            right = type(value) is int and RANGES[name][0] <= value <= RANGES[name][1]
        if not right:
            raise Refused(f"{name} is {value!r}")
    if line["action"] not in ACTIONS or any(line[name] != line[name].lower() for name in ("request", "response", "prev")):
        raise Refused("an action or digits there are not")
    return line


# tsq: M4 M5
def check_line(text: str, number: int, prev: str, keys: dict[int, Key]) -> bool:
    """Whether the line proves something to others; raises where it proves nothing."""
    line = fields_of(text)
    if line["seq"] != number or line["prev"] != prev:
        raise Refused("not the next line")
    request, response = bytes.fromhex(line["request"]), bytes.fromhex(line["response"])
    asked = read_request(request)
    t1, t4 = line["t1_ns"], line["t4_ns"]
    why = refusal(response, bytes.fromhex(asked["nonce"]), t1, t4, NO_LIMIT, len(request), keys)
    if why or not asked["asks_signature"]:
        raise Refused(why or "no signature was asked for")
    if t4 + unix_from_ntp(int(read_response(response)["receive_timestamp"], 16), t1) - t1 >= 2**63:
        raise Refused("the end of what is proven is no time")
    block = read_response(response, keys)["signature"]
    if block["key_id"] != line["key_id"] or block["algorithm"] != ALGORITHMS.get(line["algorithm"]):
        raise Refused("another key signed")
    return line["algorithm"] != "hmac-sha256"


def check(text: str, keys: dict[int, Key], expect_head: str | None) -> Checked | int:
    """The file checked, or the number of the line where it is refused."""
    lines, prev, private = text.split("\n"), "0" * 64, 0
    end = lines.pop()
    for number, line in enumerate(lines):
        try:
            if len(line.encode()) + 1 > LONGEST_LINE:
                raise Refused("too long")
            private += not check_line(line, number, prev, keys)
        except (Refused, Malformed, ValueError):
            return number + 1
        prev = sha256(line)
    if end or not lines or expect_head not in (None, prev):
        return len(lines) + 1
    return Checked(len(lines), prev, private)
