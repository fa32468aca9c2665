"""A 2 x 2 experiment over seeds: what each factor does on average, and whether they depend on each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from r1zero.experiments.studies.estimate import Estimate, corrected, estimated
from r1zero.statistics.intervals import Interval, show_p

Cell = tuple[bool, bool]  # first factor on, second factor on


@dataclass(frozen=True, kw_only=True)
class Effect(Estimate):
    """One contrast of one outcome, in tokens."""

    factor: str
    answers: str  # "right" or "wrong"
    where: str  # which lengths: "training", "held-out", ...


def contrasts(cells: Mapping[Cell, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Main effect of the first factor, of the second, and their interaction, for each seed.  Cells are [seeds].

        first = ((y11 - y01) + (y10 - y00)) / 2     second = ((y11 - y10) + (y01 - y00)) / 2
        interaction = (y11 - y01) - (y10 - y00)     what the first factor does more where the second is on

    >>> y = {(False, False): np.array([1.0]), (False, True): np.array([1.0]), (True, False): np.array([4.0])}
    >>> [float(c[0]) for c in contrasts(y | {(True, True): np.array([6.0])})]
    [4.0, 1.0, 2.0]
    """
    with_second = cells[True, True] - cells[False, True]
    without_second = cells[True, False] - cells[False, False]
    second = ((cells[True, True] - cells[True, False]) + (cells[False, True] - cells[False, False])) / 2
    return (with_second + without_second) / 2, second, with_second - without_second


def effect(factor: str, answers: str, where: str, by_seed: Sequence[float] | np.ndarray) -> Effect:
    """The contrast with its interval, tests and power; not yet corrected for the others."""
    return Effect(factor=factor, answers=answers, where=where, **estimated(by_seed))


def with_holm(effects: Sequence[Effect], family: Sequence[str]) -> tuple[Effect, ...]:
    """The effects with Holm's correction over those whose `where` is in the family."""
    return corrected(effects, lambda one: one.where in family)


def clause(one: Effect) -> str:
    """What one contrast says, as part of a sentence."""
    size = f"{tokens(one.interval)} tokens"
    if len(one.by_seed) < 2:
        return f"{one.answers} answers {size}, and nothing can be said of the spread over seeds"
    if one.found:
        verb = "lengthens" if one.interval.estimate > 0 else "shortens"
        return f"{verb} {one.answers} answers: {size} ({show_p(one.holm_p)} after Holm's correction)"
    if one.hinted:
        alone = f"{show_p(one.p_value)} by itself"
        kept = "" if math.isnan(one.holm_p) else f", {show_p(one.holm_p)} after Holm's correction"
        return f"may move {one.answers} answers: {size} ({alone}{kept})"
    power = f"; it could have seen {one.detectable:.1f}" if math.isfinite(one.detectable) else ""
    return f"no effect on {one.answers} answers found: {size}{power}"


def tokens(value: Interval | float, spec: str = "+.1f") -> str:
    """A signed number of tokens; what rounds to nothing has no sign.

    >>> tokens(Interval(2.31, -0.1, 4.7)), tokens(-3.0), tokens(0.01), tokens(float("nan"))
    ('+2.3 [−0.1, +4.7]', '−3.0', '0.0', '–')
    """
    if isinstance(value, Interval):
        return f"{tokens(value.estimate, spec)} [{tokens(value.low, spec)}, {tokens(value.high, spec)}]"
    if not math.isfinite(value):
        return "–"
    text = f"{value:{spec}}"
    return text.replace("-", "−") if float(text) else text.lstrip("+-")
