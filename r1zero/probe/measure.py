"""From subjects to findings: every section of a report, each from one analysis of one model's responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from r1zero.analysis.answering import answering
from r1zero.analysis.detectors import reflection
from r1zero.analysis.difficulty import difficulty
from r1zero.analysis.exploration import exploration
from r1zero.analysis.helping import helping
from r1zero.analysis.triviality import triviality
from r1zero.analysis.uncertainty import uncertainty
from r1zero.facts.cues import load_pool
from r1zero.probe.subject import Subject
from r1zero.reports.probe.answering import section as tell_answering
from r1zero.reports.probe.causal import section as tell_causal
from r1zero.reports.probe.difficulty import section as tell_difficulty
from r1zero.reports.probe.exploration import section as tell_exploration
from r1zero.reports.probe.helping import section as tell_helping
from r1zero.reports.probe.reflection import section as tell_reflection
from r1zero.reports.probe.triviality import section as tell_triviality
from r1zero.reports.probe.uncertainty import section as tell_uncertainty
from r1zero.reports.sections import Section

PROBLEMS = 400  # whose texts are compared


@dataclass(frozen=True)
class Question:
    """One section: how a subject is measured, and how the results of several are told."""

    measure: Callable[[Subject, int, str], Any]  # subject, seed, cue pool; None where the subject lacks what it needs
    tell: Callable[[Mapping[str, Any]], Section]


@dataclass(frozen=True)
class Findings:
    """What all sections found."""

    numbers: Mapping[str, Mapping[str, Any]]  # section -> model -> the analysis's own record
    sections: tuple[Section, ...]


QUESTIONS: dict[str, Question] = {
    "answering": Question(lambda one, seed, pool: answering(one.facts, seed=seed), tell_answering),
    "exploration": Question(lambda one, seed, pool: exploration(one.facts, seed=seed), tell_exploration),
    "reflection": Question(
        lambda one, seed, pool: reflection(one.facts, pool=load_pool(pool), seed=seed), tell_reflection
    ),
    "helping": Question(lambda one, seed, pool: helping(one.facts, seed=seed), tell_helping),
    "causal": Question(lambda one, seed, pool: one.causal, tell_causal),
    "difficulty": Question(lambda one, seed, pool: difficulty(one.facts, seed=seed), tell_difficulty),
    "uncertainty": Question(lambda one, seed, pool: uncertainty(one.facts, seed=seed), tell_uncertainty),
}


def measure(subjects: Sequence[Subject], *, seed: int, pool: str) -> Findings:
    """Every section on every subject; a section that no subject has anything for (the causal test) is left out."""
    numbers: dict[str, dict[str, Any]] = {}
    sections: list[Section] = []
    for key, question in QUESTIONS.items():
        results = {one.name: question.measure(one, seed, pool) for one in subjects}
        found = {name: result for name, result in results.items() if result is not None}
        if found:
            numbers[key] = found
            sections.append(question.tell(found))
    spans = {one.name: triviality(texts(one, seed), seed=seed) for one in subjects}
    thinking = {one.name: one.thinking for one in subjects if one.thinking is not None}
    numbers |= {"triviality": dict(spans)} | ({"thinking": dict(thinking)} if thinking else {})
    sections.append(tell_triviality(spans, thinking or None))
    return Findings(numbers, tuple(sections))


def texts(subject: Subject, seed: int) -> pl.DataFrame:
    """Responses of up to `PROBLEMS` problems, drawn at random: texts are many, and few tell what thinking shares."""
    problems = subject.facts["problem_id"].unique().sort()
    drawn = problems.sample(min(PROBLEMS, len(problems)), seed=seed)
    rows = subject.rollouts().select("task", "problem_id", "template", "response")
    return rows.filter(pl.col("problem_id").is_in(drawn.implode())).collect()
