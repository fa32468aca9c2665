"""Continuations: what is kept, given and sampled, and where it ends."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from r1zero.config import SamplingConfig
from r1zero.engines.spellings import cue_sequences
from r1zero.facts.cues import POOLS, has_cue
from r1zero.models.packing import Tree
from r1zero.probe.continuations import Bans, Continuation, Prefix, continue_from, fits
from r1zero.probe.entropy import entropies
from r1zero.probe.stored import Stored, read_rows, spread, usable
from r1zero.records import Prompt, Response
from r1zero.tasks.templates import Template

SAMPLING = SamplingConfig(max_tokens=60)


@dataclass
class Scripted:
    """An engine that always writes the same, and remembers what it was asked."""

    policy: Any
    text: str
    asked: list[tuple[Sequence[Prompt], dict[str, Any]]]

    def generate(self, prompts: Sequence[Prompt], *, samples: int, **settings: Any) -> list[list[Response]]:
        self.asked.append((prompts, {"samples": samples, **settings}))
        ids = (*self.policy.tokenizer.encode(self.text, add_special_tokens=False), self.policy.end_id)
        most = settings["sampling"].max_tokens
        reason = "stop" if len(ids) <= most else "length"
        return [[Response(self.text, ids[:most], (-0.5,) * len(ids[:most]), reason)] * samples for _ in prompts]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def stored(organism: Any) -> list[Stored]:
    rows = spread(usable(organism.rollouts, organism.template), 20, random.Random(0))
    return read_rows(rows, organism.policy, organism.template)[0]


def go_on(organism: Any, prefixes: Sequence[Prefix], **settings: Any) -> list[list[Continuation]]:
    common = {"samples": 2, "sampling": SAMPLING, "address": ("test",)} | settings
    return continue_from(organism.policy, organism.engine, organism.template, prefixes, **common)


def scripted(organism: Any, text: str, prefix: Prefix, **settings: Any) -> tuple[Continuation, Scripted]:
    engine = Scripted(organism.policy, text, [])
    template = settings.pop("template", organism.template)
    common = {"samples": 1, "sampling": SAMPLING, "address": ("test",)} | settings
    [[one]] = continue_from(organism.policy, engine, template, [prefix], **common)  # type: ignore[arg-type]
    return one, engine


def given(organism: Any, one: Stored, kept: int, text: str) -> Prefix:
    return Prefix("place", one.prompt, one.tokens.ids[:kept], tuple(organism.policy.tokenizer.encode(text)))


def test_the_whole_response_is_graded(organism: Any, stored: list[Stored]) -> None:
    one, engine = scripted(organism, " 5", given(organism, stored[0], 3, "\nAnswer:"))
    kept = stored[0].tokens.first(3)
    assert one.response.text == f"{kept}\nAnswer: 5"
    assert one.grade.extracted == "5"
    [(prompts, _)] = engine.asked
    assert prompts[0].token_ids == stored[0].prompt.token_ids + one.prefix.ids
    assert prompts[0].problem.id == "place"
    assert one.response.text[one.begins :] == " 5"
    assert one.response.finish_reason == "stop"
    assert one.spent == len(one.prefix.given) + 3  # " ", "5", end
    unknown = [math.isnan(value) for value in one.response.logprobs]
    assert unknown == [True] * len(one.prefix.ids) + [False] * 3


def test_the_budget_counts_from_the_responses_first_token(organism: Any, stored: list[Stored]) -> None:
    prefix = given(organism, stored[0], 3, "\nAnswer:")
    limit = len(prefix.ids) + 4
    one, _ = scripted(organism, "1+2+3+4+5+6", prefix, sampling=replace(SAMPLING, max_tokens=limit))
    assert one.response.num_tokens == limit
    assert one.response.finish_reason == "length"
    assert one.response.text.endswith("1+2+")


def test_a_stop_string_that_the_prefix_began_ends_the_response(organism: Any, stored: list[Stored]) -> None:
    template = Template("t", "", stop=("</answer>",), keep_stop=True, answer_format="r1")
    prefix = given(organism, stored[0], 3, " </think> <answer> 5 </answer")
    one, _ = scripted(organism, "> and more", prefix, template=template)
    assert one.response.text.endswith("<answer> 5 </answer>")
    assert one.response.finish_reason == "stop"
    assert one.spent == len(prefix.given) + 1
    assert len(one.response.logprobs) == one.response.num_tokens


def test_what_leaves_no_room_is_named(organism: Any, stored: list[Stored]) -> None:
    prefix = given(organism, stored[0], 3, "1" * 60)
    assert not fits(prefix, organism.policy, SAMPLING)
    with pytest.raises(ValueError, match="'place' leaves no room"):
        go_on(organism, [prefix])
    full = replace(prefix, prompt=replace(prefix.prompt, token_ids=(5,) * (organism.policy.max_context - 20)), given=())
    assert fits(replace(full, kept=(5,) * 19), organism.policy, SAMPLING)
    assert not fits(replace(full, kept=(5,) * 20), organism.policy, SAMPLING)


def test_arms_of_a_place_share_their_randomness_while_they_are_alike(organism: Any, stored: list[Stored]) -> None:
    places = [Prefix(one.key, one.prompt, one.tokens.ids[:4]) for one in stored[:6]]
    free = go_on(organism, places)
    unused = Bans(((1, 2, 3),))
    assert [[c.response.text for c in group] for group in go_on(organism, places, bans=unused)] == [
        [c.response.text for c in group] for group in free
    ]
    assert any(a.response != b.response for a, b in free)
    alone = go_on(organism, places[2:3])
    assert [c.response.text for c in alone[0]] == [c.response.text for c in free[2]]


def test_a_ban_holds_to_the_end_or_for_some_tokens(organism: Any, stored: list[Stored]) -> None:
    pool = POOLS["extended"]
    sequences = cue_sequences(organism.policy.tokenizer, pool)
    places = [Prefix(one.key, one.prompt, ()) for one in stored]
    to_the_end = go_on(organism, places, samples=6, bans=Bans(sequences))
    assert not any(has_cue(one.response.text, pool) for group in to_the_end for one in group)
    at_first = go_on(organism, places, samples=6, bans=Bans(sequences, for_tokens=8))
    begun, whole = 0, 0
    for one in (one for group in at_first for one in group):
        first = organism.policy.tokenizer.decode(one.response.token_ids[:8])
        begun += has_cue(first, pool)
        whole += has_cue(one.response.text, pool)
        assert one.response.num_tokens <= SAMPLING.max_tokens
        assert not any(math.isnan(value) for value in one.response.logprobs)
    assert (begun, whole > 0) == (0, True)


def test_one_text_is_continued_differently_from_sample_to_sample_after_a_short_ban(
    organism: Any, stored: list[Stored]
) -> None:
    [group] = go_on(organism, [Prefix("p", stored[0].prompt, ())], samples=16, bans=Bans(((1, 2),), for_tokens=1))
    by_first: dict[int, set[tuple[int, ...]]] = {}
    for one in group:
        by_first.setdefault(one.response.token_ids[0], set()).add(one.response.token_ids)
    assert max(map(len, by_first.values())) > 1


def test_entropies_are_those_of_a_plain_forward_pass(organism: Any, stored: list[Stored]) -> None:
    trees = [Tree(one.prompt.token_ids, [one.tokens.ids]) for one in stored[:5]]
    found = entropies(organism.policy, trees, temperature=0.7)
    for one, entropy_T in zip(stored[:5], found, strict=True):
        ids = torch.tensor([one.prompt.token_ids + one.tokens.ids])
        with torch.no_grad():
            logits = organism.policy.model(input_ids=ids).logits[0, :, : organism.policy.vocab_size] / 0.7
        logs = logits.log_softmax(-1)[len(one.prompt.token_ids) - 1 : -1]
        np.testing.assert_allclose(entropy_T, -(logs.exp() * logs).sum(-1).numpy(), atol=1e-4)


def test_a_stored_response_reads_back_as_its_tokens(organism: Any, stored: list[Stored]) -> None:
    texts = set(organism.rollouts["response"])
    assert len(stored) == 20
    assert len({one.prompt.problem.id for one in stored}) == 20  # spread over problems
    assert all(one.tokens.text in texts for one in stored)
    spoiled = organism.rollouts.with_columns(response="x" + organism.rollouts["response"])
    rows = usable(spoiled, organism.template).to_dicts()
    assert read_rows(rows, organism.policy, organism.template) == ([], len(rows))
    bare = organism.rollouts.with_columns(token_ids=pl.lit(None, pl.List(pl.Int32)))
    with pytest.raises(ValueError, match="token ids"):
        usable(bare, organism.template)
