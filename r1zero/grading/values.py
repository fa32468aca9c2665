"""What a formula is worth: exactly, where it is rational; else to many digits, at points its variables are given.

Two formulas are equal when they agree at every point tried.  Points are fixed functions of the variable's name, so that
a verdict never changes; an unequal pair of rational functions agrees at one of them with probability below 10^-15.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

from mpmath.ctx_mp import MPContext

from r1zero.grading.formula import Node
from r1zero.grading.guards import MAX_BITS, MAX_FACTORIAL, MAX_MAGNITUDE, TooCostlyError

DIGITS = 50  # of every approximate value
_AGREEMENT = 1e-42  # relative


class _Contexts(threading.local):
    """mpmath contexts of each thread: some of its functions change the precision while they work."""

    def __init__(self) -> None:
        self.plain, self.precise = MPContext(), MPContext()
        self.plain.dps, self.precise.dps = DIGITS, 3 * DIGITS


_CONTEXTS = _Contexts()

_OF_INTEGERS = frozenset(["fact", "binom", "gcd", "lcm"])
_STEPS = frozenset(["floor", "ceil", "mod"])  # compared at whole numbers where the names say so: n, k, m
_TRIGONOMETRIC = frozenset(["sin", "cos", "tan", "cot", "sec", "csc"])


class UndefinedError(Exception):
    """No value: a division by zero, a logarithm of zero, an infinity where a number is needed."""


def rational(node: Node) -> Fraction | None:
    """The exact value, None where it is not rational or has variables.  Raises TooCostlyError.

    >>> from r1zero.grading.formula import parse
    >>> rational(parse("2^{10}/3!")), rational(parse("4^{1/2}"))
    (Fraction(512, 3), Fraction(2, 1))
    """
    kind = node.kind
    if kind == "number":
        return node.value
    if kind in ("name", "constant") or kind not in _EXACT:
        return None
    values = []
    for part in node.parts:
        value = rational(part)
        if value is None:
            return None
        values.append(value)
    return _bounded(_EXACT[kind](*values))


def _bounded(value: Fraction | None) -> Fraction | None:
    if value is not None and value.numerator.bit_length() + value.denominator.bit_length() > 2 * MAX_BITS:
        raise TooCostlyError("a number too large")
    return value


def _quotient(top: Fraction, bottom: Fraction) -> Fraction:
    if bottom == 0:
        raise UndefinedError("division by zero")
    return top / bottom


def _power(base: Fraction, exponent: Fraction) -> Fraction | None:
    if exponent.denominator != 1:
        root = _root(base, Fraction(exponent.denominator))
        return None if root is None else _power(root, Fraction(exponent.numerator))
    if base == 0 and exponent <= 0:
        raise UndefinedError("zero to the power of zero or less")
    if base in (0, 1, -1):
        return base ** (int(exponent) % 2 if base == -1 else 1)
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(exponent) * bits > MAX_BITS:
        return None
    return base ** int(exponent)


def _root(radicand: Fraction, degree: Fraction) -> Fraction | None:
    if degree.denominator != 1 or not 1 <= degree <= 64:
        return None
    if radicand < 0:
        inner = _root(-radicand, degree) if degree % 2 else None  # the real root of an odd degree
        return None if inner is None else -inner
    top, bottom = _integer_root(radicand.numerator, int(degree)), _integer_root(radicand.denominator, int(degree))
    return None if top is None or bottom is None else Fraction(top, bottom)


def _integer_root(n: int, degree: int) -> int | None:
    if degree == 2:
        root = math.isqrt(n)
    elif n.bit_length() < 900:
        root = round(n ** (1 / degree))
        root = min((root - 1, root, root + 1), key=lambda r: abs(r**degree - n))
    else:
        return None
    return root if root**degree == n else None


def _factorial(n: Fraction) -> Fraction | None:
    if n.denominator != 1 or n < 0:
        return None
    if n > MAX_FACTORIAL:
        return None
    return Fraction(_small_factorial(int(n)))


@lru_cache(maxsize=256)
def _small_factorial(n: int) -> int:
    return math.factorial(n)


def _binomial(n: Fraction, k: Fraction) -> Fraction | None:
    if n.denominator != 1 or k.denominator != 1 or n < 0 or k < 0 or n > MAX_FACTORIAL:
        return None
    return Fraction(math.comb(int(n), int(k)))


def _whole_arguments(function: Any) -> Any:
    def apply(*values: Fraction) -> Fraction | None:
        return Fraction(function(*map(int, values))) if all(v.denominator == 1 for v in values) else None

    return apply


def _logarithm(*values: Fraction) -> Fraction | None:
    """Of 1 only: other logarithms are approximate."""
    return Fraction(0) if len(values) == 1 and values[0] == 1 else None


_EXACT: dict[str, Any] = {
    "+": lambda *terms: sum(terms, Fraction(0)),
    "*": lambda a, b: a * b,
    "/": _quotient,
    "neg": lambda a: -a,
    "^": _power,
    "root": _root,
    "sqrt": lambda a: _root(a, Fraction(2)),
    "fact": _factorial,
    "binom": _binomial,
    "abs": abs,
    "floor": lambda a: Fraction(math.floor(a)),
    "ceil": lambda a: Fraction(math.ceil(a)),
    "max": lambda *values: max(values),
    "min": lambda *values: min(values),
    "gcd": _whole_arguments(math.gcd),
    "lcm": _whole_arguments(math.lcm),
    "mod": lambda a, b: a % b if b else None,
    "ln": _logarithm,
    "exp": lambda a: Fraction(1) if a == 0 else None,
}


def names(node: Node) -> frozenset[str]:
    """The variables of a formula."""
    if node.kind == "name":
        return frozenset([node.name])
    return frozenset().union(*(names(part) for part in node.parts)) if node.parts else frozenset()


def renamed(node: Node, old: str, new: str) -> Node:
    """The same formula in another variable."""
    if node.kind == "name" and node.name == old:
        return replace(node, name=new)
    return replace(node, parts=tuple(renamed(part, old, new) for part in node.parts)) if node.parts else node


def kinds(node: Node) -> frozenset[str]:
    """Every operation in it, constants by their names."""
    own = node.name if node.kind == "constant" else node.kind
    return frozenset([own]).union(*(kinds(part) for part in node.parts))


def approximate(node: Node, point: dict[str, Any], *, precise: bool = False, common_log: bool = False) -> Any:
    """The value to `DIGITS` digits, real or complex.  Raises UndefinedError or TooCostlyError."""
    context = _CONTEXTS.precise if precise else _CONTEXTS.plain

    def value(node: Node) -> Any:
        kind = node.kind
        if kind == "number":
            assert node.value is not None
            return context.mpf(node.value.numerator) / node.value.denominator
        if kind == "name":
            drawn = point[node.name]
            return context.mpf(drawn.numerator) / drawn.denominator
        if kind == "constant":
            return _constant(context, node.name)
        if node.kind == "fact" or kind == "^":
            exact = _exact_or_none(node)
            if exact is not None:
                return context.mpf(exact.numerator) / exact.denominator
        parts = [value(part) for part in node.parts]
        if kind == "log" and common_log and len(parts) == 1:
            parts = [*parts, context.mpf(10)]
        return _checked(context, _apply(context, kind, parts))

    try:
        return value(node)
    except (ZeroDivisionError, ValueError, OverflowError, TypeError, NotImplementedError) as error:
        raise UndefinedError(str(error)) from None


def _exact_or_none(node: Node) -> Fraction | None:
    try:
        return rational(node)
    except TooCostlyError:
        return None


def _constant(context: Any, name: str) -> Any:
    if name == "infinity":
        raise UndefinedError("infinity")
    return {"pi": context.pi, "e": context.e, "i": context.mpc(0, 1)}[name] * 1


def _checked(context: Any, value: Any) -> Any:
    """A finite number of bearable size; a complex one with a negligible imaginary part becomes real."""
    if not context.isfinite(value):
        raise UndefinedError("not finite")
    if isinstance(value, context.mpc) and abs(value.imag) <= abs(value.real) * _AGREEMENT:
        value = value.real
    if value and abs(context.mag(value)) > MAX_MAGNITUDE:
        raise TooCostlyError("a number too large")
    return value


def _apply(context: Any, kind: str, parts: list[Any]) -> Any:
    if kind == "+":
        return sum(parts[1:], parts[0])
    if kind == "*":
        return parts[0] * parts[1]
    if kind == "/":
        return parts[0] / parts[1]
    if kind == "neg":
        return -parts[0]
    if kind == "^":
        return _raised(context, *parts)
    if kind == "degree":
        return parts[0] * context.pi / 180
    if kind in ("root", "sqrt"):
        return _rooted(context, parts[0], parts[1] if kind == "root" else context.mpf(2))
    first = parts[0]
    if kind in _TRIGONOMETRIC | {"exp", "sinh", "cosh", "tanh", "coth"} and abs(first) > 10**8:
        raise TooCostlyError("an angle or exponent too large")
    if kind in ("fact", "binom") and any(abs(part) > 10**6 for part in parts):
        raise TooCostlyError("a factorial too large")
    if kind in ("floor", "ceil", "mod", "max", "min") and any(isinstance(part, context.mpc) for part in parts):
        raise UndefinedError(f"{kind} of a complex number")
    if kind in ("floor", "ceil", "mod") and abs(first) > context.mpf(10) ** (DIGITS - 5):
        raise TooCostlyError("a number too large")
    if kind not in _APPROXIMATE:
        raise UndefinedError(f"{kind} has no value")
    return _APPROXIMATE[kind](context, *parts)


def _raised(context: Any, base: Any, exponent: Any) -> Any:
    if base == 0:
        if context.re(exponent) <= 0:
            raise UndefinedError("zero to the power of zero or less")
        return context.mpf(0)
    if abs(exponent) * (abs(context.log(abs(base))) + 1) > MAX_MAGNITUDE:
        raise TooCostlyError("a power too large")
    return base**exponent


def _rooted(context: Any, radicand: Any, degree: Any) -> Any:
    """The real root of an odd degree of a negative number, the principal root otherwise."""
    real = not isinstance(radicand, context.mpc) and not isinstance(degree, context.mpc)
    if real and radicand < 0 and degree == context.nint(degree) and int(degree) % 2:
        return -((-radicand) ** (1 / degree))
    if degree == 0:
        raise UndefinedError("a root of degree zero")
    return context.sqrt(radicand) if degree == 2 else _raised(context, radicand, 1 / degree)


def _method(name: str) -> Callable[[Any, Any], Any]:
    return lambda context, x: getattr(context, name)(x)


_APPROXIMATE: dict[str, Any] = {
    **{name: _method(name) for name in (*_TRIGONOMETRIC, "sinh", "cosh", "tanh", "coth", "exp")},
    **{f"arc{name}": _method(f"a{name}") for name in _TRIGONOMETRIC},
    "ln": lambda c, x: c.log(x),
    "log": lambda c, x, *base: c.log(x) / (c.log(base[0]) if base else 1),
    "lg": lambda c, x: c.log(x) / c.log(10),
    "abs": lambda c, x: abs(x),
    "floor": lambda c, x: c.floor(x),
    "ceil": lambda c, x: c.ceil(x),
    "cbrt": lambda c, x: _rooted(c, x, c.mpf(3)),
    "fact": lambda c, n: c.gamma(n + 1),
    "binom": lambda c, n, k: c.gamma(n + 1) * c.rgamma(k + 1) * c.rgamma(n - k + 1),
    "max": lambda c, *values: max(values),
    "min": lambda c, *values: min(values),
    "mod": lambda c, a, b: a - b * c.floor(a / b),
    "Re": lambda c, x: c.re(x),
    "Im": lambda c, x: c.im(x),
}


def points(variables: frozenset[str], *, whole: bool = False, trials: int = 5) -> Iterator[dict[str, Fraction]]:
    """Values for the variables: positive ones, small ones, negative ones; or whole numbers."""
    if not variables:
        yield {}
        return
    for trial in range(trials):
        yield {name: _drawn(name, trial, whole) for name in variables}


@lru_cache(maxsize=4096)
def _drawn(name: str, trial: int, whole: bool) -> Fraction:
    digest = int.from_bytes(hashlib.blake2b(f"{name}/{trial}".encode(), digest_size=8).digest(), "big")
    unit = Fraction(digest, 2**64)
    if whole:
        return Fraction(3 + trial * 2 + digest % 17)
    if trial == 0:
        return 1 + 3 * unit
    if trial == 1:
        return unit * Fraction(9, 10) + Fraction(1, 20)
    if trial == 2:
        return -(3 * unit + Fraction(1, 10))
    return (6 * unit + Fraction(1, 7)) * (1 if (digest >> 3) % 2 or trial == 4 else -1)


def _agree(a: Any, b: Any) -> bool:
    return abs(a - b) <= max(abs(a), abs(b)) * _AGREEMENT


def same_value(a: Node, b: Node) -> bool:
    """Whether two formulas are equal: exactly where both are rational, else at every point where both are defined.

    At negative points a value that is complex on one side only is passed over: ln(x^2) is 2 ln x where both are real.
    Raises UndefinedError when there is no point to compare at, and TooCostlyError.
    """
    exact_a, exact_b = rational(a), rational(b)
    if exact_a is not None and exact_b is not None:
        return exact_a == exact_b
    operations = kinds(a) | kinds(b)
    if "infinity" in operations:
        return _infinite(a) == _infinite(b) != 0
    variables = names(a) | names(b)
    whole = bool(operations & _OF_INTEGERS) or (
        bool(operations & _STEPS) and all(n[0] in "abjkmnpqKMN" for n in variables)
    )
    trials = 12 if operations & (_OF_INTEGERS | _STEPS) else 5
    readings: list[dict[str, bool]] = [{}]
    if "log" in operations and not variables & {"log"}:
        readings.append({"common_log": True})
    return any(
        _same_at_points(a, b, list(points(variables, whole=whole, trials=trials)), "i" in operations, reading)
        for reading in readings
    )


def _infinite(node: Node) -> int:
    """1 and -1 for the infinities, 0 for all else."""
    if node.kind == "neg":
        return -_infinite(node.parts[0])
    return 1 if node.name == "infinity" else 0


def _same_at_points(
    a: Node, b: Node, places: list[dict[str, Fraction]], complex_meant: bool, reading: dict[str, bool]
) -> bool:
    compared, skipped = 0, []
    for point in places:
        try:
            value_a, value_b = approximate(a, point, **reading), approximate(b, point, **reading)
        except UndefinedError:
            continue
        is_complex = [hasattr(value, "imag") and value.imag != 0 for value in (value_a, value_b)]
        if any(is_complex) and not complex_meant:
            skipped.append((all(is_complex), point))
            continue
        if not _same_number(a, b, value_a, value_b, point, reading):
            return False
        compared += 1
    if compared:
        return True
    for both, point in skipped:
        value_a, value_b = approximate(a, point, **reading), approximate(b, point, **reading)
        if not both or not _same_number(a, b, value_a, value_b, point, reading):
            return False
    if not skipped:
        raise UndefinedError("nowhere defined")
    return True


def _same_number(a: Node, b: Node, value_a: Any, value_b: Any, point: dict[str, Any], reading: dict[str, bool]) -> bool:
    """Agreement, with three times the digits where cancellation could hide or feign it."""
    if _agree(value_a, value_b):
        return True
    gap, scale = abs(value_a - value_b), max(abs(value_a), abs(value_b))
    if gap > scale * 1e-12 and scale > 1e-12:
        return False
    precise_a = approximate(a, point, precise=True, **reading)
    precise_b = approximate(b, point, precise=True, **reading)
    precise_gap = abs(precise_a - precise_b)
    # a true zero shrinks with the digits carried; a true difference stays what it is
    return bool(_agree(precise_a, precise_b) or precise_gap < gap * 10.0**-DIGITS)


def decimal(node: Node) -> float | None:
    """A real value as a float, for comparing within a tolerance; None where there is none."""
    try:
        exact = rational(node)
        value = exact if exact is not None else approximate(node, {})
        return None if hasattr(value, "imag") and value.imag else float(value)
    except (UndefinedError, TooCostlyError, KeyError, OverflowError, TypeError):
        return None


def ratio_at_points(a: Node, b: Node) -> float | None:
    """a / b where it is the same non-zero number at every point tried; None where it is not.

    >>> from r1zero.grading.formula import parse
    >>> ratio_at_points(parse("2x - 4y"), parse("x - 2y")), ratio_at_points(parse("x"), parse("x^2"))
    (2.0, None)
    """
    variables = names(a) | names(b)
    found = None
    for point in points(variables):
        try:
            value_a, value_b = approximate(a, point), approximate(b, point)
        except UndefinedError:
            continue
        if hasattr(value_a, "imag") and (value_a.imag or value_b.imag):
            continue
        if not value_a or not value_b:
            return None
        ratio = value_a / value_b
        if found is not None and not _agree(ratio, found):
            return None
        found = ratio
    return None if found is None else float(found)
