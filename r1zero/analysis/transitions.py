"""First answers against last ones: how often a wrong one is corrected and a right one damaged, with and without cues.

N responses.  What the transitions mean, and how first answers are found, is in r1zero.facts.trajectory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from r1zero.analysis.clustered import cluster, rate
from r1zero.facts.trajectory import TRANSITIONS, Transition
from r1zero.statistics.intervals import NOTHING, Interval, bootstrap_bounds, exact_interval, ratio_interval

FIRST_RIGHT: tuple[Transition, ...] = ("TT", "TF")
LAST_RIGHT: tuple[Transition, ...] = ("TT", "FT")
FF: tuple[Transition, ...] = ("FF_same", "FF_other")
SUPERFICIAL: tuple[Transition, ...] = ("TF", "none")  # behaviours 3 and 4 of oat-zero
# what oat-zero calls a response with a cue and this transition, and the one it omits
BEHAVIOURS: dict[str, tuple[Transition, ...]] = {
    "1 confirms a right answer": ("TT",),
    "2 corrects a wrong one": ("FT",),
    "3 turns a right one wrong": ("TF",),
    "4 no valid answer": ("none",),
    "5 wrong throughout (omitted there)": FF,
}


@dataclass(frozen=True)
class TransitionRates:
    """Transitions of a set of responses; those with a transition count."""

    responses: int
    counts: Mapping[Transition, int]
    several: Interval  # share that states two answers or more
    first_right: Interval  # of those with a last answer: the first one is right
    last_right: Interval  # of the same: the last one is
    gain: Interval  # last_right - first_right
    correction: Interval  # P(last right | first wrong) = FT / (FT + FF)
    damage: Interval  # P(last wrong | first right) = TF / (TF + TT)
    correction_of_several: Interval  # the same two of responses that state two answers or more
    damage_of_several: Interval
    superficial: Interval  # TF or none
    shares: Mapping[Transition, Interval]
    chars_after: Interval  # mean characters behind the first answer
    share_after: Interval  # of all characters

    def share(self, transitions: Sequence[Transition]) -> float:
        return sum(self.counts[one] for one in transitions) / self.responses if self.responses else float("nan")


def transition_rates(facts: pl.DataFrame, *, seed: int = 0) -> TransitionRates:
    """Counts and rates of facts with a transition, with 95 % intervals clustered by problem; NaN where there are none.

    First and last answers are compared where there is a last one: of a response without, no first verdict is kept.
    """
    rows = facts.filter(pl.col("transition").is_not_null()).with_columns(cluster())
    ways_P, several_P = _ways(rows), _ways(rows.filter(pl.col("candidates") > 1), like=rows)
    every_P, answered = _sum(ways_P, TRANSITIONS), (*LAST_RIGHT, "TF", *FF)
    after = (pl.col("num_chars") - pl.col("first_answer_end")).cast(pl.Float64)
    first_wrong, first_right = ("FT", *FF), FIRST_RIGHT
    return TransitionRates(
        responses=len(rows),
        counts={name: int(count_P.sum()) for name, count_P in ways_P.items()},
        several=ratio_interval(_sum(several_P, TRANSITIONS), every_P),
        first_right=ratio_interval(_sum(ways_P, first_right), _sum(ways_P, answered)),
        last_right=ratio_interval(_sum(ways_P, LAST_RIGHT), _sum(ways_P, answered)),
        gain=_gain(ways_P["FT"], ways_P["TF"], _sum(ways_P, answered), seed),
        correction=ratio_interval(ways_P["FT"], _sum(ways_P, first_wrong)),
        damage=ratio_interval(ways_P["TF"], _sum(ways_P, first_right)),
        correction_of_several=ratio_interval(several_P["FT"], _sum(several_P, first_wrong)),
        damage_of_several=ratio_interval(several_P["TF"], _sum(several_P, first_right)),
        superficial=ratio_interval(_sum(ways_P, SUPERFICIAL), every_P),
        shares={name: ratio_interval(count_P, every_P) for name, count_P in ways_P.items()},
        chars_after=rate(rows, after, seed=seed) if len(rows) else NOTHING,
        share_after=rate(rows, after, pl.col("num_chars").cast(pl.Float64), seed=seed) if len(rows) else NOTHING,
    )


def _ways(rows: pl.DataFrame, like: pl.DataFrame | None = None) -> dict[Transition, np.ndarray]:
    """How many responses of each problem go each way; the problems are those of `like`, or of `rows`.  [P] each"""
    problems = (rows if like is None else like).select("cluster").unique().sort("cluster")
    way = pl.col("transition").cast(pl.String)
    counted = rows.group_by("cluster").agg((way == name).sum().alias(name) for name in TRANSITIONS)
    joined = problems.join(counted, on="cluster", how="left").fill_null(0)
    return {name: joined[name].to_numpy().astype(float) for name in TRANSITIONS}


def _sum(ways_P: Mapping[Transition, np.ndarray], transitions: Sequence[Transition]) -> np.ndarray:
    return np.sum([ways_P[one] for one in transitions], axis=0)


def _gain(corrected_P: np.ndarray, damaged_P: np.ndarray, samples_P: np.ndarray, seed: int) -> Interval:
    """The share corrected minus the share damaged, by a bootstrap over problems; where there is neither, within what
    could have gone unseen."""
    kept = samples_P > 0
    if not kept.any():
        return NOTHING
    if not corrected_P.any() and not damaged_P.any():
        unseen = exact_interval(0, int(kept.sum())).high
        return Interval(0.0, -unseen, unseen)
    change_P, samples_P = (corrected_P - damaged_P)[kept], samples_P[kept]
    estimate = float(change_P.sum() / samples_P.sum())
    if samples_P.size < 2:
        return Interval(estimate, -1.0, 1.0)
    return Interval(estimate, *bootstrap_bounds(change_P, samples_P, seed=seed, resamples=2000, level=0.95))
