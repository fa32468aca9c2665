"""The models that arms of a study begin from, made once a seed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from r1zero.config import SFTConfig, TrainConfig, to_dict
from r1zero.experiments.studies.design import Study, start_path
from r1zero.training.run import flatten_dict
from r1zero.training.sft import OnStep, sft

RECIPE = "recipe.json"  # the last thing that is written into a model that is finished
PLACES = ("out", "data.path")  # another one in a study that was moved


def prepare(
    study: Study,
    config: TrainConfig,
    home: Path,
    num_seeds: int,
    given: Mapping[str, str],
    on_model: Callable[[Path], OnStep | None] = lambda _: None,
) -> list[Path]:
    """Make every model that is not there yet and not given; returns those that were made.

    Raises ValueError for a model there that was made otherwise.
    """
    made = []
    for seed in range(config.seed, config.seed + num_seeds):
        for name in study.starts:
            if name in given:
                continue
            out = Path(start_path(home, name, seed, given))
            out.parent.mkdir(parents=True, exist_ok=True)
            recipe = replace(study.preparations[name].make(replace(config, seed=seed), out), out=str(out))
            if (out / RECIPE).exists():
                _check_same(out, recipe)
                continue
            if out.exists():  # begun and not finished
                shutil.rmtree(out)
            if config.run.threads:
                torch.set_num_threads(config.run.threads)
            sft(recipe, on_model(out))
            made.append(out)
    return made


def _check_same(out: Path, recipe: SFTConfig) -> None:
    there = flatten_dict(json.loads((out / RECIPE).read_text(encoding="utf-8"))["config"])
    here = flatten_dict(to_dict(recipe))
    differing = [key for key in here if key not in PLACES and there.get(key, here[key]) != here[key]]
    if differing:
        key = differing[0]
        raise ValueError(
            f"{out} was made otherwise ({key} was {there[key]!r}, is {here[key]!r}): choose another --run.dir, or "
            "remove it"
        )
