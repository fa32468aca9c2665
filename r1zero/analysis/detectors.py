"""How much a model reflects: keyword, judge and cross detector, by response and by question.

The judge's verdict is category 2 of its answer (reflection, explicit or implicit).  The cross rule asks for both on the
same response.  A question counts where at least one of its n responses does, so that its share grows with n whatever
the model does: the share of responses stands beside it, and the expected share of questions at one common n.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from r1zero.analysis.clustered import any_of, cluster, per_problem, share_of
from r1zero.facts.cues import POOLS, CuePool
from r1zero.statistics.intervals import Interval, bootstrap_bounds, exact_interval
from r1zero.statistics.kappa import Concord, concord
from r1zero.statistics.latent import LatentClasses, latent_classes
from r1zero.statistics.screening import Screening, screening

REFLECTS = 2  # the judge's category
NO_BOUNDS = (math.nan, math.nan)
COMMON_N = 8  # responses a question, at which shares of questions are compared


@dataclass(frozen=True)
class DetectorRow:
    """One detector in one part of the responses."""

    detector: str
    template: str | None  # None: all together
    temperature: float | None
    responses: int  # on which it gave a verdict
    questions: int
    found: int  # responses in which it fired
    found_questions: int  # questions with at least one
    samples: tuple[int, int]  # fewest and most responses a question
    by_response: Interval
    by_question: Interval  # at the n that there are
    at: int  # the common n
    by_question_at: Interval  # expected at that n


@dataclass(frozen=True)
class KeywordRow:
    """One cue of the chosen pool."""

    cue: str
    count: int
    per_thousand: Interval  # occurrences in a thousand responses
    by_temperature: tuple[tuple[float, int, float], ...]  # temperature, count, per thousand responses


@dataclass(frozen=True)
class ReflectionResult:
    """Reflection of one model."""

    pool: str
    responses: int
    detectors: tuple[DetectorRow, ...]  # all responses together
    by_temperature: tuple[DetectorRow, ...]
    by_template: tuple[DetectorRow, ...]
    keywords: tuple[KeywordRow, ...]  # most frequent first
    agreement: tuple[Concord, ...]
    screenings: tuple[Screening, ...]
    latent: LatentClasses


def detector_columns(facts: pl.DataFrame, pool: CuePool) -> dict[str, pl.Expr]:
    """Each detector's verdict on a response: null where it gave none."""
    keyword, judge = pl.col("cues") > 0, pl.col("judge_category") == REFLECTS
    further = {
        f"keywords {column.removeprefix('cues_').replace('_', '-')}": pl.col(column) > 0
        for column in facts.columns
        if column.startswith("cues_")
    }
    found = {f"keywords {pool.name}": keyword, **further}
    if facts["judge_category"].is_not_null().any():
        found |= {"judge": judge, "cross": pl.when(judge.is_not_null()).then(keyword & judge)}
    return found


def reflection(facts: pl.DataFrame, *, pool: CuePool = POOLS["extended"], seed: int = 0) -> ReflectionResult:
    """Of one model; `pool` is the one that facts were made with (their first)."""
    columns = detector_columns(facts, pool)
    rows = [row for name, verdict in columns.items() for row in [detector_row(facts, name, verdict)] if row.responses]
    return ReflectionResult(
        pool.name,
        facts.height,
        tuple(rows),
        tuple(_parts(facts, columns, "temperature")),
        tuple(_parts(facts, columns, "template")),
        tuple(_keywords(facts, pool, seed)),
        tuple(_agreement(facts, columns, seed)),
        tuple(_screenings(facts, columns)),
        _latent(facts, pool, seed),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Shares


def detector_row(
    facts: pl.DataFrame,
    name: str,
    verdict: pl.Expr,
    *,
    template: str | None = None,
    temperature: float | None = None,
) -> DetectorRow:
    """Shares of responses and of questions; where nothing was found the bounds are exact, and count questions."""
    problems = per_problem(facts, verdict)
    found, samples = problems["sum"].to_numpy(), problems["count"].to_numpy()
    fewest, most = (int(samples.min()), int(samples.max())) if samples.size else (0, 0)
    at = COMMON_N if most >= COMMON_N else max(fewest, 1)
    hits = int((found > 0).sum())
    return DetectorRow(
        name,
        template,
        temperature,
        int(samples.sum()),
        int(samples.size),
        int(found.sum()),
        hits,
        (fewest, most),
        share_of(problems),
        exact_interval(hits, int(samples.size)),
        at,
        any_of(found, samples, at),
    )


def _parts(facts: pl.DataFrame, columns: dict[str, pl.Expr], by: str) -> Iterator[DetectorRow]:
    """Every detector in each temperature or template, where there are at least two."""
    values = facts[by].drop_nulls().unique().sort().to_list()
    for value in values if len(values) > 1 else []:
        part = facts.filter(pl.col(by) == value)
        for name, verdict in columns.items():
            place = {"temperature": float(value)} if by == "temperature" else {"template": str(value)}
            row = detector_row(part, name, verdict, **place)
            if row.responses:
                yield row


def _keywords(facts: pl.DataFrame, pool: CuePool, seed: int) -> Iterator[KeywordRow]:
    known = facts.select(cluster(), "temperature", "keywords").drop_nulls("keywords")
    problems = known.group_by("cluster", maintain_order=True).len("size").with_row_index("place")
    sizes, heats = problems["size"].to_numpy().astype(float), known.group_by("temperature").len("size")
    occurrences = known.explode("keywords", empty_as_null=False, keep_nulls=False).rename({"keywords": "cue"})
    by_problem = occurrences.group_by("cluster", "cue").len().join(problems.select("cluster", "place"), on="cluster")
    by_heat = {(cue, heat): num for cue, heat, num in occurrences.group_by("cue", "temperature").len().iter_rows()}
    temperatures = [(heat, size) for heat, size in heats.drop_nulls().sort("temperature").iter_rows()]
    total = occurrences["cue"].value_counts().iter_rows()
    for cue, count in sorted(total, key=lambda row: (-row[1], row[0])):
        own = by_problem.filter(pl.col("cue") == cue)
        sums = np.bincount(own["place"], weights=own["len"], minlength=sizes.size)
        low, high = (
            bootstrap_bounds(sums, sizes, seed=seed, resamples=1000, level=0.95) if sizes.size > 1 else NO_BOUNDS
        )
        yield KeywordRow(
            pool.cues[cue] if cue < len(pool.cues) else f"cue {cue}",
            count,
            Interval(1000 * count / sizes.sum(), 1000 * low, 1000 * high),
            tuple(
                (heat, by_heat.get((cue, heat), 0), 1000 * by_heat.get((cue, heat), 0) / n) for heat, n in temperatures
            ),
        )


# ---------------------------------------------------------------------------------------------------------------------
# Agreement


def _agreement(facts: pl.DataFrame, columns: dict[str, pl.Expr], seed: int) -> Iterator[Concord]:
    """Every two detectors, but for the cross rule, which contains two of the others."""
    names = [name for name in columns if name != "cross"]
    known = facts.select(cluster(), *(verdict.alias(name) for name, verdict in columns.items()))
    for first, second in combinations(names, 2):
        pair = known.select("cluster", first, second).drop_nulls()
        if pair.height:
            clusters = pair["cluster"].rank("dense").to_numpy()
            yield concord(pair[first].to_numpy(), pair[second].to_numpy(), clusters, (first, second), seed=seed)


def _screenings(facts: pl.DataFrame, columns: dict[str, pl.Expr]) -> Iterator[Screening]:
    """Each detector against labels, which were drawn by the chosen pool's verdict."""
    if not facts["label_reflects"].is_not_null().any():
        return
    distinct = facts.unique("digest", maintain_order=True)  # what is labelled are distinct responses
    table = distinct.select(
        pl.col("label_reflects").alias("label"),
        (pl.col("cues").fill_null(0) > 0).alias("stratum"),
        *(verdict.alias(name) for name, verdict in columns.items()),
    )
    for name in columns:
        known = table.drop_nulls(name)
        if known.height:
            yield screening(name, known[name].to_numpy(), known["label"].to_numpy(), known["stratum"].to_numpy())


def _latent(facts: pl.DataFrame, pool: CuePool, seed: int) -> LatentClasses:
    """Prevalence from detectors that look at different things: words, a judge, and whether an answer is stated again.

    Other keyword pools look at the same words, and would not err independently.  The temperatures are the populations:
    with two detectors they identify the model, with three they test it.
    """
    detectors = {f"keywords {pool.name}": pl.col("cues") > 0}
    if facts["judge_category"].is_not_null().any():
        detectors["judge"] = pl.col("judge_category") == REFLECTS
    if facts["candidates"].is_not_null().any():
        detectors["answers stated twice"] = pl.col("candidates") > 1
    known = facts.select(
        cluster(), pl.col("temperature").cast(pl.String), *(verdict.alias(name) for name, verdict in detectors.items())
    ).drop_nulls(list(detectors))
    verdicts = known.select(*detectors).to_numpy()
    populations = known["temperature"].fill_null("unknown").to_numpy()
    clusters = known["cluster"].rank("dense").to_numpy()
    return latent_classes(
        list(detectors), np.asarray(verdicts, bool), populations_N=populations, clusters_N=clusters, seed=seed
    )
