"""First answers against last ones: how often a wrong one is corrected and a right one damaged, with and without cues.

N responses.  What the transitions mean, and how first answers are found, is in r1zero.analysis.trajectory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from r1zero.analysis.clustered import cluster, rate
from r1zero.analysis.statistics import NOTHING, Interval, exact_interval, wilson_interval
from r1zero.analysis.trajectory import TRANSITIONS, Transition

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
    rows = facts.filter(pl.col("transition").is_not_null())
    way = pl.col("transition").cast(pl.String)
    rows = rows.with_columns(way.alias("way"), (pl.col("candidates") > 1).fill_null(False).alias("several"))
    answered = rows.filter(pl.col("way") != "none")
    several = answered.filter(pl.col("several"))
    found = dict(rows["way"].value_counts().iter_rows())
    after = (pl.col("num_chars") - pl.col("first_answer_end")).cast(pl.Float64)
    first, last = is_one_of(FIRST_RIGHT), is_one_of(LAST_RIGHT)
    return TransitionRates(
        responses=len(rows),
        counts={name: int(found.get(name, 0)) for name in TRANSITIONS},
        several=ratio(rows, pl.col("several")),
        first_right=ratio(answered, first),
        last_right=ratio(answered, last),
        gain=_gain(answered, seed),
        correction=ratio(answered.filter(~first), last),
        damage=ratio(answered.filter(first), ~last),
        correction_of_several=ratio(several.filter(~first), last),
        damage_of_several=ratio(several.filter(first), ~last),
        superficial=ratio(rows, is_one_of(SUPERFICIAL)),
        shares={name: ratio(rows, is_one_of((name,))) for name in TRANSITIONS},
        chars_after=rate(rows, after, seed=seed) if len(rows) else NOTHING,
        share_after=rate(rows, after, pl.col("num_chars").cast(pl.Float64), seed=seed) if len(rows) else NOTHING,
    )


def _gain(answered: pl.DataFrame, seed: int) -> Interval:
    """The share corrected minus the share damaged; where there is neither, within what could have gone unseen."""
    corrected, damaged = is_one_of(("FT",)), is_one_of(("TF",))
    if answered.is_empty():
        return NOTHING
    if not answered.select((corrected | damaged).any()).item():
        unseen = ratio(answered, corrected).high
        return Interval(0.0, -unseen, unseen)
    return rate(answered, corrected.cast(pl.Float64) - damaged.cast(pl.Float64), seed=seed)


def is_one_of(transitions: Sequence[Transition]) -> pl.Expr:
    """Whether the response's way is one of these."""
    return pl.col("way").is_in(list(transitions))


def ratio(rows: pl.DataFrame, verdict: pl.Expr) -> Interval:
    """The share of responses of which `verdict` holds, each weighing the same, clustered by problem.

    Wilson's interval for the effective number of trials p (1 - p) / V, V the variance of the ratio over problems,
    sum (s - p n)² / N² with s of a problem's n responses (Korn & Graubard 1998, Survey Methodology 24:193), at most
    N.  Where it holds of none or all, the exact interval of as many trials as there are problems.
    """
    problems = (
        rows.select(cluster(), verdict.alias("verdict"))
        .group_by("cluster")
        .agg(pl.col("verdict").sum().alias("s"), pl.len().alias("n"))
    )
    s, n = problems["s"].to_numpy().astype(float), problems["n"].to_numpy().astype(float)
    total, hits, size = n.sum(), s.sum(), n.size
    if not total:
        return NOTHING
    p = hits / total
    if p in (0.0, 1.0):
        return exact_interval(size if p else 0, size)
    variance = float(np.square(s - p * n).sum()) / total**2 * size / max(size - 1, 1)
    effective = min(p * (1 - p) / variance, total) if variance > 0 else float(size)
    return wilson_interval(p * effective, effective)
