"""How large a decoder is: its dimensions and what they make in parameters.

Letters: L layers, D width, H heads, K key-value heads, I width of the feed-forward part, V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from r1zero.config import nearest

SHIPPED = Path(str(files("r1zero") / "models" / "shipped"))
FAMILIES = ("qwen2", "qwen3", "llama", "mistral")  # decoders whose layers are counted below


@dataclass(frozen=True)
class Shape:
    """A decoder with grouped heads and a gated feed-forward part.

    Example: Shape("Qwen/Qwen2.5-1.5B", layers=28, width=1536, heads=12, kv_heads=2, head_width=128, inner=8960,
    vocabulary=151936, tied=True, qkv_bias=True)
    """

    name: str
    layers: int  # L
    width: int  # D
    heads: int  # H
    kv_heads: int  # K
    head_width: int
    inner: int  # I
    vocabulary: int  # V, padded rows included
    tied: bool  # whether the head is the embedding
    qkv_bias: bool = False  # queries, keys and values have a bias
    output_bias: bool = False  # so has what follows attention
    inner_bias: bool = False  # and the feed-forward part
    norms_heads: bool = False  # queries and keys are normalised by head (Qwen3)

    @property
    def query_width(self) -> int:
        return self.heads * self.head_width

    @property
    def key_width(self) -> int:
        return self.kv_heads * self.head_width

    @property
    def matrices(self) -> int:
        """Parameters in the matrices of one layer: what autocast casts."""
        return self.width * (2 * self.query_width + 2 * self.key_width + 3 * self.inner)

    @property
    def layer(self) -> int:
        """Parameters of one layer."""
        biases = self.qkv_bias * (self.query_width + 2 * self.key_width) + self.output_bias * self.width
        biases += self.inner_bias * (2 * self.inner + self.width)
        return self.matrices + biases + 2 * self.width + self.norms_heads * 2 * self.head_width

    @property
    def table(self) -> int:
        """Parameters of the embedding, and of the head where it is another matrix."""
        return self.vocabulary * self.width

    @property
    def outside(self) -> int:
        """Parameters outside the layers: embedding, last norm, head."""
        return self.table * (1 if self.tied else 2) + self.width

    @property
    def parameters(self) -> int:
        return self.layers * self.layer + self.outside

    def adapters(self, rank: int) -> int:
        """Parameters of LoRA adapters on every linear layer but the head."""
        ends = 2 * (self.width + self.query_width) + 2 * (self.width + self.key_width) + 3 * (self.width + self.inner)
        return self.layers * rank * ends


def _qwen25(name: str, layers: int, width: int, heads: int, kv_heads: int, inner: int, *, tied: bool) -> Shape:
    vocabulary = 151_936 if width < 3000 else 152_064
    return Shape(name, layers, width, heads, kv_heads, width // heads, inner, vocabulary, tied, qkv_bias=True)


def _llama(name: str, layers: int, width: int, heads: int, head_width: int, inner: int, *, tied: bool) -> Shape:
    return Shape(name, layers, width, heads, 8, head_width, inner, 128_256, tied)


def _qwen3(name: str, layers: int, width: int, heads: int, inner: int, *, tied: bool) -> Shape:
    return Shape(name, layers, width, heads, 8, 128, inner, 151_936, tied, norms_heads=True)


_SMALL = _qwen25("Qwen/Qwen2.5-1.5B", 28, 1536, 12, 2, 8960, tied=True)
_SEVEN = _qwen25("Qwen/Qwen2.5-7B", 28, 3584, 28, 4, 18944, tied=False)
_LLAMA = _llama("meta-llama/Llama-3.2-3B", 28, 3072, 24, 128, 8192, tied=True)

# From their config.json, for planning where the Hub is out of reach.
PUBLISHED: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        _qwen25("Qwen/Qwen2.5-0.5B", 24, 896, 14, 2, 4864, tied=True),
        _SMALL,
        _qwen25("Qwen/Qwen2.5-3B", 36, 2048, 16, 2, 11008, tied=True),
        _SEVEN,
        _qwen25("Qwen/Qwen2.5-14B", 48, 5120, 40, 8, 13824, tied=False),
        _qwen25("Qwen/Qwen2.5-32B", 64, 5120, 40, 8, 27648, tied=False),
        replace(_SMALL, name="Qwen/Qwen2.5-Math-1.5B"),
        replace(_SEVEN, name="Qwen/Qwen2.5-Math-7B"),
        _qwen3("Qwen/Qwen3-0.6B-Base", 28, 1024, 16, 3072, tied=True),
        _qwen3("Qwen/Qwen3-1.7B-Base", 28, 2048, 16, 6144, tied=True),
        _qwen3("Qwen/Qwen3-4B-Base", 36, 2560, 32, 9728, tied=True),
        _qwen3("Qwen/Qwen3-8B-Base", 36, 4096, 32, 12288, tied=False),
        _llama("meta-llama/Llama-3.2-1B", 16, 2048, 32, 64, 8192, tied=True),
        _LLAMA,
        _llama("meta-llama/Llama-3.1-8B", 32, 4096, 32, 128, 14336, tied=False),
        replace(_LLAMA, name="HuggingFaceTB/FineMath-Llama-3B"),
        replace(_LLAMA, name="lkevinzc/Llama-3.2-3B-NuminaQA"),
    )
}


def read_shape(path: str) -> Shape:
    """The shape of a shipped model, of a directory with config.json, or of a published model in the table.

    Raises ValueError naming the remedy for anything else.
    """
    if path in PUBLISHED:
        return PUBLISHED[path]
    for directory in (SHIPPED / path, Path(path)):
        if (directory / "config.json").is_file():
            return shape_of(path, json.loads((directory / "config.json").read_text(encoding="utf-8")))
    raise ValueError(
        f"the shape of {path!r} is not known here: {nearest(path, PUBLISHED)}; or give a directory with its config.json"
    )


def shape_of(name: str, config: Mapping[str, Any]) -> Shape:
    """The shape that a config.json describes.  Raises ValueError for a kind of model that is not counted here."""
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise ValueError(f"{name} is of type {kind!r}: memory is planned for {', '.join(FAMILIES)} alone")
    width, heads = config["hidden_size"], config["num_attention_heads"]
    bias = bool(config.get("attention_bias", False))
    return Shape(
        name,
        layers=config["num_hidden_layers"],
        width=width,
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_width=config.get("head_dim") or (128 if kind == "qwen3" else width // heads),
        inner=config["intermediate_size"],
        vocabulary=config["vocab_size"],
        tied=bool(config.get("tie_word_embeddings", False)),
        qkv_bias=kind == "qwen2" or bias,
        output_bias=kind != "qwen2" and bias,
        inner_bias=bool(config.get("mlp_bias", False)),
        norms_heads=kind == "qwen3",
    )
