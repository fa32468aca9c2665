"""What is measured of a run on pictures: its sub-tasks, its lengths, its curves, and what its thinking is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from r1zero.experiments.recorded import RecordedRun
from r1zero.experiments.studies.design import Gathered
from r1zero.experiments.studies.visual_curves import CURVES, OverTraining, over_training
from r1zero.experiments.studies.visual_thinking import Triviality, think_triviality
from r1zero.facts.think_span import think_span
from r1zero.statistics.intervals import Interval

TOTAL = "total"
RESPONSE_TOKENS, AT_ONCE = "held-out tokens", "held-out answers at once"
BEHAVIOURS = (RESPONSE_TOKENS, AT_ONCE, "think_tokens", "cue_share", "copied")  # the last three in training, of CURVES
TRIVIALITY_RESPONSES = 200  # of each final model, answered anew


@dataclass(frozen=True)
class SubtaskCell:
    """One sub-task, or `total`, at one evaluation.  Fractions; NaN where the run did not write it."""

    accuracy: Interval  # over problems
    problems: float  # held-out ones
    chance: float
    prior: float
    blank: float  # accuracy before pictures with nothing in them
    read: float  # share of responses that name exactly one choice


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


def subtask_accuracies(run: RecordedRun, step: int) -> dict[str, SubtaskCell]:
    """The sub-tasks at the evaluation of `step`, and `total`, by name; empty where the questions have none.

    Raises ValueError for a step at which nothing was evaluated.
    """
    row = next((row for row in run.rows if row["step"] == step), {})
    suite = next((name for name in run.suites if f"eval/{name}/accuracy" in row), None)
    if suite is None:
        evaluated = sorted({row["step"] for row in run.rows for name in run.suites if f"eval/{name}/accuracy" in row})
        raise ValueError(f"{run.dir} was not evaluated at step {step}, but at {', '.join(map(str, evaluated))}")
    prefix = f"eval/{suite}/"
    names = [key.removeprefix(f"{prefix}chance/") for key in row if key.startswith(f"{prefix}chance/")]
    return {
        name: SubtaskCell(
            Interval(*(row[f"{prefix}subtask/{name}{end}"] for end in ("", "_low", "_high"))),
            *(row.get(f"{prefix}{kind}/{name}", math.nan) for kind in ("problems", "chance", "prior", "blank", "read")),
        )
        for name in names
    }


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
