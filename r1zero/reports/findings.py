"""What a run's directory says about it, in records and sentences: the content of a report, without its looks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from r1zero.analysis.ledger import LedgerRow, LengthChange, decompose_length, frame_reference, outcome_ledger
from r1zero.experiments.recorded import RecordedRun, accuracy, problem_shares
from r1zero.facts.cues import POOLS, CuePool
from r1zero.records import Outcome
from r1zero.reports.samples import Sample, pick_samples
from r1zero.statistics.intervals import Interval, cluster_interval, paired_difference, show_p


@dataclass(frozen=True)
class Evaluated:
    """One suite of one run at its first or last evaluation."""

    step: int
    accuracy: Interval
    ledger: list[LedgerRow]
    tokens_mean: Interval
    samples: dict[Outcome, list[Sample]]


@dataclass(frozen=True)
class SuiteReport:
    suite: str
    num_problems: int
    num_samples: int  # responses a problem
    first: Evaluated
    last: Evaluated
    gain: Interval | None  # last minus first, None where there is one evaluation only
    gain_p: float
    gain_method: str
    change: LengthChange


@dataclass(frozen=True)
class RunReport:
    run: RecordedRun
    suites: list[SuiteReport]
    notes: list[str]


def report_run(run: RecordedRun, pool: CuePool = POOLS["extended"]) -> RunReport:
    """Ledgers, decomposition, samples and what is missing."""
    notes = []
    if run.last_step < run.planned_steps:
        notes.append(f"stopped after step {run.last_step} of {run.planned_steps}: the numbers are of an unfinished run")
    suites = []
    for suite in run.suites:
        steps = run.evaluation_steps(suite)
        if steps and min(run.evaluation(suite, step).height for step in (steps[0], steps[-1])) > 0:
            suites.append(report_suite(run, suite, steps[0], steps[-1], pool))
        missing = sorted(set(run.series(f"eval/{suite}/accuracy")[0]) - set(steps))
        if missing:
            notes.append(f"eval/ lacks the rollouts of {suite} at step {', '.join(map(str, missing))}")
    if not run.suites:
        notes.append("no held-out evaluation was recorded: set evaluation.num_problems to have one")
    return RunReport(run, suites, notes)


def report_suite(run: RecordedRun, suite: str, first: int, last: int, pool: CuePool) -> SuiteReport:
    """First and last evaluation of a suite, and what lies between."""
    before, after = run.evaluation(suite, first), run.evaluation(suite, last)
    folders = picture_folders(run)
    a, b = problem_shares(before), problem_shares(after)
    gain, p_value, method = None, math.nan, ""
    if last > first and a.keys() == b.keys():
        pair = paired_difference([c / n for c, n in a.values()], [b[key][0] / b[key][1] for key in a])
        gain, p_value, method = pair.interval, pair.p_value, pair.method
    return SuiteReport(
        suite=suite,
        num_problems=len(b),
        num_samples=max((n for _, n in b.values()), default=0),
        first=_evaluated(before, first, pool, folders),
        last=_evaluated(after, last, pool, folders),
        gain=gain,
        gain_p=p_value,
        gain_method=method,
        change=decompose_length(frame_reference(before), frame_reference(after)),
    )


def picture_folders(run: RecordedRun) -> tuple[Path, ...]:
    """Where a run's pictures are: its own folder, then the one they were unpacked to."""
    return (run.dir / "images", *(Path(kept) for kept in [run.config.get("task.kept_images")] if kept))


def _evaluated(evaluation: pl.DataFrame, step: int, pool: CuePool, folders: tuple[Path, ...]) -> Evaluated:
    tokens = cluster_interval(evaluation["num_tokens"].to_numpy(), evaluation["problem_id"].to_numpy())
    samples = pick_samples(evaluation, pool, folders=folders)
    return Evaluated(step, accuracy(evaluation), outcome_ledger(evaluation), tokens, samples)


def verdict(report: SuiteReport) -> str:
    """The first thing to read: what held-out accuracy and length did, with intervals."""
    first, last = report.first, report.last
    what = f"{report.num_problems} held-out {report.suite} problems"
    if report.gain is None:
        return f"Accuracy on {what} was {first.accuracy} at step {first.step}; it was evaluated only once."
    verb = "rose" if report.gain.low > 0 else "fell" if report.gain.high < 0 else "did not clearly move:"
    sentence = (
        f"Accuracy on {what} {verb} from {first.accuracy} to {last.accuracy} over {last.step - first.step} steps "
        f"(paired change {report.gain}, {show_p(report.gain_p)})."
    )
    change = report.change
    return (
        f"{sentence} Responses went from {first.tokens_mean:.0f} to {last.tokens_mean:.0f} tokens: "
        f"{signed(change.within_total)} because responses of an outcome changed length, "
        f"{signed(change.mix_total)} because outcomes changed in frequency."
    )


def describe_run(run: RecordedRun) -> str:
    """ "Dr. GRPO on countdown with tiny-search ..." in the recipe's own words."""
    config = run.config
    parts = [
        config.get("objective.name"),
        config.get("task.name"),
        config.get("model.path"),
        config.get("template.name"),
    ]
    named = [str(part) for part in parts if part]
    return " · ".join([*named, f"seed {run.seed}", f"{run.last_step} of {run.planned_steps} steps"])


def describe_speed(run: RecordedRun) -> str:
    """Where the time of a median step went."""
    shares = []
    _, whole = run.series("speed/step_s")
    total = sum(value for value in whole if math.isfinite(value))
    for name, word in (("rollout", "sampling"), ("learn", "learning"), ("grade", "grading")):
        seconds = sum(value for value in run.series(f"speed/{name}_s")[1] if math.isfinite(value))
        if total > 0 and seconds > 0:
            shares.append(f"{word} {seconds / total:.0%}")
    return f"{total / len(whole):.2g} s a step: {', '.join(shares)}" if shares else ""


def signed(value: float) -> str:
    """A number of tokens gained or lost.

    >>> signed(3.4), signed(-2.6), signed(0.2), signed(float("nan"))
    ('+3', '−3', '0', '–')
    """
    if not math.isfinite(value):
        return "–"
    return f"{round(value):+d}".replace("-", "−") if round(value) else "0"
