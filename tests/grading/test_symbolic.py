"""Integrals, sums and limits, which only a computer algebra system compares; skipped without the extra `math`."""

import pytest

pytest.importorskip("latex2sympy2_extended", reason="the extra `math` is not installed")

from r1zero.grading import fault
from r1zero.grading.symbolic import symbolic_equal


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        ("\\sum_{k=1}^{n} k", "\\frac{n(n+1)}{2}", True),
        ("\\sum_{k=1}^{n} k", "\\frac{n(n-1)}{2}", False),
        ("\\lim_{x\\to 0}\\frac{\\sin x}{x}", "1", True),
        ("\\int_{0}^{1} x dx", "\\frac12", True),
        ("\\int_{0}^{1} x dx", "\\frac{1}{3}", False),
        ("\\prod_{k=1}^{3} k", "6", True),
        ("\\int", "6", False),
    ],
)
def test_what_the_grammar_does_not_know_is_computed(answer, gold, equal):
    assert symbolic_equal(answer, gold) is equal


def test_the_verifier_asks_it_in_a_process_of_its_own():
    assert fault("\\sum_{k=1}^{3} k^2", "14") == ""
    assert fault("\\sum_{k=1}^{3} k^2", "15") == "not equal to the gold"
