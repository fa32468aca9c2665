"""Subjects from responses that are there already: of an evaluation, a probe, an import, or of a run as it trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

from r1zero.config import ProbeConfig
from r1zero.probe.interventions import read_causal
from r1zero.probe.subject import Subject, read_subject
from r1zero.probe.targets import Target
from r1zero.probe.thinking import read_thinking
from r1zero.statistics.changepoint import FEWEST
from r1zero.store import FOLDERS, Split, part_steps


def read_all(target: Target, config: ProbeConfig) -> list[Subject]:
    """One subject a model whose responses lie there, in the order of their first ones.

    Text files are imported first, into a directory beside the report.  Of a finished probe, the interventions too.
    """
    source = imported(target, Path(config.out)) if is_text(Path(target.path)) else target.path
    whole = read_subject(target.name, [source], config.pool, split=_split(Path(source)))
    models = whole.facts["model"].unique(maintain_order=True).to_list()
    if len(models) < 2:
        return [replace(whole, causal=read_causal(Path(source)), thinking=read_thinking(Path(source)))]
    return [
        replace(whole, name=f"{model}", model=str(model), facts=whole.facts.filter(pl.col("model").eq_missing(model)))
        for model in models
    ]


def is_text(place: Path) -> bool:
    """Whether it is a jsonl file, or a folder that holds those and no parquet."""
    if place.is_dir():
        return any(place.glob("[!.]*.jsonl")) and not any(place.glob("[!.]*.parquet")) and not is_run(place)
    return place.suffix == ".jsonl"


def is_run(place: Path) -> bool:
    return any((place / name).exists() for name in (*FOLDERS.values(), "config.json"))


def imported(target: Target, out: Path) -> str:
    """The directory of the import of a target's files, as `r1zero import` makes it by default."""
    from r1zero.importing import Choices, import_rollouts

    place = out / "imported" / Path(target.path).resolve().stem
    place.parent.mkdir(parents=True, exist_ok=True)
    import_rollouts([Path(target.path)], place, Choices())
    return str(place)


def _split(place: Path) -> Split:
    """Of a directory with both, the evaluations."""
    return "eval" if (place / FOLDERS["eval"]).is_dir() or not (place / FOLDERS["train"]).is_dir() else "train"


def read_run(target: Target, config: ProbeConfig, split: str | None) -> Subject:
    """What a run stored while it trained: its evaluations where enough steps have one, else its training rollouts.

    Raises ValueError where it stored neither.
    """
    run_dir = Path(target.path)
    chosen: Split = (
        "eval" if len(part_steps(run_dir, "eval")) >= FEWEST or not part_steps(run_dir, "train") else "train"
    )
    if split in FOLDERS:
        chosen = "train" if split == "train" else "eval"
    return read_subject(target.name, [target.path], config.pool, split=chosen)


def ends(whole: Subject) -> list[Subject]:
    """The first and the last step of a run as subjects of their own, to be put side by side."""
    steps = whole.facts["step"].drop_nulls().unique().sort().to_list()
    if len(steps) < 2:
        return [whole]
    return [
        replace(whole, name=f"{whole.name} step {step}", step=step, facts=whole.facts.filter(pl.col("step") == step))
        for step in (steps[0], steps[-1])
    ]
