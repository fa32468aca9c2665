"""Arms of an experiment: runs that differ only in their seed, and what makes runs comparable at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1zero.experiments.recorded import RecordedRun

BOOKKEEPING = {  # not what an experiment varies
    "seed",
    "run.dir",
    "run.threads",
    "checkpoint.every",
    "checkpoint.keep",
    "evaluation.every",
}
MUST_AGREE = ("model.path", "task.", "evaluation.")  # or the numbers do not mean the same


@dataclass(frozen=True)
class Arm:
    """Runs that differ only in their seed."""

    label: str
    runs: tuple[RecordedRun, ...]


def check_comparable(runs: Sequence[RecordedRun]) -> None:
    """Raise ValueError where model, task, decoding or problems differ, or there is nothing to compare."""
    if len(runs) < 2:
        raise ValueError("compare needs at least two runs: r1zero compare RUN RUN [...]")
    seen: set[Path] = set()
    for run in runs:
        if run.dir.resolve() in seen:
            raise ValueError(f"{run.dir} is given twice: compare needs different runs")
        seen.add(run.dir.resolve())
        if not any(run.evaluation_steps(suite) for suite in run.suites):
            raise ValueError(f"{run.dir} has no stored held-out evaluation (eval/*.parquet): train it further")
    first = runs[0]
    for run in runs[1:]:
        for key in sorted(first.settings.keys() | run.settings.keys()):
            if key.startswith(MUST_AGREE) and key not in BOOKKEEPING:
                here, there = first.settings.get(key), run.settings.get(key)
                if here != there:
                    raise ValueError(
                        f"{first.name} and {run.name} are not comparable: {key} is {here!r} in one and {there!r} in "
                        "the other, so their accuracies do not measure the same; train or evaluate both alike"
                    )
        if not set(first.suites) & set(run.suites):
            raise ValueError(f"{first.name} and {run.name} were evaluated on different suites")


def group_arms(runs: Sequence[RecordedRun]) -> tuple[list[Arm], list[str]]:
    """Runs gathered by config without seed, in the order given; a config run twice with one seed is two arms."""
    grouped: dict[tuple, list[RecordedRun]] = {}
    for run in runs:
        key = tuple(sorted((k, repr(v)) for k, v in run.settings.items() if k not in BOOKKEEPING))
        grouped.setdefault(key, []).append(run)
    groups = [tuple(group) for group in grouped.values()]
    notes = []
    if any(len({run.seed for run in group}) < len(group) for group in groups):
        groups = [(run,) for run in runs]
        notes.append("runs of the same config and seed are compared one by one")
    labels = _labels(groups)
    return [Arm(label, group) for label, group in zip(labels, groups, strict=True)], notes


def _labels(groups: Sequence[tuple[RecordedRun, ...]]) -> list[str]:
    """Short distinct names: what the directory names do not share, or the values of the knobs that differ."""
    firsts = [group[0] for group in groups]
    homes = [run.dir.resolve().parent.name for run in firsts]
    if all(len(group) == 1 for group in groups):
        names = [run.name for run in firsts]
        if len(set(names)) < len(names):
            names = [f"{home}-{name}" for home, name in zip(homes, names, strict=True)]
        labels = _distinct_parts(names)
    elif len(groups) == 1:
        labels = [_common_prefix([run.name for run in groups[0]]) or homes[0]]
    else:
        varied = _varied_keys(firsts)
        labels = [", ".join(str(run.settings.get(key)) for key in varied[:3]) for run in firsts]
    return labels if len(set(labels)) == len(labels) else [str(run.dir) for run in firsts]


def _distinct_parts(names: Sequence[str]) -> list[str]:
    """Names without the parts between dashes that all begin or end with.

    >>> _distinct_parts(["countdown-dr_grpo-seed0", "countdown-grpo-seed0"])
    ['dr_grpo', 'grpo']
    """
    parts = [name.split("-") for name in names]
    start = len(list(_while_equal(zip(*parts, strict=False))))
    rest = [part[start:] for part in parts]
    end = len(list(_while_equal(zip(*(reversed(part) for part in rest), strict=False))))
    short = ["-".join(part[: len(part) - end]) for part in rest]
    return short if all(short) else list(names)


def _common_prefix(names: Sequence[str]) -> str:
    """What all names begin with, without a trailing "-seed".

    >>> _common_prefix(["countdown-grpo-seed0", "countdown-grpo-seed1"]), _common_prefix(["seed-0", "seed-1"])
    ('countdown-grpo', '')
    """
    prefix = "".join(column[0] for column in _while_equal(zip(*names, strict=False)))
    return prefix.rstrip("-_ ").removesuffix("seed").rstrip("-_ ")


def config_differences(arms: Sequence[Arm]) -> dict[str, dict[str, Any]]:
    """The knobs in which the arms differ, with each arm's value; a knob that a run does not have is None."""
    keys = _varied_keys([arm.runs[0] for arm in arms])
    return {key: {arm.label: arm.runs[0].settings.get(key) for arm in arms} for key in keys}


def _varied_keys(runs: Sequence[RecordedRun]) -> list[str]:
    keys = dict.fromkeys(key for run in runs for key in run.settings if key not in BOOKKEEPING)
    return [key for key in keys if len({repr(run.settings.get(key)) for run in runs}) > 1]


def _while_equal(columns: Iterable[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    for column in columns:
        if len(set(column)) > 1:
            return
        yield column


def paired_runs(baseline: Arm, other: Arm) -> list[tuple[RecordedRun, RecordedRun]]:
    """Runs of both arms with the same seed; two single runs always pair.  Raises ValueError when none do."""
    by_seed = {run.seed: run for run in other.runs}
    pairs = [(run, by_seed[run.seed]) for run in baseline.runs if run.seed in by_seed]
    if pairs:
        return pairs
    if len(baseline.runs) == len(other.runs) == 1:
        return [(baseline.runs[0], other.runs[0])]
    raise ValueError(f"{baseline.label} and {other.label} have no seed in common: runs are paired by seed")
