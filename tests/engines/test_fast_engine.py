"""The fast engine samples what a plain forward pass says, whatever shares the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from r1zero.config import EngineConfig, SamplingConfig
from r1zero.engines import Engine, build_engine, fast
from r1zero.engines.cohort import merge
from r1zero.engines.onednn import ROWS, linear_layers, usable
from r1zero.engines.requests import room
from r1zero.models.load import Policy
from r1zero.records import Problem, Prompt, Response

PolicyOf = Callable[[str], Policy]
SAMPLING = SamplingConfig(max_tokens=16)
ADDRESS = (0, 5)


def engine_of(policy: Policy, max_concurrent: int = 64) -> Engine:
    return build_engine(EngineConfig(max_concurrent=max_concurrent), policy)


def plain_logprobs(policy: Policy, prompt: Prompt, response: Response, temperature: float = 1.0) -> torch.Tensor:
    """log p of each response token, by one eager forward pass of transformers over the whole sequence."""
    ids = torch.tensor([prompt.token_ids + response.token_ids])
    implementation = policy.model.config._attn_implementation
    policy.model.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            logits = policy.model(input_ids=ids).logits[0, :, : policy.vocab_size] / temperature
    finally:
        policy.model.set_attn_implementation(implementation)
    predicting = logits[len(prompt.token_ids) - 1 : -1].log_softmax(-1)
    return predicting.gather(1, torch.tensor(response.token_ids)[:, None])[:, 0]


def test_tests_reach_beyond_the_sliding_window(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    for name in ("mistral", "gemma2", "gemma3"):
        window = policy_of(name).model.config.sliding_window
        assert max(len(prompt.token_ids) for prompt in prompts) > window
        assert min(len(prompt.token_ids) for prompt in prompts) < window < SAMPLING.max_tokens


def test_logprobs_are_those_of_a_plain_forward_pass(
    architecture: str, policy_of: PolicyOf, prompts: list[Prompt]
) -> None:
    policy = policy_of(architecture)
    responses_PG = engine_of(policy, 7).generate(prompts, samples=3, sampling=SAMPLING, address=ADDRESS)
    assert [len(group) for group in responses_PG] == [3] * len(prompts)
    for prompt, group in zip(prompts, responses_PG, strict=True):
        for response in group:
            expected = plain_logprobs(policy, prompt, response)
            torch.testing.assert_close(torch.tensor(response.logprobs), expected, atol=1e-4, rtol=0)


def test_logprobs_are_taken_at_the_sampling_temperature(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    policy = policy_of("qwen2")
    sampling = replace(SAMPLING, temperature=0.6)
    [[response]] = engine_of(policy).generate(prompts[:1], samples=1, sampling=sampling, address=ADDRESS)
    expected = plain_logprobs(policy, prompts[0], response, temperature=0.6)
    torch.testing.assert_close(torch.tensor(response.logprobs), expected, atol=1e-4, rtol=0)


def test_a_response_does_not_depend_on_what_shares_its_batch(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    policy = replace(policy_of("qwen2"), end_ids=tuple(range(10)))  # rows leave at many different times

    def ids(prompts: list[Prompt], samples: int, max_concurrent: int) -> dict[str, list[tuple[int, ...]]]:
        groups = engine_of(policy, max_concurrent).generate(
            prompts, samples=samples, sampling=replace(SAMPLING, max_tokens=40), address=ADDRESS
        )
        return {p.problem.id: [r.token_ids for r in g] for p, g in zip(prompts, groups, strict=True)}

    whole = ids(prompts, 6, 64)
    assert len({len(r) for group in whole.values() for r in group}) > 8
    for max_concurrent in (1, 2, 5, 6, 13, 29):
        assert ids(prompts, 6, max_concurrent) == whole
    assert ids(prompts[::-1], 6, 13) == whole
    for prompt in prompts:
        assert ids([prompt], 2, 64) == {prompt.problem.id: whole[prompt.problem.id][:2]}


def test_merged_cohorts_answer_as_separate_ones(
    architecture: str, policy_of: PolicyOf, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of very different lengths in one cache, also where a sliding window covers only the padding of some."""
    policy = replace(policy_of(architecture), end_ids=tuple(range(10)))
    merges = []
    monkeypatch.setattr(fast, "REFILL_SHARE", 0.01)
    monkeypatch.setattr(fast, "merge", lambda cohorts: merges.append(1) or merge(cohorts))

    def run(max_concurrent: int) -> list[list[Response]]:
        sampling = replace(SAMPLING, max_tokens=24)
        return engine_of(policy, max_concurrent).generate(prompts, samples=4, sampling=sampling, address=ADDRESS)

    separate = run(64)
    assert not merges
    monkeypatch.setattr(fast, "MOST_COHORTS", 1)
    monkeypatch.setattr(fast, "_groups", lambda requests: [[i] for i in range(len(requests))])  # each row enters alone
    merged = run(6)
    assert len(merges) >= 5
    for group, other in zip(separate, merged, strict=True):
        for a, b in zip(group, other, strict=True):
            assert a.token_ids == b.token_ids
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


def test_responses_depend_on_address_problem_and_sample(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    engine = engine_of(policy_of("qwen2"))
    twin = replace(prompts[0], problem=replace(prompts[0].problem, id="twin"))  # same text, another problem
    first = engine.generate([prompts[0], twin], samples=2, sampling=SAMPLING, address=(0, 5))
    other = engine.generate([prompts[0], twin], samples=2, sampling=SAMPLING, address=(0, 6))
    responses = [r.token_ids for group in first + other for r in group]
    assert len(set(responses)) == len(responses)


def test_prompts_are_read_once_for_their_group_and_finished_rows_not_at_all(
    policy_of: PolicyOf, prompts: list[Prompt]
) -> None:
    policy = replace(policy_of("qwen2"), end_ids=tuple(range(10)))
    read: list[int] = []
    sampled: list[int] = []
    hook = policy.model.get_input_embeddings().register_forward_pre_hook(lambda _, args: read.append(args[0].numel()))
    try:
        engine = engine_of(policy)
        engine.generate(prompts[:1], samples=1, sampling=SAMPLING, address=ADDRESS)  # checks its head at the first call
        read.clear()
        engine.generate(prompts, samples=8, sampling=SAMPLING, address=ADDRESS, on_tokens=sampled.append)
    finally:
        hook.remove()
    assert read[0] == sum(len(prompt.token_ids) for prompt in prompts)
    assert read[1:] == [-(-count // ROWS) * ROWS for count in sampled[1:]]
    assert sampled[0] == 40 and sampled[-1] < 40


def test_linear_layers_through_onednn_give_the_same_and_are_put_back(policy_of: PolicyOf) -> None:
    model = policy_of("qwen2").model
    layer, x = model.get_decoder().layers[0].self_attn.q_proj, torch.randn(1, 5, 32)
    assert layer.bias is not None
    plain = model.get_decoder().layers[0].self_attn.q_proj(x)
    if not usable(model):
        pytest.skip("this build of torch has no oneDNN")
    with torch.inference_mode(), linear_layers(model):
        assert "forward" in vars(layer)
        torch.testing.assert_close(layer(x), plain)
    assert "forward" not in vars(layer)


def test_finish_reasons_and_text(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    policy = policy_of("qwen2")
    sampling = replace(SAMPLING, max_tokens=40)
    responses_PG = engine_of(policy, 9).generate(prompts, samples=8, sampling=sampling, address=ADDRESS)
    responses = [r for group in responses_PG for r in group]
    stopped = [r for r in responses if r.finish_reason == "stop"]
    assert stopped and len(stopped) < len(responses)
    for response in responses:
        assert len(response.logprobs) == response.num_tokens
        assert all(isinstance(x, float) for x in response.logprobs)
        ended = response.token_ids[-1] in policy.end_ids
        assert (response.finish_reason == "stop") == ended
        assert ended or response.num_tokens == 40
        assert not set(response.token_ids[:-1]) & set(policy.end_ids)
        assert response.text == policy.tokenizer.decode(list(response.token_ids[: -1 if ended else None]))


def test_stop_strings_end_a_response_and_are_kept_or_dropped(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    policy = policy_of("qwen2")
    sampling = replace(SAMPLING, max_tokens=40)

    def run(stop: tuple[str, ...], keep: bool) -> list[Response]:
        groups = engine_of(policy, 9).generate(
            prompts, samples=8, sampling=sampling, address=ADDRESS, stop=stop, keep_stop=keep
        )
        return [r for group in groups for r in group]

    free = run((), True)
    text = next(r.text for r in free if len(r.text) > 20 and "\ufffd" not in r.text[8:11])
    stop = text[8:11]
    kept, dropped = run((stop, "\x00\x01"), True), run((stop, "\x00\x01"), False)
    hit = 0
    for before, with_stop, without in zip(free, kept, dropped, strict=True):
        length = with_stop.num_tokens
        assert with_stop.token_ids == without.token_ids == before.token_ids[:length]
        assert with_stop.logprobs == without.logprobs
        at = before.text.find(stop)
        if at < 0:
            assert with_stop == without == before
            continue
        hit += 1
        assert with_stop.text == before.text[: at + len(stop)]
        assert without.text == before.text[:at]
        assert with_stop.finish_reason == "stop"
        assert stop not in policy.tokenizer.decode(list(before.token_ids[: length - 1]))
    assert 1 <= hit < len(free)


def test_rows_beyond_the_tokenizer_are_never_sampled(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    policy = policy_of("llama")
    head = policy.model.get_output_embeddings()
    padded = head.weight.shape[0] - policy.vocab_size
    assert padded > 0
    saved = head.weight.detach().clone()
    with torch.no_grad():
        head.weight[policy.vocab_size :] = 100 * saved[:padded]  # some of these logits are now by far the largest
    try:
        for temperature in (0.0, 1.0):
            sampling = replace(SAMPLING, temperature=temperature)
            [group] = engine_of(policy).generate(prompts[:1], samples=8, sampling=sampling, address=ADDRESS)
            assert max(id for response in group for id in response.token_ids) < policy.vocab_size
    finally:
        with torch.no_grad():
            head.weight.copy_(saved)


def test_greedy_follows_the_mode_of_a_plain_forward_pass(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    policy = policy_of("gemma3")
    sampling = replace(SAMPLING, temperature=0.0)
    for prompt, [response] in zip(
        prompts, engine_of(policy).generate(prompts, samples=1, sampling=sampling, address=ADDRESS), strict=True
    ):
        with torch.no_grad():
            logits = policy.model(input_ids=torch.tensor([prompt.token_ids + response.token_ids])).logits[0]
        modes = logits[len(prompt.token_ids) - 1 : -1, : policy.vocab_size].argmax(-1)
        assert tuple(modes.tolist()) == response.token_ids
        torch.testing.assert_close(
            torch.tensor(response.logprobs), plain_logprobs(policy, prompt, response), atol=1e-4, rtol=0
        )


def test_a_full_context_ends_a_response_by_length(policy_of: PolicyOf) -> None:
    policy = replace(policy_of("qwen2"), end_ids=(0,))
    lengths = [policy.max_context - 3, policy.max_context - 1, 5]
    prompts = [
        Prompt(Problem(f"long{n}", "test", "", ""), "none", "", tuple(1 + i % 200 for i in range(n))) for n in lengths
    ]
    responses_PG = engine_of(policy).generate(prompts, samples=4, sampling=SAMPLING, address=ADDRESS)
    for prompt, group in zip(prompts, responses_PG, strict=True):
        for response in group:
            if response.finish_reason == "length":
                assert response.num_tokens == min(SAMPLING.max_tokens, room(policy, prompt))
    assert {r.finish_reason for r in responses_PG[1]} == {"length"}


def test_a_prompt_without_room_is_refused_with_its_problem(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    policy = policy_of("qwen2")
    long = Prompt(Problem("too-long", "test", "", ""), "none", "", (1,) * policy.max_context)
    assert room(policy, long) == 0
    with pytest.raises(ValueError, match=r"'too-long'.* 64 tokens.*context of 64 tokens"):
        engine_of(policy).generate([*prompts, long], samples=1, sampling=SAMPLING, address=ADDRESS)


def test_an_empty_list_of_prompts_gives_an_empty_list(policy_of: PolicyOf) -> None:
    assert engine_of(policy_of("qwen2")).generate([], samples=4, sampling=SAMPLING, address=ADDRESS) == []


def test_every_token_is_counted_once_for_the_progress_bar(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    counts: list[int] = []
    responses_PG = engine_of(policy_of("qwen2"), 7).generate(
        prompts, samples=4, sampling=SAMPLING, address=ADDRESS, on_tokens=counts.append
    )
    assert sum(counts) == sum(r.num_tokens for group in responses_PG for r in group)
    assert max(counts) <= 7


def test_new_weights_are_used_at_the_next_call(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    policy = policy_of("qwen3")
    engine = engine_of(policy)
    before = engine.generate(prompts, samples=1, sampling=SAMPLING, address=ADDRESS)
    weight = policy.model.get_decoder().layers[0].mlp.down_proj.weight
    saved = weight.detach().clone()
    with torch.no_grad():
        weight.mul_(-1)
    try:
        [[response], *_] = engine.generate(prompts, samples=1, sampling=SAMPLING, address=ADDRESS)
        assert response != before[0][0]
        torch.testing.assert_close(
            torch.tensor(response.logprobs), plain_logprobs(policy, prompts[0], response), atol=1e-4, rtol=0
        )
    finally:
        with torch.no_grad():
            weight.copy_(saved)


def test_a_training_model_is_left_in_training_mode(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    policy = policy_of("qwen2")
    policy.model.train()
    try:
        engine_of(policy).generate(prompts[:1], samples=1, sampling=SAMPLING, address=ADDRESS)
        assert policy.model.training
    finally:
        policy.model.eval()


def test_wrong_engine_settings_name_the_remedy(policy_of: PolicyOf) -> None:
    with pytest.raises(ValueError, match=r"did you mean fast"):
        build_engine(EngineConfig(name="fats"), policy_of("qwen2"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"max_concurrent=0"):
        build_engine(EngineConfig(max_concurrent=0), policy_of("qwen2"))
