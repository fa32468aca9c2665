"""Stored responses to facts: what polars can read off all rows at once, and what is read off each text."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from r1zero.facts.columns import FACT_POOLS, digest, fact_schema, pool_column, text_digest
from r1zero.facts.cue_filter import find_all_cues
from r1zero.facts.cues import CuePool, Span
from r1zero.facts.profile import features_of
from r1zero.facts.trajectory import TRANSITIONS, Trajectory, trajectory
from r1zero.facts.trying import answers
from r1zero.grading import task_of
from r1zero.records import OUTCOMES, Grade
from r1zero.statistics.votes import RIGHT, ballots

MOST_COUNTED = 32_767  # what Int16 holds
COLUMNS = (
    "run", "step", "checkpoint", "task", "problem_id", "sample", "template", "temperature", "problem", "gold",
    "response", "logprobs", "num_tokens", "finish_reason", "correct", "formatted", "extracted", "level",
)  # fmt: skip  # of a stored row: what facts are made of


def response_facts(
    rollouts: pl.DataFrame,
    *,
    source: str = "",
    pools: Sequence[CuePool] = FACT_POOLS,
    reads_texts: bool = True,
) -> pl.DataFrame:
    """The facts of some stored rollouts, in order; `source` names the model where neither checkpoint nor run does.

    Without `reads_texts` whatever is found in the text of a response is null: for rows on which that broke off.
    """
    schema = fact_schema(pools)
    columns = [*_stored(rollouts, source), *features_of(rollouts["logprobs"]).get_columns()]
    if reads_texts:
        columns += _read(rollouts, pools)
    facts = pl.DataFrame(columns)
    absent = [pl.lit(None, kind).alias(name) for name, kind in schema.items() if name not in facts.columns]
    return facts.with_columns(absent).select(schema.names()).cast(schema)


# ---------------------------------------------------------------------------------------------------------------------
# What the row says


def _stored(rollouts: pl.DataFrame, source: str) -> list[pl.Series]:
    said = [pl.when(pl.col(name).str.len_bytes() > 0).then(pl.col(name)) for name in ("checkpoint", "run")]
    truncated = pl.col("finish_reason") == "length"
    stored = rollouts.select(
        pl.coalesce(*said, pl.lit(source or "unnamed")).alias("model"),
        "run", "step", "task", "template", "temperature", "problem_id", "sample", "level", "correct", "formatted",
        truncated.alias("truncated"),
        _outcome(truncated).cast(pl.Enum(OUTCOMES)).alias("outcome"),
        "num_tokens",
        pl.col("response").str.len_chars().alias("num_chars"),
    )  # fmt: skip
    texts = zip(rollouts["problem"].fill_null(""), rollouts["response"].fill_null(""), strict=True)
    digests = pl.Series("digest", [digest(problem, response) for problem, response in texts], pl.UInt64)
    answers = pl.Series("answer", votes(rollouts["extracted"].to_list(), rollouts["correct"].to_list()), pl.UInt64)
    return [*stored.get_columns(), digests, answers]


def _outcome(truncated: pl.Expr) -> pl.Expr:
    """By the rule of `records.outcome`; a wrong answer of which nobody says whether it had the form is just wrong."""
    return (
        pl.when(pl.col("correct").is_null())
        .then(None)
        .when(pl.col("correct"))
        .then(pl.lit("correct"))
        .when(truncated)
        .then(pl.lit("truncated"))
        .when(pl.col("formatted").fill_null(True))
        .then(pl.lit("wrong"))
        .otherwise(pl.lit("unformatted"))
    )


def votes(answers: Sequence[str | None], correct: Sequence[bool | None]) -> list[int | None]:
    """What each response votes for, by `votes.ballots`, as a number: 0 for all that are right, None for no answer.

    >>> votes(["4", "$3$", "3 ", None], [True, False, None, False])[0::3], len(set(votes(["$3$", "3 "], [False, None])))
    ([0, None], 1)
    """
    cast = ballots(answers, [bool(right) for right in correct])
    return [0 if vote is RIGHT else text_digest(vote) if isinstance(vote, str) else None for vote in cast]


# ---------------------------------------------------------------------------------------------------------------------
# What the text says


def _read(rollouts: pl.DataFrame, pools: Sequence[CuePool]) -> list[pl.Series]:
    responses = rollouts["response"].fill_null("")
    chosen = find_all_cues(responses, pools[0])
    columns = _cue_columns(chosen, pools[0])
    columns += [_counts(pool_column(pool), find_all_cues(responses, pool)) for pool in pools[1:]]
    columns += [_answered(rollouts), *_trajectory_columns(rollouts, chosen)]
    unread = rollouts["response"].is_null()
    return [column.set(unread, None) if unread.any() else column for column in columns]


def _cue_columns(found: Sequence[Sequence[Span]], pool: CuePool) -> list[pl.Series]:
    places = {cue: place for place, cue in reversed(list(enumerate(pool.cues)))}
    return [
        _counts("cues", found),
        pl.Series("first_cue", [spans[0].start if spans else None for spans in found], pl.Int32),
        pl.Series("keywords", [[places[span.cue] for span in spans] for spans in found], pl.List(pl.Int16)),
    ]


def _counts(name: str, found: Sequence[Sequence[Span]]) -> pl.Series:
    return pl.Series(name, [len(spans) for spans in found], pl.Int32)


def _answered(rollouts: pl.DataFrame) -> pl.Series:
    rows = rollouts.select("problem", "response", "formatted", "extracted", "finish_reason").iter_rows()
    tried = [
        answers(problem or "", response or "", formatted=bool(formatted or extracted), finish_reason=finish)
        for problem, response, formatted, extracted, finish in rows
    ]
    return pl.Series("answered", tried, pl.Boolean)


def _trajectory_columns(rollouts: pl.DataFrame, found: Sequence[Sequence[Span]]) -> list[pl.Series]:
    rows = rollouts.select("response", "gold", "task", "correct", "formatted", "extracted").iter_rows()
    ways = [row_trajectory(*row, cues=spans) for row, spans in zip(rows, found, strict=True)]
    return [
        pl.Series("candidates", [min(way.candidates, MOST_COUNTED) for way in ways], pl.Int16),
        pl.Series("transition", [way.transition for way in ways], pl.Enum(TRANSITIONS)),
        pl.Series("first_answer_end", [way.first_answer_end for way in ways], pl.Int32),
    ]


def row_trajectory(
    response: str | None,
    gold: str | None,
    task: str | None,
    correct: bool | None,
    formatted: bool | None,
    extracted: str | None,
    *,
    cues: Sequence[Span],
) -> Trajectory:
    """The way from the first answer to the graded one; its transition is None where the row does not tell.

    That is without a gold, or with one that no answer can be graded against; without a grade; and for a wrong answer of
    which neither the text nor the form is stored.
    """
    told = correct or (correct is False and (extracted is not None or formatted is not None))
    grade = Grade(bool(correct), formatted is not False, extracted, "")
    task = task or task_of(gold or "")
    try:
        return trajectory(response or "", gold if told else None, task, grade, cues)
    except ValueError:  # the gold is at fault
        return trajectory(response or "", None, task, grade, cues)
