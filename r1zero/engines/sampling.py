"""Drawing tokens, with randomness that has an address instead of a stream.

The uniform number behind a token depends on (address, problem, sample, position) and on nothing else, so a response is
the same whatever shares its batch, in whatever order, after whatever restart.

Letters: B sequences, T positions, V vocabulary.
"""

from __future__ import annotations

import hashlib
import json

import torch
from torch import Tensor

from r1zero.config import SamplingConfig


def _signed(x: int) -> int:
    """A 64-bit pattern as the signed integer torch stores."""
    return x - (1 << 64) if x >= 1 << 63 else x


# SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators"): increment and two multipliers.
_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MIX = ((30, _signed(0xBF58476D1CE4E5B9)), (27, _signed(0x94D049BB133111EB)))


def stream_key(address: tuple[int | str, ...], problem_id: str, sample: int) -> int:
    """A signed 64-bit key of one response's randomness, the same on every machine and in every process.

    >>> stream_key((0, 3), "countdown-3-8-5:23", 1) == stream_key((0, 3), "countdown-3-8-5:23", 1)
    True
    >>> stream_key((0, 3), "a", 1) == stream_key((0, 3), "a", 2)
    False
    """
    text = json.dumps([*address, problem_id, sample])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def uniforms(keys: Tensor, positions: Tensor) -> Tensor:
    """Uniform numbers in (0, 1) behind the tokens at these positions of these streams.  int64, int64 -> float64

    The bits are SplitMix64's output number `position` (from 0) from the state `key`; the top 52 of them are used.
    """
    x = keys + (positions + 1) * _GOLDEN  # int64 arithmetic wraps around, as the generator wants
    for shift, multiplier in _MIX:
        x = (x ^ _logical_shift(x, shift)) * multiplier
    x = x ^ _logical_shift(x, 31)
    return (_logical_shift(x, 12).double() + 0.5) * 2.0**-52


def _logical_shift(x: Tensor, bits: int) -> Tensor:
    """x >> bits with zeros moved in; torch's own shift copies the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def draw(logits_BV: Tensor, uniforms_B: Tensor, sampling: SamplingConfig) -> tuple[Tensor, Tensor]:
    """Token ids [B] and their log-probabilities [B] in nats, under the very distribution they were drawn from.

    A token is the inverse cumulative distribution at the uniform number; a token of probability 0 is never drawn.
    Temperature 0 takes the most likely token, and reports its log-probability at temperature 1.
    """
    if sampling.temperature == 0:
        probabilities_BV = torch.softmax(logits_BV, dim=-1)
        ids_B = logits_BV.argmax(-1)
    else:
        probabilities_BV = distribution(logits_BV, sampling)
        cumulative_BV = probabilities_BV.cumsum(-1, dtype=torch.float64)
        threshold_B1 = uniforms_B[:, None] * cumulative_BV[:, -1:]
        ids_B = torch.searchsorted(cumulative_BV, threshold_B1, right=True)[:, 0]
    return ids_B, probabilities_BV.gather(-1, ids_B[:, None])[:, 0].log()


def distribution(logits_BV: Tensor, sampling: SamplingConfig) -> Tensor:
    """Probabilities that are sampled from: temperature first, then top-k, then top-p of what is left.  [B, V] -> [B, V]

    Top-p keeps the smallest set of most likely tokens whose probability reaches top_p. Ties go to the smaller id.
    """
    if sampling.temperature != 1:
        logits_BV = logits_BV / sampling.temperature
    probabilities_BV = torch.softmax(logits_BV, dim=-1)
    if sampling.top_k <= 0 and sampling.top_p >= 1:
        return probabilities_BV
    sorted_BV, order_BV = probabilities_BV.sort(dim=-1, descending=True, stable=True)
    kept_BV = torch.ones_like(sorted_BV, dtype=torch.bool)
    if sampling.top_k > 0:
        kept_BV[:, sampling.top_k :] = False
        sorted_BV = sorted_BV * kept_BV
        sorted_BV = sorted_BV / sorted_BV.sum(-1, keepdim=True)
    if sampling.top_p < 1:
        before_BV = sorted_BV.cumsum(-1, dtype=torch.float64) - sorted_BV
        kept_BV &= before_BV < sampling.top_p
        kept_BV[:, 0] = True
    kept_BV = torch.zeros_like(kept_BV).scatter(-1, order_BV, kept_BV)
    probabilities_BV = probabilities_BV * kept_BV
    return probabilities_BV / probabilities_BV.sum(-1, keepdim=True)
