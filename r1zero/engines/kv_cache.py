"""Where keys and values of running responses rest, and the attention that reads them.

Letters: N running rows, P distinct prompts, K key-value heads, R query heads per key-value head, D head width,
C columns (positions) of the cache.

The rows of one cache are aligned at their newest token: the next key goes to the same column in every row, so writing
is a copy of a slice, a sliding window is a slice, and a causal mask is not needed.  Shorter rows begin later; the
columns before them get a bias of -inf.  Grouped heads are never expanded: a key-value head meets its R query heads as
one [R, D] matrix.  Keys are stored with columns innermost because that makes both matrix products run along memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from r1zero.models.packing import causal_attention

COLUMNS = 64  # capacity grows by this many columns: tight memory is read faster than sparse memory


class KeyValueCache:
    """Keys and values of rows that advance together."""

    def __init__(
        self, lengths: Sequence[int], device: torch.device, next_positions: Sequence[int] | None = None
    ) -> None:
        self.rows = len(lengths)
        self.length = max(lengths)  # columns filled
        self.starts = [self.length - length for length in lengths]  # [N] the column where each row begins
        # Position of the next token in its own sequence: its length, or less behind pictures.
        self.positions_N = torch.tensor(lengths if next_positions is None else next_positions, device=device)
        padding_C = torch.arange(max(self.starts), device=device)
        empty_NC = padding_C < torch.tensor(self.starts, device=device)[:, None]
        self.bias_NC = torch.zeros(empty_NC.shape, device=device).masked_fill_(empty_NC, -torch.inf)
        self.keys: dict[int, Tensor] = {}  # layer -> [N, K, D, C]
        self.values: dict[int, Tensor] = {}  # layer -> [N, K, C, D]

    @classmethod
    def merged(cls, caches: Sequence[KeyValueCache]) -> KeyValueCache:
        """One cache with the rows of all, whose memory is released on the way."""
        lengths = [cache.length - start for cache in caches for start in cache.starts]
        merged = cls(lengths, caches[0].positions_N.device)
        merged.positions_N = torch.cat([cache.positions_N for cache in caches])
        for layer in list(caches[0].keys):
            first = 0
            for cache in caches:
                keys, values = cache.keys.pop(layer)[: cache.rows], cache.values.pop(layer)[: cache.rows]
                rows = slice(first, first + cache.rows)
                first = rows.stop
                columns = slice(max(0, cache.length - merged.length), cache.length)
                merged.write(layer, rows, keys[..., columns], values[:, :, columns])
        return merged

    def write(self, layer: int, rows: slice, keys: Tensor, values: Tensor) -> None:
        """Put keys [rows, K, D, width] and values [rows, K, width, D] where they end at the newest column."""
        if layer not in self.keys:
            capacity = _capacity(self.length + 1)
            self.keys[layer] = keys.new_zeros(self.rows, *keys.shape[1:3], capacity)
            self.values[layer] = values.new_zeros(self.rows, values.shape[1], capacity, values.shape[3])
        columns = slice(self.length - keys.shape[-1], self.length)
        self.keys[layer][rows, :, :, columns] = keys
        self.values[layer][rows, :, columns] = values

    def attend(
        self,
        layer: int,
        query: Tensor,  # [N, K * R, D]
        key: Tensor,  # [N, K, D]
        value: Tensor,  # [N, K, D]
        *,
        scale: float,
        window: int | None,
        softcap: float | None,
    ) -> Tensor:
        """Append the newest key and value, and attend to all.  -> [N, K * R, D]"""
        keys, values = self._reserve(layer)
        rows, heads = key.shape[:2]
        end = self.length + 1
        keys[:rows, :, :, self.length] = key
        values[:rows, :, self.length] = value
        begin = min(self.starts) if window is None else max(min(self.starts), end - window)
        query_NKRD = (query * scale).view(rows, heads, -1, query.shape[-1])
        scores_NKRC = query_NKRD @ keys[:rows, :, :, begin:end]
        if softcap is not None:
            scores_NKRC = scores_NKRC.div_(softcap).tanh_().mul_(softcap)
        padding = max(self.starts)
        if begin < padding:
            scores_NKRC[..., : padding - begin] += self.bias_NC[:, None, None, begin:padding]
        attended_NKRD = torch.softmax(scores_NKRC, dim=-1) @ values[:rows, :, begin:end]
        return attended_NKRD.flatten(1, 2)

    def advance(self) -> None:
        """All layers have appended the newest token."""
        self.length += 1
        self.positions_N = self.positions_N + 1

    def keep(self, kept: Sequence[int]) -> None:
        """Drop all rows but `kept`, which take the places 0..len(kept)-1 in that order.

        `kept` moves rows only from behind into the places of dropped ones: kept[i] is i, or at least len(kept).
        """
        self.rows = len(kept)
        self.starts = [self.starts[row] for row in kept]
        moved = [(place, row) for place, row in enumerate(kept) if place != row]
        index = torch.tensor(kept, device=self.bias_NC.device)
        self.bias_NC, self.positions_N = self.bias_NC[index], self.positions_N[index]
        if moved:
            places, sources = (torch.tensor(x, device=index.device) for x in zip(*moved, strict=True))
            for tensors in (self.keys, self.values):
                for tensor in tensors.values():
                    tensor[places] = tensor[sources]

    def _reserve(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer with room for one more column; rows that left are forgotten when it grows."""
        keys, values = self.keys[layer], self.values[layer]
        if keys.shape[-1] == self.length:
            capacity = _capacity(self.length + 1)
            grown = keys.new_empty(self.rows, *keys.shape[1:-1], capacity)
            grown[..., : self.length] = keys[: self.rows]
            keys = self.keys[layer] = grown
            grown = values.new_empty(self.rows, values.shape[1], capacity, values.shape[3])
            grown[:, :, : self.length] = values[: self.rows]
            values = self.values[layer] = grown
        return keys, values


def _capacity(columns: int) -> int:
    return -(-columns // COLUMNS) * COLUMNS


class PrefillLayout:
    """Distinct prompts in one flat row: causal attention within each, and their keys and values into a cache.

    `copies[p]` consecutive rows of the cache, from `first_row` on, share prompt p.
    """

    def __init__(self, lengths: Sequence[int], copies: Sequence[int], cache: KeyValueCache, first_row: int) -> None:
        device, width = cache.positions_N.device, max(lengths)
        lengths_P = torch.tensor(lengths, device=device)
        starts_P1 = (lengths_P.cumsum(0) - lengths_P)[:, None]
        columns = torch.arange(width, device=device)
        self.cache = cache
        self.rows = slice(first_row, first_row + sum(copies))
        self.shape = (len(lengths), width)
        # Padded places repeat a real token: nothing reads what is computed there.
        self.from_left = (starts_P1 + columns.clamp(max=lengths_P[:, None] - 1)).flatten()
        from_right_PC = starts_P1 + (columns - (width - lengths_P[:, None])).clamp(min=0)
        self.copies_P = torch.tensor(copies, device=device)
        self.from_right = from_right_PC.repeat_interleave(self.copies_P, dim=0).flatten()
        self.back = (columns < lengths_P[:, None]).flatten().nonzero()[:, 0]
        self.last_P = (starts_P1[:, 0] + lengths_P) - 1  # flat index of each prompt's last token
        self.position_ids = self.back % width

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
        """[1, H, N, D] -> [1, N, H, D]"""
        query, key, value = (x[0].transpose(0, 1) for x in (query, key, value))
        copied_key, copied_value = (x[self.from_right].unflatten(0, (-1, self.shape[1])) for x in (key, value))
        self.cache.write(layer, self.rows, copied_key.permute(0, 2, 3, 1), copied_value.transpose(1, 2))
        padded = (x[self.from_left].view(*self.shape, *x.shape[1:]).transpose(1, 2) for x in (query, key, value))
        attended = causal_attention(*padded, scale=scale, window=window, softcap=softcap)
        return attended.transpose(1, 2).flatten(0, 1)[self.back][None]


class DecodeLayout:
    """The newest token of every running row, cache after cache."""

    def __init__(self, caches: Sequence[KeyValueCache]) -> None:
        self.caches = caches

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
        """[1, H, N, D] -> [1, N, H, D]"""
        sizes = [cache.rows for cache in self.caches]
        padding = query.shape[2] - sum(sizes)  # rows at the end that belong to nobody
        parts = (x[0].transpose(0, 1).split([*sizes, padding]) for x in (query, key, value))
        attended = [
            cache.attend(layer, q, k, v, scale=scale, window=window, softcap=softcap)
            for cache, q, k, v in zip(self.caches, *parts, strict=False)
        ]
        if padding:
            attended.append(attended[0].new_zeros(padding, *attended[0].shape[1:]))
        return (attended[0] if len(attended) == 1 else torch.cat(attended))[None]
