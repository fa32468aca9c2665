"""Banned sequences are never completed, and nothing else about sampling changes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from r1zero.config import EngineConfig, SamplingConfig
from r1zero.engines import build_engine
from r1zero.engines.banned import NOTHING, BanTable
from r1zero.models.load import Policy
from r1zero.records import Prompt, Response

PolicyOf = Callable[[str], Policy]
SAMPLING = SamplingConfig(max_tokens=16)
CPU = torch.device("cpu")


def generate(name: str, policy: Policy, prompts: list[Prompt], **kwargs: object) -> list[Response]:
    engine = build_engine(EngineConfig(name=name, max_concurrent=7), policy)  # type: ignore[arg-type]
    settings = {"samples": 3, "sampling": SAMPLING, "address": (1, "eval")} | kwargs
    return [r for group in engine.generate(prompts, **settings) for r in group]  # type: ignore[arg-type]


def common_sequences(prompts: list[Prompt], responses: list[Response]) -> list[tuple[int, ...]]:
    """Pieces of what was sampled: a token, pairs, a triple, and a pair that the prompt begins."""
    tokens = [r.token_ids for r in responses]
    return [
        tokens[0][3:4],
        tokens[1][2:4],
        tokens[2][5:8],
        tokens[4][1:6],
        (prompts[0].token_ids[-1], tokens[0][0]),
        (*prompts[1].token_ids[-2:], tokens[3][0]),
    ]


def completes(prompt: Prompt, response: Response, sequence: tuple[int, ...]) -> bool:
    ids, start = prompt.token_ids + response.token_ids, len(prompt.token_ids)
    ends = range(max(start + 1, len(sequence)), len(ids) + 1)
    return any(ids[end - len(sequence) : end] == sequence for end in ends)


def test_the_mask_is_that_of_a_search_by_hand() -> None:
    rng = random.Random(0)
    sequences = [tuple(rng.randrange(6) for _ in range(rng.randint(1, 4))) for _ in range(12)]
    sequences = [s for s in sequences if s[-1] != 5]
    assert {len(s) for s in sequences} == {1, 2, 3, 4}
    table = BanTable(sequences, 6, CPU)
    histories = [tuple(h) for h in itertools.product(range(6), repeat=3)] + [(NOTHING, 1, 2), (NOTHING, NOTHING, 4)]
    masked = table.apply(torch.zeros(len(histories), 6), torch.tensor(histories)).isneginf()
    for history, row in zip(histories, masked.tolist(), strict=True):
        expected = [
            any(s[-1] == token and history[len(history) - len(s) + 1 :] == s[:-1] for s in sequences)
            for token in range(6)
        ]
        assert row == expected


@pytest.mark.parametrize("settings", [{}, {"temperature": 1.3}, {"top_p": 0.8}, {"temperature": 0.0}])
def test_both_engines_give_the_same_responses_under_bans(
    settings: dict[str, float], policy_of: PolicyOf, prompts: list[Prompt]
) -> None:
    policy = policy_of("qwen2")
    sampling = replace(SAMPLING, **settings)  # type: ignore[arg-type]
    free = generate("fast", policy, prompts, sampling=sampling)
    banned = common_sequences(prompts, free)
    ours, theirs = (generate(n, policy, prompts, sampling=sampling, banned=banned) for n in ("fast", "huggingface"))
    of_row = [prompt for prompt in prompts for _ in range(3)]
    assert any(completes(p, r, s) for p, r in zip(of_row, free, strict=True) for s in banned)
    assert not any(completes(p, r, s) for p, r in zip(of_row, ours, strict=True) for s in banned)
    for a, b in zip(ours, theirs, strict=True):
        assert (a.token_ids, a.finish_reason) == (b.token_ids, b.finish_reason)
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


def test_logprobs_are_those_of_the_masked_distribution(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    policy = policy_of("qwen2")
    [free] = generate("fast", policy, prompts[:1], samples=1)
    banned = (free.token_ids[0], free.token_ids[4])
    [response] = generate("fast", policy, prompts[:1], samples=1, banned=[(id,) for id in banned])
    ids = torch.tensor([prompts[0].token_ids + response.token_ids])
    with torch.no_grad():
        logits = policy.model(input_ids=ids).logits[0, len(prompts[0].token_ids) - 1 : -1, : policy.vocab_size]
    logits[:, list(banned)] = -torch.inf
    expected = logits.log_softmax(-1).gather(1, torch.tensor(response.token_ids)[:, None])[:, 0]
    torch.testing.assert_close(torch.tensor(response.logprobs), expected, atol=1e-4, rtol=0)


def test_a_ban_that_never_applies_changes_nothing(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    policy = policy_of("qwen2")
    free = generate("fast", policy, prompts)
    used = {id for r in free for id in r.token_ids} | {id for p in prompts for id in p.token_ids}
    unused = next(id for id in range(policy.vocab_size) if id not in used)
    never = [(unused, id) for id in range(40)]
    assert generate("fast", policy, prompts, banned=never) == free


def test_bans_follow_rows_that_wait_and_change_places(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    policy = replace(policy_of("qwen2"), end_ids=tuple(range(10)))  # rows leave at many different times
    banned = common_sequences(prompts, generate("fast", policy_of("qwen2"), prompts))
    settings = {"samples": 6, "sampling": replace(SAMPLING, max_tokens=40), "address": (3,), "banned": banned}

    def run(max_concurrent: int) -> list[tuple[int, ...]]:
        engine = build_engine(EngineConfig(max_concurrent=max_concurrent), policy)
        return [r.token_ids for group in engine.generate(prompts, **settings) for r in group]  # type: ignore[arg-type]

    whole = run(64)
    assert all(run(few) == whole for few in (1, 5, 13))


def test_bans_that_leave_nothing_are_refused(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    policy = policy_of("qwen2")
    everything = [(id,) for id in range(policy.vocab_size)]
    with pytest.raises(ValueError, match="leave no token"):
        generate("fast", policy, prompts, banned=everything)
    newest = prompts[0].token_ids[-1]
    after_the_prompt = [(newest, id) for id in range(policy.vocab_size)]
    for name in ("fast", "huggingface"):
        with pytest.raises(ValueError, match="leave no token"):
            generate(name, policy, prompts[:1], banned=after_the_prompt)
    only_the_end = [(id,) for id in range(policy.vocab_size) if id not in policy.end_ids]
    assert {r.token_ids for r in generate("fast", policy, prompts, banned=only_the_end)} == {policy.end_ids}


@pytest.mark.parametrize(("sequence", "fault"), [((), "empty"), ((5, 100_000), "outside of the vocabulary")])
def test_a_faulty_sequence_is_named(
    sequence: tuple[int, ...], fault: str, policy_of: PolicyOf, prompts: list[Prompt]
) -> None:
    with pytest.raises(ValueError, match=fault):
        generate("fast", policy_of("qwen2"), prompts, banned=[sequence])
