"""The design of a study: which runs it is made of, and where they lie.

HOME/ARM/seed-K            e.g. runs/length-bias/grpo/seed-0
HOME/models/NAME/seed-K    what arms begin from that do not begin from the config's own model
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from r1zero.config import SFTConfig, TrainConfig, build, flatten, merge, nested, to_dict
from r1zero.experiments.arms import BOOKKEEPING
from r1zero.experiments.recorded import RecordedRun, load_run

BASE = "base"  # the start that is the config's own model
MODELS = "models"  # folder of the others


@dataclass(frozen=True)
class Arm:
    """What sets an arm's runs apart: knobs by full name, and the model that they begin from.

    A knob's value may be a function of the study's config; applied to an arm's own config it must change nothing.

    Example: Arm({"learner.freeze": "vision"}, start="instruct")
    """

    settings: Mapping[str, Any]
    start: str = BASE  # or the name of a preparation


@dataclass(frozen=True)
class Preparation:
    """A model that is made before the runs, once a seed."""

    about: str  # what is built into it, in a sentence
    make: Callable[[TrainConfig, Path], SFTConfig]  # from the config of the seed; may write data beside the path
    is_there: Callable[[TrainConfig], bool] = lambda _: False  # whether the config's own model is one already


@dataclass(frozen=True)
class Study:
    """A question, the arms that answer it, and how their runs are read."""

    name: str
    question: str
    recipe: str  # the recipe of all runs
    arms: Mapping[str, Arm]
    fixed: tuple[str, ...]  # knobs that the arms decide, so that a command line may not
    measure: Callable[[Gathered], Any]  # runs -> what is known of each
    analyse: Callable[[Gathered, Any], Any]  # ... -> what the study found
    preparations: Mapping[str, Preparation] = field(default_factory=dict)

    @property
    def starts(self) -> tuple[str, ...]:
        """The preparations that arms begin from."""
        return tuple(dict.fromkeys(arm.start for arm in self.arms.values() if arm.start != BASE))


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


# ---------------------------------------------------------------------------------------------------------------------
# Which runs


def settings_of(arm: Arm, config: TrainConfig) -> dict[str, Any]:
    """The arm's knobs for a study of this config."""
    return {key: value(config) if callable(value) else value for key, value in arm.settings.items()}


def with_settings(config: TrainConfig, settings: Mapping[str, Any]) -> TrainConfig:
    return build(TrainConfig, merge(to_dict(config), nested(settings)))


def arm_configs(
    study: Study, config: TrainConfig, home: Path, num_seeds: int, given: Mapping[str, str] | None = None
) -> list[TrainConfig]:
    """One config a run, seed by seed with all arms of a seed together, so that a study cut short is balanced.

    `given` are models that stand in the place of preparations, by name.
    """
    configs = []
    for seed in range(config.seed, config.seed + num_seeds):
        for name, arm in study.arms.items():
            start = config.model.path if arm.start == BASE else start_path(home, arm.start, seed, given or {})
            place = {"seed": seed, "run.dir": str(home / name / f"seed-{seed}"), "model.path": start}
            configs.append(with_settings(config, settings_of(arm, config) | place))
    return configs


def start_path(home: Path, start: str, seed: int, given: Mapping[str, str]) -> str:
    """Where the model of a preparation is, made or given."""
    return given.get(start) or str(home / MODELS / start / f"seed-{seed}")


def models_given(study: Study, config: TrainConfig, named: Mapping[str, str]) -> dict[str, str]:
    """The models that stand in the place of preparations: those named, and the config's own where it is one.

    Raises ValueError for a name that no arm begins from, and where other arms need the config's own as it is.
    """
    for name, path in named.items():
        if name not in study.starts:
            raise ValueError(f"--{name} {path}: no arm of {study.name} begins from such a model; leave it out")
    own = {
        name: config.model.path
        for name in study.starts
        if name not in named and study.preparations[name].is_there(config)
    }
    if own and any(arm.start == BASE for arm in study.arms.values()):
        raise ValueError(
            f"template.name={config.template.name} is for the model that other arms of {study.name} begin from: take "
            f"the base model's recipe, and name the other with --{next(iter(own))} MODEL"
        )
    return own | dict(named)


def check_overrides(study: Study, overrides: Mapping[str, str]) -> None:
    """Raises ValueError for a knob that the arms of the study decide."""
    for key in study.fixed:
        if key in overrides:
            raise ValueError(
                f"--{key} {overrides[key]}: the arms of {study.name} decide that ({', '.join(study.arms)}); leave it "
                "out, or compare runs of your own with `r1zero compare`"
            )


def check_fixed(study: Study, config: TrainConfig) -> None:
    """The same where a recipe sets such a knob.  What every arm sets is replaced in any case."""
    values, defaults = flatten(config), flatten(TrainConfig())
    for key in study.fixed:
        replaced = all(key in arm.settings for arm in study.arms.values())
        if not replaced and values[key] != defaults[key]:
            raise ValueError(f"{key}={values[key]}: the arms of {study.name} decide that; take it out")


# ---------------------------------------------------------------------------------------------------------------------
# Which runs count


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
    for name, one in study.arms.items():
        _check_settings(gathered, name, one)
    _check_alike(gathered)
    for what, name in (("commit", "commits"), ("versions", "package versions")):
        if len({repr(run.saved.get(what)) for run in gathered.all_runs}) > 1:
            notes.append(f"the runs were made with different {name}")
    return replace(gathered, notes=tuple(notes))


def _check_settings(gathered: Gathered, name: str, arm: Arm) -> None:
    """Every run of an arm has the arm's own knobs."""
    for run in gathered.runs[name]:
        for key, value in settings_of(arm, build(TrainConfig, run.saved["config"])).items():
            found = run.settings.get(key)
            if found != (list(value) if isinstance(value, tuple) else value):
                raise ValueError(f"{gathered.home / name} holds runs of {found}, not of {value} ({key})")


def _check_alike(gathered: Gathered) -> None:
    """All runs alike but for seed and what the arms set; those of one start begin from one model, or each its own."""
    groups: dict[str, list[tuple[str, RecordedRun]]] = {}  # knob -> the runs in which it must be the same
    starts: dict[str, dict[str, RecordedRun]] = {}
    for name, arm in gathered.study.arms.items():
        for run in gathered.runs[name]:
            for key in run.config:
                if key not in BOOKKEEPING and key not in arm.settings and key != "model.path":
                    groups.setdefault(key, []).append((repr(run.config[key]), run))
            starts.setdefault(arm.start, {})[_begins_from(run, arm.start)] = run
    differing = [(key, sorted({value for value, _ in found})) for key, found in groups.items()]
    differing += [("model.path", sorted(paths)) for paths in starts.values()]
    for key, values in differing:
        if len(values) > 1:
            raise ValueError(
                f"the runs under {gathered.home} differ in {key} ({', '.join(values)}), which is not what "
                f"{gathered.study.name} varies: give another --run.dir"
            )


def _begins_from(run: RecordedRun, start: str) -> str:
    """The run's first model; that which was made for its own seed has one name in all seeds."""
    return "the model made for it" if made_for(run, start) else str(run.config.get("model.path"))


def made_for(run: RecordedRun, start: str) -> bool:
    """Whether the run began from the preparation of its own seed, rather than from a model that was given."""
    here = (MODELS, start, f"seed-{run.seed}")
    return start != BASE and Path(str(run.config.get("model.path"))).parts[-3:] == here
