"""Shares and rates of facts, clustered by problem: responses to one problem are not independent.

P problems, N responses.
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from r1zero.statistics.intervals import (
    NOTHING,
    Interval,
    accuracy_interval,
    bootstrap_bounds,
    exact_interval,
    pass_at_k,
    share_interval,
)

PROBLEM = ("task", "problem_id")
SETTING = ("model", "run", "step", "template", "temperature")  # a problem under one setting is a question


def cluster() -> pl.Expr:
    """The problem of a response; one without a problem stands for itself."""
    return pl.coalesce(pl.col("problem_id"), pl.format("response {}", pl.int_range(pl.len()))).alias("cluster")


def per_problem(facts: pl.DataFrame, value: pl.Expr) -> pl.DataFrame:
    """Sum and number of a value's known entries for each problem: columns `cluster`, `sum`, `count`."""
    known = facts.select(cluster(), value.cast(pl.Float64).alias("value")).drop_nulls("value")
    grouped = known.group_by("cluster", maintain_order=True)
    return grouped.agg(pl.col("value").sum().alias("sum"), pl.len().cast(pl.Float64).alias("count"))


def share(facts: pl.DataFrame, verdict: pl.Expr) -> Interval:
    """The mean over problems of the share of responses of which something holds; unknown verdicts are left out.

    Where it holds of none or of all, how alike the responses to a problem are is not known: the bounds are then the
    exact ones for as many trials as there are problems, which holds however alike they are.
    """
    return share_of(per_problem(facts, verdict))


def share_of(problems: pl.DataFrame) -> Interval:
    """`share` of what `per_problem` counted."""
    sums, counts = problems["sum"].to_numpy(), problems["count"].to_numpy()
    if 0 < sums.sum() < counts.sum():
        return accuracy_interval(sums, counts)
    return exact_interval(counts.size if sums.sum() else 0, counts.size)


def rate(facts: pl.DataFrame, value: pl.Expr, per: pl.Expr | None = None, *, seed: int = 0) -> Interval:
    """The sum of a value over the sum of another (by default the number of responses), by a bootstrap over problems.

    Rows where either is unknown are left out.  Where the value is 0 everywhere the upper bound is NaN: nothing bounds a
    rate from above that has not been seen once.
    """
    known = facts.select(
        cluster(), value.cast(pl.Float64).alias("value"), (pl.lit(1.0) if per is None else per).alias("per")
    ).drop_nulls()
    problems = known.group_by("cluster", maintain_order=True).agg(pl.col("value").sum(), pl.col("per").sum())
    sums, counts = problems["value"].to_numpy(), problems["per"].cast(pl.Float64).to_numpy()
    if counts.sum() <= 0:
        return NOTHING
    estimate = float(sums.sum() / counts.sum())
    if not sums.any():
        return Interval(estimate, 0.0, math.nan)
    kept = counts > 0
    if kept.sum() < 2:
        return Interval(estimate, math.nan, math.nan)
    low, high = bootstrap_bounds(sums[kept], counts[kept], seed=seed, resamples=1000, level=0.95)
    return Interval(estimate, low, high)


def any_of(found_P: np.ndarray, samples_P: np.ndarray, k: int) -> Interval:
    """The share of problems in which at least one of k responses has it, as expected from all n of each.

    As pass@k, from c found of n: 1 - C(n-c, k) / C(n, k); problems with fewer than k responses are left out.
    """
    enough = samples_P >= k
    found, samples = found_P[enough].astype(int), samples_P[enough].astype(int)
    if not samples.size:
        return NOTHING
    chances = np.array([pass_at_k(n, c, k) for n, c in zip(samples.tolist(), found.tolist(), strict=True)])
    if not found.any():
        return exact_interval(0, samples.size)
    return share_interval(chances, samples)
