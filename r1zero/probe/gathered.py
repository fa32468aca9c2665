"""Subjects from responses that are there already: of an evaluation, a probe, an import, or of a run as it trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

from r1zero.analysis.changepoint import FEWEST
from r1zero.config import ProbeConfig
from r1zero.probe.subject import Subject, read_subject
from r1zero.probe.targets import Target
from r1zero.store import FOLDERS, Split, part_steps


def read_all(target: Target, config: ProbeConfig) -> list[Subject]:
    """One subject a model whose responses lie there, in the order of their first ones."""
    whole = read_subject(target.name, [target.path], config.pool, split=_split(Path(target.path)))
    models = whole.facts["model"].unique(maintain_order=True).to_list()
    if len(models) < 2:
        return [whole]
    return [
        replace(whole, name=f"{model}", model=str(model), facts=whole.facts.filter(pl.col("model").eq_missing(model)))
        for model in models
    ]


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
