"""Two steps of training on pictures, of every family: run, evaluated, stored, saved and opened again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from vision_models import fresh

from r1zero.config import TextDataConfig, TrainConfig, build
from r1zero.models.load import load_policy, save_policy
from r1zero.store import read_metrics, read_rollouts
from r1zero.training import train
from r1zero.training.sft import fit, read_examples


def config_of(folder: Path, **learner: Any) -> TrainConfig:
    settings = {
        "steps": 2,
        "problems_per_step": 4,
        "responses_per_problem": 3,
        "model": {"path": str(folder / "model")},
        "task": {"name": "visual"},
        "template": {"name": "visual_direct"},
        "sampling": {"max_tokens": 6},
        "reward": {"per_token": 0.1},  # so that the groups of a random model differ
        "learner": {"lr": 1e-2, "device": "cpu", "dtype": "float32"} | learner,
        "evaluation": {"num_problems": 4, "max_tokens": 6},
        "run": {"dir": str(folder / "run"), "threads": 1},
    }
    return build(TrainConfig, settings)


def test_a_run_with_pictures_is_stored_saved_and_opened_again(family: str, tmp_path: Path) -> None:
    save_policy(fresh(family), tmp_path / "model")
    run = train(config_of(tmp_path))
    assert run.finished
    metrics = read_metrics(run.dir)
    assert [row["step"] for row in metrics] == [0, 1, 2]
    assert all(row["policy/sampler_gap_max"] < 1e-5 and row["grad/norm"] > 0 for row in metrics[1:])
    for split in ("train", "eval"):
        images = read_rollouts(run.dir, split=split).collect()["images"].to_list()
        assert images and all(len(one) == 1 and one[0].startswith("scene:") for one in images)
    first = load_policy(str(tmp_path / "model"), "cpu")
    trained = load_policy(str(run.dir / "model"), "cpu")
    assert trained.vision is not None and type(trained.model) is type(first.model)
    assert first.model.state_dict().keys() == trained.model.state_dict().keys()


def test_a_frozen_tower_is_saved_as_it_was(tmp_path: Path) -> None:
    save_policy(fresh("qwen2_vl"), tmp_path / "model")
    run = train(config_of(tmp_path, freeze="vision"))
    before = load_policy(str(tmp_path / "model"), "cpu").model.state_dict()
    after = load_policy(str(run.dir / "model"), "cpu").model.state_dict()
    same = {name for name in before if before[name].equal(after[name])}
    assert {name for name in before if ".visual." in name} <= same < set(before)


def test_a_model_of_text_is_refused_with_the_problem_named(model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "model").symlink_to(model_dir)
    with pytest.raises(ValueError, match=r"problem 'visual/.*a model of text"):
        train(config_of(tmp_path))


def test_answers_to_pictures_are_fine_tuned_on(tmp_path: Path, pictures: list[str]) -> None:
    policy = fresh("qwen2_vl")
    rows = [
        {"prompt": "which <image> is closer ?", "text": "red circle", "images": [pictures[0]]},
        {"prompt": "<image> and <image> :", "text": "blue square", "images": pictures[1:]},
        {"prompt": "which object ?", "text": "left", "images": []},
    ]
    path = tmp_path / "rows.parquet"
    pl.DataFrame(rows).write_parquet(path)
    data = TextDataConfig(path=str(path), prompt_column="prompt", images_column="images")
    groups, left_out = read_examples(data, policy)
    assert left_out == 0 and [len(group.images) for group in groups] == [1, 2, 0]
    settings = config_of(tmp_path)
    losses = fit(policy, [groups] * 12, settings.learner, settings.model)
    assert losses[-1] < 0.5 * losses[0]
    path.with_suffix(".jsonl").write_text(json.dumps({"prompt": "<image>", "text": "red", "images": ["/no/a.png"]}))
    with pytest.raises(ValueError, match=r"row 0: picture '/no/a\.png' cannot be read"):
        read_examples(
            TextDataConfig(path=str(path.with_suffix(".jsonl")), prompt_column="prompt", images_column="images"), policy
        )
    with pytest.raises(ValueError, match=r"data\.images_column needs"):
        read_examples(TextDataConfig(path=str(path), images_column="images"), policy)
