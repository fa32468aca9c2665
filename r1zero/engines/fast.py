"""The `fast` engine: samples in this process, through the learner's own modules and weights.

Letters: N running rows, P distinct prompts, V vocabulary, D width.

A prompt is read once for its whole group.  Responses run in cohorts, admitted together and therefore always equally
long; a finished row leaves its cohort at once, and when enough rows have left, waiting prompts enter as a new cohort.
Each step is one forward pass over the newest token of every running row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from r1zero.config import EngineConfig, SamplingConfig
from r1zero.engines import onednn
from r1zero.engines.cohort import CANDIDATE, END, Cohort, Sampled
from r1zero.engines.kv_cache import DecodeLayout, KeyValueCache, PrefillLayout
from r1zero.engines.requests import Request, make_requests, make_response
from r1zero.engines.sampling import draw
from r1zero.engines.stopping import StopStrings, stop_strings, token_pieces
from r1zero.models.attention import hidden_states
from r1zero.models.load import Policy
from r1zero.models.logprobs import Head, head_of
from r1zero.records import Prompt, Response

REFILL_SHARE = 0.25  # waiting prompts enter when this share of max_concurrent is free
PREFILL_TOKENS = 8192  # prompt tokens read in one forward pass


class FastEngine:
    """Samples from a policy whose weights are read at every call and never copied."""

    def __init__(self, config: EngineConfig, policy: Policy) -> None:
        if config.max_concurrent < 1:
            raise ValueError(f"engine.max_concurrent={config.max_concurrent}: must be at least 1")
        self.policy = policy
        self.max_concurrent = config.max_concurrent
        self._head: Head | None = None
        self._pieces: list[str] = []

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        samples: int,
        sampling: SamplingConfig,
        address: tuple[int | str, ...],
        stop: Sequence[str] = (),
        keep_stop: bool = True,
        on_tokens: Callable[[int], None] | None = None,
    ) -> list[list[Response]]:
        """`samples` responses to each prompt.  Raises ValueError for a prompt that leaves no room in the context."""
        requests = make_requests(self.policy, prompts, samples, sampling, address)
        self._head = self._head or head_of(self.policy)
        stops = self._stop_strings(stop) if stop else None
        was_training = self.policy.model.training
        self.policy.model.eval()
        sampler = _Sampler(self.policy, self._head, sampling, stops)
        through_onednn = onednn.usable(self.policy.model)
        try:
            with onednn.linear_layers(self.policy.model) if through_onednn else nullcontext():
                sampled = sampler.run(requests, self.max_concurrent, on_tokens)
        finally:
            self.policy.model.train(was_training)
        responses = [
            make_response(self.policy, s.token_ids, s.logprobs, s.stopped, stop, keep_stop)
            for s in (sampled[i] for i in range(len(requests)))
        ]
        return [responses[at : at + samples] for at in range(0, len(responses), samples)]

    def _stop_strings(self, stop: Sequence[str]) -> StopStrings:
        self._pieces = self._pieces or token_pieces(self.policy)
        return stop_strings(stop, self.policy, self._pieces)


class _Sampler:
    """One call of `generate`."""

    def __init__(self, policy: Policy, head: Head, sampling: SamplingConfig, stops: StopStrings | None) -> None:
        self.policy, self.head, self.sampling, self.stops = policy, head, sampling, stops
        self.meaning_V = torch.zeros(policy.vocab_size, dtype=torch.uint8)
        if stops is not None:
            self.meaning_V[stops.completing_V] = CANDIDATE
        self.meaning_V[list(policy.end_ids)] = END
        self.meaning_V = self.meaning_V.to(policy.device)

    def run(
        self, requests: Sequence[Request], max_concurrent: int, on_tokens: Callable[[int], None] | None
    ) -> dict[int, Sampled]:
        """What was sampled for each request, by its index."""
        finished: dict[int, Sampled] = {}
        waiting = _groups(requests)
        running: list[Cohort] = []
        while waiting or running:
            free = max_concurrent - sum(cohort.rows for cohort in running)
            wanted = min(sum(map(len, waiting)), max(1, round(REFILL_SHARE * max_concurrent)))
            admitted = _admit(waiting, free, may_split=not running) if waiting and free >= wanted else []
            if admitted:
                cohort, logits_NV = self.prefill(admitted, requests)
                running.append(cohort)
                stepped = [cohort]
            else:
                logits_NV, stepped = self.decode(running), running
            if on_tokens is not None:
                on_tokens(len(logits_NV))
            finished |= self.sample(logits_NV, stepped)
            running = [cohort for cohort in running if cohort.rows]
        return finished

    def prefill(self, groups: Sequence[Sequence[int]], requests: Sequence[Request]) -> tuple[Cohort, Tensor]:
        """Read each group's prompt once.  Returns the group's rows as a cohort, and the logits of their first token."""
        prompts = [requests[group[0]].prompt.token_ids for group in groups]
        members = [i for group in groups for i in group]
        cache = KeyValueCache([len(requests[i].prompt.token_ids) for i in members], self.policy.device)
        logits, row = [], 0
        for chunk in _chunks([len(ids) for ids in prompts], PREFILL_TOKENS):
            copies = [len(group) for group in groups[chunk]]
            layout = PrefillLayout([len(ids) for ids in prompts[chunk]], copies, cache, row)
            row += sum(copies)
            flat = torch.tensor([id for ids in prompts[chunk] for id in ids], device=self.policy.device)
            hidden_PD = hidden_states(self.policy.model, flat, layout.position_ids, layout)[layout.last_P]
            logits.append(self.head.logits(hidden_PD).repeat_interleave(layout.copies_P, dim=0))
        return Cohort(members, [requests[i] for i in members], cache), torch.cat(logits)

    def decode(self, cohorts: Sequence[Cohort]) -> Tensor:
        """Logits of the next token of every row.  [N, V]"""
        caches = [cohort.cache for cohort in cohorts]
        rows = sum(cohort.rows for cohort in cohorts)
        ids_N = F.pad(torch.cat([cohort.newest_N for cohort in cohorts]), (0, -rows % onednn.ROWS))
        positions_N = F.pad(torch.cat([cache.positions_N for cache in caches]), (0, -rows % onednn.ROWS))
        hidden_ND = hidden_states(self.policy.model, ids_N, positions_N, DecodeLayout(caches))[:rows]
        for cache in caches:
            cache.advance()
        return self.head.logits(hidden_ND)

    def sample(self, logits_NV: Tensor, cohorts: Sequence[Cohort]) -> dict[int, Sampled]:
        """Draw a token for every row; rows that are finished leave."""
        uniforms_N = torch.cat([cohort.next_uniforms() for cohort in cohorts])
        ids_N, logprobs_N = draw(logits_NV, uniforms_N, self.sampling)
        meanings = self.meaning_V[ids_N].tolist()  # the one wait for the device in a step
        finished: dict[int, Sampled] = {}
        at = 0
        for cohort in cohorts:
            rows = slice(at, at + cohort.rows)
            at = rows.stop
            cohort.append(ids_N[rows], logprobs_N[rows])
            finished |= cohort.release(meanings[rows], self.stops)
        return finished


def _groups(requests: Sequence[Request]) -> list[list[int]]:
    """Indices of the requests that share a prompt, groups with short prompts first."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, request in enumerate(requests):
        groups.setdefault(request.prompt.token_ids, []).append(i)
    return [groups[ids] for ids in sorted(groups, key=len)]


def _admit(waiting: list[list[int]], free: int, *, may_split: bool) -> list[list[int]]:
    """Take groups from the front of `waiting` while they fit; part of one where none fits and it may split."""
    admitted: list[list[int]] = []
    while waiting and len(waiting[0]) <= free:
        admitted.append(waiting.pop(0))
        free -= len(admitted[-1])
    if not admitted and waiting and may_split:
        admitted.append(waiting[0][:free])
        waiting[0] = waiting[0][free:]
    return admitted


def _chunks(lengths: Sequence[int], most: int) -> list[slice]:
    """Consecutive runs whose lengths sum to at most `most`, each at least one long."""
    chunks, begin, total = [], 0, 0
    for i, length in enumerate(lengths):
        if i > begin and total + length > most:
            chunks.append(slice(begin, i))
            begin, total = i, 0
        total += length
    return [*chunks, slice(begin, len(lengths))]
