"""What vLLM is told, and what is refused before it is started; needs no vLLM."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from r1zero.config import EngineConfig, SamplingConfig
from r1zero.engines import build_engine
from r1zero.engines.choose import choose_engine
from r1zero.engines.requests import make_requests
from r1zero.engines.vllm_serve import main, serve_command
from r1zero.engines.vllm_settings import (
    check_settings,
    engine_arguments,
    environment,
    read_banned,
    request_settings,
    within_context,
    write_model,
    written_banned,
)
from r1zero.models.load import Policy, load_policy
from r1zero.records import Prompt

PolicyOf = Callable[[str], Policy]


def on_gpu(policy: Policy) -> Policy:
    """The same policy that says it is on a GPU."""
    model = SimpleNamespace(device=torch.device("cuda", 0), config=policy.model.config)
    return replace(policy, model=model)  # type: ignore[arg-type]


def test_vllm_is_told_what_may_be_sampled_and_whose_probabilities_are_wanted(
    policy_of: PolicyOf, tmp_path: Path
) -> None:
    policy = policy_of("qwen2")
    arguments = engine_arguments(EngineConfig(name="vllm"), policy, tmp_path)
    assert policy.vocab_size < policy.model.config.vocab_size
    assert arguments["additional_config"]["r1zero_vocab_size"] == policy.vocab_size
    assert arguments["enable_prefix_caching"] is True
    assert arguments["logprobs_mode"] == "processed_logprobs"
    assert arguments["max_model_len"] == policy.max_context


def test_types_follow_the_device_unless_given(policy_of: PolicyOf, tmp_path: Path) -> None:
    def dtype(policy: Policy, name: str) -> str:
        config = EngineConfig(name="vllm", dtype=name)  # type: ignore[arg-type]
        return str(engine_arguments(config, policy, tmp_path)["dtype"])

    policy = policy_of("qwen2")
    assert (dtype(policy, "auto"), dtype(on_gpu(policy), "auto")) == ("float32", "bfloat16")
    assert dtype(policy, "bfloat16") == "bfloat16"


def test_seeds_are_those_of_the_address(policy_of: PolicyOf, prompts: list[Prompt]) -> None:
    policy, sampling = policy_of("qwen2"), SamplingConfig(max_tokens=9)

    def seeds(address: tuple[int, ...]) -> list[int]:
        requests = make_requests(policy, prompts, 4, sampling, address)
        return [request_settings(policy, request, sampling, ())["seed"] for request in requests]

    assert seeds((0, 1)) == seeds((0, 1))
    assert len({*seeds((0, 1)), *seeds((0, 2))}) == 2 * 4 * len(prompts)
    assert all(0 <= seed < 1 << 63 for seed in seeds((0, 1)))


def test_the_directory_holds_config_and_tokenizer_and_no_weights(policy_of: PolicyOf, tmp_path: Path) -> None:
    write_model(policy_of("qwen2"), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"config.json", "tokenizer.json"} <= names
    assert not any(name.endswith((".safetensors", ".bin")) for name in names)


def test_the_environment_is_put_back_and_hides_the_ranks(policy_of: PolicyOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    before = dict(os.environ)
    with environment(EngineConfig(name="vllm", cpu_cache=7), policy_of("qwen2")):
        assert "RANK" not in os.environ
        assert os.environ["VLLM_CPU_KVCACHE_SPACE"] == "7"
        os.environ["LOCAL_WORLD_SIZE"] = "1"  # vLLM does
    assert dict(os.environ) == before


@pytest.mark.parametrize(("given", "seen"), [({}, "0,1"), ({"CUDA_VISIBLE_DEVICES": "5,2,7"}, "5,2")])
def test_vllm_sees_the_gpus_of_its_rank(
    given: dict[str, str], seen: str, policy_of: PolicyOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    with environment(EngineConfig(name="vllm", tensor_parallel=2), on_gpu(policy_of("qwen2"))):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == seen


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tensor_parallel": 3}, "does not divide the model's 4 attention heads: take 1, 2, 4"),
        ({"tensor_parallel": 4}, "shows 2 GPUs"),
        ({"max_context": -1}, "at least 1, or 0"),
        ({"gpu_memory": 1.5}, "above 0 and below 1"),
        ({"max_concurrent": 0}, "at least 1"),
    ],
)
def test_what_the_model_or_machine_cannot_do_is_refused(
    settings: dict[str, float], message: str, policy_of: PolicyOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match=message):
        check_settings(EngineConfig(name="vllm", **settings), on_gpu(policy_of("qwen2")))  # type: ignore[arg-type]


def test_the_context_may_be_shorter_than_the_models_but_not_longer(policy_of: PolicyOf) -> None:
    policy = policy_of("qwen2")
    contexts = [within_context(EngineConfig(max_context=n), policy).max_context for n in (0, 10, 1 << 20)]
    assert contexts == [policy.max_context, 10, policy.max_context]


def test_tensor_parallelism_needs_gpus(policy_of: PolicyOf) -> None:
    with pytest.raises(ValueError, match="without a GPU"):
        check_settings(EngineConfig(name="vllm", tensor_parallel=2), policy_of("qwen2"))


def test_bans_travel_as_text(policy_of: PolicyOf) -> None:
    policy = policy_of("qwen2")
    assert read_banned(written_banned([(3, 4), (5,)], policy)) == [(3, 4), (5,)]
    assert written_banned([], policy) == ""
    everything = [(0, id) for id in range(policy.vocab_size)]
    with pytest.raises(ValueError, match="or use engine"):
        written_banned(everything, policy)


def test_without_vllm_the_error_names_what_to_install(policy_of: PolicyOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in ("vllm", "vllm_server"):
        with pytest.raises(ValueError, match=r"pip install 'r1zero\[vllm\]'"):
            build_engine(EngineConfig(name=name), policy_of("qwen2"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("installed", "gpu", "chosen"),
    [(True, True, "vllm"), (False, True, "fast"), (True, False, "fast"), (False, False, "fast")],
)
def test_auto_is_vllm_where_it_is_installed_and_a_gpu_is_there(
    installed: bool, gpu: bool, chosen: str, policy_of: PolicyOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if installed else None)
    monkeypatch.setattr("r1zero.engines.choose.head_of", lambda policy: None)
    policy = policy_of("qwen2")
    assert choose_engine(on_gpu(policy) if gpu else policy)[0] == chosen


def test_auto_is_huggingface_where_the_fast_engine_cannot_compute_the_model(
    policy_of: PolicyOf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(policy: Policy) -> None:
        raise ValueError("the output head of Odd is not supported")

    monkeypatch.setattr("r1zero.engines.choose.head_of", refuse)
    with caplog.at_level("INFO", logger="r1zero"):
        engine = build_engine(EngineConfig(name="auto"), policy_of("qwen2"))
    assert type(engine).__name__ == "HuggingFaceEngine"
    assert "engine huggingface: no GPU is used, and `fast` cannot sample" in caplog.text


def test_a_server_listens_to_this_machine_alone_unless_it_has_a_key(
    policy_of: PolicyOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    config, policy = EngineConfig(name="vllm_server"), policy_of("qwen2")
    for host in ("127.0.0.1", "localhost", "::1"):
        command = serve_command(config, policy, tmp_path, host=host, port=8000)
        assert command[command.index("--host") + 1] == host
    for host in ("0.0.0.0", "10.1.2.3", "example.org"):
        with pytest.raises(ValueError, match="VLLM_API_KEY"):
            serve_command(config, policy, tmp_path, host=host, port=8000)
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    assert "secret" not in serve_command(config, policy, tmp_path, host="0.0.0.0", port=8000)


def test_serving_what_is_not_there_ends_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["tiny-serch", "--device", "cpu"])
    assert ended.value.code == 2
    assert "did you mean tiny-search" in capsys.readouterr().err


def test_the_shipped_model_can_be_told_to_vllm(tmp_path: Path) -> None:
    policy = load_policy("tiny-search", "cpu")
    arguments = engine_arguments(EngineConfig(name="vllm"), policy, tmp_path)
    assert arguments["dtype"] == "float32" and arguments["enforce_eager"] is True
