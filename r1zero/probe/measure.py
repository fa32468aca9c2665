"""From subjects to findings: every section of a report, each from one analysis of one model's responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from r1zero.probe.verdicts import Judged
from r1zero.reports.probe.answering import section as tell_answering
from r1zero.reports.probe.causal import section as tell_causal
from r1zero.reports.probe.difficulty import section as tell_difficulty
from r1zero.reports.probe.exploration import section as tell_exploration
from r1zero.reports.probe.helping import section as tell_helping
from r1zero.reports.probe.judging import notes as tell_judged
from r1zero.reports.probe.reflection import section as tell_reflection
from r1zero.reports.probe.triviality import section as tell_triviality
from r1zero.reports.probe.uncertainty import section as tell_uncertainty
from r1zero.reports.sections import Section

PROBLEMS = 400  # whose texts are compared, at most
TEXTS = 40_000  # of theirs, about; more would not fit into memory everywhere


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
            section, told = question.tell(found), _judged(subjects, key)
            sections.append(replace(section, notes=(*section.notes, *tell_judged(told))) if told else section)
    spans = {one.name: triviality(texts(one, seed), seed=seed) for one in subjects}
    thinking = {one.name: one.thinking for one in subjects if one.thinking is not None}
    numbers |= {"triviality": dict(spans)} | ({"thinking": dict(thinking)} if thinking else {})
    if asked := {one.name: one.judged for one in subjects if one.judged}:
        numbers["judge"] = asked
    sections.append(tell_triviality(spans, thinking or None))
    return Findings(numbers, tuple(sections))


def _judged(subjects: Sequence[Subject], key: str) -> dict[str, Judged]:
    """What became of the questions to a judge that belong to a section, by model."""
    return {one.name: one.judged[key] for one in subjects if one.judged and key in one.judged}


def texts(subject: Subject, seed: int) -> pl.DataFrame:
    """Responses of up to `PROBLEMS` problems, drawn at random: texts are many, and few tell what thinking shares."""
    problems = subject.facts["problem_id"].unique().sort()
    most = max(2, TEXTS * len(problems) // max(1, subject.facts.height))  # so many have about TEXTS responses
    drawn = problems.sample(min(PROBLEMS, most, len(problems)), seed=seed)
    rows = subject.rollouts().select("task", "problem_id", "template", "response")
    return rows.filter(pl.col("problem_id").is_in(drawn.implode())).collect()
