"""The huggingface engine answers as the fast one does: same randomness, same rules, transformers' own decoding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from transformers import GenerationConfig

from r1zero.config import EngineConfig, SamplingConfig
from r1zero.engines import build_engine
from r1zero.models.load import Policy
from r1zero.records import Problem, Prompt, Response

PolicyOf = Callable[[str], Policy]
SAMPLING = SamplingConfig(max_tokens=16)


def generate(
    name: str, policy: Policy, prompts: list[Prompt], max_concurrent: int = 7, **kwargs: object
) -> list[Response]:
    engine = build_engine(EngineConfig(name=name, max_concurrent=max_concurrent), policy)  # type: ignore[arg-type]
    settings = {"samples": 3, "sampling": SAMPLING, "address": (1, "eval")} | kwargs
    return [r for group in engine.generate(prompts, **settings) for r in group]  # type: ignore[arg-type]


def assert_same(ours: list[Response], theirs: list[Response]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert (a.token_ids, a.text, a.finish_reason) == (b.token_ids, b.text, b.finish_reason)
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


def test_both_engines_give_the_same_responses(architecture: str, policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    policy = policy_of(architecture)
    assert_same(generate("fast", policy, prompts), generate("huggingface", policy, prompts))


@pytest.mark.parametrize(
    "sampling", [{"temperature": 0.0}, {"temperature": 1.3}, {"top_p": 0.8}, {"top_k": 5}, {"top_k": 20, "top_p": 0.5}]
)
def test_both_engines_agree_in_every_setting(
    sampling: dict[str, float], policy_of: PolicyOf, prompts: list[Prompt]
) -> None:
    policy = policy_of("qwen2")
    settings = replace(SAMPLING, **sampling)  # type: ignore[arg-type]
    assert_same(
        generate("fast", policy, prompts, sampling=settings),
        generate("huggingface", policy, prompts, sampling=settings),
    )


@pytest.mark.parametrize("keep", [True, False])
def test_both_engines_agree_on_stop_strings(keep: bool, policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    policy = policy_of("qwen2")
    free = generate("fast", policy, prompts)
    stop = (next(r.text for r in free if "\ufffd" not in r.text[4:6])[4:6], "9")
    settings = {"stop": stop, "keep_stop": keep}
    ours, theirs = (generate(name, policy, prompts, **settings) for name in ("fast", "huggingface"))
    assert_same(ours, theirs)
    assert ours != free


def test_both_engines_agree_where_the_context_is_full(policy_of: PolicyOf) -> None:
    policy = policy_of("llama")
    lengths = (policy.max_context - 1, policy.max_context - 4, 3)
    prompts = [
        Prompt(Problem(f"n{n}", "test", "", ""), "none", "", tuple(1 + i % 200 for i in range(n))) for n in lengths
    ]
    assert_same(generate("fast", policy, prompts), generate("huggingface", policy, prompts))


def test_the_models_own_generation_settings_do_not_act(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    policy = policy_of("qwen2")
    before = generate("huggingface", policy, prompts)
    saved = policy.model.generation_config
    theirs = GenerationConfig(repetition_penalty=5.0, do_sample=True, temperature=0.1, top_k=1, eos_token_id=[0, 5])
    policy.model.generation_config = theirs
    try:
        assert generate("huggingface", policy, prompts) == before
        assert policy.model.generation_config is theirs
    finally:
        policy.model.generation_config = saved


def test_every_token_is_counted_once_for_the_progress_bar(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    counts: list[int] = []
    responses = generate("huggingface", policy_of("qwen2"), prompts, on_tokens=counts.append)
    assert sum(counts) == sum(r.num_tokens for r in responses)
