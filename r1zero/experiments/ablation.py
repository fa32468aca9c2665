"""Which settings arms really differ in, and whether that makes a comparison an ablation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from r1zero.config import ObjectiveConfig, build, nearest
from r1zero.experiments.arms import BOOKKEEPING, Arm, paired_runs
from r1zero.experiments.recorded import RecordedRun

SECTION = "objective."


def settings_that_differ(arms: Sequence[Arm]) -> dict[str, dict[str, Any]]:
    """Settings in which the arms differ, with each arm's value, an objective's name resolved to its factors.

    `grpo` against `dr_grpo` is thus `objective.divide_by_std` and `objective.normalizer`, whatever they are called.
    """
    resolved = [resolve(arm.runs[0]) for arm in arms]
    keys = dict.fromkeys(key for one in resolved for key in one if key not in BOOKKEEPING)
    varied = [key for key in keys if len({repr(one.get(key)) for one in resolved}) > 1]
    return {key: {arm.label: one.get(key) for arm, one in zip(arms, resolved, strict=True)} for key in varied}


def resolve(run: RecordedRun) -> dict[str, Any]:
    """Every setting by its full name, the factors of the named objective in place of the name.

    A knob that is younger than the run has its default; an objective that this version does not know keeps its name.
    """
    objective = {key.removeprefix(SECTION): value for key, value in run.settings.items() if key.startswith(SECTION)}
    factors = _factors(tuple(sorted((key, _hashable(value)) for key, value in objective.items())))
    if factors is None:
        return dict(run.settings)
    return {key: value for key, value in run.settings.items() if key != "objective.name"} | factors


def check_ablation(arms: Sequence[Arm], named: str) -> None:
    """Raise ValueError unless the arms differ in the named setting and in nothing else, naming what else differs."""
    known = {"objective.name": None} | resolve(arms[0].runs[0])
    if named not in known:
        raise ValueError(f"--ablation {named}: no such setting; {nearest(named, known)}")
    if len(arms) < 2:
        raise ValueError(f"--ablation {named}: the runs differ only in their seed, so nothing is ablated")
    differing = settings_that_differ(arms)
    if named == "objective.name":
        others = {key: values for key, values in differing.items() if not _follows_from_name(key, arms)}
        changed = len({arm.runs[0].config.get(named) for arm in arms}) > 1
    else:
        others = {key: values for key, values in differing.items() if key != named}
        changed = named in differing
    unpaired = [(a.seed, b.seed) for arm in arms[1:] for a, b in paired_runs(arms[0], arm) if a.seed != b.seed]
    if unpaired:
        others["seed"] = dict(zip((arms[0].label, arms[1].label), unpaired[0], strict=True))
    if others:
        raise ValueError(
            f"not an ablation of {named}: {_counted(others)} too, {describe(others)}; "
            "make the runs alike in all but the named setting, or compare them without --ablation"
        )
    if not changed:
        value = known[named] if named != "objective.name" else arms[0].runs[0].config.get(named)
        raise ValueError(f"not an ablation of {named}: it is {value!r} in all of {', '.join(a.label for a in arms)}")


def describe(differing: Mapping[str, Mapping[str, Any]]) -> str:
    """ "learner.lr (1e-06, 3e-05), steps (20, 40)" """
    return ", ".join(f"{key} ({', '.join(map(str, values.values()))})" for key, values in differing.items())


def not_an_ablation(arms: Sequence[Arm]) -> list[str]:
    """A sentence for each arm that differs from the first in more than one setting."""
    said = []
    for arm in arms[1:]:
        differing = settings_that_differ([arms[0], arm])
        if len(differing) > 1:
            said.append(
                f"{arm.label} against {arms[0].label} is not an ablation: {len(differing)} settings differ "
                f"({', '.join(differing)})"
            )
    return said


@cache
def _factors(objective: tuple[tuple[str, Any], ...]) -> dict[str, Any] | None:
    """{"objective.divide_by_std": False, ...} of a saved [objective] section; None where it cannot be built."""
    from r1zero.objectives import build_objective

    values = {key: list(value) if isinstance(value, tuple) else value for key, value in objective}
    try:
        built = build_objective(build(ObjectiveConfig, values))
    except ValueError:
        return None
    return {SECTION + f.name: getattr(built, f.name) for f in dataclasses.fields(built) if f.name != "name"}


def _follows_from_name(key: str, arms: Sequence[Arm]) -> bool:
    """Whether a factor differs only because the named rows do: no arm overrides it."""
    return key.startswith(SECTION) and all(arm.runs[0].settings.get(key) is None for arm in arms)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _counted(others: Mapping[str, Any]) -> str:
    return f"{len(others)} other settings differ" if len(others) > 1 else "another setting differs"
