"""The exact value of an untrusted arithmetic expression: a tokenizer, two stacks and Fractions; nothing is executed.

Grammar, with the precedence of Python: non-negative integers in ASCII digits without leading zeros, + - * / and
parentheses; a sign before a number or a parenthesis is allowed, as TinyZero's checker allows it.  × · ⋅ ÷ − and LaTeX's
\\times \\cdot \\div are other spellings of the operators, \\left and \\right are skipped.  Everything else is refused
with a reason: ** and //, decimals, names, other digits, =, commas, implied multiplication.

The work is one pass over at most MAX_LENGTH characters, without recursion, and no value can exceed 10^MAX_LENGTH.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_LENGTH = 500  # characters
MAX_DEPTH = 50  # parentheses inside parentheses
MAX_DIGITS = 30  # in one number

_TOKEN = re.compile(
    r"""\s+ | \\left(?![A-Za-z]) | \\right(?![A-Za-z])
    | (?P<number> [0-9]+ )
    | (?P<symbol> \*\* | // | [-+*/()×·⋅÷−] | \\(?:times|cdot|div)(?![A-Za-z]) )
    | (?P<other> \\?[^\W\d]\w* | . )""",
    re.VERBOSE | re.DOTALL,
)
_SPELLINGS = {"×": "*", "·": "*", "⋅": "*", "\\times": "*", "\\cdot": "*", "÷": "/", "\\div": "/", "−": "-"}
_PRECEDENCE = {"(": 0, "+": 1, "-": 1, "*": 2, "/": 2, "positive": 3, "negative": 3}


@dataclass(frozen=True)
class Evaluation:
    """What an expression is worth, or why it is worth nothing.

    Example: Evaluation(value=Fraction(12), numbers=(8, 5, 4), reason="")
    """

    value: Fraction | None  # exact; None where there is a reason
    numbers: tuple[int, ...]  # the numbers written, in order
    reason: str  # why it cannot be evaluated, in a few words; "" when it can


class _RefusalError(Exception):
    """The expression is not one; carries the reason."""


def evaluate(expression: str) -> Evaluation:
    """The exact value of `expression` and the numbers it uses, or the reason why it has none.  Never raises.

    >>> evaluate("(8 - 5) × 4"), evaluate("1 / 3").value
    (Evaluation(value=Fraction(12, 1), numbers=(8, 5, 4), reason=''), Fraction(1, 3))
    >>> evaluate("9**9**9").reason, evaluate("1/(3-3)").reason
    ("'**' is not allowed", 'division by zero')
    """
    if len(expression) > MAX_LENGTH:
        return Evaluation(None, (), f"longer than {MAX_LENGTH} characters")
    numbers: list[int] = []
    try:
        return Evaluation(Fraction(_run(expression, numbers)), tuple(numbers), "")
    except _RefusalError as refusal:
        return Evaluation(None, tuple(numbers), str(refusal))


def _run(expression: str, numbers: list[int]) -> int | Fraction:
    """Dijkstra's two stacks; appends each number it reads to `numbers`.  Raises _RefusalError with the reason."""
    values: list[int | Fraction] = []
    pending: list[str] = []  # operators and open parentheses still to be applied
    depth, wants_operand = 0, True
    for match in _TOKEN.finditer(expression):
        kind, token = match.lastgroup, match.group()
        if kind is None:
            continue
        if kind == "other" or token in ("**", "//"):
            raise _RefusalError(f"{token[:20]!r} is not allowed")
        token = _SPELLINGS.get(token, token)
        if kind == "number" or token == "(":
            if not wants_operand:
                raise _RefusalError(f"an operator is missing before '{token[:20]}'")
            if token == "(":
                depth += 1
                if depth > MAX_DEPTH:
                    raise _RefusalError(f"more than {MAX_DEPTH} nested parentheses")
                pending.append(token)
            else:
                numbers.append(_integer(token))
                values.append(numbers[-1])
                wants_operand = False
        elif wants_operand and token in "+-":
            pending.append("positive" if token == "+" else "negative")
        elif wants_operand:
            raise _RefusalError(f"a number is missing before '{token}'")
        elif token == ")":
            _apply_down_to(0, values, pending)
            if not pending:
                raise _RefusalError("')' without '('")
            pending.pop()
            depth -= 1
        else:
            _apply_down_to(_PRECEDENCE[token], values, pending)
            pending.append(token)
            wants_operand = True
    if wants_operand:
        raise _RefusalError("a number is missing at the end" if values or pending else "empty")
    _apply_down_to(0, values, pending)
    if pending:
        raise _RefusalError("'(' without ')'")
    return values[0]


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _RefusalError(f"a number of more than {MAX_DIGITS} digits")
    if digits[0] == "0" and len(digits) > 1:
        raise _RefusalError(f"number '{digits}' has a leading zero")
    return int(digits)


def _apply_down_to(precedence: int, values: list[int | Fraction], pending: list[str]) -> None:
    """Apply the pending operators that bind at least as tightly as `precedence`, up to an open parenthesis."""
    while pending and pending[-1] != "(" and _PRECEDENCE[pending[-1]] >= precedence:
        operator = pending.pop()
        right = values.pop()
        if operator == "positive":
            values.append(right)
        elif operator == "negative":
            values.append(-right)
        else:
            values.append(_binary(operator, values.pop(), right))


def _binary(operator: str, left: int | Fraction, right: int | Fraction) -> int | Fraction:
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    if right == 0:
        raise _RefusalError("division by zero")
    return Fraction(left, right)
