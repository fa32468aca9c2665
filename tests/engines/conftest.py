"""Tiny random models of many architectures, with a byte-level tokenizer made on the spot."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from r1zero.models import attention
from r1zero.models.load import Policy, make_policy
from r1zero.records import Problem, Prompt

CORPUS = ["3 + 8 = 11, so <answer>3 + 8</answer>.\n\nLet me check: 11 is the target. é ü 漢字 → done\n\n"] * 4
PADDED_ROWS = 7  # rows of the embedding beyond the tokenizer, which must never be sampled
WINDOW = 5  # sliding window of the models that have one

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}
ARCHITECTURES: dict[str, dict[str, object]] = {
    "qwen2": {"model_type": "qwen2"},
    "llama": {"model_type": "llama", "tie_word_embeddings": False},
    "qwen3": {"model_type": "qwen3"},
    "mistral": {"model_type": "mistral", "sliding_window": WINDOW},
    "gemma": {"model_type": "gemma", "num_key_value_heads": 1},
    "gemma2": {
        "model_type": "gemma2",
        "sliding_window": WINDOW,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 3.0,
        "query_pre_attn_scalar": 8,
    },
    "gemma3": {
        "model_type": "gemma3_text",
        "sliding_window": WINDOW,
        "num_hidden_layers": 7,
        "query_pre_attn_scalar": 8,
    },
}


@pytest.fixture(params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> str:
    """Each architecture in turn."""
    return str(request.param)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE of about 300 entries, end token included."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>")


@pytest.fixture(scope="session")
def policy_of(tokenizer: PreTrainedTokenizerFast) -> Callable[[str], Policy]:
    """A random policy of an architecture; large weights make its distributions uneven."""
    made: dict[str, Policy] = {}

    def build(name: str) -> Policy:
        if name not in made:
            attention.register()
            settings = {
                **SHAPE,
                "vocab_size": len(tokenizer) + PADDED_ROWS,
                "eos_token_id": tokenizer.eos_token_id,
                "bos_token_id": None,
                "pad_token_id": None,
                **ARCHITECTURES[name],
            }
            torch.manual_seed(0)
            config = AutoConfig.for_model(**settings)
            model = AutoModelForCausalLM.from_config(config, attn_implementation=attention.NAME, dtype=torch.float32)
            with torch.no_grad():
                for weight in model.parameters():
                    if weight.dim() == 2:
                        weight.mul_(4.0)
            made[name] = make_policy(model.eval(), tokenizer)
        return made[name]

    return build


@pytest.fixture(scope="session")
def prompts(tokenizer: PreTrainedTokenizerFast) -> list[Prompt]:
    """Five prompts of different lengths."""
    texts = ["3 + 8", "Let me check: 11", "so", "target. 8 + 8 = ", "Let me check: 11 is the target."]
    return [
        Prompt(Problem(f"p{i}", "test", text, ""), "none", text, tuple(tokenizer.encode(text)))
        for i, text in enumerate(texts)
    ]
