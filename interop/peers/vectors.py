"""Reads draft/vectors with the Python peers' code and prints what differs, as JSON; exits with 0 if nothing does."""

import json
import sys
from pathlib import Path
from typing import Any

from common import REQUEST_SIZE, Malformed, sample, unix_from_ntp
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


# tsq: E2 E3 E4 M6
def exchange_outcome(vector: dict[str, Any]) -> dict[str, Any]:
    """Sample of an exchange, or why there is none."""
    message, nonce = bytes.fromhex(vector["hex"]), bytes.fromhex(vector["nonce"])
    t1, t4 = vector["t1_ns"], vector["t4_ns"]
    why = refusal(message, nonce, t1, t4, vector["offset_limit_ns"], vector.get("precise_length", REQUEST_SIZE))
    if why:
        return {"verdict": "refused", "refusal": why}
    told, measured = read_response(message), sample(message, nonce, t1, t4)
    t2, t3 = (unix_from_ntp(int(told[name], 16), t1) for name in ("receive_timestamp", "send_timestamp"))
    meaning = {"t2_ns": t2, "t3_ns": t3, "offset_ns": measured.offset_ns, "delay_ns": measured.rtt_ns}
    return {"verdict": "accepted", "meaning": meaning}


def main() -> None:
    """Every vector of every file."""
    trusted, checked, wrong = keys(), 0, []
    for name in ("requests", "responses", "answers", "exchanges"):
        for vector in load(f"{name}.json", "vectors"):
            is_exchange = vector["kind"] == "exchange"
            outcome = exchange_outcome(vector) if is_exchange else message_outcome(vector, trusted)
            expected = {key: vector[key] for key in ("verdict", "meaning", "refusal") if key in vector}
            checked += 1
            if outcome != expected:
                wrong.append({"name": vector["name"], "expected": expected, "found": outcome})
    print(json.dumps({"checked": checked, "wrong": wrong}))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
