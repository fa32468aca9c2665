"""Which template fits a model, and what it costs to choose one by looking: the winner's curse.

P problems asked under all K templates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from r1zero.statistics.intervals import Interval, PairedDifference, holm, paired_difference, share_interval

SPLITS = 500  # of the problems into halves
FEWEST = 4  # problems asked under all templates, below which no choice is studied


@dataclass(frozen=True)
class Rival:
    """A template beside the chosen one."""

    template: str
    share: Interval
    behind: PairedDifference  # the chosen minus this one, over the same problems
    p_value: float  # Holm's, over all pairs of templates: the best was picked for being ahead
    chosen: float  # share of half samples of problems by which this one would be chosen


@dataclass(frozen=True)
class TemplateChoice:
    """The best template by one measure, and how much of its lead is luck."""

    measure: str
    best: str
    problems: int
    share: Interval  # of the best, over all problems
    chosen: float  # share of half samples of problems by which it is chosen
    on_chosen: float  # the winner's share on the half that chose it, mean over splits
    on_others: float  # the same template's share on the other half: what choosing is worth on new problems
    rivals: tuple[Rival, ...]

    @property
    def optimism(self) -> float:
        """By how much the half of the problems that chose a template flatters it."""
        return self.on_chosen - self.on_others


def choose_template(
    measure: str, names: Sequence[str], shares_PK: np.ndarray, samples_PK: np.ndarray, *, seed: int = 0
) -> TemplateChoice | None:
    """The template with the highest mean share, its paired leads, and the winner's curse; None with too little to say.

    On each of `SPLITS` random halves of the problems the best template is chosen, and its share is taken on the half
    that chose it and on the other.  The first overstates what the choice is worth, as the largest of several noisy
    means does (Efron 1986, JASA 81:461, for apparent error); the second does not.  Problems that lack a template are
    left out.
    """
    whole = ~np.isnan(shares_PK).any(1)
    shares, samples = shares_PK[whole], samples_PK[whole]
    if len(names) < 2 or len(shares) < FEWEST:
        return None
    best = int(np.argmax(shares.mean(0)))
    halves = _halves(len(shares), seed)
    inside = halves @ shares / halves.sum(1, keepdims=True)
    outside = (1 - halves) @ shares / (1 - halves).sum(1, keepdims=True)
    winners = inside.argmax(1)
    chosen = np.bincount(winners, minlength=len(names)) / len(halves)
    rows = np.arange(len(halves))
    pairs = [(k, best) for k in range(len(names)) if k != best]
    pairs += [(j, k) for j, k in combinations(range(len(names)), 2) if best not in (j, k)]
    leads = [paired_difference(shares[:, j], shares[:, k], seed=seed) for j, k in pairs]
    p_values = holm([lead.p_value for lead in leads])
    rivals = [
        Rival(names[k], share_interval(shares[:, k], samples[:, k]), lead, p_value, float(chosen[k]))
        for (k, other), lead, p_value in zip(pairs, leads, p_values, strict=True)
        if other == best
    ]
    rivals.sort(key=lambda rival: -rival.share.estimate if math.isfinite(rival.share.estimate) else 0)
    return TemplateChoice(
        measure,
        names[best],
        len(shares),
        share_interval(shares[:, best], samples[:, best]),
        float(chosen[best]),
        float(inside[rows, winners].mean()),
        float(outside[rows, winners].mean()),
        tuple(rivals),
    )


def _halves(num_problems: int, seed: int) -> np.ndarray:
    """1 where a problem is in the half that chooses.  -> [SPLITS, P]"""
    rng = np.random.default_rng(seed)
    order = rng.random((SPLITS, num_problems)).argsort(1).argsort(1)
    return (order < num_problems // 2).astype(float)
