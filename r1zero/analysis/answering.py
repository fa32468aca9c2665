"""Does a base model answer at all, and under which template?  Shares by rule and judge; labels screen both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from r1zero.analysis.clustered import cluster, per_problem, share
from r1zero.analysis.template_choice import TemplateChoice, choose_template
from r1zero.facts.trying import answers
from r1zero.statistics.intervals import Interval
from r1zero.statistics.kappa import Concord, concord
from r1zero.statistics.screening import Screening, screening

__all__ = ["AnsweringResult", "AnsweringRow", "answering", "answers"]

OBSERVERS = {"rule": "answered", "judge": "judge_answers"}  # name -> column
# a parseable answer, and an end of its own accord; null where either is unknown
ENDED = pl.when(pl.col("truncated").is_not_null() & pl.col("formatted").is_not_null()).then(
    pl.col("formatted") & ~pl.col("truncated")
)
MEASURES = {"tries to answer": pl.col("answered"), "format and end": ENDED, "pass@1": pl.col("correct")}


@dataclass(frozen=True)
class AnsweringRow:
    """One template at one temperature, or at all together (None)."""

    template: str
    temperature: float | None
    responses: int
    problems: int
    rule: Interval  # tries to answer, by the rules of `attempt.answers`
    judge: Interval
    format_and_end: Interval
    correct: Interval
    empty: Interval  # nothing but an immediate end


@dataclass(frozen=True)
class AnsweringResult:
    """Shares of responses that try to answer."""

    responses: int
    templates: tuple[AnsweringRow, ...]  # the most answering first
    cells: tuple[AnsweringRow, ...]  # by temperature, where there are several
    agreement: Concord | None  # of rule and judge; None where no judge was asked
    screenings: tuple[Screening, ...]  # rule and judge against labels
    choices: tuple[TemplateChoice, ...]  # by each measure


def answering(facts: pl.DataFrame, *, seed: int = 0) -> AnsweringResult:
    """Of one model: how often it tries to answer, by whom that is said, and what choosing a template is worth."""
    facts = facts.with_columns(pl.col("template").fill_null("unknown"))
    rows = [_row(part, str(name), None) for (name,), part in facts.group_by("template", maintain_order=True)]
    temperatures = facts["temperature"].drop_nulls().unique().to_list()
    cells = [
        _row(part, str(name), temperature)
        for (name, temperature), part in facts.group_by("template", "temperature", maintain_order=True)
        if len(temperatures) > 1
    ]
    rows.sort(key=lambda row: (-row.rule.estimate if row.rule.estimate == row.rule.estimate else 1, row.template))
    cells.sort(key=lambda row: (row.template, row.temperature if row.temperature is not None else -1.0))
    return AnsweringResult(
        facts.height,
        tuple(rows),
        tuple(cells),
        _agreement(facts, seed),
        tuple(_screenings(facts)),
        tuple(_choices(facts, seed)),
    )


def _row(facts: pl.DataFrame, template: str, temperature: float | None) -> AnsweringRow:
    return AnsweringRow(
        template,
        temperature,
        responses=facts.height,
        problems=facts.select(cluster().n_unique()).item(),
        rule=share(facts, pl.col("answered")),
        judge=share(facts, pl.col("judge_answers")),
        format_and_end=share(facts, ENDED),
        correct=share(facts, pl.col("correct")),
        empty=share(facts, pl.col("num_chars") == 0),
    )


def _agreement(facts: pl.DataFrame, seed: int) -> Concord | None:
    known = facts.select(cluster(), "answered", "judge_answers").drop_nulls()
    if not known.height:
        return None
    rule, judge = known["answered"].to_numpy(), known["judge_answers"].to_numpy()
    clusters = known["cluster"].rank("dense").to_numpy()
    return concord(rule, judge, clusters, ("rule", "judge"), seed=seed)


def _screenings(facts: pl.DataFrame) -> list[Screening]:
    """Rule and judge against labels that were drawn by the rule's verdict."""
    if not facts["label_answers"].is_not_null().any():
        return []
    distinct = facts.unique("digest", maintain_order=True)  # what is labelled are distinct responses
    found = []
    for name, column in OBSERVERS.items():
        known = distinct.drop_nulls(column)
        if known.height:
            flagged, strata = known[column].to_numpy(), known["answered"].fill_null(False).to_numpy()
            found.append(screening(name, flagged, known["label_answers"].to_numpy(), strata))
    return found


def _choices(facts: pl.DataFrame, seed: int) -> list[TemplateChoice]:
    """The best template by each measure, over problems that were asked under all of them."""
    names = facts["template"].unique(maintain_order=True).to_list()
    found = []
    for measure, verdict in MEASURES.items():
        shares, samples = _by_template(facts, names, verdict)
        if shares.size and (choice := choose_template(measure, names, shares, samples, seed=seed)):
            found.append(choice)
    return found


def _by_template(facts: pl.DataFrame, names: list[str], verdict: pl.Expr) -> tuple[np.ndarray, np.ndarray]:
    """Each problem's share under each template, NaN where unknown, and of how many responses.  -> [P, K] twice"""
    asked = facts.drop_nulls("problem_id")
    tables = [
        per_problem(asked.filter(pl.col("template") == name), verdict).select(
            "cluster", (pl.col("sum") / pl.col("count")).alias(f"share {k}"), pl.col("count").alias(f"count {k}")
        )
        for k, name in enumerate(names)
    ]
    if not tables:
        return np.empty((0, 0)), np.empty((0, 0))
    joined = tables[0]
    for table in tables[1:]:
        joined = joined.join(table, on="cluster", how="inner", maintain_order="left")
    columns = [[joined[f"{kind} {k}"].to_numpy() for k in range(len(names))] for kind in ("share", "count")]
    return np.stack(columns[0], axis=1), np.stack(columns[1], axis=1)
