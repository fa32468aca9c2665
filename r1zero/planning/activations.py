"""What the learner's forward pass keeps for the way back, in bytes, read off the modules as they are.

Letters: N tokens in the packed row, A tokens in attention (prompts once a response), M response tokens, D width,
Q width of all queries, K of all keys, I width of the feed-forward part, V vocabulary.

A tensor is counted where autograd keeps it: inputs of linear layers, both factors of a product, what a norm was given
and what it made of it, queries, keys, values and output of attention.
"""

from __future__ import annotations

from dataclasses import dataclass

from r1zero.planning.demand import Arithmetic, Demand
from r1zero.planning.shapes import Shape

CHUNK = 1 << 25  # logits held at once, in numbers: r1zero.models.logprobs.CHUNK_ELEMENTS
CHUNK_COPIES = 5  # of them, while a chunk is differentiated


@dataclass(frozen=True)
class Activations:
    """Bytes of the learner's forward and backward pass over one micro-batch, besides weights and gradients."""

    kept: int  # from the forward pass to the backward pass, the casts of weights by autocast included
    logits: int  # more, while log-probabilities are differentiated
    layer: int  # more, while one layer is (computed again and) differentiated

    @property
    def peak(self) -> int:
        return self.kept + max(self.layer, self.logits)


def layer_bytes(shape: Shape, arithmetic: Arithmetic, attention_share: float, *, on_cpu: bool = False) -> float:
    """What one layer keeps for each token of the row, bytes.

    float32:   6 D of norms and sums, Q before and behind the scatter, 4 I
    autocast:  norms and sums stay float32 (4 D), each linear layer keeps a bfloat16 input of its own (5 D + Q), 4 I
    bfloat16:  norms keep their input in float32 (2 D) and what they make of it (4 D), 4 I
    The packed layout keeps one more Q in the type of the queries, float32 behind the rotary embedding.
    """
    width, queries, keys, inner = shape.width, shape.query_width, shape.key_width, shape.inner
    if arithmetic == "float32":
        own = 4 * (6 * width + 2 * queries + 4 * inner)
        heads = 8 * (queries + keys)
    else:
        wide, narrow = (4, 5) if arithmetic == "autocast" else (2, 4)
        own = 4 * (wide * width + queries) + 2 * (narrow * width + queries + 4 * inner)
        heads = 6 * (queries + keys)
    number = 4 if arithmetic == "float32" or on_cpu else 2
    attention = number * 2 * (queries + keys) + 4 * shape.heads  # and the logarithm of each softmax's sum
    return own + 8 + shape.norms_heads * heads + attention_share * attention


def activations(shape: Shape, demand: Demand, *, on_cpu: bool = False) -> Activations:
    """Of one micro-batch of the learner."""
    tokens = demand.microbatch_tokens
    scored = round(tokens * demand.response_share)
    narrow = demand.arithmetic != "float32"
    a_layer = round(tokens * layer_bytes(shape, demand.arithmetic, demand.attention_share, on_cpu=on_cpu))
    residual = 2 if demand.arithmetic == "bfloat16" else 4
    ends = tokens * (4 * shape.width + residual * shape.width) + scored * 4 * shape.width  # embedding, norm, scored
    back = (2 if narrow else 4) * 2 * tokens * shape.inner + 4 * tokens * shape.width  # gradients of two inner tensors
    table = 4 * shape.table * (demand.lora_rank == 0)
    if demand.checkpointing:
        kept = shape.layers * tokens * shape.width * residual + ends
        layer = a_layer + back + table + 2 * shape.matrices * (demand.arithmetic == "autocast")
    else:
        kept = shape.layers * a_layer + ends
        layer = back + table
    chunk = min(scored, max(1, CHUNK // shape.vocabulary))
    # Gradient of the head: its sum over chunks, that of a chunk, and that padded to all rows of the table.
    head = table * (3 if scored > chunk else 2)
    logits = max(head, table + CHUNK_COPIES * 4 * chunk * shape.vocabulary) + scored * 4 * shape.width
    casts = 2 * shape.layers * shape.matrices if demand.arithmetic == "autocast" else 0
    if demand.checkpointing:  # casts are all there when the forward pass ends, and gone when the backward pass begins
        return Activations(kept, logits, max(layer, (casts + back) * narrow))
    return Activations(kept + casts, logits, layer)
