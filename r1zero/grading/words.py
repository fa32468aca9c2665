"""Answers that are words: choices, names, numbers spelled out, times of day, dates."""

from __future__ import annotations

import re
from fractions import Fraction

from r1zero.grading.normalize import plain_text

_SMALL = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"  # fmt: skip  # noqa: E501
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
SPELLED = {
    **{word: value for value, word in enumerate(_SMALL.split())},
    **{word: 10 * value for value, word in enumerate(_TENS.split(), start=2)},
    **{f"{tens}-{unit}": 10 * t + u for t, tens in enumerate(_TENS.split(), start=2)
       for u, unit in enumerate(_SMALL.split()[1:10], start=1)},
}  # fmt: skip
SPELLED |= {"a dozen": 12, "dozen": 12, "half a dozen": 6, "a hundred": 100, "a thousand": 1000}
SCALES = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_SHORT_DAY = re.compile(r"(?:on )?(mon|tue|tues|wed|weds|thu|thur|thurs|fri|sat|sun)(?:day|nesday|sday|rsday|urday)?")
_MANY = re.compile(
    r"(?:there (?:is|are) )?(?:an )?infinite(?:ly many)?(?: number of)?(?: (?:real )?(?:solutions?|values?))?"
)
_CLOCK = re.compile(
    r"(?P<hour>\d{1,2})(?:\s*[:.]\s*(?P<minute>\d{2}))?(?:\s*:\s*(?P<second>\d{2}))?\s*"
    r"(?P<half>[ap]\s*\.?\s*m\b\.?|o'clock|noon|midnight)?(?:\s+in the (?P<part>morning|afternoon|evening))?",
    re.IGNORECASE,
)
_ISO = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})")
_AMERICAN = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_NAMED_DATE = re.compile(
    r"(?:(?P<day1>\d{1,2})(?:st|nd|rd|th)?(?: of)? (?P<month1>[a-z]+)|"
    r"(?P<month2>[a-z]+)\.? (?P<day2>\d{1,2})(?:st|nd|rd|th)?)(?:,? (?P<year>\d{4}))?"
)
_CHOICE = re.compile(
    r"(?i:(?:the )?(?:answer|option|choice|correct (?:answer|option|choice))(?: is)?:? *)?"
    r"(?:\((?P<round>[A-Ja-j])\)|\[(?P<square>[A-J])\]|(?P<bare>[A-J]))(?P<rest>$|[.):]\s*.*$|\s+.*$|(?<=\))~?.*$)",
    re.DOTALL,
)
_NOTHING = {"no solution", "no solutions", "none", "no real solution", "no real solutions", "empty set",
            "the empty set", "does not exist", "dne", "undefined", "not defined", "no such number"}  # fmt: skip
_PUNCTUATION = re.compile(r"[^\w\s]")
_WORD = re.compile(r"[^\W\d_]+")


def choice(text: str) -> str:
    """The letter of a multiple-choice answer, "" when it is none.

    >>> choice(r"\\text{(C)}"), choice("(C) 42"), choice("B."), choice("e"), choice("A + B")
    ('C', 'C', 'B', '', '')
    """
    found = _CHOICE.fullmatch(plain_text(text).strip())
    if not found:
        return ""
    rest = found["rest"].strip()
    if rest and (rest[0] in "+-*/^=<>,&" or (found["bare"] and rest[0] not in ".):")):
        return ""
    return (found["round"] or found["square"] or found["bare"] or "").upper()


def is_choice(gold: str) -> bool:
    """Whether a gold is a letter of a choice and nothing more: C, (C), \\text{(C)}."""
    return re.fullmatch(r"\(?[A-J]\)?\.?|\([a-j]\)", plain_text(gold).strip()) is not None


_NO_SOLUTION = re.compile(
    r"(?:there (?:is|are) |it has |has )?no (?:such )?(?:real |integer |positive |possible |valid )?"
    r"(?:solutions?|values?|roots?|answers?|numbers?)(?: exists?)?|(?:the )?(?:empty|null) set"
)
_INFINITE = {"infinity": 1, "positive infinity": 1, "plus infinity": 1, "negative infinity": -1, "minus infinity": -1}
_SHARES = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
           "ninth": 9, "tenth": 10, "twelfth": 12, "hundredth": 100}  # fmt: skip


def spelled_share(text: str) -> Fraction | None:
    """The value of a fraction in words, None of anything else.

    >>> spelled_share("one half"), spelled_share("two-thirds"), spelled_share("a quarter"), spelled_share("third")
    (Fraction(1, 2), Fraction(2, 3), Fraction(1, 4), None)
    """
    words = plain_text(text).lower().strip(" .").replace("-", " ").split()
    if words == ["half"]:
        return Fraction(1, 2)
    if len(words) != 2 or not (words[0] in SPELLED or words[0] in ("a", "an")):
        return None
    share = _SHARES.get({"halves": "half"}.get(words[1], words[1].removesuffix("s")))
    count = SPELLED.get(words[0], 1)
    return Fraction(count, share) if share and count else None


def infinite(text: str) -> str:
    """`\\infty` or `-\\infty` for the words that mean it, "" for all else."""
    sign = _INFINITE.get(plain_text(text).lower().strip(" ."), 0)
    return {1: "\\infty", -1: "-\\infty", 0: ""}[sign]


def word_key(text: str) -> str:
    """What two spellings of the same words have in common; "" when there are none.

    >>> word_key(r"\\\\text{The Ellipse.}"), word_key("no solutions") == word_key("None")
    ('ellipse', True)
    """
    plain = plain_text(text).casefold()
    if found := re.match(r"-\s?(?=\w)", plain):  # a sign, and no mark of punctuation
        return "minus " + word_key(plain[found.end() :])
    words = re.sub(r"\s+", " ", _PUNCTUATION.sub(" ", plain)).strip()
    words = re.sub(r"^(?:the|an|a) (?=\w)", "", words)
    if found := _SHORT_DAY.fullmatch(words):
        return next(day for day in _DAYS if day.startswith(found[1][:3]))
    if _MANY.fullmatch(words):
        return "infinitely many"
    words = re.sub(r"^due (?=(?:north|south|east|west)\b)", "", words)
    return "no solution" if words in _NOTHING or _NO_SOLUTION.fullmatch(words) else words


def is_wordy(text: str) -> bool:
    """Whether it is words alone: no digit, no operator, at least one word of three letters or inside \\text."""
    plain = plain_text(text)
    if re.search(r"[\d^_=+*/<>\\|{}$]", plain):
        return False
    if re.fullmatch(r"-?[a-z]+\([^()]*\)", plain):  # floor(x)
        return False
    found = _WORD.findall(plain)
    return bool(found) and ("\\text" in text or max(map(len, found)) >= 3)


def clock(text: str) -> tuple[int, bool] | None:
    """Seconds after midnight and whether the half of the day is known; None when it is no time of day.

    >>> clock("4:30 p.m."), clock("16:30"), clock("4:30"), clock("3:75")
    ((59400, True), (59400, True), (16200, False), None)
    """
    found = _CLOCK.fullmatch(plain_text(text).strip(" ."))
    if not found or not (found["minute"] or found["half"]):
        return None
    hour, minute, second = int(found["hour"]), int(found["minute"] or 0), int(found["second"] or 0)
    half = re.sub(r"[^a-z]", "", (found["half"] or "").lower())
    half = {"noon": "pm", "midnight": "am"}.get(half, half)
    half = {"morning": "am", "afternoon": "pm", "evening": "pm"}.get((found["part"] or "").lower(), half)
    if minute > 59 or second > 59 or hour > 23 or (half in ("am", "pm") and not 1 <= hour <= 12):
        return None
    if half in ("am", "pm"):
        return (hour % 12 + 12 * (half == "pm")) * 3600 + minute * 60 + second, True
    return hour * 3600 + minute * 60 + second, hour > 12 or hour == 0


def says_half(text: str) -> bool:
    """Whether a time of day says a.m., p.m., noon or the like."""
    return re.search(r"\d\s*(?:[ap]\s*\.?\s*m\b|o'clock|noon|midnight)|in the (?:morning|afternoon|evening)",
                     plain_text(text), re.IGNORECASE) is not None  # fmt: skip


def date(text: str) -> tuple[int | None, int, int] | None:
    """(year or None, month, day); None when it is no date.  12/31/1999 is read in the American order.

    >>> date("July 4, 1776"), date("4th of July"), date("1776-07-04")
    ((1776, 7, 4), (None, 7, 4), (1776, 7, 4))
    """
    plain = plain_text(text).lower().strip(" .")
    plain = re.sub(r"^(?:" + "|".join(_DAYS) + r"),? ", "", plain)
    if found := _ISO.fullmatch(plain):
        return _valid(*map(int, found.groups()))
    if found := _AMERICAN.fullmatch(plain):
        month, day, year = map(int, found.groups())
        return _valid(year, month, day)
    if not (found := _NAMED_DATE.fullmatch(plain)):
        return None
    name = found["month1"] or found["month2"]
    months = [i for i, month in enumerate(_MONTHS, start=1) if len(name) >= 3 and month.startswith(name)]
    if len(months) != 1:
        return None
    return _valid(int(found["year"]) if found["year"] else None, months[0], int(found["day1"] or found["day2"]))


def _valid(year: int | None, month: int, day: int) -> tuple[int | None, int, int] | None:
    return (year, month, day) if 1 <= month <= 12 and 1 <= day <= 31 else None


def spelled_number(text: str) -> int | None:
    """The value of a number written as a word, and of "half a dozen"-like counts of a scale: None otherwise.

    >>> spelled_number("twenty-one"), spelled_number("Seven"), spelled_number("two hundred"), spelled_number("even")
    (21, 7, 200, None)
    """
    words = plain_text(text).lower().strip(" .").replace(" - ", "-")
    if (positive := re.sub(r"^(?:negative|minus) ", "", words)) != words:
        value = spelled_number(positive)
        return None if value is None else -value
    if words in SPELLED:
        return SPELLED[words]
    if words.replace(" ", "-") in SPELLED:
        return SPELLED[words.replace(" ", "-")]
    first, _, last = words.rpartition(" ")
    return SPELLED[first] * SCALES[last] if first in SPELLED and last in SCALES else None
