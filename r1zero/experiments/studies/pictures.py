"""What the runs of a study on pictures show: sub-tasks, behaviour over training, and whether thinking matters.

The statistic, fixed before the runs: held-out accuracy of the final model, paired by seed (all runs answer the same
questions, those of a seed with the same random numbers), Student's t over seeds.  Three families of tests are each
corrected by Holm over a study's comparisons: accuracy in total; the sub-tasks; behaviour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from r1zero.experiments.recorded import RecordedRun
from r1zero.experiments.studies.design import Gathered
from r1zero.experiments.studies.estimate import Estimate
from r1zero.experiments.studies.visual_measures import (
    CURVES,
    OverTraining,
    SubtaskCell,
    Triviality,
    over_training,
    subtask_accuracies,
    think_triviality,
)
from r1zero.facts.think_span import think_span
from r1zero.statistics.intervals import Interval

TOTAL = "total"
START = ""  # in the place of an arm to compare with: the arm's own first evaluation
ACCURACY, SUBTASKS, BEHAVIOUR = "accuracy", "sub-tasks", "behaviour"  # the families
RESPONSE_TOKENS, AT_ONCE = "held-out tokens", "held-out answers at once"
BEHAVIOURS = (RESPONSE_TOKENS, AT_ONCE, "think_tokens", "cue_share", "copied")  # the last three in training, of CURVES
TRIVIALITY_RESPONSES = 200  # of each final model, answered anew


@dataclass(frozen=True)
class Comparison:
    """Two things whose difference answers a part of the question."""

    says: str  # how a sentence calls it
    arm: str
    against: str  # an arm, or START


@dataclass(frozen=True)
class MeasuredRun:
    """Everything the study needs to know of one run."""

    run: RecordedRun
    before: Mapping[str, SubtaskCell]  # by sub-task and TOTAL
    after: Mapping[str, SubtaskCell]
    tokens: tuple[float, float]  # of a held-out response, first and last evaluation
    at_once: tuple[float, float]  # share of them with nothing before the answer
    training: OverTraining
    thinking: Triviality


@dataclass(frozen=True)
class ArmSubtask:
    """One sub-task of an arm; fractions, means over seeds with Student's t intervals."""

    arm: str
    kind: str
    before: Interval
    after: Interval
    change: Interval
    chance: float
    prior: float
    blank: float  # of the final model before pictures with nothing in them
    read: float  # of its responses, those that name exactly one choice
    by_seed: tuple[float, ...]  # accuracy of the final models


@dataclass(frozen=True)
class ArmBehaviour:
    """One of BEHAVIOURS in an arm; means over seeds."""

    arm: str
    what: str
    first: Interval
    last: Interval


@dataclass(frozen=True)
class ArmThinking:
    """What becomes of an arm's right answers when the thinking before them is deleted or another question's."""

    arm: str
    without_thinking: Interval  # share of held-out responses with nothing before the answer
    own: Interval  # accuracy, of the others
    deleted: Interval
    swapped: Interval
    own_minus_deleted: Interval
    own_minus_swapped: Interval


@dataclass(frozen=True)
class ArmRepetition:
    """Responses that repeat themselves beyond the bar of the run's own first ones."""

    arm: str
    first: Interval  # share, first steps
    last: Interval
    sounded: int  # seeds in which the alarm sounded
    seeds: int  # in which it was looked for


@dataclass(frozen=True, kw_only=True)
class Difference(Estimate):
    """One comparison in one outcome."""

    comparison: Comparison
    family: str
    outcome: str  # a sub-task, TOTAL, or one of BEHAVIOURS


@dataclass(frozen=True)
class PictureStudy:
    """What a study on pictures found."""

    study: str
    home: str
    seeds: tuple[int, ...]
    steps: Mapping[str, int]  # by arm
    starts: Mapping[str, str]  # models that arms begin from -> what is built into them
    verdicts: tuple[str, ...]
    subtasks: tuple[ArmSubtask, ...]
    differences: tuple[Difference, ...]
    behaviour: tuple[ArmBehaviour, ...]
    thinking: tuple[ArmThinking, ...]
    repetition: tuple[ArmRepetition, ...]
    notes: tuple[str, ...]

    def subtask(self, arm: str, kind: str) -> ArmSubtask:
        return next(one for one in self.subtasks if (one.arm, one.kind) == (arm, kind))


# ---------------------------------------------------------------------------------------------------------------------
# Runs


def measure(gathered: Gathered) -> dict[str, list[MeasuredRun]]:
    """The runs of every arm, in the order of seeds.  Final models answer anew what their thinking is deleted from."""
    return {arm: [measure_run(run) for run in runs] for arm, runs in gathered.runs.items()}


def measure_run(run: RecordedRun) -> MeasuredRun:
    """Raises ValueError for a run without held-out evaluation or without its final model."""
    suite = run.suites[0] if run.suites else ""
    steps, lengths = run.series(f"eval/{suite}/tokens_mean")
    if not steps:
        raise ValueError(f"{run.dir} was never evaluated: set evaluation.num_problems to at least 1")
    return MeasuredRun(
        run,
        _cells(run, suite, steps[0]),
        _cells(run, suite, steps[-1]),
        (lengths[0], lengths[-1]),
        (_at_once(run, suite, steps[0]), _at_once(run, suite, steps[-1])),
        over_training(run),
        think_triviality(run, TRIVIALITY_RESPONSES),
    )


def _cells(run: RecordedRun, suite: str, step: int) -> Mapping[str, SubtaskCell]:
    """The sub-tasks at an evaluation, or the accuracy alone where the questions have none."""
    cells = subtask_accuracies(run, step)
    if cells:
        return cells
    row = next(row for row in run.rows if row["step"] == step)
    accuracy = Interval(*(row[f"eval/{suite}/accuracy{end}"] for end in ("", "_low", "_high")))
    return {TOTAL: SubtaskCell(accuracy, *[math.nan] * 5)}


def _at_once(run: RecordedRun, suite: str, step: int) -> float:
    """Share of an evaluation's responses with nothing before the answer; NaN where they were not kept."""
    if step not in run.evaluation_steps(suite):
        return math.nan
    responses = run.evaluation(suite, step)["response"]
    return sum(not think_span(text or "") for text in responses) / len(responses) if len(responses) else math.nan


def value(one: MeasuredRun, outcome: str, *, last: bool) -> float:
    """An outcome of a run at its end or at its start; behaviour in training is NaN where nothing was trained."""
    if outcome == RESPONSE_TOKENS:
        return one.tokens[last]
    if outcome == AT_ONCE:
        return one.at_once[last]
    if outcome in CURVES:
        return one.training.window(outcome, last=last) if one.training.steps else math.nan
    return (one.after if last else one.before)[outcome].accuracy.estimate
