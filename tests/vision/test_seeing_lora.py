"""Adapters in models that see: in the whole, or in one part; saved, they open as the same model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_seeing_learner import learner_of, policy_gradient, sampled
from test_seeing_loop import config_of
from test_vision_adapters import plain_inputs
from transformers import AutoModelForImageTextToText
from vision_models import fresh

from r1zero.config import LoraConfig
from r1zero.models import lora
from r1zero.models.load import load_policy, save_policy
from r1zero.records import Prompt
from r1zero.store import read_metrics
from r1zero.training import train

PromptsOf = Callable[[str], list[Prompt]]
SEES = ("visual.", "vision_tower.", "multi_modal_projector.")


def of_vision(names: set[str]) -> set[str]:
    return {name for name in names if any(word in name for word in SEES)}


@pytest.mark.parametrize("part", ["none", "vision", "language"])
def test_adapters_stand_in_the_part_that_learns(part: str, family: str, prompts_of: PromptsOf) -> None:
    policy, plain = fresh(family), fresh(family)
    groups = sampled(plain, prompts_of(family))
    expected = learner_of(plain).score(groups)
    lora.adapt(policy, LoraConfig(rank=4), base="base", freeze=part, seed=0)  # type: ignore[arg-type]
    learner = learner_of(policy, freeze=part)
    assert [g.old_logprobs for g in learner.score(groups)] == [g.old_logprobs for g in expected]  # B is 0
    for _ in range(2):
        learner.update(groups, policy_gradient)
    adapters = lora.adapter_weights(policy.model)
    assert bool(of_vision(set(adapters))) == (part != "vision")
    assert bool(set(adapters) - of_vision(set(adapters))) == (part != "language")
    before = plain.model.state_dict()
    own = {n.replace(".base_layer.", "."): w for n, w in policy.model.state_dict().items() if n not in adapters}
    assert own.keys() == before.keys() and all(torch.equal(own[name], weight) for name, weight in before.items())
    moved = {
        name
        for name, weight in lora.merged(policy.model, policy.model.state_dict())
        if not torch.equal(weight, before[name])
    }
    assert bool(of_vision(moved)) == (part != "vision")
    assert bool(moved - of_vision(moved)) == (part != "language")


def test_sampled_is_scored_and_the_saved_model_is_the_same(family: str, prompts_of: PromptsOf, tmp_path: Path) -> None:
    policy, prompts = fresh(family), prompts_of(family)
    save_policy(policy, tmp_path / "base")
    lora.adapt(policy, LoraConfig(rank=4), base=str(tmp_path / "base"), freeze="none", seed=0)
    learner = learner_of(policy)
    for _ in range(2):
        learner.update(sampled(policy, prompts), policy_gradient)
    groups = sampled(policy, prompts)
    for group in learner.score(groups):
        for ours, theirs in zip(group.old_logprobs or (), group.sampler_logprobs or (), strict=True):
            assert ours == pytest.approx(theirs, abs=1e-5)
    save_policy(policy, tmp_path / "model")
    lora.write_adapter(policy.model, tmp_path / "adapter")
    inputs = plain_inputs(policy, prompts[1], groups[1].responses[0])
    with torch.no_grad():
        expected = policy.model(**inputs).logits
        for model in (
            AutoModelForImageTextToText.from_pretrained(tmp_path / "model", dtype=torch.float32),
            load_policy(str(tmp_path / "model"), "cpu").model,
            load_policy(str(tmp_path / "adapter"), "cpu").model,
        ):
            torch.testing.assert_close(model(**inputs).logits, expected, atol=1e-5, rtol=1e-5)


def test_a_run_with_pictures_goes_on_from_its_adapter(tmp_path: Path) -> None:
    save_policy(fresh("qwen2_vl"), tmp_path / "model")
    config = replace(config_of(tmp_path), lora=LoraConfig(rank=4))
    config = replace(config, evaluation=replace(config.evaluation, every=1), steps=3)
    whole = replace(config, run=replace(config.run, dir=str(tmp_path / "whole")))
    train(whole)
    train(replace(config, steps=1))
    train(config)
    one, other = (
        [{k: v for k, v in row.items() if not k.startswith("speed/")} for row in read_metrics(Path(c.run.dir))]
        for c in (whole, config)
    )
    assert repr(one) == repr(other) and any(row.get("grad/norm", 0) > 0 for row in one)
