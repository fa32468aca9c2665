"""What only a computer algebra system can compare: integrals, sums, products, limits, derivatives.

Runs inside a process of r1zero.grading.pool, which ends it when it takes too long.  The text is read by the grammar of
latex2sympy2_extended (optional extra `math`), never by sympy's own parser, which would execute it.
"""

from __future__ import annotations

import re
from typing import Any

_BARE_FRACTION = re.compile(r"\\frac\s*(\d)\s*(\d)")  # \frac12, which that grammar takes for \frac{12}
CLOSE = 1e-25  # relative to the larger value, of 40 digits


def prepare() -> None:
    """Import what is slow, where it is installed."""
    try:
        import latex2sympy2_extended  # noqa: F401
    except ImportError:
        return


def symbolic_equal(prediction: str, gold: str) -> bool:
    """Whether two LaTeX formulas are equal.  Raises ImportError naming the extra when it is not installed."""
    try:
        from latex2sympy2_extended import latex2sympy
    except ImportError as error:
        raise ImportError(str(error), name="the extra `math`") from None
    try:
        a, b = (latex2sympy(_BARE_FRACTION.sub(r"\\frac{\1}{\2}", text)) for text in (prediction, gold))
    except MemoryError:
        raise
    except Exception:  # its parser raises plain exceptions for what is no formula, and an answer may be anything
        return False
    return _equal(a, b)


def _equal(a: Any, b: Any) -> bool:
    """The same expression, or a difference that is zero: by its digits without variables, else when simplified."""
    import sympy

    if a == b:
        return True
    if not (isinstance(a, sympy.Expr) and isinstance(b, sympy.Expr)):
        return False
    a, b = a.doit(), b.doit()
    if a.free_symbols != b.free_symbols:
        return False
    if a.free_symbols:
        return bool(sympy.simplify(a - b) == 0)
    values = [sympy.N(side, 40) for side in (a, b)]
    if not all(value.is_number and value.is_finite for value in values):
        return False
    return bool(abs(values[0] - values[1]) <= CLOSE * max(abs(values[0]), abs(values[1])))
