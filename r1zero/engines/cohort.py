"""Running responses that were admitted together, and what has been sampled of them.

Letters: N running rows, B rows as admitted, T response tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from r1zero.engines.kv_cache import KeyValueCache
from r1zero.engines.requests import Request
from r1zero.engines.sampling import uniforms
from r1zero.engines.stopping import StopStrings

PLAIN, END, CANDIDATE = 0, 1, 2  # what an id means: nothing; the response ends; its text may complete a stop string
_BLOCK = 64  # positions whose random numbers are computed at once


@dataclass(frozen=True)
class Sampled:
    """A finished response, not yet decoded."""

    token_ids: list[int]  # [T]
    logprobs: list[float]  # [T] nats
    stopped: bool  # by a stop string


class Cohort:
    """Rows of one cache, in the same order; finished rows leave, and rows from the end take their places."""

    def __init__(self, members: Sequence[int], requests: Sequence[Request], cache: KeyValueCache) -> None:
        device = cache.positions_N.device
        self.members = list(members)  # of row n: which request it answers
        self.limits = [request.limit for request in requests]  # [N] tokens
        self.cache = cache
        self.num_sampled = 0  # tokens, the same for all rows
        self.newest_N = torch.zeros(len(requests), dtype=torch.long, device=device)
        self._keys_B = torch.tensor([request.key for request in requests], device=device)
        self._slots = list(range(len(requests)))  # [N] row of the tensors below
        self._slots_N = torch.arange(len(requests), device=device)
        self._token_ids_BT = torch.zeros(len(requests), max(self.limits), dtype=torch.long, device=device)
        self._logprobs_BT = torch.zeros(len(requests), max(self.limits), device=device)
        self._uniforms_TB = torch.empty(0, len(requests), dtype=torch.float64, device=device)

    @property
    def rows(self) -> int:
        return len(self.members)

    def next_uniforms(self) -> Tensor:
        """The random numbers behind the next token of each row.  [N]"""
        place = self.num_sampled % _BLOCK
        if place == 0:
            self._uniforms_TB = uniforms(self._keys_B, self.num_sampled, _BLOCK)
        return self._uniforms_TB[place, self._slots_N]

    def append(self, ids_N: Tensor, logprobs_N: Tensor) -> None:
        """Record one more token of each row."""
        self._token_ids_BT[self._slots_N, self.num_sampled] = ids_N
        self._logprobs_BT[self._slots_N, self.num_sampled] = logprobs_N
        self.newest_N = ids_N
        self.num_sampled += 1

    def release(self, meanings: Sequence[int], stops: StopStrings | None) -> dict[int, Sampled]:
        """Finished rows, by the request they answer; they leave the cohort.  `meanings` [N] are of the newest ids."""
        shortest = min(self.limits)
        if self.num_sampled < shortest and not any(meanings):
            return {}
        finished: dict[int, Sampled] = {}
        leaving: set[int] = set()
        for row, meaning in enumerate(meanings):
            stopped = meaning == CANDIDATE and stops is not None and stops.completed(self._token_ids(row))
            if meaning == END or stopped or self.num_sampled == self.limits[row]:
                logprobs = self._logprobs_BT[self._slots[row], : self.num_sampled].tolist()
                finished[self.members[row]] = Sampled(self._token_ids(row), logprobs, stopped)
                leaving.add(row)
        if leaving:
            self._drop(leaving)
        return finished

    def _token_ids(self, row: int) -> list[int]:
        return self._token_ids_BT[self._slots[row], : self.num_sampled].tolist()

    def _drop(self, leaving: set[int]) -> None:
        size = self.rows - len(leaving)
        replacements = [row for row in range(size, self.rows) if row not in leaving]
        kept = [replacements.pop() if row in leaving else row for row in range(size)]
        self.members = [self.members[row] for row in kept]
        self.limits = [self.limits[row] for row in kept]
        self._slots = [self._slots[row] for row in kept]
        if kept:
            index_N = torch.tensor(kept, device=self._slots_N.device)
            self._slots_N, self.newest_N = self._slots_N[index_N], self.newest_N[index_N]
            self.cache.keep(kept)
