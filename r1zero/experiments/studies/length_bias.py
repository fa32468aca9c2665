"""Does dividing by the length make wrong answers longer, and does dividing by the standard deviation?

GRPO with and without each of the two divisions that Dr. GRPO (arXiv:2503.20783) takes out, over seeds.  The statistic
was fixed before the runs: main effects and interaction on the lengths of right and of wrong answers, paired by seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from r1zero.experiments.recorded import RecordedRun
from r1zero.experiments.studies.design import Arm, Gathered, Study
from r1zero.experiments.studies.estimate import over_seeds
from r1zero.experiments.studies.factorial import Cell, Effect, clause, contrasts, effect, tokens, with_holm
from r1zero.experiments.studies.lengths import (
    ANSWERS,
    SMOOTHING,
    StepLengths,
    equal_accuracy_steps,
    held_out_lengths,
    step_lengths,
    windows,
)
from r1zero.experiments.studies.prediction import Prediction, predict
from r1zero.statistics.intervals import Interval, mean_interval

CELLS: dict[str, Cell] = {  # arm -> divides by length, divides by std
    "grpo": (True, True),
    "grpo_no_std": (True, False),
    "grpo_no_length": (False, True),
    "dr_grpo": (False, False),
}
FACTORS = ("division by length", "division by the std", "interaction")
WHERE = ("training", "held-out", "equal accuracy")
PLACES = dict(zip(WHERE, ("in training", "on held-out problems", "at equal training accuracy"), strict=True))
NEGLIGIBLE = 0.25  # of GRPO's push on wrong answers: less, or not clearly there, is called none
FAMILY = ("training", "held-out")  # Holm's correction is over these; equal accuracy is a check


@dataclass(frozen=True)
class MeasuredRun:
    """Everything the study needs to know of one run."""

    run: RecordedRun
    lengths: StepLengths
    held_out: Mapping[str, tuple[float, float]]  # first and last evaluation
    prediction: Prediction


@dataclass(frozen=True)
class ArmLengths:
    """One arm's lengths, in tokens; intervals are Student's t over seeds."""

    arm: str
    answers: str
    first: Interval  # training, first window
    last: Interval
    change: Interval
    held_out_first: Interval
    held_out_last: Interval
    held_out_change: Interval
    equal_accuracy: Interval  # training, where all arms of the seed had reached the same accuracy
    drift: Interval  # predicted, relative to GRPO's on wrong answers


@dataclass(frozen=True)
class Diagnostic:
    """A quantity that may hide an effect, or stand in for one: an interval an arm."""

    name: str
    unit: str
    by_arm: Mapping[str, Interval]


@dataclass(frozen=True)
class LengthBias:
    """What the study found."""

    study: str
    home: str
    seeds: tuple[int, ...]
    steps: int
    first_steps: int  # in the windows of a change
    last_steps: int
    verdicts: tuple[str, ...]
    expectation: str  # what theory expects, and whether it was seen
    arms: tuple[ArmLengths, ...]
    effects: tuple[Effect, ...]
    predicted: tuple[Effect, ...]  # the same contrasts of the predicted drift, in units of GRPO's on wrong answers
    gap: Mapping[str, Interval]  # by arm, per 1000 tokens
    diagnostics: tuple[Diagnostic, ...]
    notes: tuple[str, ...]


def measure(gathered: Gathered) -> dict[str, list[MeasuredRun]]:
    """The runs of every arm, in the order of seeds.  Reads metrics.jsonl and rollouts, nothing else."""
    return {arm: [_measure_run(run) for run in runs] for arm, runs in gathered.runs.items()}


def _measure_run(run: RecordedRun) -> MeasuredRun:
    lengths = step_lengths(run)
    first, _ = windows(lengths.steps_T.size)
    return MeasuredRun(run, lengths, held_out_lengths(run), predict(run, first.stop))


def analyse(gathered: Gathered, measured: Mapping[str, Sequence[MeasuredRun]]) -> LengthBias:
    """Lengths by arm, effects of the factors, predictions and diagnostics."""
    steps = min(one.lengths.steps_T.size for runs in measured.values() for one in runs)
    levels, reached = _equal_accuracy(measured)
    values = _outcomes(measured, reached)
    effects = with_holm(
        [
            effect(factor, answers, where, by_seed)
            for where in WHERE
            for answers in ANSWERS
            for factor, by_seed in zip(FACTORS, contrasts(_cells(values[where, answers])), strict=True)
        ],
        FAMILY,
    )
    drifts = _relative_drifts(measured)
    predicted = [
        effect(factor, answers, "predicted", by_seed)
        for answers in ANSWERS
        for factor, by_seed in zip(FACTORS, contrasts(_cells(drifts[answers])), strict=True)
    ]
    first, last = windows(steps)
    return LengthBias(
        gathered.study.name,
        str(gathered.home),
        gathered.seeds,
        steps,
        first.stop - first.start,
        last.stop - last.start,
        verdicts(effects),
        expectation(effects, predicted),
        tuple(_arm_lengths(arm, answers, measured[arm], values, drifts) for answers in ANSWERS for arm in measured),
        effects,
        tuple(predicted),
        {arm: mean_interval([one.prediction.gap for one in runs]) for arm, runs in measured.items()},
        diagnostics(measured, levels),
        (*gathered.notes, *_notes(gathered, measured, effects, steps)),
    )


def verdicts(effects: Sequence[Effect]) -> tuple[str, ...]:
    """A sentence for each factor and each place where lengths were measured."""
    sentences = []
    for where in FAMILY:
        for factor in FACTORS[:2]:
            said = {one.answers: clause(one) for one in effects if (one.factor, one.where) == (factor, where)}
            place = PLACES[where]
            sentences.append(f"{factor.capitalize()}, {place}: {said['wrong']}; {said['right']}.")
    return tuple(sentences)


def expectation(effects: Sequence[Effect], predicted: Sequence[Effect]) -> str:
    """What the arms' own first rollouts make theory expect of the lengths, and whether it was seen, in each place."""
    said = []
    for factor in FACTORS[:2]:
        for answers in reversed(ANSWERS):
            expected = next(one for one in predicted if (one.factor, one.answers) == (factor, answers)).interval
            if not math.isfinite(expected.estimate):
                continue
            unclear = expected.low <= 0 <= expected.high or abs(expected.estimate) < NEGLIGIBLE
            sign = 0 if unclear else 1 if expected.estimate > 0 else -1
            moves = ("as long", "longer", "shorter")[sign]
            places = {where: outcome(_the_effect(effects, factor, answers, where), sign) for where in FAMILY}
            apart = len(set(places.values())) > 1
            seen = ", ".join(f"{PLACES[where]} {how}" for where, how in places.items()) if apart else places[FAMILY[0]]
            said.append(f"with {factor} {answers} answers {moves} (push {tokens(expected.estimate)}: {seen})")
    return f"Theory expects, in units of GRPO's push on wrong answers: {'; '.join(said)}." if said else ""


def outcome(seen: Effect, sign: int) -> str:
    """Whether an effect came out with the sign that was expected of it; 0 expects none."""
    if not sign:
        return "something else was seen" if seen.found else "nothing else was seen"
    agrees = (seen.interval.estimate > 0) == (sign > 0)
    if seen.found:
        return "borne out" if agrees else "contradicted"
    return "not seen" + (" though of that sign" if agrees and seen.hinted else "")


def _the_effect(effects: Sequence[Effect], factor: str, answers: str, where: str) -> Effect:
    return next(one for one in effects if (one.factor, one.answers, one.where) == (factor, answers, where))


# ---------------------------------------------------------------------------------------------------------------------
# Lengths


def _cells(by_arm: Mapping[str, np.ndarray]) -> dict[Cell, np.ndarray]:
    return {cell: by_arm[arm] for arm, cell in CELLS.items()}


def _equal_accuracy(measured: Mapping[str, Sequence[MeasuredRun]]) -> tuple[list[float], dict[str, list[int]]]:
    """For each seed the accuracy that all arms reach, and the index of the step where each arm first does."""
    seeds = [dict(zip(measured, runs, strict=True)) for runs in zip(*measured.values(), strict=True)]
    found = [equal_accuracy_steps({arm: one.lengths for arm, one in runs.items()}) for runs in seeds]
    return [level for level, _ in found], {arm: [steps[arm] for _, steps in found] for arm in measured}


def _outcomes(
    measured: Mapping[str, Sequence[MeasuredRun]], reached: Mapping[str, Sequence[int]]
) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """(where, answers) -> arm -> one number of tokens a seed: changes, and lengths at equal accuracy."""

    def change(one: MeasuredRun, answers: str) -> float:
        first, last = one.held_out[answers]
        return last - first

    values: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for answers in ANSWERS:
        for arm, runs in measured.items():
            values.setdefault(("training", answers), {})[arm] = np.array([one.lengths.change(answers) for one in runs])
            values.setdefault(("held-out", answers), {})[arm] = np.array([change(one, answers) for one in runs])
            values.setdefault(("equal accuracy", answers), {})[arm] = np.array(
                [
                    one.lengths.mean(answers, slice(max(0, step + 1 - SMOOTHING), step + 1))
                    for one, step in zip(runs, reached[arm], strict=True)
                ]
            )
    return values


def _relative_drifts(measured: Mapping[str, Sequence[MeasuredRun]]) -> dict[str, dict[str, np.ndarray]]:
    """answers -> arm -> predicted drift a seed, in units of GRPO's mean predicted drift on wrong answers."""
    unit = float(np.mean([abs(one.prediction.drift["wrong"]) for one in measured["grpo"]]))
    unit = unit if unit > 0 else math.nan
    return {
        answers: {
            arm: np.array([one.prediction.drift[answers] for one in runs]) / unit for arm, runs in measured.items()
        }
        for answers in ANSWERS
    }


def _arm_lengths(
    arm: str,
    answers: str,
    runs: Sequence[MeasuredRun],
    values: Mapping[tuple[str, str], Mapping[str, np.ndarray]],
    drifts: Mapping[str, Mapping[str, np.ndarray]],
) -> ArmLengths:
    first, last = windows(min(one.lengths.steps_T.size for one in runs))
    return ArmLengths(
        arm,
        answers,
        over_seeds([one.lengths.mean(answers, first) for one in runs]),
        over_seeds([one.lengths.mean(answers, last) for one in runs]),
        over_seeds(values["training", answers][arm]),
        over_seeds([one.held_out[answers][0] for one in runs]),
        over_seeds([one.held_out[answers][1] for one in runs]),
        over_seeds(values["held-out", answers][arm]),
        over_seeds(values["equal accuracy", answers][arm]),
        over_seeds(drifts[answers][arm]),
    )


# ---------------------------------------------------------------------------------------------------------------------
# What may hide an effect


def diagnostics(measured: Mapping[str, Sequence[MeasuredRun]], levels: Sequence[float] = ()) -> tuple[Diagnostic, ...]:
    """Groups that teach, responses cut, clipping, sizes of updates, accuracy: by arm, over seeds."""

    def metric(
        name: str, window: Callable[[int], slice] = lambda size: slice(0, size)
    ) -> Callable[[MeasuredRun], float]:
        def mean(one: MeasuredRun) -> float:
            values = [v for v in one.run.series(name)[1] if math.isfinite(v)]
            return float(np.mean(values[window(len(values))])) if values else math.nan

        return mean

    def first(size: int) -> slice:
        return windows(size)[0]

    def last(size: int) -> slice:
        return windows(size)[1]

    def mixed(window: Callable[[int], slice]) -> Callable[[MeasuredRun], float]:
        return lambda one: 1 - metric("group/degenerate_share", window)(one)

    def clipped(one: MeasuredRun) -> float:
        limit = one.run.config.get("learner.max_grad_norm") or math.inf
        norms = [v for v in one.run.series("grad/norm")[1] if math.isfinite(v)]
        return float(np.mean([norm > limit for norm in norms])) if norms else math.nan

    def accuracy(end: int) -> Callable[[MeasuredRun], float]:
        def value(one: MeasuredRun) -> float:
            series = [one.run.series(f"eval/{suite}/accuracy")[1] for suite in one.run.suites]
            return float(np.mean([values[end] for values in series])) if series else math.nan

        return value

    rows: list[tuple[str, str, Callable[[MeasuredRun], float]]] = [
        ("groups with right and wrong answers, first steps", "fraction", mixed(first)),
        ("groups with right and wrong answers, last steps", "fraction", mixed(last)),
        ("truncated responses, first steps", "fraction", metric("outcome/truncated/share", first)),
        ("truncated responses, last steps", "fraction", metric("outcome/truncated/share", last)),
        ("tokens whose gradient the ratio clip removed", "fraction", metric("policy/clip_share")),
        ("gradient norm before clipping", "norm", metric("grad/norm")),
        ("steps whose gradient was clipped", "fraction", clipped),
        ("gradient norm after clipping", "norm", metric("grad/norm_clipped")),
        ("norm of the weights' change in a step", "norm", metric("grad/update_norm")),
        ("training accuracy, first steps", "fraction", metric("outcome/correct/share", first)),
        ("training accuracy, last steps", "fraction", metric("outcome/correct/share", last)),
        ("held-out accuracy, first", "fraction", accuracy(0)),
        ("held-out accuracy, last", "fraction", accuracy(-1)),
    ]
    table = [
        Diagnostic(name, unit, {arm: over_seeds([value(one) for one in runs]) for arm, runs in measured.items()})
        for name, unit, value in rows
    ]
    if levels:
        level = over_seeds(levels)
        table.append(Diagnostic("training accuracy at equal accuracy", "fraction", dict.fromkeys(measured, level)))
    return tuple(row for row in table if any(math.isfinite(one.estimate) for one in row.by_arm.values()))


def _notes(
    gathered: Gathered, measured: Mapping[str, Sequence[MeasuredRun]], effects: Sequence[Effect], steps: int
) -> list[str]:
    seeds = len(gathered.seeds)
    notes = []
    if seeds < 2:
        notes.append("one seed: no interval over seeds exists, so nothing here is a finding")
    elif seeds < 6:
        notes.append(f"a sign-flip test over {seeds} seeds cannot fall below p = {2.0 ** (1 - seeds):.3g}")
    undefined = {(one.where, one.answers) for one in effects if len(one.by_seed) < seeds}
    for where, answers in sorted(undefined):
        notes.append(f"{where}: some arm of some seed had no {answers} answers, so that seed is left out there")
    first, last = windows(steps)
    if steps < 20:
        notes.append(f"only {steps} steps: a change is the last {last.stop - last.start} less the first {first.stop}")
    rewards = {value for run in gathered.all_runs for key, value in run.config.items() if key == "reward.wrong_answer"}
    if rewards - {0.0, None}:
        notes.append("answers that are wrong earn something, so right and wrong are not the only rewards of a group")
    return notes


LENGTH_BIAS = Study(
    name="length-bias",
    question="which of GRPO's two divisions moves the lengths of right and wrong answers",
    recipe="length_bias",
    arms={arm: Arm({"objective.name": arm}) for arm in CELLS},
    fixed=("objective.name", "objective.normalizer", "objective.divide_by_std"),
    measure=measure,
    analyse=analyse,
)
