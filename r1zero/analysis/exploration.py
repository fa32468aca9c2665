"""Exploration: what sampling more, or hotter, finds.  "Temperature buys coverage, not correctness", measured.

P problems, n responses each.  All is counted from each problem's `Tally`; problems are the units of chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from r1zero.statistics.best_setting import Choice, choose
from r1zero.statistics.calibration import Calibration, calibration
from r1zero.statistics.intervals import (
    NOTHING,
    Interval,
    PairedDifference,
    accuracy_interval,
    mean_interval,
    paired_difference,
    share_interval,
)
from r1zero.statistics.tally import Tally, agreement, distinct_at, entropy, largest_share, majority_at, solved_at

METRICS = ("pass@1", "pass@k", "maj@k")
MOST = 1024  # k is no larger


@dataclass(frozen=True)
class AtK:
    """What k responses a problem would hold; problems with fewer than k are left out."""

    k: int
    num_problems: int
    solved: Interval  # pass@k
    majority: Interval  # maj@k
    distinct: Interval  # different answers


@dataclass(frozen=True)
class Cell:
    """One template at one temperature."""

    template: str
    temperature: float  # NaN where unknown
    num_problems: int
    num_responses: int  # with a known grade
    num_ungraded: int
    accuracy: Interval  # pass@1: mean over problems of the share right, avg@n
    at: tuple[AtK, ...]  # k = 1, 2, 4, ... up to what at least half of the problems have
    agreement: Interval  # chance that two responses to a problem give the same answer
    largest: Interval  # share of the commonest answer
    entropy: Interval  # nats, of the answers given
    num_tied: int  # problems without one commonest answer: not in `calibration`
    calibration: Calibration  # does the share of the commonest answer say whether it is right

    @property
    def largest_k(self) -> AtK | None:
        return self.at[-1] if self.at else None


@dataclass(frozen=True)
class BestTemperature:
    """Which temperature is best for a metric, under one template, on the problems asked at all of them."""

    template: str
    metric: str  # of METRICS
    k: int
    temperatures: tuple[float, ...]
    means: tuple[float, ...]
    choice: Choice
    heat: PairedDifference  # highest temperature minus lowest

    @property
    def best(self) -> float:
        return self.temperatures[self.choice.best]

    @property
    def runner_up(self) -> float:
        return self.temperatures[self.choice.runner_up]


@dataclass(frozen=True)
class ExplorationResult:
    """Every cell, and where a template was asked at several temperatures, which was best for what."""

    cells: tuple[Cell, ...]
    best: tuple[BestTemperature, ...]

    @property
    def templates(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cell.template for cell in self.cells))

    def of(self, template: str) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.cells if cell.template == template)


def exploration(facts: pl.DataFrame, *, seed: int = 0) -> ExplorationResult:
    """Accuracy, coverage, votes, diversity and calibration by template and temperature, of one model's facts."""
    tallied = tallies(facts)
    ungraded = {
        (template, temperature): count
        for template, temperature, count in facts.group_by("template", "temperature")
        .agg(pl.col("correct").null_count())
        .iter_rows()
    }
    cells = []
    for (template, temperature), own in sorted(tallied.items(), key=lambda item: _order(*item[0])):
        cells.append(_cell(template, temperature, list(own.values()), ungraded.get((template, temperature), 0), seed))
    return ExplorationResult(tuple(cells), tuple(_best(tallied, seed)))


Problem = tuple[str | None, str | None]  # task, id
Setting = tuple[str | None, float | None]  # template, temperature


def tallies(facts: pl.DataFrame) -> dict[Setting, dict[Problem, Tally]]:
    """Each problem's graded responses, counted by answer, for each template and temperature."""
    vote = pl.when(pl.col("correct")).then(pl.lit(0, pl.UInt64)).otherwise(pl.col("answer"))
    by = ["template", "temperature", "task", "problem_id"]
    counted = (
        facts.lazy()
        .filter(pl.col("correct").is_not_null())
        .group_by(*by, vote.alias("vote"))
        .agg(pl.len().alias("count"))
        .group_by(by)
        .agg(
            pl.col("count").filter(pl.col("vote") == 0).sum().alias("right"),
            pl.col("count").filter(pl.col("vote") != 0).sort(descending=True).alias("wrong"),
            pl.col("count").filter(pl.col("vote").is_null()).sum().alias("none"),
        )
        .sort(by)
        .collect()
    )
    found: dict[Setting, dict[Problem, Tally]] = {}
    for template, temperature, task, problem, right, wrong, none in counted.iter_rows():
        found.setdefault((template, temperature), {})[task, problem] = Tally(right, tuple(wrong), none)
    return found


def _order(template: str | None, temperature: float | None) -> tuple[str, float]:
    return template or "", -1.0 if temperature is None else temperature


def _cell(template: str | None, temperature: float | None, own: Sequence[Tally], ungraded: int, seed: int) -> Cell:
    sizes = np.array([tally.n for tally in own])
    shares = np.array([largest_share(tally) for tally in own])
    voted = knows_answers(own)
    single = np.array([_has_single(tally) for tally in own]) & (sizes > 1) & voted
    won = np.array([majority_at(tally, tally.n) for tally in own])
    return Cell(
        template=template or "",
        temperature=math.nan if temperature is None else temperature,
        num_problems=len(own),
        num_responses=int(sizes.sum()),
        num_ungraded=ungraded,
        accuracy=accuracy_interval([tally.right for tally in own], sizes),
        at=tuple(_at(own, k, voted) for k in powers_of_two(sizes)),
        agreement=share_interval(_each(own, agreement), sizes) if voted else NOTHING,
        largest=share_interval(shares[sizes > 1], sizes[sizes > 1]) if voted else NOTHING,
        entropy=_mean(_each(own, entropy)) if voted else NOTHING,
        num_tied=int(((sizes > 1) & ~single).sum()) if voted else 0,
        calibration=calibration(shares[single], won[single], seed=seed),
    )


def _at(own: Sequence[Tally], k: int, voted: bool) -> AtK:
    sizes = np.array([tally.n for tally in own])
    return AtK(
        k,
        int((sizes >= k).sum()),
        share_interval(_each(own, lambda tally: solved_at(tally, k)), sizes),
        share_interval(_each(own, lambda tally: majority_at(tally, k)), sizes) if voted else NOTHING,
        _mean(_each(own, lambda tally: distinct_at(tally, k))) if voted else NOTHING,
    )


def knows_answers(own: Sequence[Tally]) -> bool:
    """Whether wrong answers were read at all: where none was, votes cannot be counted (imported grades, say)."""
    return any(tally.wrong for tally in own) or all(tally.right == tally.n for tally in own)


def powers_of_two(sizes: np.ndarray) -> list[int]:
    """1, 2, 4, ... and the number of responses that at least half of the problems have.

    >>> powers_of_two(np.array([6, 6, 6, 2])), powers_of_two(np.array([1, 1, 8]))
    ([1, 2, 4, 6], [1])
    """
    if sizes.size == 0:
        return []
    most = min(MOST, int(np.sort(sizes)[::-1][(sizes.size - 1) // 2]))
    return sorted({2**i for i in range(most.bit_length()) if 2**i <= most} | {most})


def _each(own: Sequence[Tally], measure: Callable[[Tally], float]) -> np.ndarray:
    """The measure of each problem, computed once for equal tallies.  [P]"""
    known: dict[Tally, float] = {}
    for tally in own:
        if tally not in known:
            known[tally] = measure(tally)
    return np.array([known[tally] for tally in own])


def _has_single(tally: Tally) -> bool:
    """Whether one answer is the commonest."""
    most = max(tally.answers, default=0)
    return most > 0 and tally.answers.count(most) == 1


def _mean(values: np.ndarray) -> Interval:
    return mean_interval(values[np.isfinite(values)])


# ---------------------------------------------------------------------------------------------------------------------
# The best temperature


def _best(tallied: Mapping[Setting, Mapping[Problem, Tally]], seed: int) -> list[BestTemperature]:
    found = []
    for template in sorted({template for template, _ in tallied}, key=str):
        own = sorted(
            (temperature, of)
            for (name, temperature), of in tallied.items()
            if name == template and temperature is not None
        )
        if len(own) < 2:
            continue
        shared = sorted(set.intersection(*(set(of) for _, of in own)), key=str)
        columns = [[of[problem] for problem in shared] for _, of in own]
        temperatures = tuple(temperature for temperature, _ in own)
        for metric in METRICS:
            one = _best_for(template or "", metric, temperatures, columns, seed)
            if one:
                found.append(one)
    return found


def _best_for(
    template: str, metric: str, temperatures: tuple[float, ...], columns: Sequence[Sequence[Tally]], seed: int
) -> BestTemperature | None:
    if not columns[0]:
        return None
    fewest = np.min([[tally.n for tally in column] for column in columns], axis=0)
    k = 1 if metric == "pass@1" else powers_of_two(fewest)[-1]
    if metric == "maj@k" and not all(map(knows_answers, columns)):
        return None
    if metric == "maj@k":
        values = [_each(column, lambda tally: majority_at(tally, k)) for column in columns]
    else:
        values = [_each(column, lambda tally: solved_at(tally, k)) for column in columns]
    values_PT = np.stack(values, axis=1)
    values_PT = values_PT[np.isfinite(values_PT).all(axis=1)]
    choice = choose(values_PT, seed=seed)
    if choice is None:
        return None
    heat = paired_difference(values_PT[:, 0], values_PT[:, -1], seed=seed)
    means = tuple(float(mean) for mean in values_PT.mean(axis=0))
    return BestTemperature(template, metric, k, temperatures, means, choice, heat)
