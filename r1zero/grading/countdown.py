"""Countdown's verifier: every given number exactly once, and the target exactly.

The gold is JSON, {"nums": [3, 8, 5], "target": 29}.  The answer is an expression alone: "3 * 8 + 5 = 29" is refused, as
TinyZero and oat-zero refuse it, so that their rewards and ours agree.  Where we differ from them on purpose: rationals
are exact (theirs are floats within 1e-5), ** and // are never right, and × · ÷ − are known.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache

from r1zero.grading.arithmetic import MAX_DIGITS, MAX_LENGTH, evaluate


def fault(answer: str, gold: str) -> str:
    """Why `answer` does not solve `gold`, in a few words; "" when it does.  Raises ValueError for a gold that is none.

    >>> fault("3 * 8 + 5", '{"nums": [3, 8, 5], "target": 29}')
    ''
    >>> fault("3 * 8", '{"nums": [3, 8, 5], "target": 24}')
    'number 5 is not used'
    """
    given, target = read_gold(gold)
    evaluation = evaluate(answer)
    if evaluation.value is None:
        return evaluation.reason
    return _misuse(Counter(given), Counter(evaluation.numbers)) or (
        "" if evaluation.value == target else f"value {_short(str(evaluation.value))} instead of {target}"
    )


def _misuse(given: Counter[int], used: Counter[int]) -> str:
    """The first number that is not used as often as it is given."""
    for number, times in used.items():
        if number not in given:
            return f"{number} is not among the numbers"
        if times > given[number]:
            return f"number {number} is used {times} times but given {_times(given[number])}"
    for number, times in given.items():
        if number not in used:
            return f"number {number} is not used"
        if used[number] < times:
            return f"number {number} is used {_times(used[number])} but given {_times(times)}"
    return ""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:20]}... ({len(text)} characters)"


@lru_cache(maxsize=65_536)
def read_gold(gold: str) -> tuple[tuple[int, ...], int]:
    """The given numbers and the target.  Raises ValueError saying what is wrong with a gold no answer could satisfy."""
    wanted = 'a Countdown gold reads {"nums": [3, 8, 5], "target": 29}'
    try:
        parts = json.loads(gold)
    except (ValueError, RecursionError):  # not JSON, an integer of thousands of digits, nested too deeply
        raise ValueError(f"gold {_short(gold)!r} is not JSON: {wanted}") from None
    if not isinstance(parts, dict) or "nums" not in parts or "target" not in parts:
        raise ValueError(f"gold {_short(gold)!r} lacks `nums` or `target`: {wanted}")
    nums, target = parts["nums"], parts["target"]
    if not isinstance(nums, list) or not nums or not all(_is_integer(n) and n >= 0 for n in nums):
        raise ValueError(f"gold {_short(gold)!r}: `nums` must be a list of non-negative integers, at least one")
    if not _is_integer(target):
        raise ValueError(f"gold {_short(gold)!r}: `target` must be an integer")
    if max(len(str(n)) for n in nums) > MAX_DIGITS or sum(len(str(n)) + 1 for n in nums) > MAX_LENGTH:
        raise ValueError(f"gold {_short(gold)!r}: its numbers do not fit in an answer of {MAX_LENGTH} characters")
    return tuple(nums), target


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
