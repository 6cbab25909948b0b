"""Reads draft/vectors with the Python peers' code and prints what differs, as JSON; exits with 0 if nothing does."""

import json
import sys
from pathlib import Path
from typing import Any

import receipts
from common import ERROR, NONCE, RECEIVE_TIME, REQUEST_SIZE, SEND_TIME, Malformed, parse, sample, unix_from_ntp
from draft import Key, read_answer, read_request, read_response, refusal

FOLDER = Path(__file__).parents[2] / "draft/vectors"


def load(name: str, what: str) -> list[dict[str, Any]]:
    """The entries of one file."""
    held = json.loads((FOLDER / name).read_text())
    return held[what]


def keys() -> dict[int, Key]:
    """All keys of the vectors, by id."""
    found = {}
    for entry in load("keys.json", "keys"):
        found[entry["id"]] = Key(entry["algorithm"], entry["id"], secret=bytes.fromhex(entry["secret"]))
    return found


def message_outcome(vector: dict[str, Any], trusted: dict[int, Key]) -> dict[str, Any]:
    """Verdict and meaning of a request, response or answer."""
    message = bytes.fromhex(vector["hex"])
    try:
        if vector["kind"] == "response":
            meaning = read_response(message, trusted)
        else:
            meaning = {"request": read_request, "answer": read_answer}[vector["kind"]](message)
    except Malformed:
        return {"verdict": "malformed"}
    return {"verdict": "accepted", "meaning": meaning}


# tsq: E2 E3 E4 M5 M6
def exchange_outcome(vector: dict[str, Any], trusted: dict[int, Key]) -> dict[str, Any]:
    """Sample of an exchange, or why there is none."""
    message, nonce = bytes.fromhex(vector["hex"]), bytes.fromhex(vector["nonce"])
    t1, t4 = vector["t1_ns"], vector["t4_ns"]
    keys = trusted if vector.get("signature_required") else None
    why = refusal(message, nonce, t1, t4, vector["offset_limit_ns"], vector.get("precise_length", REQUEST_SIZE), keys)
    if why:
        return {"verdict": "refused", "refusal": why}
    told, measured = read_response(message), sample(message, nonce, t1, t4)
    t2, t3 = (unix_from_ntp(int(told[name], 16), t1) for name in ("receive_timestamp", "send_timestamp"))
    meaning = {"t2_ns": t2, "t3_ns": t3, "offset_ns": measured.offset_ns, "delay_ns": measured.rtt_ns}
    return {"verdict": "accepted", "meaning": meaning}


# tsq: F3 M1 M3 M5 M6 T9
def stream_outcome(vector: dict[str, Any], trusted: dict[int, Key]) -> dict[str, Any]:
    """What a client makes of an answer that comes in pieces, and when."""
    request, nonce = bytes.fromhex(vector["request"]), bytes.fromhex(vector["nonce"])
    keys = trusted if read_request(request)["asks_signature"] else None

    def verdict(answer: bytes) -> str:
        why = refusal(answer, nonce, vector["t1_ns"], vector["t4_ns"], vector["offset_limit_ns"], len(request), keys)
        unkept = why is None and (read_response(answer)["time_source"] or {}).get("stratum") == 0
        return "unsynchronised" if unkept else why or "accepted"

    def settled(answer: bytes) -> bool:
        """Whether nothing that follows can change the verdict."""
        try:
            kinds = [kind for kind, _ in parse(answer)]
        except Malformed:
            return False
        if not kinds:
            return False
        if kinds[0] == ERROR:
            return True
        try:
            read_response(answer)
        except Malformed:
            return not 0 < len(kinds) < 3 or kinds != [NONCE, RECEIVE_TIME, SEND_TIME][: len(kinds)]
        return len(request) == REQUEST_SIZE

    answer = b""
    for number, piece in enumerate(vector["pieces"]):
        answer += bytes.fromhex(piece)
        if settled(answer):
            return told_as(verdict(answer), number + 1)
    if vector["end"] == "open":
        return {"verdict": "waiting", "settled_after": None}
    return told_as("stream_aborted" if vector["end"] == "reset" else verdict(answer), len(vector["pieces"]) + 1)


def told_as(verdict: str, settled_after: int) -> dict[str, Any]:
    """As the vectors write it."""
    if verdict == "accepted":
        return {"verdict": verdict, "settled_after": settled_after}
    return {"verdict": "refused", "refusal": verdict, "settled_after": settled_after}


# tsq: M10
def dialogue_outcome(vector: dict[str, Any], _trusted: dict[int, Key]) -> dict[str, Any]:
    """The samples of several exchanges, corrected by what later answers tell, and the follow-ups that did not count."""
    steps = [{**step, "nonce": bytes.fromhex(step["request"])[2:18].hex()} for step in vector["steps"]]
    samples: dict[str, dict[str, Any]] = {}
    stamps: dict[str, tuple[int, int]] = {}
    early: dict[str, str] = {}
    ignored: dict[str, int] = {}

    def correct(about: str, bits: str) -> None:
        step = next((step for step in steps if step["nonce"] == about), None)
        if step is None:
            why = "unknown_nonce"
        elif about not in samples:
            early[about] = bits
            return
        elif samples[about]["corrected"]:
            why = "repeated"
        else:
            t1, t4, (t2, t3) = step["t1_ns"], step["t4_ns"], stamps[about]
            left = unix_from_ntp(int(bits, 16), t3)
            delay = (t4 - t1) - (max(left, t3) - t2)
            twice = (t2 - t1) + (max(left, t3) - t4)
            if t3 - left > 1_000:
                why = "before_send"
            elif left - t3 > 1_000_000_000:
                why = "too_late"
            elif delay <= 0:
                why = "delay_not_positive"
            else:
                offset = abs(twice) // 2 * (1 if twice > 0 else -1)
                samples[about] = {"offset_ns": offset, "delay_ns": delay, "corrected": True}
                return
        ignored[why] = ignored.get(why, 0) + 1

    for step in steps:
        nonce, answer = step["nonce"], bytes.fromhex(step["response"])
        one, told = sample(answer, bytes.fromhex(nonce), step["t1_ns"], step["t4_ns"]), read_response(answer)
        samples[nonce] = {"offset_ns": one.offset_ns, "delay_ns": one.rtt_ns, "corrected": False}
        names = ("receive_timestamp", "send_timestamp")
        t2, t3 = (unix_from_ntp(int(told[name], 16), step["t1_ns"]) for name in names)
        stamps[nonce] = (t2, t3)
        if nonce in early:
            correct(nonce, early.pop(nonce))
        for key, value in told["metadata"]:
            if key == "follow_up":
                correct(*value.split(" "))
    in_order = [samples[step["nonce"]] for step in steps]
    return {"verdict": "accepted", "meaning": {"samples": in_order, "ignored": ignored}}


def receipts_outcome(vector: dict[str, Any], trusted: dict[int, Key]) -> dict[str, Any]:
    """What a receipt file proves, or where it is refused."""
    checked = receipts.check(vector["text"], trusted, vector["expect_head"])
    if isinstance(checked, int):
        return {"verdict": "refused", "line": checked}
    return {"verdict": "accepted", "meaning": checked._asdict()}


READERS = {
    "exchange": exchange_outcome,
    "stream": stream_outcome,
    "dialogue": dialogue_outcome,
    "receipts": receipts_outcome,
}
FILES = ("requests", "responses", "answers", "exchanges", "streams", "dialogues", "receipts")
OUTCOME = ("verdict", "meaning", "refusal", "settled_after", "line")


def main() -> None:
    """Every vector of every file."""
    trusted, checked, wrong = keys(), 0, []
    for name in FILES:
        for vector in load(f"{name}.json", "vectors"):
            outcome = READERS.get(vector["kind"], message_outcome)(vector, trusted)
            expected = {key: vector[key] for key in OUTCOME if key in vector}
            checked += 1
            if outcome != expected:
                wrong.append({"name": vector["name"], "expected": expected, "found": outcome})
    print(json.dumps({"checked": checked, "wrong": wrong}))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
