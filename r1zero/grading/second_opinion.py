"""Another grader asked about the same answers: math-verify, in processes of its own.

It is given the extracted answer in a box and the gold between dollars, as its documentation asks for, so that the two
graders differ in what they call equal, not in where they look.  Its own time-outs, alarms of 5 s for reading and 5 s
for comparing, are off: the process is ended after 5 s instead, which counts as "not equal", as it does there.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from r1zero.grading.batch import in_order
from r1zero.grading.pool import Pool, Reply

T = TypeVar("T")

SECONDS = 5.0  # of processor time for one answer
GRADERS = ("math-verify",)


def prepare() -> None:
    """Import the library before the clock runs."""
    math_verify_equal("1", "1")


def math_verify_equal(prediction: str, gold: str) -> bool:
    """Its verdict.  To be called in a grading process only: it sets no limit to time or memory."""
    from math_verify import parse, verify

    read_gold = parse(f"${gold}$", parsing_timeout=0)
    read_prediction = parse(f"\\boxed{{{prediction}}}", parsing_timeout=0)
    return bool(verify(read_gold, read_prediction, timeout_seconds=0))


def second_opinions(
    rows: Iterable[tuple[T, str | None, Sequence[str]]], *, workers: int
) -> Iterator[tuple[T, bool | None]]:
    """Rows with an answer and its alternative golds, in order, each with whether math-verify calls one of them equal.

    None where there is no answer to ask about.  Raises ValueError when math-verify is not installed.
    """
    if importlib.util.find_spec("math_verify") is None:
        raise ValueError('math-verify is not installed: pip install "r1zero[math]"')
    pool = Pool("r1zero.grading.second_opinion:math_verify_equal", size=workers, seconds=SECONDS)

    def ask(row: tuple[T, str | None, Sequence[str]]) -> tuple[T, bool | None]:
        item, answer, golds = row
        if answer is None:
            return item, None
        return item, any(_is_equal(pool.call(answer, gold)) for gold in golds)

    try:
        yield from in_order(rows, ask, workers=workers)
    finally:
        pool.close()


def _is_equal(reply: Reply) -> bool:
    return reply.value is True
