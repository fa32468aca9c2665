"""How long right and wrong answers of a run are, step by step and on held-out problems.

Wrong is every response that is not correct: unformatted and truncated ones are given the same reward as wrong ones, and
it is the reward that objectives see.  Arrays are over training steps 1, 2, ... [T].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from r1zero.experiments.recorded import RecordedRun
from r1zero.store import read_rollouts

ANSWERS = ("right", "wrong")
FIRST_STEPS, LAST_STEPS = 5, 10  # the windows of a change, in steps; shorter runs have shorter windows
SMOOTHING = 5  # steps in a running mean


@dataclass(frozen=True)
class StepLengths:
    """Sums over the training responses of each step; `mean` divides them."""

    steps_T: np.ndarray
    count_T: Mapping[str, np.ndarray]  # responses, by "right" and "wrong"
    tokens_T: Mapping[str, np.ndarray]

    @property
    def accuracy(self) -> np.ndarray:
        return self.count_T["right"] / (self.count_T["right"] + self.count_T["wrong"])

    def mean(self, answers: str, window: slice) -> float:
        """Tokens per response over the window's steps, all responses alike; NaN where there is none."""
        count = self.count_T[answers][window].sum()
        return float(self.tokens_T[answers][window].sum() / count) if count else math.nan

    def change(self, answers: str) -> float:
        """Tokens per response in the last window minus the first."""
        first, last = windows(self.steps_T.size)
        return self.mean(answers, last) - self.mean(answers, first)

    def running_mean(self, answers: str) -> np.ndarray:
        """Tokens per response over each step and the SMOOTHING - 1 before it."""
        spans = [slice(max(0, t + 1 - SMOOTHING), t + 1) for t in range(self.steps_T.size)]
        return np.array([self.mean(answers, span) for span in spans])

    def running_accuracy(self) -> np.ndarray:
        spans = [slice(max(0, t + 1 - SMOOTHING), t + 1) for t in range(self.steps_T.size)]
        return np.array([self.accuracy[span].mean() for span in spans])


def windows(num_steps: int) -> tuple[slice, slice]:
    """The first 5 and the last 10 steps, or a third and a half of a run shorter than 15 or 20.

    >>> windows(40), windows(6)
    ((slice(0, 5, None), slice(30, 40, None)), (slice(0, 2, None), slice(3, 6, None)))
    """
    first = max(1, min(FIRST_STEPS, num_steps // 3))
    last = max(1, min(LAST_STEPS, num_steps // 2))
    return slice(0, first), slice(num_steps - last, num_steps)


def step_lengths(run: RecordedRun) -> StepLengths:
    """From the run's stored training rollouts."""
    correct = pl.col("correct")
    table = (
        read_rollouts(run.dir)
        .select("step", "num_tokens", correct.fill_null(value=False))
        .group_by("step")
        .agg(
            correct.sum().alias("right"),
            (~correct).sum().alias("wrong"),
            pl.col("num_tokens").filter(correct).sum().alias("right_tokens"),
            pl.col("num_tokens").filter(~correct).sum().alias("wrong_tokens"),
        )
        .sort("step")
        .collect()
    )
    count_T, tokens_T = (
        {answers: table[answers + suffix].to_numpy().astype(float) for answers in ANSWERS} for suffix in ("", "_tokens")
    )
    return StepLengths(table["step"].to_numpy(), count_T, tokens_T)


def held_out_lengths(run: RecordedRun) -> dict[str, tuple[float, float]]:
    """Mean tokens at the first and the last stored evaluation, by "right" and "wrong"; all suites together."""
    steps = sorted({step for suite in run.suites for step in run.evaluation_steps(suite)})
    if not steps:
        return dict.fromkeys(ANSWERS, (math.nan, math.nan))
    first, last = (_mean_lengths(run, step) for step in (steps[0], steps[-1]))
    return {answers: (first[answers], last[answers]) for answers in ANSWERS}


def _mean_lengths(run: RecordedRun, step: int) -> dict[str, float]:
    frame = read_rollouts(run.dir, split="eval", step=step).select("num_tokens", "correct").collect()
    means = {name: frame.filter(pl.col("correct") == (name == "right"))["num_tokens"].mean() for name in ANSWERS}
    return {name: float(mean) if isinstance(mean, float | int) else math.nan for name, mean in means.items()}


def equal_accuracy_steps(runs: Mapping[str, StepLengths]) -> tuple[float, dict[str, int]]:
    """The highest training accuracy (running mean) that all arms of a seed reach, and the index where each first does.

    Running means over fewer than SMOOTHING steps do not count, unless the run is that short.
    """
    curves = {arm: lengths.running_accuracy() for arm, lengths in runs.items()}
    start = min(SMOOTHING, *(curve.size for curve in curves.values())) - 1
    level = min(float(curve[start:].max()) for curve in curves.values())
    return level, {arm: start + int(np.argmax(curve[start:] >= level)) for arm, curve in curves.items()}
