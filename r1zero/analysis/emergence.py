"""How what a model does changes over its training: every measure at every step, and whether a rate jumped.

The checkpoints of a run answer the same problems with the same random numbers, so differences between them are theirs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from r1zero.analysis.clustered import cluster, rate, share
from r1zero.records import OUTCOMES
from r1zero.statistics.changepoint import ChangePoint, Counts, Noise, change_point, noise
from r1zero.statistics.intervals import Interval, exact_interval, holm

MOST_STEPS = 60  # more are pooled with their neighbours

_STATED = pl.col("transition").cast(pl.String)
SHARES: dict[str, pl.Expr] = {
    "accuracy": pl.col("correct"),
    "reflecting": pl.col("cues") > 0,
    "corrected": pl.when(_STATED.is_in(["FT", "FF_same", "FF_other"])).then(_STATED == "FT"),
    "answered": pl.col("answered"),
    **{outcome: pl.col("outcome").cast(pl.String) == outcome for outcome in OUTCOMES},
}
RATES: dict[str, pl.Expr] = {
    "tokens": pl.col("num_tokens"),
    "chars": pl.col("num_chars"),
    "entropy": pl.col("nll_mean"),
}
TESTED = ("reflecting", "corrected", "accuracy")  # the family over which p-values of a jump are corrected


@dataclass(frozen=True)
class EmergenceResult:
    """Measures by step.  Example: result.measures["reflecting"][3].estimate at result.steps[3]"""

    steps: tuple[float, ...]  # T; the mean of the steps where several are pooled
    measures: Mapping[str, tuple[Interval, ...]]  # keys of SHARES and RATES; NaN where unknown
    changes: Mapping[str, ChangePoint]  # keys of TESTED
    p_change: Mapping[str, float]  # against a constant rate, corrected over TESTED (Holm)
    p_sudden: Mapping[str, float]  # against every smooth course, corrected alike
    responses: tuple[int, ...]  # at each step
    problems: int  # distinct ones over all steps
    frozen: bool  # whether every step answered the same problems
    pooled: int  # steps pooled into one; 1 where every step stands for itself
    first_reflecting: tuple[int, int]  # responses with a cue, and responses, at the first step
    first_problems: Interval  # share of problems with a cue in any response at the first step; exact


def emergence(facts: pl.DataFrame, *, seed: int = 0) -> EmergenceResult:
    """The measures of one run's responses by `step`; rows without one are left out."""
    rows, pooled = _pooled(facts.filter(pl.col("step").is_not_null()))
    by_step = [part for _, part in sorted(((key[0], part) for key, part in rows.group_by("time")), key=lambda x: x[0])]
    measures: dict[str, tuple[Interval, ...]] = {}
    for name, verdict in SHARES.items():
        measures[name] = tuple(share(part, verdict) for part in by_step)
    for name, value in RATES.items():
        measures[name] = tuple(rate(part, value, seed=seed) for part in by_step)
    changes = {name: change_point(_counts(rows, SHARES[name]), seed=seed) for name in TESTED}
    return EmergenceResult(
        steps=tuple(float(part["time"][0]) for part in by_step),
        measures=measures,
        changes=changes,
        p_change=dict(zip(TESTED, holm([changes[name].p_change for name in TESTED]), strict=True)),
        p_sudden=dict(zip(TESTED, holm([changes[name].p_sudden for name in TESTED]), strict=True)),
        responses=tuple(part.height for part in by_step),
        problems=rows["problem_id"].n_unique() if rows.height else 0,
        frozen=len({tuple(sorted(part["problem_id"].drop_nulls().unique())) for part in by_step}) <= 1,
        pooled=pooled,
        first_reflecting=_first(by_step),
        first_problems=_first_problems(by_step),
    )


def _pooled(facts: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """The facts with `time`, the step or the mean of the steps it is pooled with."""
    steps = facts["step"].unique().sort().to_list()
    width = max(1, math.ceil(len(steps) / MOST_STEPS))
    means = {
        step: float(np.mean(steps[at : at + width]))
        for at in range(0, len(steps), width)
        for step in steps[at : at + width]
    }
    return facts.with_columns(
        pl.col("step").replace_strict(means, return_dtype=pl.Float64, default=None).alias("time")
    ), width


def _counts(rows: pl.DataFrame, verdict: pl.Expr) -> Counts:
    """Hits and trials by time, with their dispersion; rows of which the verdict is unknown are left out."""
    cells = (
        rows.select("time", cluster(), verdict.cast(pl.Float64).alias("hit"))
        .drop_nulls("hit")
        .group_by("time", "cluster")
        .agg(pl.col("hit").sum().alias("hits"), pl.len().alias("trials"))
        .sort("time", "cluster")
    )
    totals = cells.group_by("time", maintain_order=True).agg(pl.col("hits").sum(), pl.col("trials").sum())
    times = tuple(totals["time"].to_list())
    found = _noise(cells)
    hits, trials = tuple(totals["hits"].to_list()), tuple(totals["trials"].to_list())
    return Counts(times, hits, trials, found.dispersion, found.persistence)


def _noise(cells: pl.DataFrame) -> Noise:
    """Of problems asked every time what varies with time; of others what problems vary by within a time."""
    times, problems = cells["time"].n_unique(), cells["cluster"].n_unique()
    if cells.height and cells.height == times * problems:
        hits, trials = (cells[name].to_numpy().reshape(times, problems).astype(float) for name in ("hits", "trials"))
        return noise(hits, trials)
    found, expected = 0.0, 0.0
    for _, part in cells.group_by("time"):
        hits, trials = part["hits"].to_numpy(), part["trials"].to_numpy().astype(float)
        if trials.size > 1:
            mean = hits.sum() / trials.sum()
            found += float(((hits - mean * trials) ** 2).sum()) * trials.size / (trials.size - 1)
            expected += mean * (1 - mean) * float(trials.sum())
    return Noise(max(1.0, found / expected) if expected > 0 else 1.0, 0.0)


def _first(by_step: list[pl.DataFrame]) -> tuple[int, int]:
    if not by_step:
        return 0, 0
    cues = by_step[0]["cues"].drop_nulls()
    return int((cues > 0).sum()), cues.len()


def _first_problems(by_step: list[pl.DataFrame]) -> Interval:
    if not by_step:
        return exact_interval(0, 0)
    known = (
        by_step[0].select(cluster(), pl.col("cues")).drop_nulls("cues").group_by("cluster").agg(pl.col("cues").max())
    )
    return exact_interval(int((known["cues"] > 0).sum()), known.height)
