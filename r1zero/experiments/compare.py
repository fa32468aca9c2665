"""Is one run better than another?  Paired over the same held-out problems, and over seeds where there are several.

Runs whose configs differ only in the seed are one arm.  With one seed an arm the interval is over problems: it says
what another draw of problems would do, not what another training run would.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from r1zero.analysis.statistics import Interval, mean_interval, paired_difference, short, show_p, sign_flip_test
from r1zero.experiments.arms import Arm, check_comparable, config_differences, group_arms, paired_runs
from r1zero.experiments.recorded import RecordedRun, accuracy, load_run, problem_shares
from r1zero.store import jsonable

SMOOTHING = 5  # steps in the running mean of training curves


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
class ArmDifference:
    """Held-out accuracy of `other` minus that of `baseline`."""

    baseline: str
    other: str
    interval: Interval
    p_value: float
    num_seeds: int  # pairs of runs; 1 means that the interval is over problems
    better: int  # problems (one seed) or seeds (several) where `other` is ahead
    worse: int
    tied: int
    method: str


@dataclass(frozen=True)
class SuiteComparison:
    suite: str
    step: int  # the last evaluation that every run has
    num_problems: int
    results: tuple[ArmResult, ...]
    differences: tuple[ArmDifference, ...]  # every other arm against the first


@dataclass(frozen=True)
class EqualReward:
    """When each arm's training reward (running mean) first reached a level all reach, and its length then."""

    level: float
    steps: Mapping[str, int]
    tokens: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    suites: tuple[SuiteComparison, ...]
    equal_reward: EqualReward | None
    config_differences: Mapping[str, Mapping[str, Any]]  # knob -> arm -> value
    notes: tuple[str, ...]


def compare(run_dirs: Sequence[str | Path]) -> Comparison:
    """Compare runs, the first being the baseline.  Raises ValueError saying why where they are not comparable."""
    runs = [load_run(run_dir) for run_dir in run_dirs]
    check_comparable(runs)
    arms, notes = group_arms(runs)
    suites = [suite for suite in runs[0].suites if all(suite in run.suites for run in runs)]
    if not suites:
        raise ValueError(f"no suite was evaluated in all of {', '.join(run.name for run in runs)}")
    compared = tuple(_compare_suite(suite, arms) for suite in suites)
    differences = config_differences(arms)
    rewards_agree = not any(key.startswith("reward.") for key in differences)
    if not rewards_agree:
        notes.append("rewards are defined differently, so tokens at equal reward are left out")
    equal = equal_reward(arms) if rewards_agree and len(arms) > 1 else None
    return Comparison(compared, equal, differences, tuple(notes + _notes(runs, arms, compared)))


# ---------------------------------------------------------------------------------------------------------------------
# Held-out accuracy


def _compare_suite(suite: str, arms: Sequence[Arm]) -> SuiteComparison:
    runs = [run for arm in arms for run in arm.runs]
    shared = set.intersection(*(set(run.evaluation_steps(suite)) for run in runs))
    if not shared:
        raise ValueError(f"the runs share no evaluated step on {suite}: {_steps_of(runs, suite)}")
    step = max(shared)
    results = tuple(_arm_result(suite, step, arm) for arm in arms)
    differences = tuple(_arm_difference(suite, step, arms[0], arm) for arm in arms[1:])
    return SuiteComparison(suite, step, len(problem_shares(runs[0].evaluation(suite, step))), results, differences)


def _steps_of(runs: Sequence[RecordedRun], suite: str) -> str:
    return "; ".join(f"{run.name} has {', '.join(map(str, run.evaluation_steps(suite)))}" for run in runs)


def _arm_result(suite: str, step: int, arm: Arm) -> ArmResult:
    firsts = [run.evaluation_steps(suite)[0] for run in arm.runs]
    before = [run.evaluation(suite, first) for run, first in zip(arm.runs, firsts, strict=True)]
    after = [run.evaluation(suite, step) for run in arm.runs]
    tokens = [np.mean([frame["num_tokens"].mean() for frame in frames]) for frames in (before, after)]
    if len(arm.runs) == 1:
        gain = paired_difference(*_aligned(before[0], after[0], arm.runs[0].name, arm.runs[0].name))
        first, last, change, p_value = accuracy(before[0]), accuracy(after[0]), gain.interval, gain.p_value
    else:
        starts = [accuracy(frame).estimate for frame in before]
        ends = [accuracy(frame).estimate for frame in after]
        gains = [end - start for start, end in zip(starts, ends, strict=True)]
        first, last, change = mean_interval(starts), mean_interval(ends), mean_interval(gains)
        p_value = sign_flip_test(gains)
    names, seeds = tuple(run.name for run in arm.runs), tuple(run.seed for run in arm.runs)
    return ArmResult(
        arm.label, names, seeds, firsts[0], first, last, change, p_value, float(tokens[0]), float(tokens[1])
    )


def _arm_difference(suite: str, step: int, baseline: Arm, other: Arm) -> ArmDifference:
    pairs = paired_runs(baseline, other)
    frames = [(a.evaluation(suite, step), b.evaluation(suite, step), a.name, b.name) for a, b in pairs]
    shares = [_aligned(*frame) for frame in frames]  # also refuses pairs with different problems
    if len(pairs) == 1:
        pair = paired_difference(*shares[0])
        counts = (pair.wins, pair.losses, pair.ties)
        return ArmDifference(baseline.label, other.label, pair.interval, pair.p_value, 1, *counts, pair.method)
    gaps = [float(np.mean(b) - np.mean(a)) for a, b in shares]
    better, worse = sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps)
    method = f"Student's t over {len(gaps)} seeds, sign-flip test"
    counts = (better, worse, len(gaps) - better - worse)
    return ArmDifference(
        baseline.label, other.label, mean_interval(gaps), sign_flip_test(gaps), len(gaps), *counts, method
    )


def _aligned(before: Any, after: Any, name_a: str, name_b: str) -> tuple[list[float], list[float]]:
    """Each problem's share of correct responses on both sides.  Raises ValueError where the problems differ."""
    a, b = problem_shares(before), problem_shares(after)
    if a.keys() != b.keys():
        raise ValueError(
            f"{name_a} and {name_b} were evaluated on different held-out problems ({len(a.keys() & b.keys())} in "
            f"common of {len(a)} and {len(b)}): compare runs of the same seed, or give both the same evaluation.path"
        )
    return [a[key][0] / a[key][1] for key in a], [b[key][0] / b[key][1] for key in a]


# ---------------------------------------------------------------------------------------------------------------------
# Training curves


def equal_reward(arms: Sequence[Arm]) -> EqualReward | None:
    """Tokens per response when the running mean of training reward first reaches the best level that all arms reach."""
    curves = {arm.label: (_smooth_mean(arm, "reward/mean"), _smooth_mean(arm, "response/tokens_mean")) for arm in arms}
    if any(reward.size == 0 or tokens.size != reward.size for reward, tokens in curves.values()):
        return None
    level = min(float(reward.max()) for reward, _ in curves.values())
    reached = {label: int(np.argmax(reward >= level)) for label, (reward, _) in curves.items()}
    tokens = {label: float(curves[label][1][index]) for label, index in reached.items()}
    return EqualReward(level, {label: index + 1 for label, index in reached.items()}, tokens)


def _smooth_mean(arm: Arm, name: str) -> np.ndarray:
    """The metric's mean over the arm's seeds, then over the last SMOOTHING steps; as long as the shortest run."""
    rows = [[value for value in run.series(name)[1] if math.isfinite(value)] for run in arm.runs]
    length = min(map(len, rows))
    mean = np.mean([row[:length] for row in rows], axis=0) if length else np.empty(0)
    return np.array([mean[max(0, i + 1 - SMOOTHING) : i + 1].mean() for i in range(length)])


def _notes(runs: Sequence[RecordedRun], arms: Sequence[Arm], suites: Sequence[SuiteComparison]) -> list[str]:
    notes = []
    if any(len(arm.runs) == 1 for arm in arms):
        notes.append(
            "single-seed: intervals are over held-out problems, not over training runs; another seed may differ by more"
        )
    paired = [difference.num_seeds for suite in suites for difference in suite.differences]
    if paired and min(paired) < max(len(arm.runs) for arm in arms):
        notes.append("seeds that only one of two arms has count in its own row, not in their difference")
    seeds = min((count for count in paired if count > 1), default=0)
    if 1 < seeds < 6:
        notes.append(f"a sign-flip test over {seeds} seeds cannot fall below p = {2.0 ** (1 - seeds):.3g}")
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


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain values, for JSON."""
    return jsonable(comparison)


def render(comparison: Comparison) -> RenderableType:
    """The comparison as rich tables: accuracy by arm, differences, tokens at equal reward, knobs that differ, notes."""
    parts: list[RenderableType] = []
    for suite in comparison.suites:
        parts.append(Text(f"held-out accuracy on {suite.suite}, {suite.num_problems} problems", style="bold"))
        parts += [_results_table(suite), Text()]
        parts += [Text(describe_difference(difference)) for difference in suite.differences]
    if comparison.equal_reward:
        parts.append(Text(describe_equal_reward(comparison.equal_reward)))
    if comparison.config_differences:
        table = _table("knobs that differ", *(result.arm for result in comparison.suites[0].results))
        for key, values in comparison.config_differences.items():
            table.add_row(key, *(Text(str(value)) for value in values.values()))
        parts += [Text(), table]
    parts += [Text(f"note: {note}", style="dim") for note in comparison.notes]
    return Group(*parts)


def describe_difference(difference: ArmDifference) -> str:
    """One sentence: how far apart two arms are, how sure that is, and by what method."""
    low, high = difference.interval.low, difference.interval.high
    relation = "is ahead of" if low > 0 else "is behind" if high < 0 else "does not clearly differ from"
    unit = "seeds" if difference.num_seeds > 1 else "problems"
    return (
        f"{difference.other} {relation} {difference.baseline} in held-out accuracy: {difference.interval}, "
        f"{show_p(difference.p_value)}; better on {difference.better} {unit}, worse on {difference.worse}, equal on "
        f"{difference.tied} ({difference.method})"
    )


def describe_equal_reward(equal: EqualReward) -> str:
    """One sentence: each arm's length and step when its training reward reached the same level."""
    arms = "; ".join(
        f"{label}: {equal.tokens[label]:.0f} tokens a response at step {step}" for label, step in equal.steps.items()
    )
    return f"At equal training reward ({short(equal.level)}, mean of {SMOOTHING} steps): {arms}"


def _results_table(suite: SuiteComparison) -> Table:
    first = min(result.first_step for result in suite.results)
    table = _table("run", f"step {first}", f"step {suite.step}", "change", "", "tokens", no_wrap=True)
    for result in suite.results:
        name = result.arm if len(result.runs) == 1 else f"{result.arm} ({len(result.runs)} seeds)"
        tokens = f"{result.tokens_first:.0f} → {result.tokens_last:.0f}"
        cells = (name, str(result.first), str(result.last), str(result.gain), show_p(result.gain_p), tokens)
        table.add_row(*map(Text, cells))
    return table


def _table(name: str, *columns: str, no_wrap: bool = False) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(Text(name), overflow="fold")
    for column in columns:
        table.add_column(Text(column), no_wrap=no_wrap, overflow="fold")
    return table
