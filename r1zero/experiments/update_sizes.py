"""How far arms move their weights: a difference between objectives may be no more than a difference in step size.

Gradient clipping and Adam hide the scale of an objective, and not always all of it; so what was applied is compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from r1zero.experiments.arms import Arm, paired_runs
from r1zero.experiments.recorded import RecordedRun
from r1zero.statistics.intervals import Interval, mean_interval

SIZES: dict[str, str] = {
    "grad/norm": "gradient norm before clipping",
    "grad/norm_clipped": "gradient norm after clipping",
    "grad/update_norm": "norm of the weights' change",
}
APPLIED = "grad/update_norm"
TOLERANCE = 0.1  # a ratio further from 1 is worth a warning


@dataclass(frozen=True)
class UpdateSize:
    """One size of `other` against `baseline`, mean over the steps both have."""

    metric: str
    baseline: str
    other: str
    baseline_mean: float
    other_mean: float
    ratio: Interval  # other over baseline: geometric mean over seeds with Student's t on logarithms

    @property
    def differs(self) -> bool:
        """Whether the ratio is clearly not 1, and by more than the tolerance; never with a single seed."""
        excludes_one = self.ratio.low > 1 or self.ratio.high < 1
        return excludes_one and abs(self.ratio.estimate - 1) > TOLERANCE


def update_sizes(arms: Sequence[Arm]) -> tuple[UpdateSize, ...]:
    """Every size that the runs have, each arm against the first."""
    found = []
    for arm in arms[1:]:
        pairs = paired_runs(arms[0], arm)
        for metric in SIZES:
            means = [pair for a, b in pairs if (pair := _means(metric, a, b))]
            if len(means) == len(pairs):
                before, after = (float(np.mean(side)) for side in zip(*means, strict=True))
                found.append(UpdateSize(metric, arms[0].label, arm.label, before, after, _ratio(means)))
    return tuple(found)


def _means(metric: str, a: RecordedRun, b: RecordedRun) -> tuple[float, float] | None:
    """Both runs' mean over the steps in which both have a value; None where there are none."""
    values = [dict(zip(*run.series(metric), strict=True)) for run in (a, b)]
    defined = [{step for step, value in one.items() if math.isfinite(value)} for one in values]
    steps = sorted(defined[0] & defined[1])
    if not steps:
        return None
    before, after = (float(np.mean([one[step] for step in steps])) for one in values)
    return before, after


def _ratio(means: Sequence[tuple[float, float]]) -> Interval:
    if any(before <= 0 or after <= 0 for before, after in means):
        return Interval(math.nan, math.nan, math.nan)
    logs = mean_interval([math.log(after / before) for before, after in means])
    return Interval(math.exp(logs.estimate), math.exp(logs.low), math.exp(logs.high))
