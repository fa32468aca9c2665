"""Tiny language models from nothing: a tokenizer trained on the corpus, a Qwen2 of a given shape, fresh weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from r1zero.config import ArchitectureConfig
from r1zero.models import attention
from r1zero.models.load import Policy, make_policy

END = "<|endoftext|>"
# Qwen2's own pre-tokenization (and NFC).  transformers rebuilds the tokenizer of every `qwen2` directory with it,
# whatever tokenizer.json says, so any other would be cut differently after from_pretrained than in training.
PIECES = Regex(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerBase:
    """Byte-level BPE in which every digit is one token and any text survives encoding and decoding.

    The end token is also the padding token.  Raises ValueError for a vocabulary smaller than its bytes.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if vocab_size <= len(alphabet):
        raise ValueError(
            f"architecture.vocab_size={vocab_size}: must be above {len(alphabet)}, the bytes and the end token"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(PIECES, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=END,
        clean_up_tokenization_spaces=False,
        model_max_length=1 << 20,
    )


def fresh_policy(shape: ArchitectureConfig, tokenizer: PreTrainedTokenizerBase, seed: int) -> Policy:
    """A Qwen2 with tied embeddings and random weights, together with its tokenizer."""
    if shape.hidden_size % shape.num_heads or shape.num_heads % shape.num_kv_heads:
        raise ValueError(
            f"architecture: hidden_size={shape.hidden_size} must be a multiple of num_heads={shape.num_heads}, "
            f"and that a multiple of num_kv_heads={shape.num_kv_heads}"
        )
    attention.register()
    end = int(tokenizer.convert_tokens_to_ids(END))  # type: ignore[arg-type]
    config = Qwen2Config(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        max_position_embeddings=shape.max_position_embeddings,
        initializer_range=0.6 * shape.hidden_size**-0.5,  # the default, 0.02, suits wide models and starts slowly here
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=end,
        dtype=torch.float32,
        attn_implementation=attention.NAME,  # type: ignore[call-arg]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=end, do_sample=True)
    return make_policy(model.eval(), tokenizer)


def without_padding(policy: Policy) -> Policy:
    """The same policy with an embedding row for each token and no more: plain `generate` then samples nothing else."""
    if policy.model.config.vocab_size > len(policy.tokenizer):
        policy.model.resize_token_embeddings(len(policy.tokenizer))
    return make_policy(policy.model, policy.tokenizer)
