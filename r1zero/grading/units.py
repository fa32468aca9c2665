"""A value and its unit apart: `5.4 \\text{ cents}` is (5.4, cents), `\\$36` (36, dollars), `864 in^2` (864, in^2).

A unit is a product of powers of dimensions and a factor, so that 1 km is 1000 m and not 1 m; a noun that is no unit
(`10 apples`) is a dimension of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from r1zero.grading.normalize import plain_text
from r1zero.grading.tokens import FUNCTIONS
from r1zero.grading.words import SCALES


@dataclass(frozen=True)
class Unit:
    """Example: Unit(powers=(("length", 1), ("time", -1)), factor=Fraction(5, 18)) is km/h in m/s."""

    powers: tuple[tuple[str, int], ...] = ()
    factor: Fraction = Fraction(1)


def _table() -> dict[str, tuple[str, Fraction]]:
    """Every spelling of a unit -> its dimension and its size."""
    rows: dict[str, dict[str, Fraction | int]] = {
        "length": {"m meter metre": 1, "km kilometer kilometre": 1000, "cm centimeter centimetre": Fraction(1, 100),
                   "mm millimeter millimetre": Fraction(1, 1000), "nm nanometer": Fraction(1, 10**9),
                   "um micron micrometer": Fraction(1, 10**6),
                   "in inch inches": Fraction(254, 10000), "ft foot feet": Fraction(3048, 10000),
                   "yd yard": Fraction(9144, 10000), "mi mile": Fraction(1609344, 1000),
                   "dm decimeter": Fraction(1, 10)},
        "time": {"s sec second": 1, "min minute": 60, "h hr hour": 3600, "day": 86400, "week wk": 604800,
                 "ms millisecond": Fraction(1, 1000)},
        "year": {"yr year": 1, "decade": 10, "century centuries": 100},
        "month": {"month": 1},
        "mass": {"g gram": 1, "kg kilogram": 1000, "mg milligram": Fraction(1, 1000), "ton tonne": 10**6},
        "weight": {"lb lbs pound": 16, "oz ounce": 1},
        "money": {"dollar usd buck": 1, "cent": Fraction(1, 100)},
        "euro": {"euro eur": 1}, "pound sterling": {"gbp": 1}, "rupee": {"rupee rs": 1},
        "volume": {"l liter litre": 1, "ml milliliter millilitre": Fraction(1, 1000), "cl": Fraction(1, 100)},
        "gallon": {"gallon gal": 16, "quart qt": 4, "pint pt": 2, "cup": 1},
        "angle": {"degree deg": 1}, "radian": {"radian rad": 1},
        "speed": {"mph": 1}, "celsius": {"celsius": 1}, "fahrenheit": {"fahrenheit": 1}, "kelvin": {"kelvin K": 1},
        "data": {"bit": 1, "byte": 8},
        "charge": {"coulomb": 1}, "current": {"amp ampere": 1}, "pressure": {"pa pascal": 1, "kpa": 1000},
        "frequency": {"hz hertz": 1, "khz": 1000, "mhz": 10**6, "ghz": 10**9, "thz": 10**12},
        "energy": {"J joule": 1, "kj kilojoule": 1000, "megajoule": 10**6},
        "calories": {"cal calorie": 1, "kcal": 1000}, "voltage": {"volt": 1, "kv": 1000},
        "force": {"N newton": 1}, "power": {"W watt": 1, "kw kilowatt": 1000, "megawatt": 10**6}, "count": {"unit": 1},
        "rotation": {"rpm": 1}, "consumption": {"mpg": 1}, "beat": {"bpm": 1}, "piece": {"piece pc": 1},
    }  # fmt: skip
    return {name: (dimension, Fraction(size)) for dimension, sizes in rows.items()
            for spellings, size in sizes.items() for name in spellings.split()}  # fmt: skip


_UNITS = _table()
_NOT_UNITS = FUNCTIONS | {
    *("pi", "theta", "alpha", "beta", "infinity", "infty", "base", "choose", "mod", "remainder", "squared", "cubed"),
    *("and", "or", "to", "is", "are", "be", "not", "the", "than", "from", "with", "when", "if", "for", "all", "where"),
    *("plus", "minus", "times", "divided", "only", "but", "factorial", "halves", "below", "above", "over", "under"),
    *("never", "except", "zero", "wrong", "incorrect", "modulo"),
}
_TRAILING = frozenset(
    [
        "tall",
        "long",
        "wide",
        "high",
        "deep",
        "old",
        "ago",
        "later",
        "left",
        "apart",
        "away",
        "more",
        "total",
        "altogether",
    ]
)
_WRAPPED = re.compile(
    r"(?P<value>.*?)\s*(?P<unit>(?:\\text\s*\{[^{}]*\}\s*(?:\^\s*\{?\s*-?\d\s*\}?\s*)?(?:/\s*|\\cdot\s*)?)+)", re.DOTALL
)
_PLAIN = re.compile(
    r"(?P<value>.*?(?:[\d)}\]%!]|\\pi))(?P<unit>(?:(?<!\\pi)\s+|\s*(?=[a-zA-Z]{2}))[a-zA-Z][a-zA-Z.'\-]*"
    r"(?:[\s/]+[a-zA-Z][a-zA-Z.'\-]*|\s*\^\s*\{?-?\d\}?|/\s*\w+)*)",
    re.DOTALL,
)
_DEGREE = re.compile(
    r"(?P<value>.*?)\s*\^\s*\\circ\s*(?P<scale>\\text\s*\{\s*(?:[CFK]|celsius|fahrenheit|centigrade)\s*\}|"
    r"[CFK]|celsius|fahrenheit|centigrade)?",
    re.DOTALL | re.IGNORECASE,
)
_DEGREES = {"": "angle", "C": "celsius", "F": "fahrenheit", "K": "kelvin"}
_NAMED_DEGREE = re.compile(r"\b(?:degrees?|deg\.?)\s+(celsius|centigrade|fahrenheit|[CF])\b", re.IGNORECASE)
_MONEY = re.compile(
    r"(?P<sign>-?)\s*(?:\\text\s*\{\s*)?(?P<mark>\\?\$|£|€|¥|\\pounds|\\text\{\\pounds\})\s*(?P<value>.+)", re.DOTALL
)
_MARKS = {"£": "gbp", "\\pounds": "gbp", "€": "euro", "¥": "yen"}
_PIECE = re.compile(r"(?P<word>[a-zA-Z'.\-]+)|\^\s*\{?\s*(?P<power>-?\d)\s*\}?|(?P<over>/)")
_ORDINAL = re.compile(r"(?P<value>\d+)\s*(?:\^\s*\{?\s*)?(?:\\text\s*\{)?\s*(?:st|nd|rd|th)\s*\}?\s*\}?")


def split_unit(text: str) -> tuple[str, Unit | None, Fraction]:
    """The value, its unit or None, and the factor of its scale words: "3 million dollars" -> ("3", money, 10^6).

    >>> split_unit("5.4 \\\\text{ cents}")[0], split_unit("10 weeks")[1], split_unit("2x")
    ('5.4', Unit(powers=(('time', 1),), factor=Fraction(604800, 1)), ('2x', None, Fraction(1, 1)))
    """
    if found := _ORDINAL.fullmatch(text):
        return found["value"], None, Fraction(1)
    if (found := _DEGREE.fullmatch(text)) and found["value"]:
        degrees = _DEGREES[plain_text(found["scale"] or "")[:1].upper()]
        return found["value"], Unit(((degrees, 1),)), Fraction(1)
    if found := _MONEY.fullmatch(text):
        value, unit, scale = split_unit(found["sign"] + found["value"].rstrip("}$ "))
        return value, unit or read_unit(_MARKS.get(found["mark"], "dollar")), scale
    found = _WRAPPED.fullmatch(text) or _PLAIN.fullmatch(text)
    if not found or not found["value"].strip():
        return text, None, Fraction(1)
    words = plain_text(found["unit"]).strip()
    first, _, rest = words.partition(" ")
    if first.lower().rstrip("s") in SCALES:
        _, unit, _ = split_unit("1 " + rest) if rest else ("", None, 0)
        return found["value"].strip(), unit, Fraction(SCALES[first.lower().rstrip("s")])
    if text[found.end("value")].isalpha() and _unknown_letters(words):
        return text, None, Fraction(1)  # 5abc is a product
    unit = read_unit(words)
    return (found["value"].strip(), unit, Fraction(1)) if unit else (text, None, Fraction(1))


def _unknown_letters(words: str) -> bool:
    letters = re.match(r"[a-zA-Z]*", words)
    return letters is not None and len(letters[0]) < 5 and known_unit(letters[0]) is None


_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\.?\s*(?:,?\s*and\b|,)?")


def as_one_quantity(text: str) -> str:
    """`3 hours 20 minutes` in its smallest unit; the text itself where it is no such thing.

    >>> as_one_quantity("3 hours and 20 min"), as_one_quantity("3 hours"), as_one_quantity("3 m 2 s")
    ('200 min', '3 hours', '3 m 2 s')
    """
    plain = plain_text(text)
    if not plain[:1].isdigit():
        return text
    total, at, last = Fraction(0), 0, None
    for found in _PART.finditer(plain):
        unit = known_unit(found[2])
        if found.start() != at or unit is None or (last and (unit[0] != last[0] or unit[1] >= last[1])):
            return text
        total, at, last, name = total + Fraction(found[1]) * unit[1], found.end(), unit, found[2]
    if last is None or at != len(plain) or total == Fraction(found[1]) * last[1]:
        return text
    return f"{total / last[1]} {name}"


def read_unit(words: str) -> Unit | None:
    """The unit that the words name, None when they name none.

    >>> read_unit("square inches") == read_unit("in^2"), read_unit("cm") == read_unit("m"), read_unit("x")
    (True, False, None)
    """
    words = _NAMED_DEGREE.sub(lambda m: "fahrenheit" if m.group(1)[0] in "fF" else "celsius", words)
    words = re.sub(r"\bkm?ph\b", "km/h", words)
    powers: dict[str, int] = {}
    factor, sign, raised, last, counted = Fraction(1), 1, 1, "", ""
    size, at, sign_of_last = Fraction(1), 0, 1
    for piece in _PIECE.finditer(words):
        if words[at : piece.start()].strip(" ,\\"):
            return None
        at = piece.end()
        if piece["over"]:
            sign = -1
        elif piece["power"]:
            if not last:
                return None
            extra = int(piece["power"]) - 1
            powers[last] = powers.get(last, 0) + extra * sign_of_last
            factor *= size ** (extra * sign_of_last)
        else:
            word = piece["word"].strip(".'")
            low = word.lower()
            if low in ("per", "a", "an", "each", "every"):
                sign = -1 if low == "per" else sign
                continue
            if last and low in _TRAILING:
                continue
            if low in ("square", "sq", "cubic", "cu"):
                raised = 2 if low[0] == "s" else 3
                continue
            if low == "of":
                if last:
                    break
                continue
            if low in ("squared", "cubed") and last:
                extra = 1 if low == "squared" else 2
                powers[last] = powers.get(last, 0) + extra * sign_of_last
                factor *= size ** (extra * sign_of_last)
                continue
            found = known_unit(word)
            if found is None and (len(low) < 3 or low in _NOT_UNITS or not re.search("[aeiou]", low)):
                return None
            if counted and sign == sign_of_last:
                powers.pop(counted, None)  # `distinct integers` are integers
            last, size = found or (_singular(low), Fraction(1))
            counted = "" if found else last
            sign_of_last = sign
            powers[last] = powers.get(last, 0) + sign * raised
            factor *= size ** (sign * raised)
            raised = 1
    if words[at:].strip(" ,\\") and not re.match(r"\s*of\b|", words[at:]):
        return None
    if not powers:
        return None
    if powers == {"length": 1, "time": -1} and factor == Fraction(1609344, 3600000):
        return Unit((("speed", 1),))
    return Unit(tuple(sorted((name, power) for name, power in powers.items() if power)), factor)


def known_unit(word: str) -> tuple[str, Fraction] | None:
    """The dimension and size of one word that is in the table."""
    for spelling in (word, word.lower(), _singular(word.lower())):
        if spelling in _UNITS:
            return _UNITS[spelling]
    return None


def _singular(word: str) -> str:
    """Enough of one for two spellings of a counted noun to meet."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
