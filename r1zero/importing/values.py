"""Foreign values as ours: texts, numbers, verdicts, golds.

A foreign file is untrusted: a value of another kind raises ValueError saying so; NaN and infinity are unknown (None).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_SHOWN = 60  # characters of a wrong value in a message
_GSM8K = re.compile(r"####[ \t]*(\S[^\n]*?)\s*\Z")
_FINISHED = {"stop": "stop", "eos": "stop", "eos_token": "stop", "stop_sequence": "stop", "length": "length"}
_FINISHED |= {"max_tokens": "length", "max_length": "length"}


def text(value: Any) -> str | None:
    """A text; numbers are written out, and what UTF-8 cannot hold becomes `?`."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"is {shown(value)}, not text")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    written = str(value)
    return written if written.isascii() else written.encode("utf-8", "replace").decode("utf-8")


def number(value: Any) -> float | None:
    """A number, also where it is written as text; "" , NaN and infinity are unknown.

    >>> number("0.5"), number(True), number(float("nan"))
    (0.5, 1.0, None)
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str | int | float):
        raise ValueError(f"is {shown(value)}, not a number")
    try:
        found = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"is {shown(value)}, not a number") from None
    return found if math.isfinite(found) else None


def count(value: Any) -> int | None:
    """A whole number that is not negative: a step, a seed, a number of tokens."""
    found = number(value)
    if found is None:
        return None
    if isinstance(value, bool) or found != int(found) or not 0 <= found < 2**63:
        raise ValueError(f"is {shown(value)}, not a count")
    return int(value) if isinstance(value, str | int) and str(value).isdecimal() else int(found)


def level(value: Any) -> float | None:
    """A difficulty, MATH's "Level 3" too; a word that is none is unknown.

    >>> level("Level 3"), level("Level ?"), level(2)
    (3.0, None, 2.0)
    """
    if isinstance(value, str):
        digits = re.fullmatch(r"\s*(?:level\s*)?(\d+(?:\.\d+)?)\s*", value, re.IGNORECASE)
        return float(digits[1]) if digits else None
    return number(value)


def verdict(value: Any) -> bool | None:
    """True or false, also as 1, 0 or their words.

    >>> verdict(1.0), verdict("False"), verdict(None)
    (True, False, None)
    """
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        word = value.strip().lower()
        if word in ("true", "1", "1.0", "yes"):
            return True
        if word in ("false", "0", "0.0", "no"):
            return False
        if word in ("null", "none", "nan"):
            return None
    elif isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    raise ValueError(f"is {shown(value)}, not true, false or null")


def binary(value: Any) -> bool | None:
    """A verdict where a score is 0 or 1; None for every other score, and for what is no score."""
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else None


def finish_reason(value: Any) -> str | None:
    """ "stop" or "length"; other reasons, as an abort's, are unknown."""
    return _FINISHED.get(value) if isinstance(value, str) else None


def ids(value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not isinstance(value, Sequence) or not all(type(one) is int and -(2**31) <= one < 2**31 for one in value):
        raise ValueError(f"is {shown(value)}, not a list of token ids")
    return tuple(value)


def numbers(value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    if not isinstance(value, Sequence) or not all(isinstance(one, int | float) for one in value):
        raise ValueError(f"is {shown(value)}, not a list of numbers")
    return tuple(float(one) for one in value)


def gold(value: Any) -> str | None:
    """A right answer as our graders read golds; alternatives and parts become JSON, GSM8K's solutions their end.

    >>> gold(["0.5", "1/2"]), gold({"target": 24, "numbers": [3, 8]}), gold("3 + 4 = 7\\n#### 7"), gold([4])
    ('["0.5", "1/2"]', '{"nums": [3, 8], "target": 24}', '7', '4')
    """
    if isinstance(value, list | tuple):
        alternatives = list(dict.fromkeys(one for one in map(gold, value) if one is not None))
        if len(alternatives) < 2:
            return alternatives[0] if alternatives else None
        return json.dumps(alternatives)
    if isinstance(value, Mapping):
        if set(value) == {"ground_truth"}:
            return gold(value["ground_truth"])
        if {"target"} < set(value) <= {"target", "numbers", "nums"}:  # TinyZero's Countdown
            return json.dumps({"nums": value.get("nums", value.get("numbers")), "target": value["target"]})
        return json.dumps(plain(value))
    if isinstance(value, bool):
        return str(value)
    written = (text(value) or "").strip()
    if found := _GSM8K.search(written):
        return found[1].replace(",", "")
    return written or None


def plain(value: Any) -> Any:
    """A value as JSON has it; what JSON has not is written out."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def shown(value: Any) -> str:
    """A wrong value, cut to a length that a message can carry."""
    written = repr(value)
    return written if len(written) <= _SHOWN else written[: _SHOWN - 1] + "…"
