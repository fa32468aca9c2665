"""Parameters counted from dimensions are those that the models have."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from r1zero.models.load import load_policy
from r1zero.planning.shapes import PUBLISHED, read_shape, shape_of

SIZES = {
    "vocab_size": 77, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2,
}  # fmt: skip
CONFIGS = {
    "qwen2": Qwen2Config(**SIZES, tie_word_embeddings=True),
    "qwen2, untied": Qwen2Config(**SIZES, tie_word_embeddings=False),
    "qwen3": Qwen3Config(**SIZES, head_dim=16, tie_word_embeddings=True),
    "qwen3 with biases": Qwen3Config(**SIZES, head_dim=16, attention_bias=True),
    "llama": LlamaConfig(**SIZES, tie_word_embeddings=True),
    "llama with biases": LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True),
    "llama with narrow heads": LlamaConfig(**SIZES, head_dim=4),
    "mistral": MistralConfig(**SIZES),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_are_counted_as_the_model_has_them(name):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(CONFIGS[name])
    shape = shape_of(name, CONFIGS[name].to_dict())
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    layers = sum(p.numel() for p in model.model.layers.parameters())
    assert (shape.layers * shape.layer, shape.outside) == (layers, shape.parameters - layers)
    linear = sum(m.weight.numel() for m in model.model.layers.modules() if isinstance(m, torch.nn.Linear))
    assert shape.layers * shape.matrices == linear


@pytest.mark.parametrize(
    ("name", "parameters"),
    [  # as their cards and checkpoints have it
        ("Qwen/Qwen2.5-0.5B", 494_032_768),
        ("Qwen/Qwen2.5-Math-1.5B", 1_543_714_304),
        ("Qwen/Qwen2.5-3B", 3_085_938_688),
        ("Qwen/Qwen2.5-Math-7B", 7_615_616_512),
        ("Qwen/Qwen2.5-14B", 14_770_033_664),
        ("Qwen/Qwen2.5-32B", 32_763_876_352),
        ("meta-llama/Llama-3.2-1B", 1_235_814_400),
        ("meta-llama/Llama-3.2-3B", 3_212_749_824),
        ("meta-llama/Llama-3.1-8B", 8_030_261_248),
    ],
)
def test_published_models_have_their_published_size(name, parameters):
    assert PUBLISHED[name].parameters == parameters


def test_adapters_are_counted_by_hand():
    shape = shape_of("x", CONFIGS["qwen2"].to_dict())
    a_layer = 2 * (48 + 48) + 2 * (48 + 16) + 3 * (48 + 80)  # q and o, k and v, gate, up and down
    assert shape.adapters(8) == 3 * 8 * a_layer


def test_a_shape_is_read_from_a_directory_and_of_a_shipped_model(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIGS["qwen3"].to_dict()))
    assert read_shape(str(tmp_path)).norms_heads
    shipped = load_policy("tiny-search", "cpu").model
    assert read_shape("tiny-search").parameters == sum(p.numel() for p in shipped.parameters())


def test_what_cannot_be_planned_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(ValueError, match=r"did you mean .*Qwen/Qwen2\.5-7B"):
        read_shape("Qwen/Qwen2.5-8B")
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_vl"}')
    with pytest.raises(ValueError, match=r"of type 'qwen2_vl': memory is planned for qwen2, qwen3, llama, mistral"):
        read_shape(str(tmp_path))
