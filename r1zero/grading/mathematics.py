"""The verifier of mathematical answers: cheap and certain first, then structure and values, then a symbolic library.

A gold is text: one answer, or JSON for a gold with parts

    {"answers": ["6630.65", "6630"], "ordered": false, "tolerance": 0.005, "relative": 0.01, "unit": "km"}

where any of `answers` will do, `ordered` lists keep their order, `tolerance` is absolute and `relative` a share of the
gold.  A JSON list of strings is a list of alternatives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from r1zero.grading import guards
from r1zero.grading.equality import EXACT, Rule, UndecidedError, same
from r1zero.grading.exact import exact_equal, plain_value
from r1zero.grading.normalize import normalize, plain_text
from r1zero.grading.process import NOT_GRADED
from r1zero.grading.sentence import lone_number
from r1zero.grading.structure import readings

CACHED = 100_000  # verdicts kept
WRONG = "not equal to the gold"
_KEYS = frozenset(["answers", "ordered", "tolerance", "relative", "unit", "type"])

# asks a symbolic library, in a process that can be killed; raises what it pleases
Symbolic = Callable[[str, str], bool]


@dataclass(frozen=True)
class Gold:
    """What an answer is compared with.  Example: Gold(answers=("0.01", "0.02"), rule=Rule(tolerance=0.005))"""

    answers: tuple[str, ...]
    rule: Rule = EXACT
    unit: str = ""


@lru_cache(maxsize=65_536)
def read_gold(gold: str) -> Gold:
    """Raises ValueError saying what is wrong with a gold that no answer could satisfy.

    >>> read_gold('["1", "one"]').answers, read_gold('{"answers": ["5"], "tolerance": 0.5}').rule.tolerance
    (('1', 'one'), 0.5)
    """
    text = gold.strip()
    parts = _json(text)
    if isinstance(parts, list) and parts and all(isinstance(part, str) for part in parts):
        parts = {"answers": parts}
    if not isinstance(parts, dict):
        if not text:
            raise ValueError("the gold is empty: give the right answer as text")
        return Gold((_unboxed(text),))
    if unknown := sorted(set(parts) - _KEYS):
        raise ValueError(f"gold with the unknown key {unknown[0]!r}: its keys are {', '.join(sorted(_KEYS))}")
    answers = parts.get("answers")
    if not isinstance(answers, list) or not answers or not all(isinstance(a, str) and a.strip() for a in answers):
        raise ValueError("gold: `answers` must be a list of texts, at least one")
    for name in ("tolerance", "relative"):
        value = parts.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
            raise ValueError(f"gold: {name}={value!r} must be a number that is not negative")
    rule = Rule(bool(parts.get("ordered", False)), parts.get("tolerance"), parts.get("relative"))
    return Gold(tuple(_unboxed(answer.strip()) for answer in answers), rule, str(parts.get("unit") or ""))


def _json(text: str) -> object:
    if not text.startswith(('{"', "{ ", "{\n", '["', '[ "')):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _unboxed(text: str) -> str:
    """A gold that stands in a box, as MATH's solutions have it."""
    if not text.startswith(("\\boxed{", "$\\boxed{")):
        return text
    return normalize(text) or text


def fault(answer: str, gold: str) -> str:
    """Why `answer` is not `gold`, in a few words; "" when it is.  Raises ValueError for a gold that is none.

    >>> fault("0.5", "\\\\frac12"), fault("(0, 1)", "[0, 1)")
    ('', 'not equal to the gold')
    """
    wanted = read_gold(gold)
    plain = wanted.rule is EXACT and len(wanted.answers) == 1
    if plain and (decided := exact_equal(answer, wanted.answers[0])) is not None:
        return "" if decided else WRONG
    if len(answer) > guards.MAX_LENGTH:  # nothing to be kept for: megabytes, and refused unless it is the gold itself
        return _best(answer, gold)
    try:
        return _remembered(answer, gold)
    except _PassingError as passing:
        return str(passing)


class _PassingError(Exception):
    """A reason that may not be there the next time, and is not remembered: no process could be had, or it died."""


@lru_cache(maxsize=CACHED)
def _remembered(answer: str, gold: str) -> str:
    """The responses of a group repeat their answers."""
    reason = _best(answer, gold)
    if reason.startswith(NOT_GRADED):
        raise _PassingError(reason)
    return reason


def _best(answer: str, gold: str) -> str:
    """Why `answer` is none of the alternatives; "" when it is one."""
    reason = WRONG
    wanted = read_gold(gold)
    for alternative in wanted.answers:
        reason = compare(answer, alternative, wanted.rule, unit=wanted.unit)
        if not reason:
            return ""
    return reason


def compare(answer: str, gold: str, rule: Rule = EXACT, *, unit: str = "", symbolic: Symbolic | None = None) -> str:
    """Why `answer` is not the one answer `gold`; "" when it is."""
    if answer.strip() == gold and gold:
        return ""
    if reason := guards.fault(answer):
        return reason
    prediction, target = normalize(answer), normalize(gold)
    if not prediction:
        return "empty"
    if prediction == target:
        return ""
    exact = rule.tolerance is None and rule.relative is None
    if exact and (decided := exact_equal(prediction, target)) is not None:
        return "" if decided else WRONG
    try:
        return "" if _same_reading(prediction, target, rule, unit) else WRONG
    except UndecidedError:
        return _ask(prediction, target, symbolic)
    except RecursionError:
        return "nested too deeply"


def _same_reading(prediction: str, gold: str, rule: Rule, unit: str) -> bool:
    """As it stands, without a sentence around it, and without the unit that the question names."""
    candidates = [prediction]
    if (bare := without_sentence(prediction)) != prediction:
        candidates.append(bare)
    cents = "$" in gold and re.search(r"cent|¢", prediction)
    if (
        (number := _number_in_words(prediction))
        and not cents
        and not ("%" in gold and "%" not in number)
        and plain_value(re.sub(r"\s*\\?%$", "", gold)) is not None
    ):
        candidates.append(number)
    if unit:
        candidates.append(_without_unit(bare, normalize(unit)))
    return any(
        same(shape, target, rule)
        for text in dict.fromkeys(candidates)
        for shape in readings(text)
        for target in readings(gold)
    )


# words that make of the number or formula beside them another one: half of 8, more than 8, 8 squared, never 8
_TURNED = re.compile(
    r"\b(?:wrong|incorrect|never|isn't|aren't|impossible)\b|"
    r"\b(?:than|half|double|twice|thrice|triple|(?:square|cube|root|log|logarithm|multiples?|factors?|divisors?) of|"
    r"modulo|mod|except|up to|under|over|below|above)\s+(?:of\s+)?(?:\$|\\\(|\\?-?\d|\\frac)|"
    r"(?:\d|\$|\\\)|\})\s*(?:squared|cubed|factorial|halves|choose|below zero|(?:times|over|plus|minus)\s+[b-z]\b)",
    re.IGNORECASE,
)
_CHOSEN = re.compile(r"\(?[A-J](?:\)|[.:])\s*(?=\S)")


def _number_in_words(text: str) -> str:
    """The one number of a sentence, or behind the letter of a choice: `A. 250`; "" where its words make it another.

    >>> _number_in_words("She has 5 left"), _number_in_words("half of 8"), _number_in_words("8 squared")
    ('5', '', '')
    """
    if _TURNED.search(text):
        return ""
    if found := _CHOSEN.match(text):
        rest = text[found.end() :].strip()
        return rest if plain_value(rest) is not None else lone_number(rest)
    return lone_number(text)


def _without_unit(text: str, unit: str) -> str:
    """`166 cm^2` without the `cm^2` that the gold states apart."""
    plain = plain_text(text)
    return plain[: -len(unit)].strip() if plain.endswith(unit) else text


_LEAD = re.compile(
    r"^(?:(?:so|thus|therefore|hence|then|finally|and|we (?:get|have|find|obtain))\b[, ]*)*"
    r"(?:(?:the|my|our|its|their|a|it|this|that)\s+)?"
    r"(?:(?:final|correct|right|exact|required|desired|simplified|total|only|possible)\s+)*"
    r"(?:answer|result|value|values|solution|solutions|option|choice|sum|product|area|length|number|probability|total|"
    r"perimeter|volume|equation|range|domain|ratio|cost|price|remainder|vertex|interval|set|expression|coordinates|point)?"
    r"(?:\s+(?:of|to|for|in|that|which)\s+[^=:$]{1,80}?)?\s*"
    r"(?:\bis\b|\bare\b|\bequals\b|\bwill be\b|:|=)\s*(?:either\s+|about\s+|exactly\s+|:)?",
    re.IGNORECASE,
)
_NEAR = re.compile(
    r"^(?:the |an? )?(?:points?|origin|interval|set|vertex|ordered pair|coordinates)\s+(?=[(\[\\])|"
    r"^(?:approximately|about|roughly|around|exactly|equal to|only|\\text\s*\{\s*(?:approximately|about)\s*\})\s+",
    re.IGNORECASE,
)
_MATH = re.compile(r"\\\((?P<round>[^$]+?)\\\)|\\\[(?P<square>[^$]+?)\\\]|(?<!\\)\$(?P<dollar>[^$]+)(?<!\\)\$")


def without_sentence(text: str) -> str:
    """The answer of `The answer is 5` or of a sentence with one formula between dollars; else the text itself.

    >>> without_sentence("The final answer is 42"), without_sentence(r"Hence $x = 3$ holds"), without_sentence("x is 3")
    ('42', 'x = 3', 'x is 3')
    """
    plain = plain_text(text) if text.startswith("\\text") else text
    found = _LEAD.match(plain)
    if found and re.search(r"[a-zA-Z]{2,}", found.group()) and plain[found.end() :].strip():
        plain = plain[found.end() :]
    plain = _NEAR.sub("", plain.strip())
    formulas = _MATH.findall(plain)
    outside = _MATH.sub("", plain)
    if (
        len(formulas) != 1
        or not re.search(r"[a-zA-Z]{2,}", outside)
        or re.search(r"\d|\bnot\b", outside)
        or _TURNED.search(plain)
    ):
        return normalize(plain)
    return normalize(next(part for part in formulas[0] if part))


def _ask(prediction: str, gold: str, symbolic: Symbolic | None) -> str:
    """The verdict of the symbolic library; its time-outs and failures are reasons."""
    from r1zero.grading import pool

    try:
        return "" if (symbolic or pool.symbolic_equal)(prediction, gold) else WRONG
    except pool.GradingFault as failure:
        return str(failure)
