"""The one number that a sentence gives as its answer."""

from __future__ import annotations

import re

from r1zero.grading.normalize import plain_text
from r1zero.grading.tokens import FUNCTIONS
from r1zero.grading.units import known_unit

_NUMERAL = re.compile(
    r"(?<![\w.])-?(?:\\?\$)?\s?(?:\d+\s+\d+/\d+|\d*\s*\\frac\s*\{-?\d+\}\s*\{\d+\}|\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+/\d+|\d*\.?\d+)(?![\d^_])"
)
_BEHIND = re.compile(r"(?P<space>\s*)\$?(?P<word>[a-zA-Z]+)")
_SHORT_WORDS = frozenset([
    *("am", "an", "as", "at", "by", "he", "if", "in", "is", "it", "no", "of", "on", "or", "pm", "so", "to", "us", "we"),
    *("st", "nd", "rd", "th"),
])  # fmt: skip


def _is_word(word: str) -> bool:
    """Whether these letters are a word or a unit, and no product of variables: not ab, not xyz."""
    low = word.lower()
    if low in FUNCTIONS - {"max", "min"}:
        return False
    return low in _SHORT_WORDS or known_unit(word) is not None or (len(word) > 2 and bool(re.search("[aeiou]", low)))


def _may_follow(word: str, *, glued: bool) -> bool:
    """Whether it can stand behind a number that it does not multiply: 5km, 5 apples, 5 a day; not 5ab, 5 x."""
    if glued and word.lower() not in _SHORT_WORDS and known_unit(word) is None:
        return len(word) > 4 and _is_word(word)
    return word.lower() == "a" or _is_word(word)


_OPERATORS = re.compile(
    r"[+*^=<>_|!\\]|\b(?:not|no|cannot|never|neither|isn't|or|between|least|most|thousand|million|billion|trillion|dozen|hundred)s?\b"
)


def lone_number(text: str) -> str:
    """The number of a sentence that holds exactly one and no formula: "She has 5 apples left." -> "5"; else "".

    >>> lone_number("The slope is -3 in all"), lone_number("5 or 6 apples"), lone_number("3xy")
    ('-3', '', '')
    """
    plain = plain_text(text).replace("\\$", "$").replace("\\(", "").replace("\\)", "")
    found = _NUMERAL.findall(plain)
    if len(found) != 1:
        return ""
    rest = plain.replace(found[0], " ", 1).replace("$", " ")
    if not any(_is_word(word) for word in re.findall(r"[a-zA-Z]+", rest)):
        return ""
    behind = _BEHIND.match(plain, plain.find(found[0]) + len(found[0]))
    if behind and not _may_follow(behind["word"], glued=not behind["space"]):
        return ""
    if _OPERATORS.search(rest.replace("\\%", "%").lower()) or re.search(r"\d", rest):
        return ""
    percent = "%" if re.match(r"\s*\\?%", plain[plain.find(found[0]) + len(found[0]) :]) else ""
    return found[0].strip().replace("$", "") + percent
