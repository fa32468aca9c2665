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
from dataclasses import dataclass, replace

import polars as pl

from r1zero.config import SamplingConfig
from r1zero.facts.cues import CuePool, has_cue
from r1zero.models.load import Policy
from r1zero.models.packing import Tree
from r1zero.models.vision_prompt import sight_of_prompt
from r1zero.probe.continuations import Ids, Prefix, fits
from r1zero.probe.entropy import entropies
from r1zero.probe.matching import Spot, match
from r1zero.probe.positions import first_cue, sentence_starts
from r1zero.probe.stored import Stored, read_rows, spread, usable
from r1zero.probe.wording import encode, filler, make_slip, opener, thinking_ends
from r1zero.tasks.templates import Template

PLACE_ARMS = ("kept", "banned", "banned_here", "filler", "answer")
POOL = 6  # responses looked at for placebo, insertion and recovery, times the prefixes wanted
MOST_PLACES = 12  # sentence starts looked at in one response
USUAL_CUE = "Wait"  # inserted where the responses have no cue of their own


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
    rows = usable(rollouts, template)
    reflects = pl.Series([has_cue(text, pool) for text in rows["response"]], dtype=pl.Boolean)
    rng = random.Random(f"causal/{seed}")
    reading, unread = read_rows(spread(rows.filter(reflects), 2 * prefixes, rng), policy, template)
    reserve, unread_too = read_rows(spread(rows, POOL * prefixes, rng), policy, template)
    left_out["tokens do not decode to the stored text"] = unread + unread_too
    both = _with_entropies(policy, [*reading, *reserve], sampling.temperature)
    reading, reserve = both[: len(reading)], both[len(reading) :]

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
    inserted = _usual_cue(cues)
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
    trials += [
        trial
        for kind, places in _insertions(reserve, starts, inserted, arms.encode, rng).items()
        for trial in write(kind, places)
    ]
    trials += write("recovery", _slips(reserve, template, arms.encode, seed))
    return Plan(
        tuple(trials),
        rows.height,
        int(reflects.sum()),
        inserted,
        {reason: count for reason, count in left_out.items() if count},
    )


# ---------------------------------------------------------------------------------------------------------------------
# Places and what is written there


def _with_entropies(policy: Policy, responses: Sequence[Stored], temperature: float) -> list[Stored]:
    """The same with the entropy before each token; a response that occurs twice is read once."""
    distinct = {one.key: one for one in responses}
    trees = [
        Tree(one.prompt.token_ids, [one.tokens.ids], sight_of_prompt(policy, one.prompt)) for one in distinct.values()
    ]
    found = dict(zip(distinct, entropies(policy, trees, temperature), strict=True))
    return [replace(one, entropy_T=found[one.key]) for one in responses]


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
