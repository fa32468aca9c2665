"""The verdict in a judge's reply, read strictly: what is not plainly a verdict is none, and nothing is guessed.

The script of "Understanding R1-Zero-Like Training" looks for a "2" within the last three characters, so that a reply
that ends with "12." counts as a reflection; here it is unparseable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

# What some judges put around their verdict: their thoughts before it, a code fence around it.
THOUGHTS = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*)\n[ \t]*```", re.DOTALL)


def parse_verdict(reply: str, categories: Sequence[int], *, finished: bool = True) -> int | None:
    """The category that a reply gives, or None where it is unparseable.

    A verdict is the JSON object {"reason": "...", "category": N} (the reason may be missing) as the whole reply, alone
    in a code fence, or on the last line; or a bare digit on the last line, unless the reply was cut at its token limit
    (`finished=False`), where a digit may be anything.  N must be one of `categories`.

    >>> parse_verdict('{"reason": "looks back", "category": 2}', (0, 1, 2, 3))
    2
    >>> parse_verdict("It verifies nothing.\\n1", (0, 1, 2, 3))
    1
    >>> parse_verdict("The answer is 12.", (0, 1, 2, 3)) is None
    True
    """
    thoughts = THOUGHTS.match(reply)
    text = reply[thoughts.end() :].strip() if thoughts else reply.strip()
    fenced = FENCE.fullmatch(text)
    last = text.splitlines()[-1].strip() if text else ""
    for candidate in (text, fenced[1] if fenced else "", last):
        category = _category(candidate)
        if category is not None:
            return category if category in categories else None
    if finished and re.fullmatch("[0-9]", last) and int(last) in categories:
        return int(last)
    return None


def _category(text: str) -> int | None:
    """The category of a verdict object, which must be written as one JSON integer."""
    if not text.startswith("{"):
        return None
    try:
        verdict = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError):  # no JSON, a key twice, a number beyond all measure, or nested without end
        return None
    if not isinstance(verdict, dict) or not {"category"} <= verdict.keys() <= {"reason", "category"}:
        return None
    category, reason = verdict["category"], verdict.get("reason", "")
    return category if type(category) is int and isinstance(reason, str) else None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)
