"""What only a computer algebra system can compare: integrals, sums, products, limits, derivatives.

Runs inside a process of r1zero.grading.pool, which ends it when it takes too long.  The text is read by the grammar of
latex2sympy2_extended (optional extra `math`), never by sympy's own parser, which would execute it.
"""

from __future__ import annotations

from typing import Any


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
    a, b = latex2sympy(prediction), latex2sympy(gold)
    return _equal(a, b)


def _equal(a: Any, b: Any) -> bool:
    """By the difference, evaluated to 30 digits or simplified to zero."""
    import sympy

    if a == b:
        return True
    if not (isinstance(a, sympy.Expr) and isinstance(b, sympy.Expr)):
        return False
    if a.free_symbols != b.free_symbols:
        return False
    difference = (a - b).doit()
    if not difference.free_symbols:
        value = difference.evalf(30)
        return bool(value.is_number and abs(value) < sympy.Float(10) ** -25)
    return bool(sympy.simplify(difference) == 0)
