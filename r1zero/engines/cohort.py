"""Running responses: which rows share a cache, and what has been sampled of each.

Letters: N running rows, S slots, T response tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from r1zero.engines.kv_cache import KeyValueCache
from r1zero.engines.requests import Request


@dataclass(frozen=True)
class Row:
    """A running response.  A tick samples one token of every running response."""

    index: int  # which request it answers
    request: Request
    slot: int  # its place in the transcript
    started: int  # the tick that samples its first token

    @property
    def deadline(self) -> int:
        """The tick that samples its last allowed token."""
        return self.started + self.request.limit - 1


class Cohort:
    """Rows of one cache, in the same order; finished rows leave, and rows from the end take their places."""

    def __init__(self, rows: Sequence[Row], cache: KeyValueCache, newest_N: Tensor) -> None:
        self.rows = list(rows)
        self.cache = cache
        self.newest_N = newest_N  # ids sampled last
        device = newest_N.device
        self.slots_N = torch.tensor([row.slot for row in rows], device=device)
        self.keys_N = torch.tensor([row.request.key for row in rows], device=device)
        self.started_N = torch.tensor([row.started for row in rows], device=device)
        self.deadline = min(row.deadline for row in rows)

    def without(self, leaving: set[int]) -> Cohort | None:
        """The cohort of the other rows; None when there are none."""
        size = len(self.rows) - len(leaving)
        if not size:
            return None
        replacements = [row for row in range(size, len(self.rows)) if row not in leaving]
        kept = [replacements.pop() if row in leaving else row for row in range(size)]
        self.cache.keep(kept)
        newest_N = self.newest_N[torch.tensor(kept, device=self.newest_N.device)]
        return Cohort([self.rows[row] for row in kept], self.cache, newest_N)


def merge(cohorts: Sequence[Cohort]) -> Cohort:
    """One cohort of all rows.  The rows of the shorter one are padded in the cache; the given ones are used up."""
    rows = [row for cohort in cohorts for row in cohort.rows]
    cache = KeyValueCache.merged([cohort.cache for cohort in cohorts])
    return Cohort(rows, cache, torch.cat([cohort.newest_N for cohort in cohorts]))


class Transcript:
    """Tokens and log-probabilities of all running responses, one slot each, kept on the model's device."""

    def __init__(self, num_slots: int, max_tokens: int, device: torch.device) -> None:
        self.free = list(range(num_slots))
        self._ids_ST = torch.zeros(num_slots, max_tokens, dtype=torch.long, device=device)
        self._logprobs_ST = torch.zeros(num_slots, max_tokens, device=device)

    def write(self, slots_N: Tensor, columns_N: Tensor, ids_N: Tensor, logprobs_N: Tensor) -> None:
        """Record one more token of each row."""
        self._ids_ST[slots_N, columns_N] = ids_N
        self._logprobs_ST[slots_N, columns_N] = logprobs_N

    def token_ids(self, slot: int, count: int) -> list[int]:
        """The first `count` tokens of a response."""
        return self._ids_ST[slot, :count].tolist()

    def logprobs(self, slot: int, count: int) -> list[float]:
        """Their log-probabilities, nats."""
        return self._logprobs_ST[slot, :count].tolist()
