"""The design of a study: which runs it is made of, and where they lie.

HOME/ARM/seed-K    e.g. runs/length-bias/grpo/seed-0
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from r1zero.config import ObjectiveConfig, TrainConfig
from r1zero.experiments.arms import BOOKKEEPING
from r1zero.experiments.recorded import RecordedRun, load_run


@dataclass(frozen=True)
class Study:
    """A question, and the arms that answer it.

    Example: Study("length-bias", "which factor of GRPO moves lengths", "length_bias", {"grpo": "grpo", ...}, (...))
    """

    name: str
    question: str
    recipe: str  # the recipe of all runs
    arms: Mapping[str, str]  # arm -> row of the objective table
    fixed: tuple[str, ...]  # knobs that the arms decide, so that a command line may not


@dataclass(frozen=True)
class Gathered:
    """The runs of a study that count: every arm has every seed, in the same order."""

    study: Study
    home: Path
    seeds: tuple[int, ...]
    runs: Mapping[str, tuple[RecordedRun, ...]]  # by arm
    notes: tuple[str, ...] = field(default=())

    @property
    def all_runs(self) -> list[RecordedRun]:
        return [run for runs in self.runs.values() for run in runs]


def arm_configs(study: Study, config: TrainConfig, home: Path, num_seeds: int) -> list[TrainConfig]:
    """One config a run, seed by seed with all arms of a seed together, so that a study cut short is balanced."""
    return [
        replace(
            config,
            seed=seed,
            objective=replace(config.objective, name=objective),
            run=replace(config.run, dir=str(home / arm / f"seed-{seed}")),
        )
        for seed in range(config.seed, config.seed + num_seeds)
        for arm, objective in study.arms.items()
    ]


def check_overrides(study: Study, overrides: Mapping[str, str]) -> None:
    """Raises ValueError for a knob that the arms of the study decide."""
    for key in study.fixed:
        if key in overrides:
            raise ValueError(
                f"--{key} {overrides[key]}: the arms of {study.name} decide that ({', '.join(study.arms)}); leave it "
                "out, or compare runs of your own with `r1zero compare`"
            )


def check_factors(study: Study, objective: ObjectiveConfig) -> None:
    """The same where a recipe sets such a knob.  The name of the objective is replaced in any case."""
    for key in study.fixed:
        name = key.removeprefix("objective.")
        if name != "name" and getattr(objective, name) is not None:
            raise ValueError(f"{key}={getattr(objective, name)}: the arms of {study.name} decide that; take it out")


def gather(study: Study, home: Path) -> Gathered:
    """The finished runs under `home`.  Raises ValueError where no seed has all arms, or runs differ in other knobs."""
    finished: dict[str, dict[int, RecordedRun]] = {}
    notes = []
    for arm in study.arms:
        finished[arm] = {}
        for path in sorted((home / arm).glob("seed-*/config.json")):
            metrics = path.parent / "metrics.jsonl"
            run = load_run(path.parent) if metrics.exists() and metrics.stat().st_size else None
            if run is None or run.last_step < run.planned_steps:
                notes.append(f"{arm}/{path.parent.name} is not finished and is left out")
            elif run.seed is not None:
                finished[arm][run.seed] = run
    seeds = sorted(set.intersection(*(set(runs) for runs in finished.values())))
    partial = sorted(set.union(*(set(runs) for runs in finished.values())) - set(seeds))
    if partial:
        notes.append(f"seeds without all {len(study.arms)} arms are left out: {', '.join(map(str, partial))}")
    if not seeds:
        raise ValueError(
            f"no seed has all arms of {study.name} finished under {home} ({', '.join(study.arms)}): run `r1zero study "
            f"{study.name} --run.dir {home}` to its end"
        )
    gathered = Gathered(
        study, home, tuple(seeds), {arm: tuple(runs[seed] for seed in seeds) for arm, runs in finished.items()}
    )
    _check_alike(gathered)
    for what, name in (("commit", "commits"), ("versions", "package versions")):
        if len({repr(run.saved.get(what)) for run in gathered.all_runs}) > 1:
            notes.append(f"the runs were made with different {name}")
    return replace(gathered, notes=tuple(notes))


def _check_alike(gathered: Gathered) -> None:
    """All runs alike but for seed and objective's name; every arm with its own objective."""
    runs = gathered.all_runs
    varied = {"objective.name", *BOOKKEEPING}
    for key in dict.fromkeys(key for run in runs for key in run.config if key not in varied):
        values = {repr(run.config.get(key)) for run in runs}
        if len(values) > 1:
            raise ValueError(
                f"the runs under {gathered.home} differ in {key} ({', '.join(sorted(values))}), which is not what "
                f"{gathered.study.name} varies: give another --run.dir"
            )
    for arm, objective in gathered.study.arms.items():
        found = {run.config.get("objective.name") for run in gathered.runs[arm]}
        if found != {objective}:
            raise ValueError(f"{gathered.home / arm} holds runs of {', '.join(map(str, found))}, not of {objective}")
