"""What most answers are, decided in a microsecond: the same text, or two plain numbers, as exact fractions.

None means not decided here.  A number that looks plain is never approximated: 9007199254740993 is not ...992.
"""

from __future__ import annotations

import re
from fractions import Fraction

from r1zero.grading.guards import MAX_DIGITS

_INTEGER = re.compile(r"[+-]?\d{1,300}")
_PLAIN = re.compile(
    r"""\$?\s*(?P<sign>[+-]?)\s*(?:\\?\$)?\s*(?:
    (?P<whole>\d{1,3}(?:,\d{3})+|\d+)? (?:\.(?P<decimals>\d+)?)? (?:[eE](?P<power>[+-]?\d{1,4}))?
    | (?P<mixed>\d+)?\s*\\[dt]?frac\s*(?:\{\s*(?P<top>-?\d+)\s*\}|(?P<top1>\d))\s*
      (?:\{\s*(?P<bottom>\d+)\s*\}|(?P<bottom1>\d))
    | (?P<above>\d+)\s*/\s*(?P<below>\d+)
    )\s*\$?\.?""",
    re.VERBOSE,
)


def exact_equal(prediction: str, gold: str) -> bool | None:
    """Whether two answers are equal, where that is plain to see; None where it is not.

    >>> exact_equal("1,000.0", "1000"), exact_equal("\\\\frac12", "1/3"), exact_equal("x", "y"), exact_equal("x", "x")
    (True, False, None, True)
    """
    prediction, gold = prediction.strip(), gold.strip()
    if prediction == gold and prediction:
        return True
    value = plain_value(prediction)
    if value is None:
        return None
    wanted = plain_value(gold)
    return None if wanted is None else value == wanted


def plain_value(text: str) -> Fraction | None:
    """The exact value of a plain numeral or fraction, None of anything else.

    >>> plain_value("-2\\\\frac{1}{2}"), plain_value("1e3"), plain_value("007"), plain_value("1,23")
    (Fraction(-5, 2), Fraction(1000, 1), Fraction(7, 1), None)
    """
    if _INTEGER.fullmatch(text):
        return Fraction(int(text)) if text.isascii() else None
    if len(text) > MAX_DIGITS or not text.isascii():
        return None
    found = _PLAIN.fullmatch(text)
    if not found:
        return None
    sign = -1 if found["sign"] == "-" else 1
    if found["above"]:
        return _ratio(sign * int(found["above"]), int(found["below"]))
    if found["bottom"] or found["bottom1"]:
        top, bottom = int(found["top"] or found["top1"]), int(found["bottom"] or found["bottom1"])
        if not found["mixed"]:
            return _ratio(sign * top, bottom)
        # an improper one is a product: 2\frac{3}{2} is left to the grammar
        return sign * (int(found["mixed"]) + Fraction(top, bottom)) if 0 <= top < bottom else None
    whole, decimals = found["whole"], found["decimals"]
    if not whole and not decimals:
        return None
    digits = (whole or "0").replace(",", "")
    value = Fraction(int(digits + (decimals or "")), 10 ** len(decimals or ""))
    return sign * value * Fraction(10) ** int(found["power"] or 0)


def _ratio(top: int, bottom: int) -> Fraction | None:
    return Fraction(top, bottom) if bottom else None
