"""vLLM started once for all tests, on the GPU where there is one; `make test-vllm` installs a build that needs none."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from r1zero.config import EngineConfig
from r1zero.engines.vllm import VLLMEngine
from r1zero.engines.vllm_server import VLLMServerEngine
from r1zero.models import attention
from r1zero.models.load import Policy, make_policy

PADDED_ROWS = 7  # rows of the embedding beyond the tokenizer, which must never be sampled
SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 96,
    "tie_word_embeddings": True,
}


@pytest.fixture(scope="session", autouse=True)
def vllm_is_installed() -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed: make test-vllm")


@pytest.fixture(scope="session")
def policy(tokenizer: PreTrainedTokenizerFast) -> Policy:
    """A random Qwen2 whose most likely tokens would be the rows that its tokenizer lacks."""
    attention.register()
    torch.manual_seed(0)
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": None, "pad_token_id": None}
    config = AutoConfig.for_model("qwen2", vocab_size=len(tokenizer) + PADDED_ROWS, **SHAPE, **ends)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention.NAME, dtype=torch.float32)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.mul_(4.0)
        model.get_output_embeddings().weight[len(tokenizer) :] *= 10
    return make_policy(model.eval().to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer)


@pytest.fixture(scope="session")
def engine_settings() -> dict[str, object]:
    """Of an engine: float32, so that its numbers are compared with the learner's."""
    return {"max_concurrent": 16, "dtype": "float32", "enforce_eager": True, "timeout_s": 500.0}


@pytest.fixture(scope="session")
def vllm_engine(vllm_is_installed: None, policy: Policy, engine_settings: dict[str, object]) -> Iterator[VLLMEngine]:
    engine = VLLMEngine(EngineConfig(name="vllm", **engine_settings), policy)  # type: ignore[arg-type]
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def vllm_server(
    vllm_is_installed: None, policy: Policy, engine_settings: dict[str, object]
) -> Iterator[VLLMServerEngine]:
    engine = VLLMServerEngine(EngineConfig(name="vllm_server", **engine_settings), policy)  # type: ignore[arg-type]
    yield engine
    engine.close()
