"""Inequalities as what they mean: intervals and unions of them."""

from __future__ import annotations

import re

from r1zero.grading.formula import UnreadableError, parse
from r1zero.grading.structure import Shape, without
from r1zero.grading.values import decimal

_NAME = r"\\?[a-zA-Z]+(?:_\{?\w+\}?)?(?:\([a-z]\))?"


def subject(relation: Shape) -> str:
    """The variable of `1 < x < 2` or `x > 2`."""
    for item in relation.items:
        if found := _DISTANCE.fullmatch(item.text):
            return found["name"] or found["last"]
        if re.fullmatch(_NAME, item.text):
            return item.text
    return ""


_DISTANCE = re.compile(
    r"\|\s*(?:(?P<name>[a-zA-Z])\s*(?:(?P<sign>[+-])\s*(?P<size>[\d./]+)\s*)?|(?P<from>[\d./]+)\s*-\s*(?P<last>[a-zA-Z])\s*)\|"
)


def _as_distance(relation: Shape) -> Shape | None:
    """|x| < a as (-a, a), |x - 3| < a as (3 - a, 3 + a), and |x| > a as what lies outside."""
    if len(relation.items) != 2 or relation.marks[0] not in _FLIPPED:
        return None
    inside, bound, sign = relation.items[0].text, relation.items[1], relation.marks[0]
    if bound.text.startswith("|"):
        inside, bound, sign = bound.text, relation.items[0], _FLIPPED[sign]
    if not (found := _DISTANCE.fullmatch(inside)):
        return None
    centre = found["from"] or (f"-({found['size']})" if found["sign"] == "+" else found["size"])
    low, high = Shape("leaf", f"-({bound.text})"), bound
    if centre:
        low, high = (Shape("leaf", f"({centre}) {sign} ({bound.text})") for sign in "-+")
    closed = "=" in sign
    if sign[0] == "<":
        return Shape("tuple", relation.text, (low, high), ("[", "]") if closed else ("(", ")"))
    left = Shape("tuple", "", (Shape("leaf", "-\\infty"), low), ("(", "]" if closed else ")"))
    right = Shape("tuple", "", (high, Shape("leaf", "\\infty")), ("[" if closed else "(", ")"))
    return Shape("union", relation.text, (left, right))


_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def as_region(shape: Shape) -> Shape | None:
    """The interval or union that an inequality of one variable means; intervals and unions stand for themselves."""
    if shape.kind in ("tuple", "union"):
        return shape
    if shape.kind == "list" and all(item.kind in ("relation", "tuple") for item in shape.items):
        regions = [as_region(item) for item in shape.items]
        if not all(regions) or len({subject(item) for item in shape.items if item.kind == "relation"}) > 1:
            return None
        found = tuple(region for region in regions if region)
        return _overlap(shape, found) or Shape("union", shape.text, found)
    if shape.kind != "relation":
        return None
    if distance := _as_distance(shape):
        return distance
    items, marks = shape.items, shape.marks
    infinite = Shape("leaf", "-\\infty"), Shape("leaf", "\\infty")
    is_name = [
        re.fullmatch(_NAME, item.text) is not None and item.text not in ("\\infty", "\\pi", "e") for item in items
    ]
    if len(items) == 2 and marks[0] in _FLIPPED and is_name in ([True, False], [False, True]):
        sign, bound = (marks[0], items[1]) if is_name[0] else (_FLIPPED[marks[0]], items[0])
        closed = "=" in sign
        if sign[0] == ">":
            return Shape("tuple", shape.text, (bound, infinite[1]), ("[" if closed else "(", ")"))
        return Shape("tuple", shape.text, (infinite[0], bound), ("(", "]" if closed else ")"))
    if len(items) == 2 and marks == ("!=",) and is_name == [True, False]:
        return without((items[1],), shape.text)
    if len(items) == 3 and is_name == [False, True, False] and {mark[0] for mark in marks} in ({"<"}, {">"}):
        low, high = (items[0], items[2]) if marks[0][0] == "<" else (items[2], items[0])
        signs = marks if marks[0][0] == "<" else marks[::-1]
        brackets = ("[" if "=" in signs[0] else "(", "]" if "=" in signs[1] else ")")
        return Shape("tuple", shape.text, (low, high), brackets)
    return None


def _overlap(shape: Shape, regions: tuple[Shape, ...]) -> Shape | None:
    """[a, b] for `x \\ge a and x \\le b` where a < b; None where `or` stands between, or nothing is shared."""
    if len(regions) != 2 or {item.kind for item in shape.items} != {"relation"} or re.search(r"\bor\b", shape.text):
        return None
    if any(region.kind != "tuple" for region in regions):
        return None
    above = [region for region in regions if region.items[1].text == "\\infty"]
    below = [region for region in regions if region.items[0].text == "-\\infty"]
    if len(above) != 1 or len(below) != 1:
        return None
    low, high = above[0].items[0], below[0].items[1]
    try:
        ends = decimal(parse(low.text)), decimal(parse(high.text))
    except UnreadableError:
        return None
    if ends[0] is None or ends[1] is None or ends[0] >= ends[1]:
        return None
    return Shape("tuple", shape.text, (low, high), (above[0].marks[0], below[0].marks[1]))
