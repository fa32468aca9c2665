"""vLLM samples what the learner's weights say, with addressed randomness, whatever happens to its processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace

import psutil
import pytest
import torch
from torch import Tensor

from r1zero.config import SamplingConfig
from r1zero.engines.fast import FastEngine
from r1zero.engines.sampling import distribution
from r1zero.engines.vllm import VLLMEngine
from r1zero.engines.vllm_copy import EngineError
from r1zero.engines.weights import named_weights, publish
from r1zero.models.load import Policy
from r1zero.records import Prompt, Response

SAMPLING = SamplingConfig(max_tokens=24)
ADDRESS = (0, 5)
TOLERANCE = 2e-4  # nats


def logits(policy: Policy, prompt: Prompt, response: Response) -> Tensor:
    """Of each response token, by one plain forward pass.  [T, V]"""
    ids = torch.tensor([prompt.token_ids + response.token_ids], device=policy.device)
    with torch.no_grad():
        return policy.model(input_ids=ids).logits[0, len(prompt.token_ids) - 1 : -1, : policy.vocab_size].cpu()


def largest_gap(
    policy: Policy, prompts: list[Prompt], responses_PG: list[list[Response]], sampling: SamplingConfig
) -> float:
    """Between the engine's log-probabilities and those of the distribution that should have been sampled, nats."""
    gaps = []
    for prompt, group in zip(prompts, responses_PG, strict=True):
        for response in group:
            settings = replace(sampling, temperature=1.0) if sampling.temperature == 0 else sampling
            expected_TV = distribution(logits(policy, prompt, response), settings).log()
            ids_T1 = torch.tensor(response.token_ids)[:, None]
            gaps.append((expected_TV.gather(1, ids_T1)[:, 0] - torch.tensor(response.logprobs)).abs().max().item())
    return max(gaps)


def generate(engine: VLLMEngine, prompts: list[Prompt], samples: int = 4, **settings: object) -> list[list[Response]]:
    given = {"sampling": SAMPLING, "address": ADDRESS} | settings
    return engine.generate(prompts, samples=samples, **given)  # type: ignore[arg-type]


def assert_same(ours: list[list[Response]], theirs: list[list[Response]]) -> None:
    for group, other in zip(ours, theirs, strict=True):
        for a, b in zip(group, other, strict=True):
            assert (a.token_ids, a.text, a.finish_reason) == (b.token_ids, b.text, b.finish_reason)
            assert a.logprobs == pytest.approx(b.logprobs, abs=TOLERANCE)


@pytest.fixture(autouse=True)
def weights_are_put_back(vllm_engine: VLLMEngine, policy: Policy) -> Iterator[None]:
    """A test may change the policy; the next one finds it as it was, and the engine with the same weights."""
    before = {name: weight.clone() for name, weight in named_weights(policy)}
    yield
    changed = [name for name, weight in named_weights(policy) if not torch.equal(weight, before[name])]
    if changed or vllm_engine.version:
        with torch.no_grad():
            for name, weight in named_weights(policy):
                weight.copy_(before[name])
        publish(vllm_engine, policy, 0)


@pytest.mark.parametrize(
    "change", [{}, {"temperature": 0.6}, {"temperature": 1.3, "top_k": 5}, {"top_p": 0.8}, {"temperature": 0.0}]
)
def test_logprobs_are_of_the_distribution_that_was_sampled(
    change: dict[str, float], vllm_engine: VLLMEngine, policy: Policy, prompts: list[Prompt]
) -> None:
    sampling = replace(SAMPLING, **change)  # type: ignore[arg-type]
    responses_PG = generate(vllm_engine, prompts, sampling=sampling)
    assert [len(group) for group in responses_PG] == [4] * len(prompts)
    assert all(r.num_tokens == len(r.logprobs) for group in responses_PG for r in group)
    assert largest_gap(policy, prompts, responses_PG, sampling) < TOLERANCE


def test_greedy_responses_are_those_of_the_fast_engine(
    vllm_engine: VLLMEngine, policy: Policy, prompts: list[Prompt]
) -> None:
    greedy = replace(SAMPLING, temperature=0.0)
    fast = FastEngine(vllm_engine.config, policy)
    ours = generate(vllm_engine, prompts, 1, sampling=greedy)
    assert_same(ours, fast.generate(prompts, samples=1, sampling=greedy, address=ADDRESS))


def test_first_tokens_come_as_often_as_the_weights_say(
    vllm_engine: VLLMEngine, policy: Policy, prompts: list[Prompt]
) -> None:
    """4000 independent draws; the statistic's mean is its degrees of freedom, its variance twice that."""
    draws = 4000
    [group] = generate(vllm_engine, prompts[:1], draws, sampling=SamplingConfig(max_tokens=1))
    expected_V = torch.softmax(logits(policy, prompts[0], group[0])[0], -1) * draws
    counts_V = torch.bincount(torch.tensor([r.token_ids[0] for r in group]), minlength=policy.vocab_size)
    common = expected_V >= 5
    expected = torch.cat([expected_V[common], expected_V[~common].sum()[None]])
    counts = torch.cat([counts_V[common], counts_V[~common].sum()[None]])
    statistic, freedom = ((counts - expected) ** 2 / expected).sum().item(), len(expected) - 1
    assert freedom > 20
    assert abs(statistic - freedom) < 4 * (2 * freedom) ** 0.5


def test_nothing_is_sampled_that_the_tokenizer_lacks(
    vllm_engine: VLLMEngine, policy: Policy, prompts: list[Prompt]
) -> None:
    ids = torch.tensor([prompts[0].token_ids], device=policy.device)
    with torch.no_grad():
        assert policy.model(input_ids=ids).logits[0, -1].argmax().item() >= policy.vocab_size
    responses_PG = generate(vllm_engine, prompts, 8)
    assert max(id for group in responses_PG for r in group for id in r.token_ids) < policy.vocab_size


def test_a_response_depends_on_its_address_and_not_on_what_is_sampled_beside_it(
    vllm_engine: VLLMEngine, prompts: list[Prompt]
) -> None:
    whole = generate(vllm_engine, prompts, 6)
    assert_same(generate(vllm_engine, prompts[::-1], 6)[::-1], whole)
    assert_same(generate(vllm_engine, prompts[2:3], 2), [whole[2][:2]])
    twin = replace(prompts[0], problem=replace(prompts[0].problem, id="twin"))  # same text, another problem
    others = [*generate(vllm_engine, [prompts[0], twin], 6, address=(0, 6)), whole[0]]
    assert len({r.token_ids for group in others for r in group}) == 18


def test_end_tokens_stop_strings_and_limits_end_a_response_as_in_the_fast_engine(
    vllm_engine: VLLMEngine, policy: Policy, prompts: list[Prompt]
) -> None:
    many_ends = replace(policy, end_ids=tuple(range(10)))
    vllm_engine.policy = many_ends
    try:
        responses = [r for group in generate(vllm_engine, prompts, 8) for r in group]
    finally:
        vllm_engine.policy = policy
    ended = [r for r in responses if r.finish_reason == "stop"]
    assert len(ended) > 5 and any(r.finish_reason == "length" for r in responses)
    assert all(r.token_ids[-1] < 10 and min(r.token_ids[:-1], default=10) >= 10 for r in ended)
    assert all(r.num_tokens == SAMPLING.max_tokens for r in responses if r.finish_reason == "length")


@pytest.mark.parametrize("keep", [True, False])
def test_a_response_ends_with_the_token_that_completes_a_stop_string(
    keep: bool, vllm_engine: VLLMEngine, prompts: list[Prompt]
) -> None:
    free = [r for group in generate(vllm_engine, prompts, 4) for r in group]
    stop = next(r.text for r in free if "\ufffd" not in r.text[4:6])[4:6]
    stopped = [r for group in generate(vllm_engine, prompts, 4, stop=(stop,), keep_stop=keep) for r in group]
    pairs = [(a, b) for a, b in zip(free, stopped, strict=True) if stop in a.text]
    assert pairs
    for a, b in pairs:
        assert b.finish_reason == "stop"
        assert a.token_ids[: b.num_tokens] == b.token_ids
        assert b.text == a.text[: a.text.index(stop) + (len(stop) if keep else 0)]
    with pytest.raises(ValueError, match="empty stop string"):
        generate(vllm_engine, prompts, stop=("",))


def test_bans_hold_and_logprobs_are_those_of_what_is_left(
    vllm_engine: VLLMEngine, policy: Policy, prompts: list[Prompt]
) -> None:
    free = [r for group in generate(vllm_engine, prompts, 4) for r in group]
    banned = [r.token_ids[3:5] for r in free] + [(free[0].token_ids[0],)]
    responses_PG = generate(vllm_engine, prompts, 4, banned=banned)
    for prompt, group in zip(prompts, responses_PG, strict=True):
        for response in group:
            ids = prompt.token_ids + response.token_ids
            first = len(prompt.token_ids)
            assert not any(ids[at - len(b) + 1 : at + 1] == b for at in range(first, len(ids)) for b in banned)
            expected_TV = logits(policy, prompt, response)
            for t in range(response.num_tokens):
                for b in banned:
                    if len(b) == 1 or ids[first + t - len(b) + 1 : first + t] == b[:-1]:
                        expected_TV[t, b[-1]] = -torch.inf
            expected_T = expected_TV.log_softmax(-1).gather(1, torch.tensor(response.token_ids)[:, None])[:, 0]
            torch.testing.assert_close(torch.tensor(response.logprobs), expected_T, atol=TOLERANCE, rtol=0)


def test_new_weights_are_sampled_from_at_once_and_named(
    vllm_engine: VLLMEngine, policy: Policy, prompts: list[Prompt]
) -> None:
    first = generate(vllm_engine, prompts)  # its prompts are kept, and must be forgotten
    for version in (3, 4):
        with torch.no_grad():
            for _, weight in named_weights(policy):
                weight.mul_(1.1)
        publish(vllm_engine, policy, version)
        responses_PG = generate(vllm_engine, prompts)
        assert {r.weights_version for group in responses_PG for r in group} == {version}
        assert largest_gap(policy, prompts, responses_PG, SAMPLING) < TOLERANCE
        assert [r.logprobs for r in responses_PG[0]] != [r.logprobs for r in first[0]]


def test_sleep_and_wake_change_nothing_but_the_weights_that_came_meanwhile(
    vllm_engine: VLLMEngine, policy: Policy, prompts: list[Prompt]
) -> None:
    before = generate(vllm_engine, prompts)
    for _ in range(3):
        vllm_engine.sleep()
        vllm_engine.wake()
        assert_same(generate(vllm_engine, prompts), before)
    vllm_engine.sleep()
    with torch.no_grad():
        for _, weight in named_weights(policy):
            weight.mul_(1.1)
    publish(vllm_engine, policy, 1)
    responses_PG = generate(vllm_engine, prompts)  # wakes it
    assert responses_PG[0][0].weights_version == 1
    assert largest_gap(policy, prompts, responses_PG, SAMPLING) < TOLERANCE


def test_prompts_that_leave_no_room_and_pictures_are_refused(vllm_engine: VLLMEngine, prompts: list[Prompt]) -> None:
    with pytest.raises(ValueError, match="leaves no room"):
        generate(vllm_engine, [replace(prompts[0], token_ids=(5,) * 96)])
    [[response]] = generate(vllm_engine, [replace(prompts[0], token_ids=(5,) * 93)], 1)
    assert response.num_tokens <= 3
    with pytest.raises(ValueError, match="does not show pictures"):
        generate(vllm_engine, [replace(prompts[0], images=("a.png",))])
    assert generate(vllm_engine, [], 3) == []


def kill_once(pids: Callable[[], list[int]]) -> Callable[[int], None]:
    """A callback that kills these processes when the first tokens come."""
    killed: list[int] = []

    def on_tokens(count: int) -> None:
        if not killed:
            killed.extend(pids())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    return on_tokens


def core_pids(engine: VLLMEngine) -> list[int]:
    return [process.pid for process in engine._llm.llm_engine.engine_core.resources.engine_manager.processes]


def worker_pids(engine: VLLMEngine) -> list[int]:
    """The child of the core that holds the model."""
    [core] = core_pids(engine)
    return [max(psutil.Process(core).children(), key=lambda child: child.memory_info().rss).pid]


@pytest.mark.parametrize("victims", [core_pids, worker_pids])
def test_an_engine_killed_while_it_samples_is_started_again_and_the_responses_are_the_same(
    victims: Callable[[VLLMEngine], list[int]], vllm_engine: VLLMEngine, policy: Policy, prompts: list[Prompt]
) -> None:
    with torch.no_grad():
        for _, weight in named_weights(policy):
            weight.mul_(1.05)
    publish(vllm_engine, policy, 2)
    undisturbed = generate(vllm_engine, prompts, 16)
    vllm_engine.metrics()
    disturbed = generate(vllm_engine, prompts, 16, on_tokens=kill_once(lambda: victims(vllm_engine)))
    assert vllm_engine.metrics()["engine/restarts"] == 1
    assert_same(disturbed, undisturbed)
    assert {r.weights_version for group in disturbed for r in group} == {2}


def test_an_engine_that_dies_again_and_again_is_given_up(
    vllm_engine: VLLMEngine, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vllm.v1.engine.exceptions import EngineDeadError

    def die(*arguments: object) -> None:
        raise EngineDeadError

    started: list[int] = []
    monkeypatch.setattr(vllm_engine, "_sample", die)
    monkeypatch.setattr(vllm_engine, "_start", lambda: started.append(1))
    monkeypatch.setattr(vllm_engine, "_finalizer", lambda: None)
    with pytest.raises(EngineError, match="died 4 times in a row"):
        generate(vllm_engine, prompts)
    assert len(started) == vllm_engine.config.max_restarts == 3
    vllm_engine._deaths = 0


@pytest.mark.gpu
def test_a_sleeping_engine_gives_its_gpu_memory_back(vllm_engine: VLLMEngine) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    awake, _ = torch.cuda.mem_get_info()
    vllm_engine.sleep()
    asleep, _ = torch.cuda.mem_get_info()
    vllm_engine.wake()
    assert asleep - awake > 1 << 30
