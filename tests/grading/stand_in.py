"""What the pool's tests run in grading processes: a comparison that does what its answer says."""

from __future__ import annotations

import os
import signal
import sys
import time
from fractions import Fraction
from typing import Any

from r1zero.grading import batch


def compare(prediction: str, gold: str) -> bool:
    """Equal as fractions; some answers are hostile."""
    print("what a library prints is no reply")
    if prediction == "spin":
        while True:
            pass
    if prediction == "one long step":  # holds the interpreter's lock all the while
        return 9 ** (9**9) == 0
    if prediction == "sleep":
        time.sleep(1e6)
    if prediction == "eat memory":
        return bytes(1 << 50) == b""
    if prediction == "recurse":
        return compare(prediction, gold)
    if prediction == "write a file":
        with open(gold, "w") as handle:
            handle.write("x")
    if prediction == "exit":
        os._exit(3)
    if prediction == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if prediction == "leave":
        sys.exit(0)
    return Fraction(prediction) == Fraction(gold)


def slowly(prediction: str, gold: str) -> bool:
    time.sleep(1)
    return compare(prediction, gold)


def echo(text: str) -> str:
    return text


def grade_chunk(submissions: list[list[Any]]) -> list[dict[str, Any]]:
    """As the real one, but for texts that no process survives."""
    for text, *_ in submissions:
        if text == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        while text == "spin":
            pass
    return batch.grade_chunk(submissions)


def process_id() -> int:
    return os.getpid()
