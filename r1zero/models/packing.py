"""Prompts and responses packed into one flat row: no padding, and each prompt computed once for its whole group.

Letters: N tokens in the flat row, R responses, M response tokens, T longest sequence of a bucket, H heads, D width.

The row holds every prompt once, then every response.  Linear layers therefore see each token exactly once.  Attention
gathers, for each response, its prompt's keys and its own into one causal sequence (in buckets of similar length, so
that little is padded there), and scatters the outputs back; a prompt's gradient sums over its responses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from r1zero.models.attention import scores_softmax
from r1zero.models.vision import Sight

BUCKET_PADDING = 0.15  # a bucket of sequences is closed when more than this share of it would be padding


@dataclass(frozen=True)
class Tree:
    """A prompt and the responses that continue it."""

    prompt_ids: Sequence[int]
    responses: Sequence[Sequence[int]]
    sight: Sight | None = None  # pictures in the prompt

    @property
    def num_tokens(self) -> int:
        return len(self.prompt_ids) + sum(map(len, self.responses))


@dataclass(frozen=True)
class Bucket:
    """Sequences of similar length, attended together."""

    gather_RT: Tensor  # flat position of each sequence's tokens; padding repeats position 0
    source_N: Tensor  # index into the flattened R*T outputs ...
    target_N: Tensor  # ... that goes to this flat position


@dataclass(frozen=True)
class Packed:
    """Trees in one flat row; a `Layout` for r1zero.models.attention."""

    input_ids_N: Tensor
    position_ids_N: Tensor  # or [3, N], where pictures have positions of three axes
    predicting_M: Tensor  # flat position whose output predicts the m-th response token
    target_ids_M: Tensor  # that token
    row_M: Tensor  # the response it belongs to, 0..R-1, trees in order
    column_M: Tensor  # its place in that response
    buckets: tuple[Bucket, ...]
    num_responses: int
    longest_response: int
    sights: tuple[Sight, ...] = ()  # of the prompts with pictures, in order
    at_F: Tensor | None = None  # flat positions that their features take

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scale: float,
        window: int | None,
        softcap: float | None,
    ) -> Tensor:
        """Causal attention within each prompt + response.  [1, H, N, D] -> [1, N, H, D]"""
        query_NHD, key_NKD, value_NKD = (x[0].transpose(0, 1).flatten(1) for x in (query, key, value))
        heads, kv_heads, width, value_width = query.shape[1], key.shape[1], query.shape[-1], value.shape[-1]
        output = query_NHD.new_zeros(query_NHD.shape[0], heads * value_width)
        for bucket in self.buckets:
            rows, length = bucket.gather_RT.shape
            index = bucket.gather_RT.flatten()
            q = query_NHD.index_select(0, index).view(rows, length, heads, width).transpose(1, 2)
            k = key_NKD.index_select(0, index).view(rows, length, kv_heads, width).transpose(1, 2)
            v = value_NKD.index_select(0, index).view(rows, length, kv_heads, value_width).transpose(1, 2)
            with torch.autocast(q.device.type, enabled=False):
                attended = causal_attention(q, k, v, scale=scale, window=window, softcap=softcap)
            flat = attended.transpose(1, 2).reshape(rows * length, heads * value_width)
            output = output.index_copy(0, bucket.target_N, flat.index_select(0, bucket.source_N).to(output.dtype))
        return output.view(1, -1, heads, value_width)

    def padded(self, values_M: Tensor) -> Tensor:
        """One value a response token, laid out as [R, longest response], zeros after each response's end."""
        padded_RT = values_M.new_zeros(self.num_responses, self.longest_response)
        return padded_RT.index_put((self.row_M, self.column_M), values_M)


def causal_attention(
    query: Tensor, key: Tensor, value: Tensor, *, scale: float, window: int | None = None, softcap: float | None = None
) -> Tensor:
    """[R, H, T, D] attention over each sequence's own past, with grouped heads, sliding window and soft cap."""
    if query.device.type == "cpu":  # torch's bfloat16 kernel is slower there on short sequences
        query, key, value = query.float(), key.float(), value.float()
    else:  # under autocast the rotary embedding, in float32, has widened queries and keys but not values
        query, key = query.to(value.dtype), key.to(value.dtype)
    length = query.shape[-2]
    grouped = query.shape[1] != key.shape[1]
    mask = None
    if window is not None and length > window:
        distance = torch.arange(length, device=query.device)[:, None] - torch.arange(length, device=query.device)
        mask = (distance >= 0) & (distance < window)
    if softcap is None:
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=grouped
        )
    if grouped:
        key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], dim=1) for x in (key, value))
    if mask is None:
        mask = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()
    scores = (query @ key.transpose(-1, -2) * scale).masked_fill(~mask, -torch.inf)
    return scores_softmax(scores, softcap).to(value.dtype) @ value


def pack(trees: Sequence[Tree], device: torch.device | str = "cpu") -> Packed:
    """Lay trees out in one flat row.  Every prompt needs at least one token: the first response token follows it."""
    prompts = [torch.as_tensor(tree.prompt_ids, dtype=torch.long) for tree in trees]
    responses = [(p, torch.as_tensor(ids, dtype=torch.long)) for p, tree in enumerate(trees) for ids in tree.responses]
    if any(len(prompt) == 0 for prompt in prompts):
        raise ValueError("an empty prompt: the first response token needs at least one token before it")
    starts, at = [], 0
    for prompt in prompts:
        starts.append(at)
        at += len(prompt)
    ids = [*prompts]
    positions = [_prompt_positions(tree) for tree in trees]
    next_positions = [tree.sight.next_position if tree.sight else len(tree.prompt_ids) for tree in trees]
    seen = [(start, tree.sight) for start, tree in zip(starts, trees, strict=True) if tree.sight is not None]
    predicting, targets, rows, columns, sequences = [], [], [], [], []
    for r, (p, response) in enumerate(responses):
        own = torch.arange(at, at + len(response))
        sequence = torch.cat((torch.arange(starts[p], starts[p] + len(prompts[p])), own))
        sequences.append((sequence, len(prompts[p])))
        ids.append(response)
        positions.append(torch.arange(next_positions[p], next_positions[p] + len(response)))
        predicting.append(sequence[len(prompts[p]) - 1 : -1])
        targets.append(response)
        rows.append(torch.full((len(response),), r))
        columns.append(torch.arange(len(response)))
        at += len(response)
    return Packed(
        input_ids_N=torch.cat(ids).to(device),
        position_ids_N=flat_positions(positions).to(device),
        predicting_M=torch.cat(predicting).to(device),
        target_ids_M=torch.cat(targets).to(device),
        row_M=torch.cat(rows).to(device),
        column_M=torch.cat(columns).to(device),
        buckets=tuple(_buckets(sequences, [p for p, _ in responses], device)),
        num_responses=len(responses),
        longest_response=max(len(response) for _, response in responses),
        sights=tuple(sight for _, sight in seen),
        at_F=torch.cat([start + sight.at_F for start, sight in seen]).to(device) if seen else None,
    )


def _prompt_positions(tree: Tree) -> Tensor:
    return tree.sight.positions if tree.sight is not None else torch.arange(len(tree.prompt_ids))


def flat_positions(positions: Sequence[Tensor]) -> Tensor:
    """Positions of consecutive pieces of a flat row: [N], or [3, N] where one of them has three axes."""
    if all(piece.ndim == 1 for piece in positions):
        return torch.cat(list(positions))
    return torch.cat([piece.expand(3, -1) for piece in positions], dim=1)


def _buckets(sequences: list[tuple[Tensor, int]], parents: list[int], device: torch.device | str) -> list[Bucket]:
    """Sequences sorted by length and cut where padding would grow; each prompt's outputs come from one sibling."""
    order = sorted(range(len(sequences)), key=lambda r: len(sequences[r][0]))
    groups: list[list[int]] = [[]]
    tokens = 0
    for r in order:
        length = len(sequences[r][0])
        tokens += length
        if groups[-1] and tokens < (1 - BUCKET_PADDING) * length * (len(groups[-1]) + 1):
            groups.append([])
            tokens = length
        groups[-1].append(r)
    written: set[int] = set()
    buckets = []
    for group in groups:
        longest = len(sequences[group[-1]][0])
        gather = torch.zeros(len(group), longest, dtype=torch.long)
        source, target = [], []
        for row, r in enumerate(group):
            sequence, prompt_length = sequences[r]
            gather[row, : len(sequence)] = sequence
            first = prompt_length if parents[r] in written else 0
            written.add(parents[r])
            source.append(torch.arange(row * longest + first, row * longest + len(sequence)))
            target.append(sequence[first:])
        buckets.append(Bucket(gather.to(device), torch.cat(source).to(device), torch.cat(target).to(device)))
    return buckets
