"""Tiny random models that see, one of each family."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedTokenizerFast

from r1zero.models import attention
from r1zero.models.load import Policy, make_policy
from r1zero.models.vision_llava import llava_vision
from r1zero.models.vision_qwen import qwen_vision

SPECIAL = ["<|end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
WORDS = ["which", "object", "is", "closer", "red", "blue", "circle", "square", "?", "and", "here", ":", "then", "left"]
WIDTH = 32  # of the language model
PADDED_ROWS = 7

TEXT = {
    "vocab_size": len(SPECIAL) + len(WORDS) + PADDED_ROWS,
    "hidden_size": WIDTH,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
AXES = {"rope_parameters": {"rope_type": "default", "rope_theta": 30.0, "mrope_section": [2, 1, 1]}}
IDS = {"vision_start_token_id": 1, "vision_end_token_id": 2, "image_token_id": 3, "video_token_id": 4}
TOWER = {"depth": 2, "num_heads": 2, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 1}
QWEN = {"patch_size": 14, "merge_size": 2, "size": {"shortest_edge": 28 * 28, "longest_edge": 84 * 84}}
CONFIGS: dict[str, dict[str, Any]] = {
    "qwen2_vl": {
        "text_config": TEXT | AXES,
        "vision_config": TOWER | {"embed_dim": 16, "hidden_size": WIDTH, "mlp_ratio": 2},
        "tie_word_embeddings": True,
        **IDS,
    },
    "qwen2_5_vl": {
        "text_config": TEXT | AXES,
        "vision_config": TOWER
        | {
            "temporal_patch_size": 2,
            "hidden_size": 16,
            "out_hidden_size": WIDTH,
            "intermediate_size": 32,
            "window_size": 56,
        }
        | {"fullatt_block_indexes": [1]},
        "tie_word_embeddings": True,
        **IDS,
    },
    "llava": {
        "text_config": TEXT | {"model_type": "llama"},
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "image_size": 42,
            "patch_size": 14,
            "projection_dim": 16,
        },
        "image_token_id": 3,
    },
}
FAMILIES = list(CONFIGS)


def make_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: id for id, word in enumerate([*SPECIAL, *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=SPECIAL[0], additional_special_tokens=SPECIAL[1:]
    )


def fresh(family: str, seed: int = 0) -> Policy:
    """A random model of the family; large weights make its distributions uneven."""
    attention.register()
    config = AutoConfig.for_model(family, **CONFIGS[family])
    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_config(config, attn_implementation=attention.NAME, dtype=torch.float32)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() >= 2:
                weight.mul_(4.0)
    model.generation_config.eos_token_id = 0
    if family == "llava":
        square = {"height": 42, "width": 42}
        vision = llava_vision(config, {"size": {"shortest_edge": 42}, "crop_size": square})
    else:
        vision = qwen_vision(config, QWEN | {"temporal_patch_size": config.vision_config.temporal_patch_size})
    return make_policy(model.eval(), make_tokenizer(), vision)


def save_noise(path: Path, width: int, height: int) -> str:
    content = random.Random(path.name).randbytes(3 * width * height)
    Image.frombytes("RGB", (width, height), content).save(path)
    return str(path)
