"""Whether two answers that have been taken apart are equal: shapes member by member, leaves by value.

The choices made here are listed in docs/grading.md.  The gold's form decides: its units and labels may be left out of a
prediction, its brackets, signs and order may not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from r1zero.grading import words
from r1zero.grading.exact import exact_equal, plain_value
from r1zero.grading.formula import Node, UnreadableError, parse
from r1zero.grading.guards import TooCostlyError
from r1zero.grading.normalize import plain_text, unwrap
from r1zero.grading.regions import as_region, subject
from r1zero.grading.sentence import lone_number
from r1zero.grading.structure import Shape, label
from r1zero.grading.units import Unit, split_unit
from r1zero.grading.values import UndefinedError, decimal, kinds, names, ratio_at_points, renamed, same_value

_LOOSE_SPACES = re.compile(r"(?<!\d) | (?!\d)")  # 4 2 is not 42


class UndecidedError(Exception):
    """Two leaves that this grammar cannot read and another might: integrals, sums, limits."""


@dataclass(frozen=True)
class Rule:
    """How a gold wants to be compared.  Example: Rule(tolerance=0.05) for a rounded gold of physics."""

    ordered: bool = False  # whether a bare list must keep its order
    tolerance: float | None = None  # absolute; None is exact
    relative: float | None = None  # a share of the gold


EXACT = Rule()
_SYMBOLIC_ONLY = re.compile(r"\\(?:int|sum|prod|lim|iint|oint|partial)(?![a-zA-Z])|\\frac\s*\{\s*d")


def same(prediction: Shape, gold: Shape, rule: Rule = EXACT) -> bool:
    """Whether two shapes are equal.  Raises UndecidedError where a symbolic library should be asked."""
    if prediction.text == gold.text and prediction.text:
        return True
    if prediction.kind == "relation" or gold.kind == "relation":
        return _same_relation(prediction, gold, rule)
    if prediction.kind == "list" and gold.kind in ("tuple", "union") and (union := as_region(prediction)):
        prediction = union
    if gold.kind == "list" and prediction.kind in ("tuple", "union") and (union := as_region(gold)):
        gold = union
    if prediction.kind == gold.kind:
        return _SAME_KIND[gold.kind](prediction, gold, rule)
    return _same_across_kinds(prediction, gold, rule)


def _same_across_kinds(prediction: Shape, gold: Shape, rule: Rule) -> bool:
    kinds = {prediction.kind, gold.kind}
    if kinds == {"list", "set"}:
        return _same_in_any_order(prediction.items, gold.items, rule)
    if kinds == {"list", "tuple"} or kinds == {"matrix", "tuple"}:
        bracketed = prediction if prediction.kind == "tuple" else gold
        other = gold if bracketed is prediction else prediction
        if other.kind == "list" and len(other.items) > len({label(item) for item in other.items} - {""}) > 0:
            return False  # x = 1 or x = 2 is no point
        if other.kind == "matrix" and (rows := _rows(bracketed, other.marks)):
            return _same_in_order(*((rows, gold) if bracketed is prediction else (prediction, rows)), rule)
        if bracketed.marks not in (("(", ")"), ("\\langle", "\\rangle")):
            return bracketed.marks == ("[", "]") and other.kind == "matrix" and _same_in_order(prediction, gold, rule)
        if other.kind == "matrix" and other.marks != ("1",):
            return False
        return _same_in_order(prediction, gold, rule)
    if "set" in kinds and any(shape.text == "\\text{no solution}" for shape in (*prediction.items, *gold.items)):
        return False  # the set of the empty set is not empty
    for one, other in ((prediction, gold), (gold, prediction)):
        if one.kind in ("set", "list", "union") and len(one.items) == 1:
            members = (one.items[0], other)
            return same(*(members if one is prediction else members[::-1]), rule)
    if kinds == {"base", "leaf"}:
        return _same_base_and_leaf(prediction, gold)
    return False


def _rows(nested: Shape, marks: tuple[str, ...]) -> Shape | None:
    """[[1, 2], [3, 4]] as a matrix of so many columns; None where it is no such thing."""
    square = ("[", "]")
    if nested.marks != square or any(row.kind != "tuple" or row.marks != square for row in nested.items):
        return None
    if {str(len(row.items)) for row in nested.items} != set(marks):
        return None
    return Shape("matrix", nested.text, tuple(cell for row in nested.items for cell in row.items), marks)


def _same_base_and_leaf(prediction: Shape, gold: Shape) -> bool:
    """52_8 against 52: the base that the gold states may be left out; 42, its value, is another numeral."""
    if gold.kind == "base":
        return prediction.text.replace(" ", "").lower() == gold.marks[0]
    return prediction.marks[1] == "10" and exact_equal(prediction.marks[0], gold.text) is True


def _same_in_order(prediction: Shape, gold: Shape, rule: Rule) -> bool:
    if len(prediction.items) != len(gold.items):
        return False
    return all(same(a, b, rule) for a, b in zip(prediction.items, gold.items, strict=True))


def _same_tuple(prediction: Shape, gold: Shape, rule: Rule) -> bool:
    """Brackets are compared: [0, 1) is not (0, 1]."""
    vectors = {("(", ")"), ("\\langle", "\\rangle")}
    if prediction.marks != gold.marks and not {prediction.marks, gold.marks} <= vectors:
        return False
    return _same_in_order(prediction, gold, rule)


def _same_list(prediction: Shape, gold: Shape, rule: Rule) -> bool:
    if rule.ordered:
        return _same_in_order(prediction, gold, rule)
    return _same_in_any_order(prediction.items, gold.items, rule)


def _same_set(prediction: Shape, gold: Shape, rule: Rule) -> bool:
    return _same_in_any_order(_distinct(prediction.items, rule), _distinct(gold.items, rule), rule)


def _distinct(items: Sequence[Shape], rule: Rule) -> list[Shape]:
    kept: list[Shape] = []
    for item in items:
        if not any(same(item, other, rule) for other in kept):
            kept.append(item)
    return kept


def _same_in_any_order(prediction: Sequence[Shape], gold: Sequence[Shape], rule: Rule) -> bool:
    """Each member of one is matched with one of the other, once."""
    if len(prediction) != len(gold):
        return False
    left = list(gold)
    for item in prediction:
        match = next((i for i, other in enumerate(left) if same(item, other, rule)), None)
        if match is None:
            return False
        left.pop(match)
    return True


def _same_matrix(prediction: Shape, gold: Shape, rule: Rule) -> bool:
    return prediction.marks == gold.marks and _same_in_order(prediction, gold, rule)


def _same_base(prediction: Shape, gold: Shape, rule: Rule) -> bool:
    return prediction.marks == gold.marks


_SAME_KIND: dict[str, Callable[[Shape, Shape, Rule], bool]] = {
    "leaf": lambda a, b, rule: same_leaf(a.text, b.text, rule),
    "tuple": _same_tuple,
    "set": _same_set,
    "list": _same_list,
    "union": lambda a, b, rule: _same_in_any_order(a.items, b.items, rule),
    "matrix": _same_matrix,
    "base": _same_base,
}

# ---------------------------------------------------------------------------------------------------------------------
# Relations


def _same_relation(prediction: Shape, gold: Shape, rule: Rule) -> bool:
    if "~" in prediction.marks + gold.marks:
        return _same_approximation(prediction, gold, rule)
    if prediction.kind == gold.kind and set(prediction.marks + gold.marks) == {"="}:
        return _same_equation(prediction, gold, rule)
    regions = as_region(prediction), as_region(gold)
    if all(regions):
        if prediction.kind == gold.kind == "relation" and subject(prediction) != subject(gold):
            return False
        return same(regions[0], regions[1], rule)  # type: ignore[arg-type]
    if prediction.kind == gold.kind:
        return _same_inequality(prediction, gold)
    named, _other = (prediction, gold) if prediction.kind == "relation" else (gold, prediction)
    if set(named.marks) != {"="}:
        return False
    if label(named):
        values = named.items[1:]
    elif named is prediction:
        values = named.items  # 2 + 3 = 5: every side must be the gold
    else:
        return False
    if named is prediction:
        return all(same(value, gold, rule) for value in values)
    return any(same(prediction, value, rule) for value in values[-1:])


def _same_approximation(prediction: Shape, gold: Shape, rule: Rule) -> bool:
    """`2\\pi \\approx 6.28` is either of its sides; a name on the left is none."""

    def sides(shape: Shape) -> list[Shape]:
        if shape.kind != "relation":
            return [shape]
        if set(shape.marks) - {"~", "="}:
            return [shape] if shape.marks.count("~") == 0 else []
        named = re.fullmatch(r"\\?[a-zA-Z]+(?:\([a-z]\))?", shape.items[0].text.strip()) is not None
        return list(shape.items[1:] if named else shape.items)

    return any(same(a, b, rule) for a in sides(prediction) for b in sides(gold))


def _same_equation(prediction: Shape, gold: Shape, rule: Rule) -> bool:
    """The same name and value, or two equations one of which is a multiple of the other."""
    called = label(prediction), label(gold)
    if called[0].partition("_")[0] == called[1]:
        called = (called[1], called[1])  # x_1 = 3 where the gold says x = 3
    if all(called):
        functions = {name.partition("(")[0] for name in called}
        is_graph = "y" in called and any(re.fullmatch(r"[fgh]\(x\)", name) for name in called)
        if called[0] == called[1] or is_graph or functions == {"y", "f"}:
            return same(prediction.items[-1], gold.items[-1], rule)
        if len(functions) == 1 and called[0] != called[1] and any("(" not in name for name in called):
            return same(prediction.items[-1], gold.items[-1], rule)  # x(t) is x
        if len(functions) == 1 and "" not in (variables := [name.partition("(")[2].strip(")") for name in called]):
            return _same_function(prediction.items[-1].text, gold.items[-1].text, *variables)
    if len(prediction.items) != 2 or len(gold.items) != 2:
        return False
    ratio = _ratio(prediction, gold)
    return ratio is not None and ratio != 0


def _same_function(prediction: str, gold: str, variable: str, wanted_variable: str) -> bool:
    """f(t) = 1/t is f(x) = 1/x."""
    try:
        a, b = _formula(prediction), _formula(gold)
        return wanted_variable not in names(a) and same_value(renamed(a, variable, wanted_variable), b)
    except (UnreadableError, UndefinedError, TooCostlyError):
        return False


def _same_inequality(prediction: Shape, gold: Shape) -> bool:
    """Two inequalities of several variables: one a positive multiple of the other, with the same strictness."""
    if len(prediction.items) != 2 or len(gold.items) != 2:
        return False
    (a,), (b,) = prediction.marks, gold.marks
    if a.strip("<>") != b.strip("<>") or "=" in (a, b) or "!=" in (a, b):
        return False
    ratio = _ratio(prediction, gold)
    if ratio is None:
        return False
    return ratio > 0 if a[0] == b[0] else ratio < 0


def _ratio(prediction: Shape, gold: Shape) -> float | None:
    """(left - right) of one over that of the other, where this is the same at every point."""
    try:
        a, b = (
            Node("+", (_formula(s.items[0].text), Node("neg", (_formula(s.items[1].text),))))
            for s in (prediction, gold)
        )
        return ratio_at_points(a, b)
    except (UnreadableError, UndefinedError, TooCostlyError):
        return None


# ---------------------------------------------------------------------------------------------------------------------
# Leaves


@lru_cache(maxsize=20_000)
def _formula(text: str) -> Node:
    return parse(text)


def same_leaf(prediction: str, gold: str, rule: Rule = EXACT) -> bool:
    """Whether two leaves are equal: as text, as words, or by value with units."""
    prediction, gold = unwrap(prediction), unwrap(gold)
    if not prediction or not gold:
        return False
    decided = exact_equal(prediction, gold)
    if decided or (decided is False and rule.tolerance is None and rule.relative is None):
        return decided
    if _LOOSE_SPACES.sub("", prediction) == _LOOSE_SPACES.sub("", gold):
        return True
    if plain_text(prediction) == plain_text(gold):
        return True
    if words.is_choice(gold) and words.choice(prediction):
        letter = words.choice(gold) or plain_text(gold).strip("(). ").upper()
        return words.choice(prediction) == letter
    if words.is_choice(gold) and re.fullmatch(r"[a-z]", prediction) and prediction != gold:
        return False  # e is a number
    if words.is_wordy(gold) or words.is_wordy(prediction):
        return _same_words(prediction, gold)
    if (when := _same_time(prediction, gold)) is not None:
        return when
    if ":" in gold or (":" in prediction and not lone_number(prediction)):
        return _same_ratio(prediction, gold)
    return _same_quantity(prediction, gold, rule)


def _same_words(prediction: str, gold: str) -> bool:
    keys = words.word_key(prediction), words.word_key(gold)
    if keys[1] == "infinitely many" and prediction.strip() == "\\infty":
        return True
    if keys[0] and keys[0] == keys[1]:
        return True
    if keys[1] in ("yes", "no", "true", "false"):
        return re.match(rf"{keys[1]}\s*[,.;:]", plain_text(prediction).lower()) is not None
    numbers = [words.spelled_number(text) for text in (prediction, gold)]
    for number, other in ((numbers[0], gold), (numbers[1], prediction)):
        if number is not None and plain_value(split_unit(other)[0]) == number:
            return True
    if (when := _same_time(prediction, gold)) is not None:
        return when
    for text, other in ((prediction, gold), (gold, prediction)):
        if (share := words.spelled_share(text)) is not None:
            return plain_value(split_unit(other)[0]) == share or words.spelled_share(other) == share
        if infinity := words.infinite(text):
            return (words.infinite(other) or other.removeprefix("+").strip()) == infinity
        spelled, _, rest = plain_text(text).partition(" ")
        number = words.spelled_number(spelled)
        if number is not None and rest and rest not in words.SCALES and not words.is_wordy(other):
            return same_leaf(f"{number} {rest}", other)
    return False


def _same_time(prediction: str, gold: str) -> bool | None:
    """Times of day and dates; None when the gold is neither."""
    day = words.date(gold)
    if day is not None:
        said = words.date(prediction)
        return said is not None and said[1:] == day[1:] and (said[0] == day[0] or None in (said[0], day[0]))
    time = words.clock(gold)
    if time is None or not (words.says_half(gold) or words.says_half(prediction)):
        return None
    said_time = words.clock(prediction)
    if said_time is None:
        return False
    known = time[1] and said_time[1]
    return said_time[0] == time[0] if known else (said_time[0] - time[0]) % 43200 == 0


_FACE = re.compile(r"\d{1,2}(?::\d{2}){1,2}")


def _same_ratio(prediction: str, gold: str) -> bool:
    """1:2 is 2:4, and 1/2 where it stands for two parts; 5:00 is a time or a score and only itself."""
    if _FACE.fullmatch(prediction) and _FACE.fullmatch(gold):
        return [int(part) for part in prediction.split(":")] == [int(part) for part in gold.split(":")]
    sides = [[part.strip() for part in re.split(r":|\bto\b", plain_text(text))] for text in (prediction, gold)]
    try:
        a, b = ([_formula(part) for part in side] for side in sides)
        if len(a) == len(b) > 1:
            return all(
                same_value(Node("*", (x, v)), Node("*", (u, y)))
                for (x, y), (u, v) in zip(pairwise(a), pairwise(b), strict=True)
            )
        if {len(a), len(b)} == {1, 2}:
            quotients = [Node("/", tuple(side)) if len(side) == 2 else side[0] for side in (a, b)]
            return same_value(*quotients)
    except (UnreadableError, UndefinedError, TooCostlyError):
        return False
    return False


def _same_quantity(prediction: str, gold: str, rule: Rule) -> bool:
    """By value; a unit may be missing on one side, two units must be of one kind."""
    (value, unit, scale), (wanted, wanted_unit, wanted_scale) = split_unit(prediction), split_unit(gold)
    if (unit and "%" in wanted) or (wanted_unit and "%" in value):
        return False
    if unit is not None and wanted_unit is not None:
        if unit.powers != wanted_unit.powers:
            return _same_formula(_angle(value, unit, prediction), _angle(wanted, wanted_unit, gold), rule)
        scale, wanted_scale = scale * unit.factor, wanted_scale * wanted_unit.factor
    if unit is None and "%" in value and (counted := plain_value(wanted)) is not None and rule is EXACT:
        return _same_share(value, counted)
    if "\\pi" in value and "\\pi" in wanted and "angle" in _dimensions(unit, wanted_unit):
        return _same_formula(_angle(value, unit, value), _angle(wanted, wanted_unit, wanted), rule)
    if _same_scaled(value, scale, wanted, wanted_scale, rule):
        return True
    if unit is not None and unit.powers == (("angle", 1),) and wanted_unit is None:
        return _same_formula(prediction, gold, rule)  # 90 degrees is pi/2
    if wanted_unit is not None and wanted_unit.powers == (("angle", 1),) and unit is None:
        return _same_formula(prediction, gold, rule)
    if unit is None and "%" in wanted + value:
        return _same_percentage(value, wanted, rule)
    if (unit is None) != (wanted_unit is None):
        return _same_formula(prediction, gold, rule)  # the letter was a variable: 3 + 2 m
    return False


def _dimensions(*units: Unit | None) -> set[str]:
    return {name for unit in units if unit for name, _ in unit.powers}


def _angle(value: str, unit: Unit | None, text: str) -> str:
    """The formula of an angle in degrees or radians; the text itself of all else."""
    return (
        {"angle": f"({value})^\\circ", "radian": value}.get(unit.powers[0][0], text) if unit and unit.powers else text
    )


def _same_scaled(value: str, scale: Fraction, wanted: str, wanted_scale: Fraction, rule: Rule) -> bool:
    if scale == wanted_scale:
        decided = exact_equal(value, wanted)
        if decided or (decided is False and rule.tolerance is None and rule.relative is None):
            return decided
        return _same_formula(value, wanted, rule)
    return _same_formula(f"({value}) * {scale}", f"({wanted}) * {wanted_scale}", rule)


def _same_share(value: str, gold: Fraction) -> bool:
    """50 % against a bare number: 0.5, or 50 where percent was asked for; not 5000 % for 50, nor 0.5 % for 0.5."""
    bare = plain_value(re.sub(r"\s*\\?%$", "", value))
    if bare is None:
        return False
    is_count, is_share = abs(gold) >= 1, abs(gold) <= 1 or gold.denominator != 1
    return (is_count and bare == gold) or (is_share and bare / 100 == gold)


def _same_percentage(value: str, wanted: str, rule: Rule) -> bool:
    """50 % is 50 where percent was asked for, and 0.5; 0.5 against 50 stays unequal."""
    bare = [re.sub(r"\\?%\s*$", "", text).strip() for text in (value, wanted)]
    if "%" in bare[0] + bare[1]:
        return False
    return _same_formula(bare[0], bare[1], rule)


def _same_formula(prediction: str, gold: str, rule: Rule) -> bool:
    """By the value of two formulas.  Raises UndecidedError for those that only a symbolic library reads."""
    try:
        wanted = _formula(gold)
    except UnreadableError:
        wanted = None
    try:
        value = _formula(prediction)
    except UnreadableError:
        value = None
    if value is None or wanted is None:
        if _SYMBOLIC_ONLY.search(prediction) or _SYMBOLIC_ONLY.search(gold):
            raise UndecidedError
        return False
    try:
        approximate = rule.tolerance is not None or rule.relative is not None
        if approximate and (near := _near(value, wanted, rule)) is not None:
            return near
        return same_value(_renamed_as(value, wanted), wanted)
    except (UndefinedError, TooCostlyError):
        return False


_INTEGERS, _CONSTANTS = frozenset("jklmn"), frozenset(["c", "C", "c_1", "C_1", "K", "A"])


def _renamed_as(value: Node, wanted: Node) -> Node:
    """With the gold's letter for the integer of 2 pi n, and for a constant of integration, where only that differs."""
    own, called = names(value) - names(wanted), names(wanted) - names(value)
    if len(own) != 1 or len(called) != 1:
        return value
    (old,), (new,) = own, called
    periodic = {old, new} <= _INTEGERS and "pi" in kinds(value) & kinds(wanted)
    constant = new in ("c", "C") and old in _CONSTANTS and _is_integral(wanted)
    return renamed(value, old, new) if periodic or constant else value


def _is_integral(node: Node) -> bool:
    """Whether it looks like the solution of an integral or a differential equation: ... + C, or with exponentials."""
    loose = node.kind == "+" and any(part.name in ("c", "C") for part in node.parts)
    return loose or bool(kinds(node) & {"e", "exp", "sin", "cos"})


def _near(value: Node, wanted: Node, rule: Rule) -> bool | None:
    """Within the tolerance that the gold states; None where either has variables."""
    if names(value) or names(wanted):
        return None
    a, b = decimal(value), decimal(wanted)
    if a is None or b is None:
        return None
    margin = max(rule.tolerance or 0.0, (rule.relative or 0.0) * abs(b))
    return abs(a - b) <= margin * (1 + 1e-9)
