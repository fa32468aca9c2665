"""The `fast` engine: samples in this process, through the learner's own modules and weights.

Letters: N running rows, P distinct prompts, V vocabulary, D width.

A prompt is read once for its whole group.  Responses run in cohorts, each with its own key-value cache; a finished row
leaves its cohort at once, and when enough rows have left, waiting prompts enter as a new cohort.
A tick is one forward pass over the newest token of every running row, and one new token for each.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from r1zero.config import EngineConfig, SamplingConfig
from r1zero.engines import onednn
from r1zero.engines.banned import Bans
from r1zero.engines.cohort import Cohort, Row, Transcript, merge
from r1zero.engines.kv_cache import DecodeLayout, KeyValueCache, PrefillLayout
from r1zero.engines.requests import Request, make_requests, make_response
from r1zero.engines.sampling import draw, uniforms
from r1zero.engines.stopping import StopStrings, stop_strings, token_pieces
from r1zero.models.attention import hidden_states
from r1zero.models.load import Policy
from r1zero.models.logprobs import Head, head_of
from r1zero.models.packing import flat_positions
from r1zero.models.vision import Sight, features_of
from r1zero.models.vision_prompt import sight_of_prompt
from r1zero.records import Prompt, Response

REFILL_SHARE = 0.25  # waiting prompts enter when this share of max_concurrent is free
MOST_COHORTS = 3  # attention is called once for each, so more of them are merged, at the price of some padding
PREFILL_TOKENS = 8192  # prompt tokens read in one forward pass
PLAIN, END, CANDIDATE = 0, 1, 2  # what an id means: nothing; the response ends; it may complete a stop string


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
        banned: Sequence[Sequence[int]] = (),
        on_tokens: Callable[[int], None] | None = None,
    ) -> list[list[Response]]:
        """`samples` responses to each prompt; see `Engine.generate`."""
        requests = make_requests(self.policy, prompts, samples, sampling, address)
        self._head = self._head or head_of(self.policy)
        stops = self._stop_strings(stop, keep_stop) if stop else None
        sampler = _Sampler(self.policy, self._head, sampling, stops, requests, self.max_concurrent, banned)
        model = self.policy.model
        was_training = model.training
        model.eval()
        try:
            with onednn.linear_layers(model) if onednn.usable(model) else nullcontext():
                responses = sampler.run(on_tokens)
        finally:
            model.train(was_training)
        return [responses[at : at + samples] for at in range(0, len(responses), samples)]

    def _stop_strings(self, stop: Sequence[str], keep: bool) -> StopStrings:
        self._pieces = self._pieces or token_pieces(self.policy)
        return stop_strings(stop, self.policy, self._pieces, keep=keep)


class _Sampler:
    """One call of `generate`."""

    def __init__(
        self,
        policy: Policy,
        head: Head,
        sampling: SamplingConfig,
        stops: StopStrings | None,
        requests: Sequence[Request],
        max_concurrent: int,
        banned: Sequence[Sequence[int]],
    ) -> None:
        self.policy, self.head, self.sampling, self.stops = policy, head, sampling, stops
        self.requests = requests
        self.max_concurrent = max_concurrent
        self.meaning_V = torch.zeros(policy.vocab_size, dtype=torch.uint8)
        if stops is not None:
            self.meaning_V[stops.completing_V] = CANDIDATE
        self.meaning_V[list(policy.end_ids)] = END
        self.meaning_V = self.meaning_V.to(policy.device)
        longest = max((request.limit for request in requests), default=0)
        num_slots = min(max_concurrent, len(requests))
        self.transcript = Transcript(num_slots, longest, policy.device)
        self.bans = Bans(banned, policy.vocab_size, num_slots, policy.device) if banned else None
        self.tick = 0
        self.finished: dict[int, Response] = {}

    def run(self, on_tokens: Callable[[int], None] | None) -> list[Response]:
        """The responses to all requests, in order."""
        waiting = _groups(self.requests)
        running: list[Cohort] = []
        while waiting or running:
            logits = [self.decode(running)] if running else []
            refill = max(1, round(REFILL_SHARE * self.max_concurrent))
            free = self.max_concurrent - sum(len(cohort.rows) for cohort in running)
            admitted = _admit(waiting, free, may_split=not running) if free >= min(refill, len(waiting)) else []
            if admitted:
                cohort, logits_NV = self.prefill(admitted)
                running.append(cohort)
                logits.append(logits_NV)
                del cohort, logits_NV  # or the cache of a finished cohort would wait here for the next one
            running = self.sample(torch.cat(logits), running)
            if on_tokens is not None:
                on_tokens(sum(map(len, logits)))
            while len(running) > MOST_COHORTS:
                running = _merge_nearest(running)
        return [self.finished[i] for i in range(len(self.requests))]

    def prefill(self, groups: Sequence[Sequence[int]]) -> tuple[Cohort, Tensor]:
        """Read each group's prompt once.  Returns the group's rows as a cohort, and the logits of their first token."""
        device = self.policy.device
        rows = [Row(i, self.requests[i], self.transcript.free.pop(), self.tick) for group in groups for i in group]
        sights = [sight_of_prompt(self.policy, self.requests[group[0]].prompt) for group in groups]
        lengths = [len(row.request.prompt.token_ids) for row in rows]
        cache = KeyValueCache(lengths, device, _next_positions(groups, sights, lengths))
        if self.bans is not None:
            self.bans.enter([row.slot for row in rows], [row.request.prompt.token_ids for row in rows])
        prompts = [self.requests[group[0]].prompt.token_ids for group in groups]
        logits, first_row = [], 0
        for chunk in _chunks([len(ids) for ids in prompts], PREFILL_TOKENS):
            copies = [len(group) for group in groups[chunk]]
            layout = PrefillLayout([len(ids) for ids in prompts[chunk]], copies, cache, first_row)
            first_row += sum(copies)
            hidden_ND = self.read(prompts[chunk], sights[chunk], layout)
            logits.append(self.head.logits(hidden_ND[layout.last_P]).repeat_interleave(layout.copies_P, dim=0))
        return Cohort(rows, cache, torch.zeros(len(rows), dtype=torch.long, device=device)), torch.cat(logits)

    def read(self, prompts: Sequence[tuple[int, ...]], sights: Sequence[Sight | None], layout: PrefillLayout) -> Tensor:
        """Hidden states of prompts in a flat row; each picture is encoded once for its group.  [N, D]"""
        model, device = self.policy.model, self.policy.device
        flat_N = torch.tensor([id for ids in prompts for id in ids], device=device)
        if not any(sights) or self.policy.vision is None:
            return hidden_states(model, flat_N, layout.position_ids, layout)
        starts = itertools.accumulate((len(ids) for ids in prompts), initial=0)
        at_F = torch.cat([start + sight.at_F for start, sight in zip(starts, sights, strict=False) if sight])
        positions = flat_positions(
            [sight.positions if sight else torch.arange(len(ids)) for ids, sight in zip(prompts, sights, strict=True)]
        )
        features_FD = features_of(self.policy.vision, model, sights)
        return hidden_states(model, flat_N, positions.to(device), layout, features_FD, at_F.to(device))

    def decode(self, cohorts: Sequence[Cohort]) -> Tensor:
        """Logits of the next token of every row.  [N, V]"""
        caches = [cohort.cache for cohort in cohorts]
        rows = sum(cache.rows for cache in caches)
        ids_N = F.pad(torch.cat([cohort.newest_N for cohort in cohorts]), (0, -rows % onednn.ROWS))
        positions_N = F.pad(torch.cat([cache.positions_N for cache in caches]), (0, -rows % onednn.ROWS))
        hidden_ND = hidden_states(self.policy.model, ids_N, positions_N, DecodeLayout(caches))[:rows]
        for cache in caches:
            cache.advance()
        return self.head.logits(hidden_ND)

    def sample(self, logits_NV: Tensor, cohorts: Sequence[Cohort]) -> list[Cohort]:
        """Draw a token for every row.  Returns the cohorts without the rows that are finished."""
        slots_N, keys_N, started_N = (
            torch.cat(x) for x in zip(*((c.slots_N, c.keys_N, c.started_N) for c in cohorts), strict=True)
        )
        columns_N = self.tick - started_N
        if self.bans is not None:
            logits_NV = self.bans.mask(logits_NV, slots_N)
        ids_N, logprobs_N = draw(logits_NV, uniforms(keys_N, columns_N), self.sampling)
        if self.bans is not None:
            self.bans.record(slots_N, ids_N)
        self.transcript.write(slots_N, columns_N, ids_N, logprobs_N)
        meanings = self.meaning_V[ids_N].tolist()  # the one wait for the device in a tick
        running: list[Cohort] = []
        at = 0
        for cohort in cohorts:
            rows = slice(at, at + len(cohort.rows))
            at = rows.stop
            cohort.newest_N = ids_N[rows]
            leaving = self.finish(cohort, meanings[rows])
            remaining = cohort.without(leaving) if leaving else cohort
            if remaining is not None:
                running.append(remaining)
        self.tick += 1
        return running

    def finish(self, cohort: Cohort, meanings: Sequence[int]) -> set[int]:
        """Keep the responses of rows that are finished, and say which those are.  `meanings` [N]: of the newest ids."""
        if self.tick < cohort.deadline and not any(meanings):
            return set()
        leaving: set[int] = set()
        for n, (row, meaning) in enumerate(zip(cohort.rows, meanings, strict=True)):
            if meaning == PLAIN and self.tick < row.deadline:
                continue
            count = self.tick - row.started + 1
            token_ids = self.transcript.token_ids(row.slot, count)
            stopped = meaning == CANDIDATE and self.stops is not None and self.stops.completed(token_ids)
            if meaning == END or stopped or self.tick == row.deadline:
                logprobs = self.transcript.logprobs(row.slot, count)
                self.finished[row.index] = make_response(
                    self.policy, token_ids, logprobs, self.stops if stopped else None
                )
                self.transcript.free.append(row.slot)
                leaving.add(n)
        return leaving


def _merge_nearest(cohorts: Sequence[Cohort]) -> list[Cohort]:
    """One cohort fewer: of neighbours in length, the two that need the least padding become one."""
    by_length = sorted(cohorts, key=lambda cohort: cohort.cache.length)

    def padding(i: int) -> int:
        return len(by_length[i].rows) * (by_length[i + 1].cache.length - by_length[i].cache.length)

    best = min(range(len(by_length) - 1), key=padding)
    return [*by_length[:best], merge(by_length[best : best + 2]), *by_length[best + 2 :]]


def _groups(requests: Sequence[Request]) -> list[list[int]]:
    """Indices of the requests that share a prompt and its pictures, groups with short prompts first."""
    groups: dict[tuple[tuple[int, ...], tuple[str, ...]], list[int]] = {}
    for i, request in enumerate(requests):
        groups.setdefault((request.prompt.token_ids, request.prompt.images), []).append(i)
    return [groups[key] for key in sorted(groups, key=lambda key: len(key[0]))]


def _next_positions(
    groups: Sequence[Sequence[int]], sights: Sequence[Sight | None], lengths_N: Sequence[int]
) -> Sequence[int] | None:
    """The position of each row's first response token, where pictures make it another than the prompt's length."""
    if not any(sights):
        return None
    of_row = [sight for group, sight in zip(groups, sights, strict=True) for _ in group]
    return [sight.next_position if sight else length for sight, length in zip(of_row, lengths_N, strict=True)]


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
