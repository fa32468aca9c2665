"""The learner scores what was sampled, and each picture's gradient is that of computing it again for each response."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from test_vision_adapters import plain_inputs
from vision_models import fresh

from r1zero.config import EngineConfig, LearnerConfig, SamplingConfig
from r1zero.engines import build_engine
from r1zero.models.load import Policy
from r1zero.objectives import TokenBatch
from r1zero.records import Prompt
from r1zero.training.batching import Group
from r1zero.training.learner import Learner

PolicyOf = Callable[[str], Policy]
PromptsOf = Callable[[str], list[Prompt]]


def sampled(policy: Policy, prompts: list[Prompt], samples: int = 3) -> list[Group]:
    """What the fast engine answers, with made-up advantages."""
    responses_PG = build_engine(EngineConfig(), policy).generate(
        prompts, samples=samples, sampling=SamplingConfig(max_tokens=10), address=(1,)
    )
    return [
        Group(
            prompt.problem.id,
            prompt.token_ids,
            responses=tuple(r.token_ids for r in responses),
            advantages=tuple(float(g - 1) for g in range(samples)),
            weights=tuple(0.1 for _ in responses),
            sampler_logprobs=tuple(r.logprobs for r in responses),
            images=prompt.images,
        )
        for prompt, responses in zip(prompts, responses_PG, strict=True)
    ]


def policy_gradient(tokens: TokenBatch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    weighted = tokens.weights_B[:, None] * tokens.advantages_BT * tokens.logprobs_BT * tokens.mask_BT
    return -weighted.sum(), {}


def learner_of(policy: Policy, **settings: Any) -> Learner:
    defaults = {"dtype": "float32", "device": "cpu", "lr": 1e-2, "max_grad_norm": 0.0}
    return Learner(policy, LearnerConfig(**defaults | settings), num_updates=3)


def test_what_was_sampled_is_what_is_scored(family: str, policy_of: PolicyOf, prompts_of: PromptsOf) -> None:
    policy = policy_of(family)
    groups = sampled(policy, prompts_of(family))
    for budget in (8192, 60):  # the second cuts groups between their responses
        for group in learner_of(policy, tokens_per_microbatch=budget).score(groups):
            for ours, theirs in zip(group.old_logprobs or (), group.sampler_logprobs or (), strict=True):
                assert ours == pytest.approx(theirs, abs=1e-5)


def gradients(policy: Policy, groups: list[Group], **settings: Any) -> dict[str, torch.Tensor]:
    """The gradient of one update, caught before the step."""
    learner, caught = learner_of(policy, **settings), {}

    def catch(*_: Any) -> None:
        caught.update({n: p.grad.clone() for n, p in policy.model.named_parameters() if p.grad is not None})

    learner.optimizer.register_step_pre_hook(catch)
    learner.update(groups, policy_gradient)
    return caught


def test_gradients_are_those_of_full_recomputation(family: str, prompts_of: PromptsOf) -> None:
    prompts = prompts_of(family)
    policy = fresh(family)
    groups = sampled(policy, prompts)
    loss = torch.zeros(())
    for prompt, group in zip(prompts, groups, strict=True):
        for ids, advantage in zip(group.responses, group.advantages, strict=True):
            logits = policy.model(**plain_inputs(policy, prompt, ids)).logits[0, :, : policy.vocab_size]
            allowed = logits.index_fill(-1, torch.tensor(policy.vision.forbidden_ids), -1e9)
            logprobs = allowed[len(prompt.token_ids) - 1 : -1].log_softmax(-1)
            loss = loss - 0.1 * advantage * logprobs.gather(1, torch.tensor(ids)[:, None]).sum()
    loss.backward()
    expected = {n: p.grad.clone() for n, p in policy.model.named_parameters() if p.grad is not None}
    policy.model.zero_grad()
    for budget in (8192, 60):
        ours = gradients(fresh(family), groups, tokens_per_microbatch=budget)
        assert ours.keys() == expected.keys()
        assert any(".visual." in name or "vision_tower" in name for name in ours)
        atol = 2e-6 * max(float(gradient.abs().max()) for gradient in expected.values())  # some are 0 up to rounding
        for name, gradient in expected.items():
            torch.testing.assert_close(ours[name], gradient, atol=atol, rtol=1e-3, msg=name)


@pytest.mark.parametrize("part", ["none", "vision", "language"])
def test_a_frozen_part_does_not_move_at_all(part: str, family: str, prompts_of: PromptsOf) -> None:
    policy = fresh(family)
    groups = sampled(policy, prompts_of(family))
    before = {name: weight.clone() for name, weight in policy.model.state_dict().items()}
    learner = learner_of(policy, freeze=part)
    for _ in range(2):
        learner.update(groups, policy_gradient)
    moved = {n for n, weight in policy.model.state_dict().items() if not torch.equal(weight, before[n])}
    sees = ("visual.", "vision_tower.", "multi_modal_projector.")
    of_vision = {name for name in moved if any(word in name for word in sees)}
    assert bool(of_vision) == (part != "vision")
    assert bool(moved - of_vision) == (part != "language")


def test_freezing_a_model_of_text_is_refused(model_dir: Any) -> None:
    from r1zero.models.load import load_policy

    with pytest.raises(ValueError, match=r"learner\.freeze='vision'.*does not see"):
        learner_of(load_policy(str(model_dir), "cpu"), freeze="vision")


def test_groups_without_pictures_leave_the_tower_as_it_is(prompts_of: PromptsOf) -> None:
    policy = fresh("qwen2_vl")
    groups = sampled(policy, prompts_of("qwen2_vl")[2:3])
    assert not groups[0].images
    update = learner_of(policy).update(groups, policy_gradient)
    assert update.metrics["grad/norm"] > 0
    assert all(p.grad is None for p in policy.model.model.visual.parameters())


def test_the_reference_sees_with_its_own_tower(prompts_of: PromptsOf) -> None:
    policy = fresh("qwen2_vl")
    groups = sampled(policy, prompts_of("qwen2_vl")[:2])
    config = LearnerConfig(dtype="float32", device="cpu", lr=1e-2, freeze="language")
    learner = Learner(policy, config, num_updates=2, with_reference=True)
    before = learner.score(groups)
    learner.update([replace(g, reference_logprobs=g.old_logprobs) for g in before], policy_gradient)
    after = learner.score(groups)
    for first, then in zip(before, after, strict=True):
        assert first.reference_logprobs == then.reference_logprobs
        assert first.old_logprobs != then.old_logprobs  # only the tower has moved


def test_recomputed_activations_give_the_same_gradient(family: str, prompts_of: PromptsOf) -> None:
    policy, again = fresh(family), fresh(family)
    groups = sampled(policy, prompts_of(family)[:2])
    plain = gradients(policy, groups)
    again.model.activation_checkpointing_enable()
    again.model.train()
    recomputed = gradients(again, groups)
    assert plain.keys() == recomputed.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(recomputed[name], gradient, atol=1e-5, rtol=1e-4, msg=name)
