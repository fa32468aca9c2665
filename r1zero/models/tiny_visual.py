"""A tiny vision-language model from nothing: Qwen2-VL's architecture around 84 x 84 pictures of nine features.

What a model this small needs (each was tried with and without): a feature for each place of a picture, a rotary base
of 30 instead of 10^4 in the language model (its vocabulary of distances is short), and initial weights of 0.06.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import GenerationConfig, PreTrainedTokenizerBase, Qwen2VLConfig, Qwen2VLForConditionalGeneration

from r1zero.config import ArchitectureConfig
from r1zero.models.tiny import END, train_tokenizer
from r1zero.tasks.visual.render import SIZE

TAGS = ("<think>", "</think>", "<answer>", "</answer>")  # one token each, and plain text when decoded
START, STOP, IMAGE, VIDEO = PICTURE_MARKS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
PATCH, MERGE = 14, 2  # pixels of a patch's side; patches of a feature's side
INITIALIZER_RANGE = 0.06
TOWER = {"depth": 2, "embed_dim": 96, "num_heads": 4, "mlp_ratio": 3}
# preprocessor_config.json
PICTURE_SETTINGS: dict[str, Any] = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "patch_size": PATCH,
    "merge_size": MERGE,
    "temporal_patch_size": 1,
    "min_pixels": SIZE * SIZE,
    "max_pixels": SIZE * SIZE,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.25, 0.25, 0.25],
}


def train_visual_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerBase:
    """Byte-level BPE of the texts, to which the marks of pictures and the tags of an answer are added."""
    untagged = []
    for text in texts:
        for tag in TAGS:
            text = text.replace(tag, "\n")
        untagged.append(text)
    tokenizer = train_tokenizer(untagged, vocab_size)
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    tokenizer.add_special_tokens({"additional_special_tokens": list(PICTURE_MARKS)})
    return tokenizer


def fresh_visual_model(
    shape: ArchitectureConfig, tokenizer: PreTrainedTokenizerBase, seed: int
) -> Qwen2VLForConditionalGeneration:
    """A Qwen2-VL with tied embeddings, one row for each token, and random weights."""
    ids = {token: int(tokenizer.convert_tokens_to_ids(token)) for token in (END, *PICTURE_MARKS)}  # type: ignore[arg-type]
    head = shape.hidden_size // shape.num_heads  # of its half, a quarter turns with time, the rest with place
    section = [head // 8, head * 3 // 16, head // 2 - head // 8 - head * 3 // 16]
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": shape.hidden_size,
            "intermediate_size": shape.intermediate_size,
            "num_hidden_layers": shape.num_layers,
            "num_attention_heads": shape.num_heads,
            "num_key_value_heads": shape.num_kv_heads,
            "max_position_embeddings": shape.max_position_embeddings,
            "rope_parameters": {"rope_type": "default", "rope_theta": 30.0, "mrope_section": section},
            "bos_token_id": None,
            "eos_token_id": ids[END],
            "pad_token_id": ids[END],
            "initializer_range": INITIALIZER_RANGE,
            "tie_word_embeddings": True,
        },
        vision_config=TOWER
        | {
            "hidden_size": shape.hidden_size,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": 1,
            "in_channels": 3,
            "initializer_range": INITIALIZER_RANGE,
        },
        image_token_id=ids[IMAGE],
        video_token_id=ids[VIDEO],
        vision_start_token_id=ids[START],
        vision_end_token_id=ids[STOP],
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(eos_token_id=ids[END], pad_token_id=ids[END], do_sample=True)
    return model
