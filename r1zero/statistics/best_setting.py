"""The best of several settings tried on the same problems, and how sure that choice is.

P problems, C settings, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from r1zero.statistics.intervals import PairedDifference, paired_difference

RESAMPLES = 2000


@dataclass(frozen=True)
class Choice:
    """Which setting came first, and how often it would come first with other problems."""

    best: int  # place of the setting
    runner_up: int
    firsts: tuple[float, ...]  # [C] share of resamples in which each setting comes first; ties shared
    lead: PairedDifference  # best minus runner-up; as the best was picked for being it, on average too large
    num_problems: int


def choose(values_PC: np.ndarray, *, seed: int = 0) -> Choice | None:
    """The column with the highest mean; None below two columns or two problems without a NaN.  [P, C]

    Problems are drawn anew with replacement `RESAMPLES` times, the same for all settings, and the winners counted.
    """
    values = np.asarray(values_PC, float)
    if values.ndim != 2 or values.shape[1] < 2:
        return None
    values = values[np.isfinite(values).all(axis=1)]
    P, C = values.shape
    if P < 2:
        return None
    order = np.argsort(-values.mean(axis=0), kind="stable")
    best, runner_up = int(order[0]), int(order[1])
    kinds_KC, counts = np.unique(values, axis=0, return_counts=True)  # problems alike are drawn together
    firsts = np.zeros(C)
    chunk = max(1, 1_000_000 // counts.size)
    rng = np.random.default_rng(seed)
    for start in range(0, RESAMPLES, chunk):
        drawn_RK = rng.multinomial(P, counts / P, size=min(chunk, RESAMPLES - start))
        means_RC = drawn_RK @ kinds_KC / P
        first = means_RC >= means_RC.max(axis=1, keepdims=True) - 1e-12
        firsts += (first / first.sum(axis=1, keepdims=True)).sum(axis=0)
    lead = paired_difference(values[:, runner_up], values[:, best], seed=seed)
    return Choice(best, runner_up, tuple(float(x) for x in firsts / RESAMPLES), lead, P)
