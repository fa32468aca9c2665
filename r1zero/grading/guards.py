"""What is refused before anything is read: an answer that would cost more than any real answer does.

Every later step is bounded by these limits; what they let through is parsed by a grammar and never executed.
"""

from __future__ import annotations

import re

MAX_LENGTH = 1000  # characters of an answer
MAX_NESTING = 64  # brackets inside brackets
MAX_DIGITS = 300  # in one number
MAX_EXPONENT_DIGITS = 6  # of the power of ten in 1e9
MAX_NODES = 600  # numbers, names and operations in one formula
MAX_BITS = 200_000  # of an exact integer on the way
MAX_FACTORIAL = 10_000  # the largest n of an exact n!
MAX_MAGNITUDE = 10**9  # decimal digits before the point of an approximate value
MAX_ITEMS = 64  # in a list, set, tuple or matrix

_DIGITS = re.compile(rf"\d{{{MAX_DIGITS + 1}}}")
_FORBIDDEN = re.compile(
    r"__|\\(?:input|include|write|read|open|def|edef|gdef|let|newcommand|renewcommand|csname|catcode|immediate|"
    r"directlua|usepackage|loop|expandafter)(?![a-zA-Z])"
    r"|(?<!\\)\b(?:import|lambda|exec|eval|system|getattr|globals|locals|subprocess|compile)\s*[(\s.]",
)
_OPENING, _CLOSING = frozenset("({["), frozenset(")}]")


class TooCostlyError(Exception):
    """A value that would take more time or memory than an answer is worth; carries the reason."""


def fault(answer: str) -> str:
    """Why an answer is not even read, "" when it may be.  One pass, whatever it holds.

    >>> fault("x" * 1001), fault("(" * 65), fault(r"\\input{secret}"), fault(r"\\frac{1}{2}")
    ('longer than 1000 characters', 'more than 64 brackets nested', 'not an answer: \\\\input', '')
    """
    if len(answer) > MAX_LENGTH:
        return f"longer than {MAX_LENGTH} characters"
    if _DIGITS.search(answer):
        return f"a number of more than {MAX_DIGITS} digits"
    depth = 0
    for character in answer:
        if character in _OPENING:
            depth += 1
            if depth > MAX_NESTING:
                return f"more than {MAX_NESTING} brackets nested"
        elif character in _CLOSING:
            depth = max(0, depth - 1)
    if found := _FORBIDDEN.search(answer):
        return f"not an answer: {found.group().strip()}"
    return ""
