"""vLLM behind HTTP answers as vLLM here does, only to whom it should, and only with the weights that were meant."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from r1zero.config import EngineConfig, SamplingConfig
from r1zero.engines.vllm import VLLMEngine
from r1zero.engines.vllm_client import Client, NotAnsweredError
from r1zero.engines.vllm_copy import EngineError
from r1zero.engines.vllm_serve import HEADER, NAME, PATH
from r1zero.engines.vllm_server import VLLMServerEngine
from r1zero.engines.weights import named_weights, publish
from r1zero.models.load import Policy
from r1zero.records import Prompt, Response

SAMPLING = SamplingConfig(max_tokens=24)
COMPLETION = {"model": NAME, "prompt": [5, 6], "max_tokens": 2}


def generate(
    engine: VLLMServerEngine | VLLMEngine, prompts: list[Prompt], samples: int = 4, **settings: object
) -> list[list[Response]]:
    given = {"sampling": SAMPLING, "address": (0, 5)} | settings
    return engine.generate(prompts, samples=samples, **given)  # type: ignore[arg-type]


def assert_same(ours: list[list[Response]], theirs: list[list[Response]]) -> None:
    for group, other in zip(ours, theirs, strict=True):
        for a, b in zip(group, other, strict=True):
            assert (a.token_ids, a.text, a.finish_reason) == (b.token_ids, b.text, b.finish_reason)
            assert a.logprobs == pytest.approx(b.logprobs, abs=2e-4)


def client_of(engine: VLLMServerEngine, key: str | None = None) -> Client:
    assert engine._server is not None
    return Client(engine.url, engine._server.key if key is None else key, 60)


@pytest.fixture(autouse=True)
def weights_are_put_back(vllm_server: VLLMServerEngine, policy: Policy) -> Iterator[None]:
    before = {name: weight.clone() for name, weight in named_weights(policy)}
    yield
    with torch.no_grad():
        for name, weight in named_weights(policy):
            weight.copy_(before[name])
    if vllm_server.version:
        publish(vllm_server, policy, 0)


@pytest.mark.parametrize("settings", [{}, {"stop": ("9", " t")}, {"stop": ("9",), "keep_stop": False}])
def test_a_server_answers_as_the_engine_in_this_process_does(
    settings: dict[str, object], vllm_server: VLLMServerEngine, vllm_engine: VLLMEngine, prompts: list[Prompt]
) -> None:
    assert_same(generate(vllm_server, prompts, **settings), generate(vllm_engine, prompts, **settings))


@pytest.mark.parametrize("change", [{"temperature": 0.7, "top_p": 0.9}, {"temperature": 0.0}, {"top_k": 5}])
def test_settings_of_sampling_reach_the_server(
    change: dict[str, float], vllm_server: VLLMServerEngine, vllm_engine: VLLMEngine, prompts: list[Prompt]
) -> None:
    sampling = replace(SAMPLING, **change)  # type: ignore[arg-type]
    ours, theirs = (generate(engine, prompts, 2, sampling=sampling) for engine in (vllm_server, vllm_engine))
    assert_same(ours, theirs)


def test_bans_reach_the_server(vllm_server: VLLMServerEngine, vllm_engine: VLLMEngine, prompts: list[Prompt]) -> None:
    free = generate(vllm_server, prompts, 2)
    banned = [free[0][0].token_ids[:1], free[1][0].token_ids[2:4]]
    ours, theirs = (generate(engine, prompts, 2, banned=banned) for engine in (vllm_server, vllm_engine))
    assert_same(ours, theirs)
    assert ours[0][0].token_ids[0] != free[0][0].token_ids[0]


def test_new_weights_are_sampled_from_at_once_and_named(
    vllm_server: VLLMServerEngine, vllm_engine: VLLMEngine, policy: Policy, prompts: list[Prompt]
) -> None:
    first = generate(vllm_server, prompts)
    with torch.no_grad():
        for _, weight in named_weights(policy):
            weight.mul_(1.1)
    publish(vllm_server, policy, 7)
    publish(vllm_engine, policy, 7)
    responses_PG = generate(vllm_server, prompts)
    theirs_PG = generate(vllm_engine, prompts)
    with torch.no_grad():
        for _, weight in named_weights(policy):
            weight.div_(1.1)
    publish(vllm_engine, policy, 0)
    assert {r.weights_version for group in responses_PG for r in group} == {7}
    assert_same(responses_PG, theirs_PG)
    assert responses_PG[0][0].logprobs != first[0][0].logprobs


def test_requests_for_other_weights_are_refused(vllm_server: VLLMServerEngine) -> None:
    client = client_of(vllm_server)
    assert client.ask("POST", "/v1/completions", COMPLETION, {HEADER: vllm_server.label})["choices"]
    with pytest.raises(NotAnsweredError, match=r"409 .*weights 1 were asked for, [0-9a-f]+-0 are loaded"):
        client.ask("POST", "/v1/completions", COMPLETION, {HEADER: "1"})


def test_the_server_is_an_ordinary_openai_compatible_one(vllm_server: VLLMServerEngine) -> None:
    client = client_of(vllm_server)
    assert [model["id"] for model in client.ask("GET", "/v1/models")["data"]] == [NAME]
    assert client.ask("POST", "/v1/completions", COMPLETION)["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize("path", ["/v1/completions", "/invocations", "/tokenize", PATH + "?version=1"])
def test_without_the_key_nobody_is_answered(path: str, vllm_server: VLLMServerEngine) -> None:
    for key in ("", "wrong"):
        with pytest.raises(ValueError, match="401"):
            client_of(vllm_server, key).ask("POST", path, COMPLETION)


def test_broken_weights_are_refused_and_the_good_ones_stay(
    vllm_server: VLLMServerEngine, prompts: list[Prompt]
) -> None:
    before = generate(vllm_server, prompts)
    client = client_of(vllm_server)
    header = json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode()
    for body in (b"no weights", len(header).to_bytes(8, "little") + header + b"\0" * 35):
        with pytest.raises(ValueError, match="safetensors"):
            client.send(PATH + "?version=3", [body], len(body))
    with pytest.raises(ValueError, match=r"version=V"):
        client.send(PATH + "?version=x", [b""], 0)
    assert_same(generate(vllm_server, prompts), before)
    assert vllm_server.metrics()["engine/restarts"] == 0


def test_an_engine_connects_to_a_server_that_runs(
    vllm_server: VLLMServerEngine, policy: Policy, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vllm_server._server is not None
    monkeypatch.setenv("VLLM_API_KEY", vllm_server._server.key)
    config = EngineConfig(name="vllm_server", url=vllm_server.url)
    guest = VLLMServerEngine(config, policy)
    assert_same(generate(guest, prompts), generate(vllm_server, prompts))
    assert_same(generate(guest, prompts), generate(vllm_server, prompts))  # each sends its weights again
    guest.close()
    assert vllm_server._server.runs
    with pytest.raises(ValueError, match=r"vocab_size .* start it again with the learner"):
        VLLMServerEngine(config, replace(policy, vocab_size=policy.vocab_size - 1))


def test_where_no_server_answers_the_error_says_how_to_start_one(policy: Policy) -> None:
    with pytest.raises(EngineError, match=r"no server answers at http://127\.0\.0\.1:9 .*vllm_serve MODEL"):
        VLLMServerEngine(EngineConfig(name="vllm_server", url="http://127.0.0.1:9"), policy)
    with pytest.raises(ValueError, match="write http://HOST:PORT"):
        VLLMServerEngine(EngineConfig(name="vllm_server", url="nowhere"), policy)


def test_a_server_killed_while_it_samples_is_started_again_and_the_responses_are_the_same(
    vllm_server: VLLMServerEngine, policy: Policy, prompts: list[Prompt]
) -> None:
    with torch.no_grad():
        for _, weight in named_weights(policy):
            weight.mul_(1.05)
    publish(vllm_server, policy, 2)
    undisturbed = generate(vllm_server, prompts, 12)
    vllm_server.metrics()
    killed: list[int] = []

    def kill_once(count: int) -> None:
        assert vllm_server._server is not None and vllm_server._server.pid is not None
        if not killed:
            killed.append(vllm_server._server.pid)
            os.killpg(killed[0], signal.SIGKILL)

    disturbed = generate(vllm_server, prompts, 12, on_tokens=kill_once)
    assert vllm_server.metrics()["engine/restarts"] == 1
    assert_same(disturbed, undisturbed)
    assert {r.weights_version for group in disturbed for r in group} == {2}


def test_a_server_ends_with_whoever_started_it(vllm_server: VLLMServerEngine) -> None:
    """Last, since nothing is left of it: the pipe to its standard input closes when the process that holds it dies."""
    assert vllm_server._server is not None
    process = vllm_server._server._process
    assert process is not None and process.stdin is not None
    process.stdin.close()
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert process.poll() is not None
    vllm_server.version = 0
