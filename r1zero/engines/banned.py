"""Token sequences that may not be completed: their last token is masked while the row's newest tokens are the rest.

Masking happens before temperature, top-k and top-p, so log-probabilities are those of the distribution sampled from.

Letters: N running rows, S slots, V vocabulary, W window, K banned sequences of two tokens or more, C candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

ANY = -1  # in a sequence shorter than the window: whatever stands there
NOTHING = -2  # before the prompt's first token


class BanTable:
    """Banned sequences, looked up by their last but one token, so that a tick compares few of them."""

    def __init__(self, sequences: Sequence[Sequence[int]], vocab_size: int, device: torch.device) -> None:
        """Raises ValueError for an empty sequence, for ids that cannot be sampled, and where nothing is left."""
        distinct = {tuple(int(id) for id in sequence) for sequence in sequences}
        for sequence in distinct:
            if not sequence:
                raise ValueError("an empty banned sequence would ban everything: remove it")
            if not all(0 <= id < vocab_size for id in sequence):
                raise ValueError(f"banned sequence {sequence} has ids outside of the vocabulary of {vocab_size} tokens")
        singles = sorted(sequence[0] for sequence in distinct if len(sequence) == 1)
        longer = sorted((s for s in distinct if len(s) > 1), key=lambda s: (s[-2], s))
        if len(singles) == vocab_size:
            raise ValueError("the banned sequences leave no token to sample: ban fewer")
        self.may_leave_nothing = len({*singles, *(s[-1] for s in longer)}) == vocab_size
        self.window = max((len(s) - 1 for s in longer), default=1)
        rest = [[ANY] * (self.window + 1 - len(s)) + list(s[:-1]) for s in longer]
        self.singles = torch.tensor(singles, dtype=torch.long, device=device)
        self.rest_KW = torch.tensor(rest, dtype=torch.long, device=device).view(len(longer), self.window)
        self.last_K = torch.tensor([s[-1] for s in longer], dtype=torch.long, device=device)
        self.count_V = torch.bincount(self.rest_KW[:, -1], minlength=vocab_size)
        self.start_V = self.count_V.cumsum(0) - self.count_V

    def apply(self, logits_NV: Tensor, recent_NW: Tensor) -> Tensor:
        """The logits with -inf at every token that would complete a sequence, written in place.

        Raises ValueError where that leaves a row without any token.
        """
        logits_NV[:, self.singles] = -torch.inf
        newest_N = recent_NW[:, -1]
        counts_N = self.count_V[newest_N]
        row_C = torch.arange(len(newest_N), device=newest_N.device).repeat_interleave(counts_N)
        before_N = counts_N.cumsum(0) - counts_N
        candidate_C = (self.start_V[newest_N] - before_N)[row_C] + torch.arange(len(row_C), device=row_C.device)
        rest_CW = self.rest_KW[candidate_C]
        hit_C = ((rest_CW == recent_NW[row_C]) | (rest_CW == ANY)).all(-1)
        logits_NV[row_C[hit_C], self.last_K[candidate_C[hit_C]]] = -torch.inf
        if self.may_leave_nothing and bool(torch.isneginf(logits_NV).all(-1).any()):
            raise ValueError("the banned sequences leave no token to sample after some response: ban fewer")
        return logits_NV


class Bans:
    """A table, and the newest tokens of every slot, prompt included."""

    def __init__(
        self, sequences: Sequence[Sequence[int]], vocab_size: int, num_slots: int, device: torch.device
    ) -> None:
        self.table = BanTable(sequences, vocab_size, device)
        self.recent_SW = torch.full((num_slots, self.table.window), NOTHING, dtype=torch.long, device=device)

    def enter(self, slots: Sequence[int], prompts: Sequence[Sequence[int]]) -> None:
        """Begin to follow rows that have read these prompts."""
        width = self.table.window
        tails = [[NOTHING] * (width - len(ids)) + list(ids[-width:]) for ids in prompts]
        self.recent_SW[list(slots)] = torch.tensor(tails, device=self.recent_SW.device)

    def mask(self, logits_NV: Tensor, slots_N: Tensor) -> Tensor:
        """The logits of these rows without what is banned, written in place."""
        return self.table.apply(logits_NV, self.recent_SW[slots_N])

    def record(self, slots_N: Tensor, ids_N: Tensor) -> None:
        """The rows' newest tokens."""
        self.recent_SW[slots_N] = torch.cat([self.recent_SW[slots_N, 1:], ids_N[:, None]], dim=1)
