"""Which responses are broken off where, and what each arm writes there.  Nothing is sampled here.

Places, all from responses to one template by one policy:
    cue              the first cue of a response that has one, with the words that lead up to it
    placebo          the start of a sentence or line before any cue, matched to a cue's place on depth and entropy
    insert_random    such a start, drawn at random        insert_entropy   that of the response's highest entropy
    insert_end       where a response had ended by itself
    recovery         behind a number calculated in a response that ended right
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from r1zero.analysis.reflection import CuePool, has_cue
from r1zero.config import SamplingConfig
from r1zero.models.load import Policy
from r1zero.models.packing import Tree
from r1zero.probe.continuations import Ids, Prefix, fits
from r1zero.probe.entropy import entropies
from r1zero.probe.matching import Spot, match
from r1zero.probe.positions import TokenText, first_cue, sentence_starts
from r1zero.probe.wording import encode, filler, make_slip, opener, thinking_ends
from r1zero.records import Problem, Prompt
from r1zero.tasks.templates import Template

PLACE_ARMS = ("kept", "banned", "banned_here", "filler", "answer")
POOL = 6  # responses looked at for placebo, insertion and recovery, times the prefixes wanted
MOST_PLACES = 12  # sentence starts looked at in one response
USUAL_CUE = "Wait"  # inserted where the responses have no cue of their own
ORIGIN = ("run", "step", "checkpoint", "level")  # columns of a stored response that its continuations inherit


@dataclass(frozen=True)
class Stored:
    """A stored response, ready to be broken off."""

    key: str
    prompt: Prompt
    tokens: TokenText  # without the end token
    ended: bool  # by an end token
    correct: bool
    origin: Mapping[str, Any]
    entropy_T: np.ndarray = field(default_factory=lambda: np.zeros(0))  # nats before each token


@dataclass(frozen=True)
class Trial:
    """One arm at one place."""

    kind: str
    arm: str
    prefix: Prefix
    source: Stored
    entropy: float  # of the next token at the place; NaN where none was read

    @property
    def depth(self) -> int:
        return len(self.prefix.kept)


@dataclass(frozen=True)
class Plan:
    """All trials, and what was found on the way."""

    trials: tuple[Trial, ...]
    responses: int
    reflecting: int
    inserted: str  # the cue that is inserted
    left_out: Mapping[str, int]  # reason -> responses or places


@dataclass(frozen=True)
class Place:
    """`start` tokens of a response, and the end of what stands there."""

    source: Stored
    start: int
    end: int
    text: str = ""

    @property
    def entropy(self) -> float:
        return float(self.source.entropy_T[self.start]) if self.start < len(self.source.entropy_T) else float("nan")

    @property
    def spot(self) -> Spot:
        return Spot(self.source.prompt.problem.id, self.start, self.entropy)

    @property
    def space(self) -> str:
        """White space that the first token behind the place brings along."""
        after = self.source.tokens.first(self.start + 1)[len(self.source.tokens.first(self.start)) :]
        return after[: len(after) - len(after.lstrip())]

    def prefix(self, given: Ids = ()) -> Prefix:
        tokens = self.source.tokens
        return Prefix(f"{self.source.key}@{self.start}", self.source.prompt, tokens.ids[: self.start], given)


def make_plan(
    policy: Policy,
    template: Template,
    rollouts: pl.DataFrame,
    *,
    prefixes: int,
    sampling: SamplingConfig,
    seed: int,
    pool: CuePool,
) -> Plan:
    """Up to `prefixes` places of each kind, spread over the problems.  Raises ValueError where no response fits."""
    left_out: Counter[str] = Counter()
    rows = _usable(rollouts, template)
    reflects = pl.Series([has_cue(text, pool) for text in rows["response"]], dtype=pl.Boolean)
    rng = random.Random(f"causal/{seed}")
    chosen = _spread(rows.filter(reflects), 2 * prefixes, rng)
    others = _spread(rows, POOL * prefixes, rng)
    stored: dict[str, Stored] = {}
    for row in (*chosen, *others):
        if row["key"] not in stored and (one := _stored(row, policy, template)) is not None:
            stored[row["key"]] = one
        elif row["key"] not in stored:
            left_out["tokens do not decode to the stored text"] += 1
    trees = [Tree(one.prompt.token_ids, [one.tokens.ids]) for one in stored.values()]
    entropies_RT = entropies(policy, trees, sampling.temperature)
    stored = {
        key: replace(one, entropy_T=entropy_T)
        for (key, one), entropy_T in zip(stored.items(), entropies_RT, strict=True)
    }
    reading = [stored[row["key"]] for row in chosen if row["key"] in stored]
    reserve = [stored[row["key"]] for row in others if row["key"] in stored]

    def write(kind: str, places: Iterable[tuple[Place, Mapping[str, Ids]]]) -> list[Trial]:
        """Trials of the first places of which every arm fits."""
        trials: list[Trial] = []
        written = 0
        for place, given in places:
            arms = [Trial(kind, arm, place.prefix(ids), place.source, place.entropy) for arm, ids in given.items()]
            if not all(fits(trial.prefix, policy, sampling) for trial in arms):
                left_out[f"{kind}: no room for a continuation"] += 1
            elif written < prefixes:
                written += 1
                trials += arms
        return trials

    arms = _Arms(policy, template, pool)
    cues = [Place(one, found.start, found.end, found.text) for one in reading if (found := first_cue(one.tokens, pool))]
    trials = write("cue", ((place, arms.at(place)) for place in cues))
    kept = {trial.prefix.key for trial in trials}
    cues = [place for place in cues if place.prefix().key in kept]
    starts = [place for one in reserve for place in _sentence_places(one, pool, rng)]
    matches = match([place.spot for place in cues], [place.spot for place in starts], seed=seed)
    placebos = [
        replace(starts[found], end=min(starts[found].end, starts[found].start + place.end - place.start))
        for place, found in zip(cues, matches, strict=True)
        if found >= 0
    ]
    trials += write("placebo", ((place, arms.at(place)) for place in placebos))
    inserted = _usual_cue(cues)
    trials += [
        trial
        for kind, places in _insertions(reserve, starts, inserted, arms.encode, rng).items()
        for trial in write(kind, places)
    ]
    trials += write("recovery", _slips(reserve, template, arms.encode, seed))
    return Plan(tuple(trials), rows.height, int(reflects.sum()), inserted, dict(left_out))


# ---------------------------------------------------------------------------------------------------------------------
# Stored responses


def _usable(rollouts: pl.DataFrame, template: Template) -> pl.DataFrame:
    """Rows with everything that is needed, each under a key of its own."""
    rows = rollouts.filter(
        pl.col("token_ids").list.len() > 0,
        *(pl.col(name).is_not_null() for name in ("response", "prompt", "gold", "correct", "problem_id")),
        pl.col("template").is_null() | (pl.col("template") == template.name),
    )
    if rows.is_empty():
        raise ValueError(
            f"none of {rollouts.height} responses can be broken off: they need token ids, a grade and template "
            f"{template.name!r}; imported responses have no token ids: ask the model itself"
        )
    rows = rows.sort("problem_id", "temperature", "step", "sample", maintain_order=True)
    return rows.with_columns(key=pl.format("{}/{}", "problem_id", pl.int_range(pl.len()).over("problem_id")))


def _spread(rows: pl.DataFrame, count: int, rng: random.Random) -> list[dict[str, Any]]:
    """So many rows at random, one of each problem before the second of any."""
    order = list(range(rows.height))
    rng.shuffle(order)
    shuffled = rows[order].with_columns(turn=pl.int_range(pl.len()).over("problem_id"))
    return shuffled.sort("turn", maintain_order=True).head(count).to_dicts()


def _stored(row: Mapping[str, Any], policy: Policy, template: Template) -> Stored | None:
    """The response with its tokens; None where these do not decode to its text."""
    ids = tuple(row["token_ids"])
    ended = ids[-1] in policy.end_ids
    tokens = TokenText.of(policy.tokenizer, ids[:-1] if ended else ids)
    if not tokens.ids or not tokens.text.startswith(row["response"]):
        return None
    problem = Problem(row["problem_id"], row["task"], row["problem"] or "", row["gold"], level=row.get("level"))
    prompt = Prompt(problem, template.name, row["prompt"], encode(policy.tokenizer, row["prompt"]))
    origin = {name: row.get(name) for name in ORIGIN}
    return Stored(row["key"], prompt, tokens, ended, bool(row["correct"]), origin)


# ---------------------------------------------------------------------------------------------------------------------
# Places and what is written there


@dataclass(frozen=True)
class _Arms:
    """What each arm writes at a place."""

    policy: Policy
    template: Template
    pool: CuePool

    def encode(self, text: str) -> Ids:
        return encode(self.policy.tokenizer, text)

    def at(self, place: Place) -> dict[str, Ids]:
        """The arms of PLACE_ARMS: what stands there, nothing (with a ban), a filler as long, or the answer's opener."""
        tokens = place.source.tokens
        standing = tokens.ids[place.start : place.end]
        neutral = filler(self.policy.tokenizer, place.space, len(standing), [self.pool])
        answer = self.encode(opener(self.template, tokens.first(place.start)))
        return dict(zip(PLACE_ARMS, (standing, (), (), neutral, answer), strict=True))


def _sentence_places(one: Stored, pool: CuePool, rng: random.Random) -> list[Place]:
    """Starts of sentences and lines before the first cue; the place's end is that of the text without one."""
    cue = first_cue(one.tokens, pool)
    limit = cue.start if cue else len(one.tokens.ids)
    offsets = sentence_starts(one.tokens.text)
    if len(offsets) > MOST_PLACES:
        offsets = sorted(rng.sample(offsets, MOST_PLACES))
    starts = dict.fromkeys(one.tokens.before(offset) for offset in offsets)
    return [Place(one, start, limit) for start in starts if start < limit]


def _usual_cue(cues: Sequence[Place]) -> str:
    """The most frequent of the responses' own first cues."""
    counts = Counter(place.text for place in cues)
    return min(counts, key=lambda text: (-counts[text], text)) if counts else USUAL_CUE


def _insertions(
    reserve: Sequence[Stored], starts: Sequence[Place], cue: str, encode: Callable[[str], Ids], rng: random.Random
) -> dict[str, list[tuple[Place, dict[str, Ids]]]]:
    """A cue where none stood, against nothing: at random, at the highest entropy of the same response, at its end."""

    def arms(place: Place, space: str) -> dict[str, Ids]:
        return {"inserted": encode(space + cue), "nothing": ()}

    inside: dict[str, list[Place]] = {}
    for place in starts:
        if place.start > 0:
            inside.setdefault(place.source.key, []).append(place)
    several = [places for places in inside.values() if len(places) > 1]
    at_random = [rng.choice(places) for places in several]
    undecided = [max(places, key=lambda place: place.entropy) for places in several]
    ends = [Place(one, len(one.tokens.ids), len(one.tokens.ids)) for one in reserve if one.ended]
    return {
        "insert_random": [(place, arms(place, place.space)) for place in at_random],
        "insert_entropy": [(place, arms(place, place.space)) for place in undecided],
        "insert_end": [(place, arms(place, "" if place.source.tokens.text.endswith("\n") else "\n")) for place in ends],
    }


def _slips(
    reserve: Sequence[Stored], template: Template, encode: Callable[[str], Ids], seed: int
) -> Iterable[tuple[Place, dict[str, Ids]]]:
    """Right responses up to a number of theirs, as it was and wrong."""
    for one in reserve:
        text = one.tokens.text
        slip = make_slip(text[: thinking_ends(text, template.answer_format)], random.Random(f"{seed}/{one.key}"))
        if not one.correct or slip is None:
            continue
        start = one.tokens.before(slip.start)
        seam = text[len(one.tokens.first(start)) : slip.start]
        given = {"untouched": text[slip.start : slip.end], "wrong": slip.wrong}
        yield Place(one, start, start), {arm: encode(seam + number) for arm, number in given.items()}
