"""What the runs of a study on pictures say together; see visual_result.py for the statistic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from r1zero.experiments.studies.design import Gathered, made_for
from r1zero.experiments.studies.estimate import CHANGE, LENGTH, SHARE, corrected, estimated, over_seeds, within
from r1zero.experiments.studies.visual_measures import BEHAVIOURS, TOTAL, MeasuredRun, value
from r1zero.experiments.studies.visual_result import (
    ACCURACY,
    BEHAVIOUR,
    START,
    SUBTASKS,
    ArmBehaviour,
    ArmRepetition,
    ArmSubtask,
    ArmThinking,
    Comparison,
    Difference,
    PictureStudy,
)
from r1zero.experiments.studies.visual_verdicts import verdicts
from r1zero.statistics.intervals import holm, t_test

Measured = Mapping[str, Sequence[MeasuredRun]]


def analyse(gathered: Gathered, measured: Measured, *, comparisons: Sequence[Comparison]) -> PictureStudy:
    """Tables by arm, the comparisons with their corrections, and a sentence for each."""
    kinds = _kinds(measured)
    differences = [
        _compared(measured, one, family, outcome)
        for family, outcomes in ((ACCURACY, [TOTAL]), (SUBTASKS, kinds[:-1]), (BEHAVIOUR, BEHAVIOURS))
        for one in comparisons
        for outcome in outcomes
    ]
    kept: tuple[Difference, ...] = tuple(one for one in differences if one.by_seed)
    for family in (ACCURACY, SUBTASKS, BEHAVIOUR):
        kept = corrected(kept, lambda one, family=family: one.family == family)  # type: ignore[misc]
    thinking = _thinking_of_arms(measured)
    repetition = tuple(_repetition(arm, runs) for arm, runs in measured.items() if runs[0].training.steps)
    study = gathered.study
    return PictureStudy(
        study.name,
        str(gathered.home),
        gathered.seeds,
        {arm: runs[0].run.planned_steps for arm, runs in measured.items()},
        _starts(gathered),
        verdicts(kept, thinking, repetition),
        tuple(_subtask(arm, kind, runs) for arm, runs in measured.items() for kind in kinds),
        kept,
        tuple(_behaviour(arm, what, runs) for arm, runs in measured.items() for what in BEHAVIOURS),
        thinking,
        repetition,
        (*gathered.notes, *_notes(gathered), *_left_out(kept, thinking, len(gathered.seeds))),
    )


def _kinds(measured: Measured) -> list[str]:
    """The sub-tasks that every run has, TOTAL last."""
    runs = [one for runs in measured.values() for one in runs]
    kinds = [kind for kind in runs[0].after if all(kind in one.after for one in runs)]
    return [kind for kind in kinds if kind != TOTAL] + [TOTAL]


def _compared(measured: Measured, comparison: Comparison, family: str, outcome: str) -> Difference:
    found = estimated(_difference(measured, comparison, outcome))
    if "tokens" not in outcome:
        found["interval"] = within(found["interval"], CHANGE)
    return Difference(comparison=comparison, family=family, outcome=outcome, **found)


def _difference(measured: Measured, comparison: Comparison, outcome: str) -> list[float]:
    """The arm at its end less the other arm at its end, or less itself at its start; one number a seed."""
    arms = measured[comparison.arm]
    if comparison.against == START:
        pairs = [(value(one, outcome, last=True), value(one, outcome, last=False)) for one in arms]
    else:
        others = measured[comparison.against]
        pairs = [
            (value(a, outcome, last=True), value(b, outcome, last=True)) for a, b in zip(arms, others, strict=True)
        ]
    return [a - b for a, b in pairs]


def _subtask(arm: str, kind: str, runs: Sequence[MeasuredRun]) -> ArmSubtask:
    before, after = ([value(one, kind, last=last) for one in runs] for last in (False, True))
    cells = [one.after[kind] for one in runs]
    chance, prior, blank, read = (
        over_seeds([getattr(cell, name) for cell in cells]).estimate for name in ("chance", "prior", "blank", "read")
    )
    ends = (over_seeds(before, SHARE), over_seeds(after, SHARE), over_seeds(np.subtract(after, before), CHANGE))
    return ArmSubtask(arm, kind, *ends, chance, prior, blank, read, tuple(after))


def _behaviour(arm: str, what: str, runs: Sequence[MeasuredRun]) -> ArmBehaviour:
    possible = LENGTH if "tokens" in what else SHARE
    first, last = (over_seeds([value(one, what, last=end) for one in runs], possible) for end in (False, True))
    return ArmBehaviour(arm, what, first, last)


def _thinking_of_arms(measured: Measured) -> tuple[ArmThinking, ...]:
    """Every arm's, with Holm's correction over the arms."""
    arms = [_thinking(arm, runs) for arm, runs in measured.items()]
    ps = holm([one.deleted_p for one in arms])
    return tuple(replace(one, deleted_p=p) for one, p in zip(arms, ps, strict=True))


def _thinking(arm: str, runs: Sequence[MeasuredRun]) -> ArmThinking:
    """Of one arm; its p is not yet corrected."""

    def by_seed(name: str) -> list[float]:
        return [getattr(one.thinking, name).estimate for one in runs]

    shares = {name: over_seeds(by_seed(name), SHARE) for name in ("without_thinking", "own", "deleted", "swapped")}
    less = {name: over_seeds(by_seed(name), CHANGE) for name in ("own_minus_deleted", "own_minus_swapped")}
    lost = [value for value in by_seed("own_minus_deleted") if math.isfinite(value)]
    return ArmThinking(arm, len(lost), **shares, **less, deleted_p=t_test(lost))


def _repetition(arm: str, runs: Sequence[MeasuredRun]) -> ArmRepetition:
    alarms = [one.training.alarm for one in runs]
    first, last = (over_seeds([getattr(alarm, end).estimate for alarm in alarms], SHARE) for end in ("first", "last"))
    sounded, looked = (
        sum(map(bool, each)) for each in zip(*((one.sounded, one.bar.known) for one in alarms), strict=True)
    )
    return ArmRepetition(arm, first, last, sounded, looked)


def _starts(gathered: Gathered) -> dict[str, str]:
    """What stands behind the name of each start: what was built into it, or the model that was given."""
    study, said = gathered.study, {}
    for name in study.starts:
        runs = [run for arm in study.arms if study.arms[arm].start == name for run in gathered.runs[arm]]
        made = all(made_for(run, name) for run in runs)
        said[name] = study.preparations[name].about if made else f"the model {runs[0].config['model.path']}"
    return said


def _notes(gathered: Gathered) -> list[str]:
    seeds = len(gathered.seeds)
    if seeds < 2:
        return ["one seed: no interval over seeds exists, so nothing here is a finding"]
    same = ["all seeds answer the same held-out questions: intervals are about training, not about other questions"]
    if seeds < 6:
        same.append(f"a sign-flip test over {seeds} seeds cannot fall below p = {2.0 ** (1 - seeds):.3g}")
    return same


def _left_out(differences: Sequence[Difference], thinking: Sequence[ArmThinking], seeds: int) -> list[str]:
    """What is about some of the seeds, since it is undefined in the others."""
    said = [
        f"{one.comparison.says}, {one.outcome}: defined in {len(one.by_seed)} of {seeds} seeds"
        for one in differences
        if len(one.by_seed) < seeds
    ]
    return said + [
        f"thinking of {one.arm}: in {one.seeds} of {seeds} seeds an answer has any before it, and only they are told of"
        for one in thinking
        if 0 < one.seeds < seeds
    ]
