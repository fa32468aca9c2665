"""What the runs of a study on pictures say together; see visual_result.py for the statistic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from r1zero.experiments.studies.design import Gathered, made_for
from r1zero.experiments.studies.estimate import corrected, estimated, over_seeds
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

Measured = Mapping[str, Sequence[MeasuredRun]]


def analyse(gathered: Gathered, measured: Measured, *, comparisons: Sequence[Comparison]) -> PictureStudy:
    """Tables by arm, the comparisons with their corrections, and a sentence for each."""
    kinds = _kinds(measured)
    differences = [
        Difference(comparison=one, family=family, outcome=outcome, **estimated(_difference(measured, one, outcome)))
        for family, outcomes in ((ACCURACY, [TOTAL]), (SUBTASKS, kinds[:-1]), (BEHAVIOUR, BEHAVIOURS))
        for one in comparisons
        for outcome in outcomes
    ]
    kept: tuple[Difference, ...] = tuple(one for one in differences if one.by_seed)
    for family in (ACCURACY, SUBTASKS, BEHAVIOUR):
        kept = corrected(kept, lambda one, family=family: one.family == family)  # type: ignore[misc]
    thinking = tuple(_thinking(arm, runs) for arm, runs in measured.items())
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
        (*gathered.notes, *_notes(gathered)),
    )


def _kinds(measured: Measured) -> list[str]:
    """The sub-tasks that every run has, TOTAL last."""
    runs = [one for runs in measured.values() for one in runs]
    kinds = [kind for kind in runs[0].after if all(kind in one.after for one in runs)]
    return [kind for kind in kinds if kind != TOTAL] + [TOTAL]


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
    ends = (over_seeds(before), over_seeds(after), over_seeds(np.subtract(after, before)))
    return ArmSubtask(arm, kind, *ends, chance, prior, blank, read, tuple(after))


def _behaviour(arm: str, what: str, runs: Sequence[MeasuredRun]) -> ArmBehaviour:
    first, last = (over_seeds([value(one, what, last=end) for one in runs]) for end in (False, True))
    return ArmBehaviour(arm, what, first, last)


def _thinking(arm: str, runs: Sequence[MeasuredRun]) -> ArmThinking:
    names = ("without_thinking", "own", "deleted", "swapped", "own_minus_deleted", "own_minus_swapped")
    return ArmThinking(arm, *(over_seeds([getattr(one.thinking, name).estimate for one in runs]) for name in names))


def _repetition(arm: str, runs: Sequence[MeasuredRun]) -> ArmRepetition:
    alarms = [one.training.alarm for one in runs]
    first, last = (over_seeds([getattr(alarm, end).estimate for alarm in alarms]) for end in ("first", "last"))
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
