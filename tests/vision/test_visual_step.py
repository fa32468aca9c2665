"""The benchmark of a step on pictures runs, and counts what it says."""

from __future__ import annotations

import pytest
import torch

from benchmarks.visual_step import SHAPES, measure, parsed, random_policy


@pytest.mark.parametrize("adapters", [0, 2])
def test_a_tiny_step_is_measured(adapters: int) -> None:
    words = "--problems 2 --samples 2 --tokens 5 --steps 1 --dtype float32 --picture 56 84 --lora-rank"
    rows = {row["phase"]: row for row in measure(parsed([*words.split(), str(adapters)]))}
    assert list(rows) == ["sampling", "learning", "step"]
    most = 2 * 2 * 5
    assert 4 <= rows["sampling"]["tokens"] <= most
    prompt = 6 + 2 + 96  # 2 x 3 features between two marks, and the words
    assert rows["learning"]["tokens"] == rows["sampling"]["tokens"] + 2 * prompt
    assert rows["step"]["seconds"] == rows["sampling"]["seconds"] + rows["learning"]["seconds"]
    assert "6 tokens a picture" in rows["step"]["note"]


def test_the_large_shape_is_the_published_size() -> None:
    with torch.device("meta"):
        policy = random_policy(SHAPES["qwen2-vl-2b"], torch.device("meta"), 401_408)
    assert round(sum(weight.numel() for weight in policy.model.parameters()) / 1e9, 2) == 2.21
