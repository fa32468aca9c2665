"""The shipped model that sees is what its recipe and its card say."""

import json

import pytest
from safetensors.torch import load_file

pytest.importorskip("PIL")

from r1zero.cli.recipes import find_recipe
from r1zero.config import PretrainConfig, TaskConfig, TrainConfig, build, read_recipe
from r1zero.evaluation.visual_controls import measure_controls
from r1zero.models.load import SHIPPED, load_policy
from r1zero.tasks import build_task

TINY_VISUAL = SHIPPED / "tiny-visual"


def test_the_shipped_seeing_model_is_the_one_of_its_recipe():
    shipped = build(PretrainConfig, json.loads((TINY_VISUAL / "recipe.json").read_text())["config"])
    assert shipped == build(PretrainConfig, read_recipe(find_recipe("tiny_visual_base")))
    weights = load_file(TINY_VISUAL / "model.safetensors")
    assert sum(weight.numel() for weight in weights.values()) < 1_500_000
    assert sum(file.stat().st_size for file in TINY_VISUAL.iterdir()) <= 6_000_000


def test_reinforcement_of_tiny_visual_starts_from_the_shipped_model():
    config = build(TrainConfig, read_recipe(find_recipe("tiny-visual")))
    assert (config.model.path, config.task.name, config.template.name) == ("tiny-visual", "visual", "visual_think")


def test_the_shipped_model_sees_by_thinking_and_not_without_pictures():
    """160 held-out problems; bounds that sampling error alone passes in a million tries or so."""
    problems = build_task(TaskConfig(name="visual"), 0).problems("eval", 0, 160)
    total = measure_controls(load_policy("tiny-visual", "cpu"), problems)[-1]
    assert total.think.accuracy.estimate > 0.57
    assert total.think.accuracy.estimate > total.blank.accuracy.estimate + 0.05
    assert total.think.read.estimate > 0.95
    assert total.blank.accuracy.estimate < 0.6
