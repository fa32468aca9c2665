"""Is one run better than another?  Paired over the same held-out problems, and over seeds where there are several.

Runs whose configs differ only in the seed are one arm.  With one seed an arm the interval is over problems: it says
what another draw of problems would do, not what another training run would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from r1zero.experiments.ablation import check_ablation, not_an_ablation, settings_that_differ
from r1zero.experiments.arms import Arm, check_comparable, config_differences, group_arms, paired_runs
from r1zero.experiments.differences import ArmDifference, compare_arms, compare_shares
from r1zero.experiments.equal_reward import EqualReward, equal_reward
from r1zero.experiments.measures import Measured, measure
from r1zero.experiments.recorded import RecordedRun, accuracy, load_run
from r1zero.experiments.update_sizes import APPLIED, UpdateSize, update_sizes
from r1zero.statistics.intervals import Interval, mean_interval, t_test
from r1zero.store import jsonable


@dataclass(frozen=True)
class ArmResult:
    """One arm on one suite: over problems where it has one seed, over seeds where it has several."""

    arm: str
    runs: tuple[str, ...]
    seeds: tuple[int | None, ...]
    first_step: int
    first: Interval  # held-out accuracy
    last: Interval
    gain: Interval  # last minus first, on the same problems
    gain_p: float
    tokens_first: float  # tokens per response
    tokens_last: float


@dataclass(frozen=True)
class SuiteComparison:
    suite: str
    step: int  # the last evaluation that every run has
    num_problems: int
    results: tuple[ArmResult, ...]
    differences: tuple[ArmDifference, ...]  # every other arm against the first


@dataclass(frozen=True)
class Comparison:
    suites: tuple[SuiteComparison, ...]
    equal_reward: EqualReward | None
    update_sizes: tuple[UpdateSize, ...]
    config_differences: Mapping[str, Mapping[str, Any]]  # knob -> arm -> value
    settings_that_differ: Mapping[str, Mapping[str, Any]]  # the same, objectives resolved to their factors
    ablation: str | None  # the one setting that differs, where that was asked for
    notes: tuple[str, ...]


def compare(run_dirs: Sequence[str | Path], *, ablation: str | None = None) -> Comparison:
    """Compare runs, the first being the baseline; a directory of runs stands for all of them.

    `ablation` names the one setting in which arms may differ.  Raises ValueError saying why where they are not
    comparable, or not that ablation.
    """
    runs = [load_run(path) for run_dir in run_dirs for path in runs_in(Path(run_dir))]
    check_comparable(runs)
    arms, notes = group_arms(runs)
    if ablation:
        check_ablation(arms, ablation)
    suites = [suite for suite in runs[0].suites if all(suite in run.suites for run in runs)]
    if not suites:
        raise ValueError(f"no suite was evaluated in all of {', '.join(run.name for run in runs)}")
    compared = tuple(_compare_suite(suite, arms) for suite in suites)
    differences = config_differences(arms)
    rewards_agree = not any(key.startswith("reward.") for key in differences)
    if not rewards_agree:
        notes.append("rewards are defined differently, so tokens at equal reward are left out")
    equal = equal_reward(arms) if rewards_agree and len(arms) > 1 else None
    sizes = update_sizes(arms)
    notes += not_an_ablation(arms) + _notes(runs, arms, compared) + _warnings(sizes)
    settings = settings_that_differ(arms)
    return Comparison(compared, equal, sizes, differences, settings, ablation, tuple(notes))


def runs_in(directory: Path) -> list[Path]:
    """The directory itself, or the runs in it where it is none: what `r1zero train --seeds N --run.dir DIR` wrote."""
    inside = sorted(path.parent for path in directory.glob("*/config.json"))
    return inside if inside and not (directory / "config.json").exists() else [directory]


# ---------------------------------------------------------------------------------------------------------------------
# One suite


def _compare_suite(suite: str, arms: Sequence[Arm]) -> SuiteComparison:
    runs = [run for arm in arms for run in arm.runs]
    shared = set.intersection(*(set(run.evaluation_steps(suite)) for run in runs))
    if not shared:
        raise ValueError(f"the runs share no evaluated step on {suite}: {_steps_of(runs, suite)}")
    step = max(shared)
    measured = {run.dir: measure(run.evaluation(suite, step), run.name) for run in runs}
    greedy = all(run.settings.get("evaluation.temperature") == 0 for run in runs)
    results = tuple(_arm_result(suite, step, arm, measured) for arm in arms)
    differences = tuple(compare_arms(arms[0], arm, measured, greedy=greedy) for arm in arms[1:])
    return SuiteComparison(suite, step, len(measured[runs[0].dir].problems), results, differences)


def _steps_of(runs: Sequence[RecordedRun], suite: str) -> str:
    return "; ".join(f"{run.name} has {', '.join(map(str, run.evaluation_steps(suite)))}" for run in runs)


def _arm_result(suite: str, step: int, arm: Arm, measured: Mapping[Path, Measured]) -> ArmResult:
    firsts = [run.evaluation_steps(suite)[0] for run in arm.runs]
    before = [run.evaluation(suite, first) for run, first in zip(arm.runs, firsts, strict=True)]
    after = [run.evaluation(suite, step) for run in arm.runs]
    tokens = [np.mean([frame["num_tokens"].mean() for frame in frames]) for frames in (before, after)]
    if len(arm.runs) == 1:
        gain = compare_shares(measure(before[0], arm.runs[0].name), measured[arm.runs[0].dir])
        first, last, change, p_value = accuracy(before[0]), accuracy(after[0]), gain.interval, gain.p_value
    else:
        starts = [accuracy(frame).estimate for frame in before]
        ends = [accuracy(frame).estimate for frame in after]
        gains = [end - start for start, end in zip(starts, ends, strict=True)]
        first, last, change = mean_interval(starts), mean_interval(ends), mean_interval(gains)
        p_value = t_test(gains)
    names, seeds = tuple(run.name for run in arm.runs), tuple(run.seed for run in arm.runs)
    return ArmResult(
        arm.label, names, seeds, firsts[0], first, last, change, p_value, float(tokens[0]), float(tokens[1])
    )


# ---------------------------------------------------------------------------------------------------------------------
# What a reader must know beside the numbers


def _notes(runs: Sequence[RecordedRun], arms: Sequence[Arm], suites: Sequence[SuiteComparison]) -> list[str]:
    notes = []
    if any(len(arm.runs) == 1 for arm in arms):
        notes.append(
            "single-seed: intervals are over held-out problems, not over training runs; another seed may differ by more"
        )
    paired = [difference.num_seeds for suite in suites for difference in suite.differences]
    if paired and min(paired) < max(len(arm.runs) for arm in arms):
        notes.append("seeds that only one of two arms has count in its own row, not in their difference")
    if len(arms) == 1:
        notes.append("the runs differ only in their seed, so there is one arm and nothing to set it against")
    for suite in suites:
        later = [run.name for run in runs if run.last_step > suite.step]
        if later:
            notes.append(
                f"{suite.suite} is compared at step {suite.step}, the last all share; {', '.join(later)} went on"
            )
    unfinished = [run.name for run in runs if run.last_step < run.planned_steps]
    if unfinished:
        notes.append(f"not finished: {', '.join(unfinished)}")
    for suite in suites:
        for arm in arms[1:]:
            apart = [b.name for a, b in paired_runs(arms[0], arm) if not _starts_alike(a, b, suite.suite)]
            if apart:
                notes.append(f"{', '.join(apart)} started elsewhere: the initial model answered differently at step 0")
    for what in ("commit", "versions"):
        if len({repr(run.saved.get(what)) for run in runs}) > 1:
            notes.append(f"the runs were made with different {'commits' if what == 'commit' else 'package versions'}")
    return notes


def _starts_alike(a: RecordedRun, b: RecordedRun, suite: str) -> bool:
    """Whether the initial models gave the same answers; True where seed, prompt or engine let them differ."""
    may_differ = any(a.config.get(key) != b.config.get(key) for key in ("seed", "template.name", "engine.name"))
    if may_differ or not (0 in a.evaluation_steps(suite) and 0 in b.evaluation_steps(suite)):
        return True
    answers = [run.evaluation(suite, 0).select("problem_id", "sample", "response") for run in (a, b)]
    return answers[0].equals(answers[1])


def _warnings(sizes: Sequence[UpdateSize]) -> list[str]:
    """A sentence for each arm whose weights move clearly further or less far a step than the first one's."""
    return [
        f"{size.other} moves the weights {size.ratio:.2f} times as far a step as {size.baseline}: clipping and Adam do "
        "not hide the objectives' scales here, so the arms differ in step size, too; try one with another learner.lr"
        for size in sizes
        if size.metric == APPLIED and size.differs
    ]


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain values, for JSON; undefined numbers are null."""
    return jsonable(comparison)
