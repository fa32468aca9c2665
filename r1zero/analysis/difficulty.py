"""The outcome ledger by difficulty, and how long responses of each outcome are: on the same question, too.

Wrong answers are longer than right ones partly because hard questions have both longer and more wrong answers.  The
contrast within a question (same template, temperature and checkpoint) takes difficulty out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import stats

from r1zero.analysis.clustered import PROBLEM, SETTING
from r1zero.records import OUTCOMES, Outcome
from r1zero.statistics.intervals import NOTHING, Interval, cluster_interval, ratio_interval

UNITS = {"tokens": "num_tokens", "characters": "num_chars"}
COMPARED: tuple[tuple[Outcome, Outcome], ...] = (("wrong", "correct"), ("unformatted", "correct"))
PARTS = {1: ("all",), 2: ("easier", "harder"), 3: ("easier", "middling", "harder")}
NEEDED = 5  # problems with both outcomes: an interval from fewer says more about luck


@dataclass(frozen=True)
class LevelRow:
    """The outcomes of one template at one difficulty."""

    template: str
    difficulty: str  # "level 3", or "harder (others 0–33 % right)"
    rank: int  # 0 is easiest
    num_problems: int
    num_responses: int
    shares: dict[Outcome, Interval]  # of its responses, clustered by problem


@dataclass(frozen=True)
class OutcomeLength:
    """How long the responses of an outcome are."""

    outcome: Outcome
    num_responses: int
    mean: dict[str, Interval]  # by unit, clustered by problem


@dataclass(frozen=True)
class LengthContrast:
    """How much longer responses of one outcome are than of another."""

    outcome: Outcome
    against: Outcome
    unit: str
    raw: Interval  # ratio of geometric means over all responses, clustered by problem
    within: Interval  # the same ratio between responses to one question, averaged over questions
    difference: Interval  # difference of means between responses to one question, in the unit
    num_questions: int  # with responses of both outcomes (under one template, temperature and checkpoint)
    num_problems: int  # of these questions; no bounds below `NEEDED`


@dataclass(frozen=True)
class DifficultyResult:
    """Outcomes by difficulty, and lengths by outcome, of one model."""

    by: str  # "level", or "others": the share right in the other half of the problem's responses
    rows: tuple[LevelRow, ...]
    lengths: tuple[OutcomeLength, ...]
    contrasts: tuple[LengthContrast, ...]  # without truncated responses
    num_responses: int  # with a known outcome
    num_unplaced: int  # of them, those of unknown difficulty


def difficulty(facts: pl.DataFrame, *, seed: int = 0) -> DifficultyResult:
    """Outcomes by level, or where levels are unknown or all alike by how often other responses were right; lengths."""
    known = facts.filter(pl.col("outcome").is_not_null()).with_columns(pl.col("outcome").cast(pl.String))
    by, placed = _placed(known)
    rows = [
        _row(template or "", name, rank, own)
        for (template, rank, name), own in placed.group_by("template", "rank", "difficulty", maintain_order=True)
    ]
    return DifficultyResult(
        by=by,
        rows=tuple(sorted(rows, key=lambda row: (row.template, row.rank))),
        lengths=tuple(_length(known, outcome, seed) for outcome in OUTCOMES),
        contrasts=tuple(_contrast(known, a, b, unit, seed) for a, b in COMPARED for unit in UNITS),
        num_responses=known.height,
        num_unplaced=known.height - placed.height,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Difficulty


def _placed(known: pl.DataFrame) -> tuple[str, pl.DataFrame]:
    """Responses of known difficulty, with its rank (0 is easiest) and its name."""
    levels = known.filter(pl.col("level").is_not_null())
    if levels["level"].n_unique() > 1:
        names = {level: f"level {level:g}" for level in sorted(levels["level"].unique())}
        ranks = {level: rank for rank, level in enumerate(names)}
        return "level", levels.with_columns(
            pl.col("level").replace_strict(ranks, return_dtype=pl.Int64).alias("rank"),
            pl.col("level").replace_strict(names, return_dtype=pl.String).alias("difficulty"),
        )
    return "others", thirds(known)


def thirds(known: pl.DataFrame) -> pl.DataFrame:
    """Responses in three parts by the share right in the *other* half of the responses to their problem.

    Halves alternate over samples, within each template and temperature.  A response has no part in its own difficulty,
    so that a lucky one is not called easy for being right; and all of a half have the same, as they would not if only
    the response itself were left out (then the right ones of a problem would look a little harder than its wrong ones).
    Equal shares stay together, in the third where the middle of them falls, so that parts can differ in size or be
    missing.  Problems with one response are left out.
    """
    place = pl.struct("template", "temperature", "sample", "digest").rank("ordinal").over(PROBLEM)
    halved = known.filter(pl.len().over(PROBLEM) > 1).with_columns((place % 2).alias("half"))
    right, half = pl.col("correct").cast(pl.Float64), (*PROBLEM, "half")
    others = (right.sum().over(PROBLEM) - right.sum().over(half)) / (pl.len().over(PROBLEM) - pl.len().over(half))
    several = halved.with_columns(others.round(12).alias("others"))
    middle = (pl.col("others").rank("average") - 0.5) / pl.len()  # 0 is hardest
    placed = several.with_columns(rank=2 - (middle * 3).floor().clip(0, 2).cast(pl.Int64))
    ends = placed.group_by("rank").agg(pl.col("others").min().alias("low"), pl.col("others").max().alias("high"))
    ends = ends.sort("rank")
    parts = PARTS[ends.height] if ends.height else ()
    names = {
        rank: f"{part} (others {_share_range(low, high)} right)"
        for part, (rank, low, high) in zip(parts, ends.iter_rows(), strict=True)
    }
    return placed.with_columns(pl.col("rank").replace_strict(names, return_dtype=pl.String).alias("difficulty"))


def _share_range(low: float, high: float) -> str:
    """A range of shares in percent: "0–33 %"."""
    return f"{low:.0%}".replace("%", " %") if low == high else f"{100 * low:.0f}–{100 * high:.0f} %"


def _row(template: str, name: str, rank: int, own: pl.DataFrame) -> LevelRow:
    by_problem = own.group_by(PROBLEM, maintain_order=True).agg(
        pl.len().alias("n"), *((pl.col("outcome") == outcome).sum().alias(outcome) for outcome in OUTCOMES)
    )
    n = by_problem["n"].to_numpy()
    # not the mean over problems: one of which a half counts as hard and the other as easy would weigh as much as one
    # that is hard in both halves, and luck would look like difficulty
    shares = {outcome: ratio_interval(by_problem[outcome].to_numpy(), n) for outcome in OUTCOMES}
    return LevelRow(template, name, rank, by_problem.height, own.height, shares)


# ---------------------------------------------------------------------------------------------------------------------
# Length


def _length(known: pl.DataFrame, outcome: Outcome, seed: int) -> OutcomeLength:
    own = known.filter(pl.col("outcome") == outcome)
    clusters = own.select(pl.struct(PROBLEM).rank("dense")).to_series().to_numpy()
    means = {
        unit: cluster_interval(own[column].cast(pl.Float64).to_numpy(), clusters, seed=seed)
        for unit, column in UNITS.items()
    }
    return OutcomeLength(outcome, own.height, means)


def _contrast(known: pl.DataFrame, outcome: Outcome, against: Outcome, unit: str, seed: int) -> LengthContrast:
    column = UNITS[unit]
    both = known.filter(pl.col("outcome").is_in([outcome, against]) & (pl.col(column) > 0)).select(
        pl.struct(PROBLEM).rank("dense").alias("problem"),
        pl.struct(*PROBLEM, *SETTING).rank("dense").alias("cell"),
        (pl.col("outcome") == outcome).alias("treated"),
        pl.col(column).cast(pl.Float64).alias("length"),
    )
    treated, length = both["treated"].to_numpy(), both["length"].to_numpy()
    problem, cell = both["problem"].to_numpy(), both["cell"].to_numpy()
    logs = fixed_effect(np.log(length), treated, cell, problem)
    plain = fixed_effect(length, treated, cell, problem)
    raw = fixed_effect(np.log(length), treated, np.zeros(length.size, int), problem)
    ratio, difference = _exp(logs.effect), plain.effect
    if logs.num_clusters < NEEDED:
        ratio, difference = (Interval(one.estimate, math.nan, math.nan) for one in (ratio, difference))
    return LengthContrast(
        outcome, against, unit, _exp(raw.effect), ratio, difference, logs.num_cells, logs.num_clusters
    )


@dataclass(frozen=True)
class FixedEffect:
    """How much higher treated values are than others of the same cell."""

    effect: Interval
    num_cells: int  # with both
    num_clusters: int


def fixed_effect(
    values: np.ndarray,
    treated: np.ndarray,
    cells: np.ndarray,
    clusters: Sequence[int] | np.ndarray,
    level: float = 0.95,
) -> FixedEffect:
    """The mean difference treated - other within cells: the slope of least squares with an effect for each cell.  [N]

        beta = sum_q w_q d_q / sum_q w_q,   w_q = n1 n0 / (n1 + n0),   d_q the difference of means in cell q
        variance = K/(K-1) sum_c (sum over the cluster's residual scores)² / (sum_q w_q)²,   t with K - 1 degrees

    A response's score is (treated - mean of treated in its cell) x residual (Liang & Zeger 1986, Biometrika 73:13).
    Cells with only one kind say nothing and are left out; bounds are NaN below two clusters.
    """
    y, d = np.asarray(values, float), np.asarray(treated, float)
    if y.size == 0:
        return FixedEffect(NOTHING, 0, 0)
    _, q = np.unique(cells, return_inverse=True)
    size = np.bincount(q)
    d_apart = d - (np.bincount(q, weights=d) / size)[q]
    y_apart = y - (np.bincount(q, weights=y) / size)[q]
    both = (d_apart != 0) & np.isfinite(y)
    weight = float(np.sum(d_apart**2))
    if weight == 0:
        return FixedEffect(NOTHING, 0, 0)
    beta = float(np.sum(d_apart * y_apart) / weight)
    _, cluster = np.unique(np.asarray(clusters)[both], return_inverse=True)
    scores = np.bincount(cluster, weights=(d_apart * (y_apart - beta * d_apart))[both])
    count = scores.size
    if count < 2:
        return FixedEffect(Interval(beta, math.nan, math.nan), int(np.unique(q[both]).size), count)
    error = math.sqrt(count / (count - 1) * float(np.sum(scores**2))) / weight
    half = float(stats.t.ppf(0.5 + level / 2, count - 1)) * error
    return FixedEffect(Interval(beta, beta - half, beta + half), int(np.unique(q[both]).size), count)


def _exp(interval: Interval) -> Interval:
    return Interval(*(float(np.exp(x)) for x in (interval.estimate, interval.low, interval.high)))
