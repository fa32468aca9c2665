"""Is the thinking about its question, or the same whatever is asked?

Texts alone: how much of a response's thinking it shares with the thinking about other questions, beside how much it
shares with other thinking about the same one; what compression saves; and how much of it repeats itself.  Whether the
answer needs the thinking is asked of the model: r1zero.probe.thinking.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from r1zero.analysis.similarity import (
    compressed_share,
    jaccard,
    joint_share,
    ngrams,
    pair_mean,
    repeated_share,
    without_numbers,
)
from r1zero.facts.think_span import think_span
from r1zero.statistics.intervals import (
    NOTHING,
    Interval,
    PairedDifference,
    accuracy_interval,
    cluster_interval,
    mean_interval,
    paired_difference,
)

QUESTIONS = 150  # looked at, drawn at random
RESPONSES = 4  # to each of them
ALARM = 0.5  # more than half of the n-grams stood there before
TOGETHER = 8  # thinking of so many questions is compressed as one


@dataclass(frozen=True)
class Similarity:
    """Shared 3-grams (Jaccard) of two pieces of thinking."""

    across: Interval  # about different questions
    within: Interval  # about the same question
    excess: PairedDifference  # within - across, by question


@dataclass(frozen=True)
class ThinkingTexts:
    """The thinking of one template's responses."""

    template: str
    num_questions: int
    num_responses: int
    none: Interval  # share of responses whose answer comes at once
    characters: Interval  # of thinking, where there is any
    similar: Similarity
    wording: Similarity  # with every number as 0
    compressed: Interval  # bytes after over before, each by itself
    joint: Interval  # bytes compressed with other questions' thinking, over apart
    repeated: Interval  # share of 3-grams that stood before in the same thinking
    alarm: Interval  # share of responses above `ALARM`


@dataclass(frozen=True)
class TrivialityResult:
    """What the texts say, by template."""

    templates: tuple[ThinkingTexts, ...]


def triviality(rollouts: pl.DataFrame, *, seed: int = 0) -> TrivialityResult:
    """Compare the thinking of stored rollouts (columns task, problem_id, template, response) of one model.

    A sample is looked at: at most `QUESTIONS` questions a template, `RESPONSES` responses each.
    """
    known = rollouts.filter(pl.col("response").is_not_null())
    found = []
    for template in sorted(known["template"].unique().to_list(), key=str):
        own = known.filter(pl.col("template").eq_missing(pl.lit(template, pl.String)))
        found.append(_texts(template or "", sample(own, seed), seed))
    return TrivialityResult(tuple(found))


def sample(rollouts: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """Responses of some questions: `task`, `problem_id`, `response`; the same whatever the order of the rows."""
    keys = ["task", "problem_id"]
    mixed = (
        rollouts.select(*keys, "response").sort(*keys, "response").sample(fraction=1.0, shuffle=True, seed=seed)
        if rollouts.height
        else rollouts.select(*keys, "response")
    )
    questions = mixed.select(keys).unique(maintain_order=True).head(QUESTIONS)
    kept = mixed.join(questions, on=keys, how="semi", nulls_equal=True, maintain_order="left")
    return kept.filter(pl.int_range(pl.len()).over(keys) < RESPONSES)


def _texts(template: str, sampled: pl.DataFrame, seed: int) -> ThinkingTexts:
    spans = [think_span(response) for response in sampled["response"]]
    questions = sampled.select(pl.struct("task", "problem_id").rank("dense")).to_series().to_numpy().astype(np.int64)
    empty = np.array([not span for span in spans], bool)
    thought = [span for span in spans if span]
    question = questions[~empty]
    repeats = np.array([repeated_share(span) for span in thought])
    return ThinkingTexts(
        template=template,
        num_questions=int(np.unique(questions).size),
        num_responses=len(spans),
        none=_share(empty, questions),
        characters=cluster_interval([len(span) for span in thought], question, seed=seed),
        similar=similarity(thought, question, seed=seed),
        wording=similarity([without_numbers(span) for span in thought], question, seed=seed),
        compressed=cluster_interval([compressed_share(span) for span in thought], question, seed=seed),
        joint=_joint(thought, question),
        repeated=cluster_interval(repeats, question, seed=seed),
        alarm=_share(repeats[np.isfinite(repeats)] > ALARM, question[np.isfinite(repeats)]),
    )


def _share(hits: np.ndarray, questions: np.ndarray) -> Interval:
    if not hits.size:
        return NOTHING
    _, index = np.unique(questions, return_inverse=True)
    return accuracy_interval(np.bincount(index, weights=hits.astype(float)), np.bincount(index))


def similarity(texts: list[str], questions: np.ndarray, *, seed: int = 0) -> Similarity:
    """Mean Jaccard similarity of 3-grams across and within questions.  Texts shorter than three words are left out."""
    long = np.array([bool(ngrams(text)) for text in texts], bool)
    kept, question = [text for text, is_long in zip(texts, long, strict=True) if is_long], questions[long]
    values_NN = jaccard(kept)
    same_NN = question[:, None] == question[None, :]
    across, within = (pair_mean(values_NN, chosen, question) for chosen in (~same_NN, same_NN))
    return Similarity(across, within, _excess(values_NN, same_NN, question, seed))


def _excess(values_NN: np.ndarray, same_NN: np.ndarray, question: np.ndarray, seed: int) -> PairedDifference:
    """For each question with two pieces of thinking: their similarity, minus theirs to those about others."""
    own, other = [], []
    for q in np.unique(question):
        rows = question == q
        if rows.sum() > 1 and not rows.all():
            block = values_NN[np.ix_(rows, rows)]
            own.append((block.sum() - np.trace(block)) / (rows.sum() * (rows.sum() - 1)))
            other.append(values_NN[np.ix_(rows, ~rows)].mean())
    return paired_difference(other, own, seed=seed)


def _joint(texts: list[str], questions: np.ndarray) -> Interval:
    """Mean over groups of `TOGETHER` questions, the first thinking about each, of `joint_share`."""
    _, first = np.unique(questions, return_index=True)
    chosen = [texts[i] for i in first]
    groups = [chosen[i : i + TOGETHER] for i in range(0, len(chosen) - TOGETHER + 1, TOGETHER)]
    return mean_interval([joint_share(group) for group in groups])
