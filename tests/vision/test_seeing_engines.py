"""Engines sample what a plain forward pass over words and pictures says, whatever shares the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from test_vision_adapters import plain_inputs

from r1zero.config import EngineConfig, RewardConfig, SamplingConfig
from r1zero.engines import Engine, build_engine
from r1zero.evaluation.ask import ask
from r1zero.models.load import Policy
from r1zero.records import Problem, Prompt, Response
from r1zero.tasks.templates import Template

PolicyOf = Callable[[str], Policy]
PromptsOf = Callable[[str], list[Prompt]]
SAMPLING = SamplingConfig(max_tokens=12)
ADDRESS = (0, 5)


def engine_of(policy: Policy, name: str = "fast", max_concurrent: int = 64) -> Engine:
    return build_engine(EngineConfig(name=name, max_concurrent=max_concurrent), policy)


@torch.no_grad()
def plain_logprobs(policy: Policy, prompt: Prompt, response: Response) -> torch.Tensor:
    """log p of each response token by transformers' own forward pass, tokens of pictures left out."""
    logits = policy.model(**plain_inputs(policy, prompt, response.token_ids)).logits[0, :, : policy.vocab_size]
    logits[:, list(policy.vision.forbidden_ids)] = -torch.inf
    predicting = logits[len(prompt.token_ids) - 1 : -1].log_softmax(-1)
    return predicting.gather(1, torch.tensor(response.token_ids)[:, None])[:, 0]


@pytest.mark.parametrize("name", ["fast", "huggingface"])
def test_logprobs_are_those_of_a_plain_forward_pass(
    name: str, family: str, policy_of: PolicyOf, prompts_of: PromptsOf
) -> None:
    policy, prompts = policy_of(family), prompts_of(family)
    responses_PG = engine_of(policy, name, 7).generate(prompts, samples=3, sampling=SAMPLING, address=ADDRESS)
    assert [len(group) for group in responses_PG] == [3] * len(prompts)
    for prompt, group in zip(prompts, responses_PG, strict=True):
        for response in group:
            expected = plain_logprobs(policy, prompt, response)
            torch.testing.assert_close(torch.tensor(response.logprobs), expected, atol=2e-5, rtol=0)


def test_both_engines_give_the_same_responses(family: str, policy_of: PolicyOf, prompts_of: PromptsOf) -> None:
    policy, prompts = policy_of(family), prompts_of(family)
    fast, plain = (
        engine_of(policy, name, size).generate(prompts, samples=4, sampling=SAMPLING, address=ADDRESS)
        for name, size in (("fast", 5), ("huggingface", 64))
    )
    assert [[r.token_ids for r in group] for group in fast] == [[r.token_ids for r in group] for group in plain]


def test_a_response_does_not_depend_on_what_shares_its_batch(policy_of: PolicyOf, prompts_of: PromptsOf) -> None:
    policy, prompts = policy_of("qwen2_vl"), prompts_of("qwen2_vl")
    policy = replace(policy, end_ids=(0, 5, 6, 7))  # rows leave at different times, and cohorts merge

    def ids(prompts: list[Prompt], size: int) -> dict[str, list[tuple[int, ...]]]:
        sampling = replace(SAMPLING, max_tokens=30)
        groups = engine_of(policy, max_concurrent=size).generate(prompts, samples=6, sampling=sampling, address=ADDRESS)
        return {p.problem.id: [r.token_ids for r in g] for p, g in zip(prompts, groups, strict=True)}

    whole = ids(prompts, 64)
    assert len({len(r) for group in whole.values() for r in group}) > 5
    for size in (2, 7, 13):
        assert ids(prompts, size) == whole
    for prompt in prompts:
        assert ids([prompt], 64)[prompt.problem.id] == whole[prompt.problem.id]


def test_tokens_of_pictures_are_never_sampled(family: str, policy_of: PolicyOf, prompts_of: PromptsOf) -> None:
    policy, prompts = policy_of(family), prompts_of(family)
    forbidden = policy.vision.forbidden_ids
    layer = policy.model.get_output_embeddings()
    with torch.no_grad():
        bias = torch.zeros(layer.weight.shape[0])
        bias[list(forbidden)] = 50.0  # a model that wants nothing else
    layer.bias = torch.nn.Parameter(bias)
    try:
        for name in ("fast", "huggingface"):
            for temperature in (1.0, 0.0):
                sampling = replace(SAMPLING, temperature=temperature)
                groups = engine_of(policy, name).generate(prompts, samples=2, sampling=sampling, address=ADDRESS)
                assert not {id for group in groups for r in group for id in r.token_ids} & set(forbidden)
    finally:
        layer.bias = None


def test_each_picture_is_encoded_once_for_its_group(
    policy_of: PolicyOf, prompts_of: PromptsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, prompts = policy_of("qwen2_vl"), prompts_of("qwen2_vl")[:2]
    tower, seen = policy.model.model.visual, []
    theirs = tower.forward
    monkeypatch.setattr(tower, "forward", lambda x, **kwargs: seen.append(len(x)) or theirs(x, **kwargs))
    engine_of(policy).generate(prompts, samples=5, sampling=SAMPLING, address=ADDRESS)
    assert sum(seen) == 16 + 24 + 8  # patches: 4, 6 and 2 features of 4
    seen.clear()
    engine_of(policy, "huggingface").generate(prompts, samples=5, sampling=SAMPLING, address=ADDRESS)
    assert sum(seen) == 16 + 24 + 8


def test_the_same_words_with_another_picture_are_another_prompt(policy_of: PolicyOf, prompts_of: PromptsOf) -> None:
    """LLaVA's pictures all have as many placeholders, so the token ids of these two prompts are equal."""
    policy, prompts = policy_of("llava"), prompts_of("llava")
    first, last = prompts[0], prompts[4]
    assert first.token_ids == last.token_ids and first.images != last.images
    [[a], [b]] = engine_of(policy).generate([first, last], samples=1, sampling=SAMPLING, address=ADDRESS)
    for prompt, response in ((first, a), (last, b)):
        expected = plain_logprobs(policy, prompt, response)
        torch.testing.assert_close(torch.tensor(response.logprobs), expected, atol=2e-5, rtol=0)


def test_a_prompt_whose_picture_is_gone_is_named(policy_of: PolicyOf, prompts_of: PromptsOf) -> None:
    policy, prompt = policy_of("qwen2_vl"), prompts_of("qwen2_vl")[0]
    lost = replace(prompt, images=("/nowhere/a.png",))
    for name in ("fast", "huggingface"):
        with pytest.raises(ValueError, match=r"problem 'p0': picture '/nowhere/a\.png' cannot be read"):
            engine_of(policy, name).generate([lost], samples=1, sampling=SAMPLING, address=ADDRESS)


def test_a_response_is_continued_behind_pictures(family: str, policy_of: PolicyOf, prompts_of: PromptsOf) -> None:
    """A prompt to which sampled tokens were added, as probes add them, is read on from where its pictures end."""
    policy, prompts = policy_of(family), prompts_of(family)[:2]
    longer = [replace(prompt, token_ids=(*prompt.token_ids, 7, 8, 9)) for prompt in prompts]
    groups = engine_of(policy).generate(longer, samples=2, sampling=SAMPLING, address=ADDRESS)
    for prompt, group in zip(longer, groups, strict=True):
        for response in group:
            expected = plain_logprobs(policy, prompt, response)
            torch.testing.assert_close(torch.tensor(response.logprobs), expected, atol=2e-5, rtol=0)


def test_prompts_too_long_for_their_pictures_are_dropped_and_never_cut(
    policy_of: PolicyOf, pictures: list[str]
) -> None:
    policy = replace(policy_of("qwen2_vl"), max_context=11)
    problems = [
        Problem("short", "choices", "which <image> ?", "{}", images=(pictures[0],)),  # 2 words, 4 features, 2 marks
        Problem("long", "choices", "which <image> <image> ?", "{}", images=(pictures[0], pictures[2])),  # 4 more
    ]
    template = Template("bare", "{{ text }}", (), answer_format="answer_tag")
    asked = ask(
        *(engine_of(policy), policy, template, problems),
        samples=2,
        sampling=SAMPLING,
        rewards=RewardConfig(),
        address=ADDRESS,
        step=0,
    )
    assert asked.dropped == ("long",)
    assert [rollout.prompt.problem.id for rollout in asked.rollouts] == ["short"] * 2
    assert all(rollout.response.num_tokens <= 3 for rollout in asked.rollouts)
