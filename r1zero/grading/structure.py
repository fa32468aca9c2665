"""What kind of thing an answer is: tuple, interval, set, list, union, matrix, relation, numeral with a base, or a leaf.

`read` takes a normalized text apart; nothing is compared here.  Brackets are kept, so that (0, 1] is never [0, 1).
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from r1zero.grading import words
from r1zero.grading.formula import UnreadableError, parse
from r1zero.grading.guards import MAX_ITEMS
from r1zero.grading.normalize import normalize, plain_text, unwrap
from r1zero.grading.units import as_one_quantity
from r1zero.grading.values import decimal

Kind = Literal["leaf", "tuple", "set", "list", "union", "matrix", "relation", "base"]


@dataclass(frozen=True)
class Shape:
    """One answer, taken apart.

    Example: read("(3,4]") = Shape("tuple", "(3,4]", (Shape("leaf", "3"), Shape("leaf", "4")), marks=("(", "]"))
    """

    kind: Kind
    text: str
    items: tuple[Shape, ...] = ()
    marks: tuple[str, ...] = ()  # brackets of a tuple; signs of a relation; base of a numeral; columns of a matrix


_BRACKETS = re.compile(
    r"\\(?:begin|end)\{v?matrix\}|\\[{}]|\\(?:langle|rangle|lfloor|rfloor|lceil|rceil)(?![a-zA-Z])|[()\[\]{}]"
)
_OPENING = frozenset(["\\begin{matrix}", "\\begin{vmatrix}", "(", "[", "{", "\\{", "\\langle", "\\lfloor", "\\lceil"])
_COMMA = re.compile(r"[,;]")
_WORDS_BETWEEN = re.compile(
    r"\\text\s*\{\s*(?:,\s*)?(?:and|or)\s*\}|(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z])|\\text\s*\{\s*,\s*\}|&(?=\s)"
)
_CUP = re.compile(r"\\cup(?![a-zA-Z])|(?<=[)\]}])\s*(?:U|\bunion\b)\s*(?=[(\[{\\])")
_SIGNS = {
    "=": "=",
    "==": "=",
    "<": "<",
    ">": ">",
    "<=": "<=",
    ">=": ">=",
    "\\le": "<=",
    "\\ge": ">=",
    "!=": "!=",
    "\\ne": "!=",
    "\\approx": "~",
    "\\equiv": "=",
    "\\in": "in",
    "\\sim": "~",
    "\\Rightarrow": "=>",
    "\\implies": "=>",
    "\\to": "=>",
    "\\rightarrow": "=>",
    "=>": "=>",
    "->": "=>",
}
_SIGN = re.compile(
    r"<=|>=|=>|->|!=|==|[=<>]|\\(?:le|ge|ne|approx|equiv|in|sim|Rightarrow|implies|rightarrow|to)(?![a-zA-Z])"
)
_THOUSANDS = re.compile(r"\\?\$?\s*[+-]?\s*(?<!\d)(?<!\d,)\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)")
_BASE = re.compile(
    r"(?:\(|\\text\s*\{)?\s*(?P<digits>-?[0-9A-Fa-f]+)\s*[)}]?\s*(?:_\s*\{?\s*(?:\\text\s*\{)?\s*(?P<base>\d+|[a-z]+)\s*\}?\s*\}?|"
    r"(?:\\text\s*\{)?\s*\(?(?:in )?base[ }-]*(?:\\text\{)?(?P<spoken>\d+|[a-z]+)\s*\}?\s*\)?\}?)"
)
_BASES = {
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
    "eleven": "11",
    "twelve": "12",
    "sixteen": "16",
    "binary": "2",
    "octal": "8",
    "hex": "16",
}
_MATRIX = re.compile(r"\\begin\{(v?)matrix\}(.*?)\\end\{v?matrix\}(\^\s*\{?(?:T|\\top)\}?)?", re.DOTALL)
_FACTOR = re.compile(r"(?:[\d\s./{}()-]|\\(?:frac|sqrt|cdot|times)(?![a-zA-Z]))+")
_PLUS_MINUS = re.compile(r"\\pm(?![a-zA-Z])|\\mp(?![a-zA-Z])|\+/-|\+-")
_ALL_REALS = re.compile(
    r"\\mathbb\s*\{?R\}?|(?:\\text\{\s*)?(?:the set of )?all (?:the )?real(?:s| numbers| values)(?:\s*\})?",
    re.IGNORECASE,
)
_REALS_BUT = re.compile(
    r"(?:\\mathbb\s*\{?R\}?|all real(?:s| numbers| values)(?: of [a-z]| [a-z])?),? (?:except|but|excluding|other than)"
    r"(?: for)? (?P<points>.+)",
    re.IGNORECASE,
)
_FOR_INTEGERS = re.compile(
    r"[,;]?\s*\(?(?:\\text\s*\{\s*,?\s*(?:where|for|with)\s*(?:some|any|all)?\s*\}|,\s*(?:where|for)|(?:where|for))?\s*\$?[kmn]\s*\$?\s*"
    r"(?:\\in\s*(?:\\mathbb\s*\{?[ZN]\}?|\\text\{\s*integers\s*\})|(?:\\text\s*\{)?\s*is an[y]? integer\s*\}?)\)?$"
)
_BUILDER = re.compile(r"[a-zA-Z](?:\s*\\in\s*\\mathbb\s*\{?R\}?)?\s*(?:\||:)\s*(?P<rule>.+)", re.DOTALL)


def pieces(text: str, separator: re.Pattern[str]) -> list[str]:
    """`text` cut at the separators that stand outside all brackets; the thousands of a number are not cut.

    >>> pieces("(1,2), 3", _COMMA), pieces("1,000 and 2", _COMMA)
    (['(1,2)', ' 3'], ['1,000 and 2'])
    """
    return [part for part, _ in _cut(text, separator)]


def _cut(text: str, separator: re.Pattern[str]) -> list[tuple[str, str]]:
    """(piece, the separator before it), in order."""
    if not separator.search(text):
        return [(text, "")]
    depth, last, mark = 0, 0, ""
    found: list[tuple[str, str]] = []
    protected = [m.span() for m in _THOUSANDS.finditer(text)] if separator is _COMMA else []
    events = [(m.start(), m.end(), m.group(), True) for m in _BRACKETS.finditer(text)]
    events += [(m.start(), m.end(), m.group(), False) for m in separator.finditer(text)]
    for start, end, token, is_bracket in sorted(events):
        if is_bracket:
            depth += 1 if token in _OPENING else -1
        elif depth == 0 and start >= last and not any(a < start < b for a, b in protected):
            found.append((text[last:start], mark))
            last, mark = end, token
    found.append((text[last:], mark))
    return found


def _list_pieces(text: str) -> list[str]:
    """The members of `1, 2 and 3`; one member when there is nothing to cut."""
    parts = [part for whole in pieces(text, _WORDS_BETWEEN) for part in pieces(whole, _COMMA)]
    parts = [unwrap(part) for part in parts]
    return [part for part in parts if part and part not in ("$", "\\text{and}")]


@lru_cache(maxsize=20_000)
def read(text: str) -> Shape:
    """The shape of a normalized text.  Anything that is nothing else is a leaf."""
    text = unwrap(text)
    if "$" in text and text.count("$") % 2 == 0 and "\\$" not in text:
        text = text.replace("$", "")  # `$1$, $2$`
    if found := _BASE.fullmatch(text):
        base = found["base"] or found["spoken"]
        if _is_numeral(found["digits"].lower(), base := _BASES.get(base, base)):
            return Shape("base", text, marks=(found["digits"].lower(), base))
    if text in ("\\emptyset", "\\{\\}", "\\{ \\}"):
        return Shape("leaf", "\\text{no solution}")
    if words.date(text) is not None:
        return Shape("leaf", text)
    if named := _list_of_words(text):
        return named
    if (whole := as_one_quantity(text)) != text:
        return Shape("leaf", whole)
    text = _FOR_INTEGERS.sub("", _open_ended(text)) or text
    if "eal" in text or "mathbb" in text:
        text = _REALS_BUT.sub(lambda m: f"\\mathbb{{R}} \\setminus \\{{{_points(m['points'])}\\}}", plain_reals(text))
    members = _list_pieces(text) if len(text) > 1 else [text]
    if 1 < len(members) <= MAX_ITEMS:
        shapes = [read(member) for member in members]
        return _reals_but(shapes, text) or Shape("list", text, _flat(shapes))
    sides = _cut(text, _SIGN)
    if len(sides) > 1:
        return _relation(text, sides)
    if _ALL_REALS.fullmatch(text):
        return _reals(text)
    if "\\setminus" in text and (without := _without_points(text)):
        return without
    unions = pieces(text, _CUP)
    if len(unions) > 1:
        return Shape("union", text, _flat([read(part) for part in unions], "union"))
    return (
        _bracketed(text)
        or _signed(text)
        or _column(text)
        or _unit_vectors(text)
        or _matrix(text)
        or _plus_minus(text)
        or Shape("leaf", text)
    )


_ONE_TEXT = re.compile(r"\\text\s*\{([^{}]*(?:,| and )[^{}]*)\}")
_FRENCH = re.compile(r"(?P<open>[\](\[])(?P<inside>[^()\[\]]+[,;][^()\[\]]+)(?P<close>[\[)\]])")


def _list_of_words(text: str) -> Shape | None:
    """\\text{A, B and C} as the list of what it names; only letters and words of one or two."""
    if not (found := _ONE_TEXT.fullmatch(text)):
        return None
    names = [part.strip() for part in re.split(r",\s*and\b|,|\band\b", found[1]) if part.strip()]
    if len(names) < 2 or not all(re.fullmatch(r"[A-Za-z0-9'-]{1,20}(?: [A-Za-z0-9'-]{1,20})?", name) for name in names):
        return None
    return Shape("list", text, tuple(Shape("leaf", f"\\text{{{name}}}") for name in names))


def _open_ended(text: str) -> str:
    """]0, 1[ as (0, 1)."""
    if text[:1] != "]" and text[-1:] != "[":
        return text
    if not (found := _FRENCH.fullmatch(text)):
        return text
    brackets = {"]": "(", "[": "["}.get(found["open"], "("), {"[": ")", "]": "]"}.get(found["close"], ")")
    return brackets[0] + found["inside"] + brackets[1]


def plain_reals(text: str) -> str:
    return plain_text(text) if text.startswith("\\text") else text


def _points(text: str) -> str:
    """`x = 2 and x = 3` as `2, 3`."""
    return re.sub(r"\b[a-z]\s*=", "", re.sub(r"\s*(?:,\s*)?\b(?:and|or)\b\s*", ", ", plain_text(text)))


def readings(text: str) -> tuple[Shape, ...]:
    """The shape, and another where a text can be read in two ways: `100,200` is a number, or two."""
    first = read(text)
    if first.kind == "leaf" and _THOUSANDS.fullmatch(text) and "." not in text:
        return first, Shape("list", text, tuple(read(part) for part in text.replace("$", "").split(",")))
    if first.kind in ("list", "relation") and text.count("\\pm") == 2 and not re.search(r"[,;]|\\mp|\\text", text):
        signs = [(a, b) for a in "+-" for b in "+-"]  # each sign for itself: \pm 1 \pm i
        parts = _PLUS_MINUS.split(text.rpartition("=")[2])
        if len(parts) == 3:
            return first, Shape("list", text, tuple(read(f"{parts[0]}{a}{parts[1]}{b}{parts[2]}") for a, b in signs))
    return (first,)


def _is_numeral(digits: str, base: str) -> bool:
    """Whether these digits exist in that base; E_1 is a name."""
    digits = digits.removeprefix("-")
    if not base.isdigit() or not 2 <= int(base) <= 36 or not (digits[0].isdigit() or len(digits) > 1):
        return False
    return all(int(digit, 36) < int(base) for digit in digits)


def _flat(shapes: list[Shape], kind: Kind = "list") -> tuple[Shape, ...]:
    return tuple(item for shape in shapes for item in _parts(shape, kind))


def _reals_but(shapes: list[Shape], text: str) -> Shape | None:
    """x \\ne 1, x \\ne 2 and x \\ne 1, 2 are the reals without both."""
    first = shapes[0]
    if first.kind != "relation" or first.marks != ("!=",) or not re.fullmatch(r"[a-zA-Z]", first.items[0].text):
        return None
    points = []
    for shape in shapes:
        if shape.kind == "relation" and (shape.marks != ("!=",) or shape.items[0].text != first.items[0].text):
            return None
        points.append((shape.items[1] if shape.kind == "relation" else shape).text)
    return _without_points(f"\\mathbb{{R}} \\setminus \\{{{', '.join(points)}\\}}")


def _parts(shape: Shape, kind: Kind) -> tuple[Shape, ...]:
    """The members; those of `x = \\pm 1` too."""
    if kind == "list" and label(shape) and shape.items[-1].kind == "list":
        return shape.items[-1].items
    return shape.items if shape.kind == kind else (shape,)


def _relation(text: str, sides: list[tuple[str, str]]) -> Shape:
    """`x = 3`, `1 < x \\le 2`, `x \\in [0, 1]`; what follows an arrow stands for the whole."""
    signs = [_SIGNS[mark] for _, mark in sides[1:]]
    if "=>" in signs:
        last = len(signs) - 1 - signs[::-1].index("=>")
        rest = "".join(mark + part for part, mark in sides[last + 1 :])
        return read(unwrap(rest[len(sides[last + 1][1]) :]))
    parts = [unwrap(part) for part, _ in sides]
    if signs == ["in"]:
        return read(parts[1])
    if not all(parts):
        kept = [part for part in parts if part]
        if len(kept) == 1 and signs in (["="], ["~"]) and parts[1]:
            return read(kept[0])
        return Shape("leaf", text)
    return Shape("relation", text, tuple(read(part) for part in parts), tuple(signs))


def _reals(text: str) -> Shape:
    ends = (Shape("leaf", "-\\infty"), Shape("leaf", "\\infty"))
    return Shape("tuple", text, ends, ("(", ")"))


def _without_points(text: str) -> Shape | None:
    """\\mathbb{R} \\setminus \\{a, b\\} and (0, 2) \\setminus \\{1\\} as a union of intervals."""
    before, _, removed = text.partition("\\setminus")
    whole, points = read(before.strip()), read(removed.strip())
    if whole.kind != "tuple" or len(whole.items) != 2 or points.kind != "set" or not points.items:
        return None
    try:
        values = [decimal(parse(item.text)) for item in points.items]
    except UnreadableError:
        values = [None]
    if None in values:
        return without(tuple(points.items), text, whole) if len(points.items) == 1 else None
    order = sorted(range(len(values)), key=lambda i: values[i] or 0.0)
    return without(tuple(points.items[i] for i in order), text, whole)


def without(points: tuple[Shape, ...], text: str, whole: Shape | None = None) -> Shape:
    """The reals, or the interval `whole`, but for these points, which stand in increasing order."""
    whole = whole or _reals("")
    pairs = list(itertools.pairwise((whole.items[0], *points, whole.items[1])))
    opening, closing = [whole.marks[0], *["("] * len(points)], [*[")"] * len(points), whole.marks[1]]
    return Shape(
        "union",
        text,
        tuple(Shape("tuple", "", *row) for row in zip(pairs, zip(opening, closing, strict=True), strict=True)),
    )


def _bracketed(text: str) -> Shape | None:
    """A tuple, interval or set: one pair of brackets around all of it."""
    tokens = list(_BRACKETS.finditer(text))
    if len(tokens) < 2 or tokens[0].start() != 0 or tokens[-1].end() != len(text):
        return None
    opening, closing = tokens[0].group(), tokens[-1].group()
    if opening not in ("(", "[", "\\{", "\\langle") or closing not in (")", "]", "\\}", "\\rangle"):
        return None
    depth = 0
    for token in tokens[:-1]:
        depth += 1 if token.group() in _OPENING else -1
        if depth == 0:
            return None
    inner = text[tokens[0].end() : tokens[-1].start()].strip()
    if opening == "\\{":
        if found := _BUILDER.fullmatch(inner):
            return read(unwrap(found["rule"]))
        members = [read(unwrap(part)) for part in _members(inner)]
        return Shape("set", text, _flat(members)) if len(members) <= MAX_ITEMS else None
    members = [read(unwrap(part)) for part in _members(inner)]
    if len(members) == 1 and (opening, closing) != ("\\langle", "\\rangle"):
        if re.fullmatch(r"\([a-j]\)", text):
            return Shape("leaf", text)  # may be a choice
        return members[0] if (opening, closing) in (("(", ")"), ("[", "]")) else None
    if any(member.kind == "list" for member in members):  # (3, \pm 2): one tuple for each sign
        return _signed_tuples(members, text, opening, closing)
    return Shape("tuple", text, tuple(members), (opening, closing)) if len(members) <= MAX_ITEMS else None


def _signed(text: str) -> Shape | None:
    """-(1, 2) is (-1, -2), and +(1, 2) itself."""
    if text[:1] not in ("+", "-") or not text[1:].lstrip().startswith("("):
        return None
    inner = _bracketed(text[1:].strip())
    if inner is None or inner.kind != "tuple" or inner.marks != ("(", ")"):
        return None
    sign = text[0]
    items = inner.items if sign == "+" else tuple(read(f"-({item.text})") for item in inner.items)
    return Shape("tuple", text, items, inner.marks)


_TRANSPOSED = re.compile(r"([(\[].*[)\]])\s*\^\s*\{?\s*(?:T|\\top|\\text\s*\{T\})\s*\}?", re.DOTALL)
_PLAIN_VECTOR = re.compile(r"[+-]?\s*[\d./]*\s*i\s*[+-]\s*[\d./]*\s*j(?:\s*[+-]\s*[\d./]*\s*k)?")
_UNIT_VECTOR = re.compile(
    r"\s*(?P<sign>[+-]?)\s*(?P<size>[^+]*?)\s*(?:\\(?:hat|vec)\s*\{?\s*)?"
    r"(?:\\text\s*\{(?P<bold>[ijk])\}|(?<=\{)\\?(?P<hat>[ijk])(?:math)?)\s*\}?(?=\s*(?:[+-]|$))"
)


def _column(text: str) -> Shape | None:
    """[1, 2]^T is the column (1, 2)."""
    found = _TRANSPOSED.fullmatch(text)
    inner = _bracketed(found[1]) if found else None
    return Shape("tuple", text, inner.items, ("(", ")")) if inner and inner.kind == "tuple" else None


def _unit_vectors(text: str) -> Shape | None:
    """5\\text{i} - 2\\hat{j} is the vector (5, -2)."""
    if _PLAIN_VECTOR.fullmatch(text):
        text = re.sub(r"([ijk])", r"\\text{\1}", text)  # 4i - 3j
    if not re.search(r"\\(?:text|hat|vec)\s*\{", text):
        return None
    sizes: dict[str, str] = {}
    at = 0
    for found in _UNIT_VECTOR.finditer(text):
        letter = found["bold"] or found["hat"]
        if found.start() != at or letter in sizes:
            return None
        at = found.end()
        sizes[letter] = f"{found['sign']}({found['size']})" if found["size"] else f"{found['sign']}1"
    if at != len(text) or len(sizes) < 2:
        return None
    axes = "ijk" if "k" in sizes else "ij"
    return Shape("tuple", text, tuple(read(sizes.get(axis, "0")) for axis in axes), ("(", ")"))


_PLAIN_COMMA = re.compile(r"[,;](?!\})")


def _members(inner: str) -> list[str]:
    """Inside brackets every comma separates: (1,000) has two members."""
    return [part for part in pieces(inner, _PLAIN_COMMA) if part.strip()]


def _signed_tuples(members: list[Shape], text: str, opening: str, closing: str) -> Shape:
    choices = [member.items if member.kind == "list" else (member,) * 2 for member in members]
    rows = [Shape("tuple", text, row, (opening, closing)) for row in zip(*choices, strict=False)]
    return Shape("list", text, tuple(rows))


def _matrix(text: str) -> Shape | None:
    found = _MATRIX.search(text)
    if not found or found[1] == "v" or text[found.end() :].strip():
        return None
    factor = text[: found.start()].strip()
    if factor and not _FACTOR.fullmatch(factor):
        return None
    rows = [row.split("&") for row in found[2].split("\\\\") if row.strip()]
    if len({len(row) for row in rows}) != 1 or len(rows) * len(rows[0]) > MAX_ITEMS:
        return None
    if found[3]:
        rows = [list(column) for column in zip(*rows, strict=True)]
    if factor:
        factor = "-1" if factor == "-" else factor.removesuffix("\\cdot").removesuffix("\\times")
        rows = [[f"({factor}) * ({cell})" for cell in row] for row in rows]
    cells = tuple(read(normalize(cell)) for row in rows for cell in row)
    return Shape("matrix", text, cells, (str(len(rows[0])),))


def _plus_minus(text: str) -> Shape | None:
    """`1 \\pm \\sqrt{2}` as the list of its two values; all signs of one answer go together."""
    marks = _PLUS_MINUS.findall(text)
    if not marks or len(marks) > 4:
        return None
    upper = _PLUS_MINUS.sub(lambda m: "-" if m.group().startswith("\\mp") else "+", text)
    lower = _PLUS_MINUS.sub(lambda m: "+" if m.group().startswith("\\mp") else "-", text)
    return Shape("list", text, (read(upper), read(lower)))


_LABEL = re.compile(
    r"\|[a-zA-Z]\||(?:(?:m\s*)?\\angle\s*)?(?:\\text\s*\{[^{}]*\}|\\?[a-zA-Z]+(?:\s[a-zA-Z]+)*)\s*(?:_\s*(?:\{[^{}]*\}|\w|\\[a-z]+))?\s*'*"
    r"\s*(?:\^\s*\{?-1\}?\s*(?=\())?(?:\([a-zA-Z](?:\s*,\s*[a-zA-Z])*\))?"
)
_NOT_LABELS = re.compile(r"\\(?:sqrt|sin|cos|tan|ln|log|frac|pi|binom|cot|sec|csc)(?![a-zA-Z])")
_TUPLE_LABEL = re.compile(
    r"[(\[]\s*(?:\\[a-z]+|[a-zA-Z])(?:_\{?\w+\}?)?(?:\s*,\s*(?:\\[a-z]+|[a-zA-Z])(?:_\{?\w+\}?)?)+\s*[)\]]"
)


def label(shape: Shape) -> str:
    """The name on the left of `x = 3`, `f(x) = ...`, `(a, b) = ...`; "" where the left side is no mere name.

    >>> label(read("f(x) = x + 1")), label(read("2x = 4")), label(read("3"))
    ('f(x)', '', '')
    """
    if shape.kind != "relation" or shape.marks[0] != "=":
        return ""
    left = shape.items[0].text.strip()
    if _TUPLE_LABEL.fullmatch(left) or (_LABEL.fullmatch(left) and not _NOT_LABELS.search(left)):
        return re.sub(r"[\s{}]+", "", plain_text(left))
    return ""
