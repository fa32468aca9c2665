"""Reflection cues in right and in wrong responses: how many there are, per response and per thousand tokens.

oat-zero counts occurrences among right and among wrong responses; most stand among wrong ones.  So they would if cues
had nothing to do with being right, wherever most responses are wrong or wrong ones are longer: hence the rates, and the
odds ratio within questions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from r1zero.analysis.clustered import rate
from r1zero.analysis.contrast import Questions, questions
from r1zero.statistics.intervals import NOTHING, Interval, quantile

PER = 1000  # tokens, or characters where tokens are unknown


@dataclass(frozen=True)
class Occurrences:
    """Cues of the right or of the wrong responses at one temperature, or at all."""

    responses: int
    cues: int
    per_response: Interval
    per_thousand: Interval  # tokens; characters where tokens are unknown


@dataclass(frozen=True)
class OccurrenceRow:
    """Right and wrong responses side by side.  Odds ratios are of having a cue, right over wrong; 1: no association."""

    temperature: float | None  # None: all together
    right: Occurrences
    wrong: Occurrences
    odds_ratio: Interval  # over all responses
    odds_ratio_within: Interval  # within questions


def occurrence_rows(rows: pl.DataFrame, *, seed: int = 0) -> tuple[OccurrenceRow, ...]:
    """One row a temperature where there are several, then all together, of `contrast.usable` rows."""
    known = rows["temperature"].drop_nulls().unique().sort().to_list() if "temperature" in rows.columns else []
    one_each = [(t, rows.filter(pl.col("temperature") == t)) for t in known] if len(known) > 1 else []
    return tuple(_row(t, part, seed) for t, part in [*one_each, (None, rows)])


def unit(rows: pl.DataFrame) -> str:
    """What `per_thousand` counts: "tokens" where they are known of every row, else "characters"."""
    known = "num_tokens" in rows.columns and len(rows) and not rows["num_tokens"].null_count()
    return "tokens" if known else "characters"


def _row(temperature: float | None, rows: pl.DataFrame, seed: int) -> OccurrenceRow:
    size = "num_tokens" if unit(rows) == "tokens" else "num_chars"
    parts = []
    for right in (True, False):
        part = rows.filter(pl.col("correct") == right)
        per_thousand = (
            rate(part, pl.col("cues"), pl.col(size).cast(pl.Float64) / PER, seed=seed) if len(part) else NOTHING
        )
        per_response = rate(part, pl.col("cues"), seed=seed) if len(part) else NOTHING
        parts.append(Occurrences(len(part), int(part["cues"].sum()), per_response, per_thousand))
    counts = questions(rows)
    return OccurrenceRow(temperature, parts[0], parts[1], pooled_odds_ratio(counts), odds_ratio_within(counts))


def pooled_odds_ratio(counts: Questions, level: float = 0.95) -> Interval:
    """The odds of a cue among right over those among wrong responses; problems as clusters.

    log(ad / bc) with the linearised variance: the sum over problems of (a_p/a - b_p/b - c_p/c + d_p/d)².  NaN where a
    cell of the 2 x 2 table is empty.
    """
    cells = (counts.c1_Q, counts.c0_Q, counts.n1_Q - counts.c1_Q, counts.n0_Q - counts.c0_Q)
    totals = [float(cell.sum()) for cell in cells]
    if min(totals, default=0) <= 0:
        return NOTHING
    log_ratio = math.log(totals[0] * totals[3] / (totals[1] * totals[2]))
    signs = (1, -1, -1, 1)
    parts_Q = sum(sign * cell / total for sign, cell, total in zip(signs, cells, totals, strict=True))
    _, problem = np.unique(counts.problem_Q, return_inverse=True)
    parts_P = np.bincount(problem, weights=parts_Q)
    variance = float(np.square(parts_P).sum()) * parts_P.size / max(parts_P.size - 1, 1)
    half = quantile(level) * math.sqrt(variance)
    if parts_P.size < 2:
        return Interval(math.exp(log_ratio), math.nan, math.nan)
    return Interval(math.exp(log_ratio), math.exp(log_ratio - half), math.exp(log_ratio + half))


def odds_ratio_within(counts: Questions, level: float = 0.95) -> Interval:
    """The common odds ratio of questions: Mantel and Haenszel's R / S, problems as clusters.

        R = sum ad/n, S = sum bc/n, P = (a + d)/n, Q = (b + c)/n
        var log OR = sum over problems of (R_p/R - S_p/S)²,   no less than Robins, Breslow and Greenland's
                     sum P R_q / 2R² + sum (P S_q + Q R_q) / 2RS + sum Q S_q / 2S²    (1986, Biometrics 42:311)

    The latter holds for many small questions and for few large ones, where questions are independent; those of one
    problem are not (its templates and temperatures).  NaN where R or S is 0.
    """
    a, b = counts.c1_Q.astype(float), counts.c0_Q.astype(float)
    c, d = counts.n1_Q - a, counts.n0_Q - b
    n = a + b + c + d
    kept = n > 0
    a, b, c, d, n = a[kept], b[kept], c[kept], d[kept], n[kept]
    _, problem = np.unique(counts.problem_Q[kept], return_inverse=True)
    r, s, p, q = a * d / n, b * c / n, (a + d) / n, (b + c) / n
    total_r, total_s = float(r.sum()), float(s.sum())
    if total_r <= 0 or total_s <= 0:
        return NOTHING
    parts_P = np.bincount(problem, weights=r / total_r - s / total_s)
    clustered = float(np.square(parts_P).sum()) * parts_P.size / max(parts_P.size - 1, 1)
    independent = (
        float(p @ r) / (2 * total_r**2)
        + float(p @ s + q @ r) / (2 * total_r * total_s)
        + float(q @ s) / (2 * total_s**2)
    )
    ratio, half = total_r / total_s, quantile(level) * math.sqrt(max(clustered, independent))
    return Interval(ratio, ratio * math.exp(-half), ratio * math.exp(half))
