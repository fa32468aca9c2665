"""Whether the answer needs the thinking before it: the same response with its thinking deleted, or another question's.

The thinking of a response is its text before the answer's opener (`</think> <answer>`, `Answer:`, the sentence of the
last box).  In each arm the model reads some thinking, the opener, and then answers.  Tags open the answer as the
response itself spaces them, since a model may never have seen them otherwise.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from r1zero.config import SamplingConfig
from r1zero.engines import Engine
from r1zero.models.load import Policy
from r1zero.probe.continuations import Continuation, Prefix, continue_from, fits
from r1zero.probe.effects import Contrast, Effect, effects, share
from r1zero.probe.stored import Stored, read_rows, spread, usable, write_table
from r1zero.probe.wording import encode, opener, own_tags, thinking_ends
from r1zero.statistics.intervals import Interval, cluster_interval
from r1zero.store import write_atomically
from r1zero.tasks.templates import Template

ARMS = ("own", "deleted", "swapped")
CONTRASTS = (
    Contrast("own − deleted", "thinking", "own", "deleted"),
    Contrast("own − swapped", "thinking", "own", "swapped"),
    Contrast("deleted − swapped", "thinking", "deleted", "swapped"),
)
RECORDS, SUMMARY = "thinking.parquet", "thinking.json"  # in the directory of a probe

_SCHEMA = pl.Schema(
    {
        "kind": pl.String,
        "arm": pl.String,
        "prefix": pl.String,
        "problem_id": pl.String,
        "correct": pl.Boolean,
        "tokens": pl.Int64,  # of the answer
        "extracted": pl.String,
        "response": pl.String,
    }
)


@dataclass(frozen=True)
class Answered:
    """How the model answers after one kind of thinking."""

    arm: str  # own, deleted, or swapped: that of another question
    accuracy: Interval  # share right, clustered by problem
    unchanged: Interval  # share that gives the answer given after its own thinking
    tokens: Interval  # of the answer


@dataclass(frozen=True)
class ThinkingResult:
    """What deleting and swapping the thinking did.  NaN where nothing could be compared."""

    responses: int  # that were intervened in
    problems: int
    without_answer: int  # of all responses those left out: cut, or with no answer where the template wants it
    without_thinking: Interval  # share of the responses with an answer that have nothing before it; left out
    dropped: int  # responses of which an arm leaves no room for an answer; left out
    arms: tuple[Answered, ...]  # in the order of ARMS
    effects: tuple[Effect, ...]  # paired, in the order of CONTRASTS: own - deleted, own - swapped, deleted - swapped
    tokens: int  # spent on this test


@dataclass(frozen=True)
class _Thought:
    """A response with an answer, split where its thinking ends."""

    source: Stored
    ids: tuple[int, ...]  # tokens of the thinking
    text: str
    tags: str | None  # that open its answer, as it spaces them; None for other openers


def thinking_test(
    policy: Policy,
    engine: Engine,
    template: Template,
    rollouts: pl.DataFrame,
    *,
    responses: int,
    sampling: SamplingConfig,
    seed: int,
    out: Path | None,
    on_tokens: Callable[[int], None] | None = None,
) -> ThinkingResult:
    """Answer again after one's own thinking, after none, and after another question's: up to `responses` each.

    `sampling` is that of the answer (temperature 0 asks for the likeliest); its `max_tokens` counts the whole response.
    Only responses with an answer and with something before it are taken; thinking is swapped in a circle, so that
    everyone's is used once.  With `out`, the records are written there.  Raises ValueError where no
    response can be broken off.
    """
    if responses < 1:
        raise ValueError(f"responses={responses}: must be at least 1")
    rows = usable(rollouts, template)
    formatted = rows.filter(pl.col("formatted").fill_null(False))
    stored, _ = read_rows(spread(formatted, responses * 3, random.Random(f"stored/{seed}")), policy, template)
    thoughts = [_thought(one, template) for one in stored]
    answered = [thought for thought in thoughts if thought is not None]
    empty = [not thought.text.strip() for thought in answered]
    thinking = [thought for thought, nothing in zip(answered, empty, strict=True) if not nothing]
    pairs = _swapped(thinking, random.Random(f"thinking/{seed}"))
    arms = [_arms(policy, template, own, other) for own, other in pairs]
    fitting = [prefixes for prefixes in arms if all(fits(prefix, policy, sampling) for prefix in prefixes)]
    chosen = fitting[:responses]
    continued = continue_from(
        policy,
        engine,
        _answers_only(template),
        [prefix for prefixes in chosen for prefix in prefixes],
        samples=1,
        sampling=sampling,
        address=("thinking", seed),
        on_tokens=on_tokens,
    )
    records = _records([one for group in continued for one in group])
    problems = [thought.source.prompt.problem.id for thought in answered]
    found: dict[str, Any] = {
        "without_answer": rows.height - formatted.height + len(thoughts) - len(answered),
        "empty": [[problem, nothing] for problem, nothing in zip(problems, empty, strict=True)],
        "dropped": len(arms) - len(fitting),
        "seed": seed,
    }
    if out is not None:
        write_table(out / RECORDS, records)
        write_atomically(out / SUMMARY, (json.dumps(found) + "\n").encode())
    return summarize(records, **found)


def read_thinking(out: Path) -> ThinkingResult | None:
    """The result of the test that lies in OUT, nothing sampled; None where there is none."""
    if not ((out / RECORDS).is_file() and (out / SUMMARY).is_file()):
        return None
    records = pl.read_parquet(out / RECORDS)
    return summarize(records, **json.loads((out / SUMMARY).read_text(encoding="utf-8")))


def summarize(
    records: pl.DataFrame, *, without_answer: int, empty: Sequence[Sequence[Any]], dropped: int, seed: int
) -> ThinkingResult:
    """The result of answers that were sampled; `empty` has (problem, whether nothing was thought) of every response."""
    return ThinkingResult(
        records["prefix"].n_unique(),
        records["problem_id"].n_unique(),
        without_answer,
        share(pl.DataFrame(empty, schema={"problem_id": pl.String, "empty": pl.Boolean}, orient="row"), "empty"),
        dropped,
        tuple(_answered(records, arm, seed) for arm in ARMS),
        effects(records, CONTRASTS, seed=seed),
        int(records["tokens"].sum()),
    )


def _thought(one: Stored, template: Template) -> _Thought | None:
    """The response up to its answer's opener; None where none is found."""
    end = thinking_ends(one.tokens.text, template.answer_format)
    if end is None:
        return None
    count = one.tokens.before(end)
    seam = one.tokens.text[len(one.tokens.first(count)) : end]
    ids = one.tokens.ids[:count] + encode(one.tokens.tokenizer, seam)
    return _Thought(one, ids, one.tokens.text[:end], own_tags(one.tokens.text, end))


def _swapped(thoughts: Sequence[_Thought], rng: random.Random) -> list[tuple[_Thought, _Thought]]:
    """Each with one of another problem, every one used once: sorted by problem and shifted by the largest group.

    Where one problem has more than half of all, those that would meet their own are left out.
    """
    counts = Counter(thought.source.prompt.problem.id for thought in thoughts)
    problems = sorted(counts)
    rng.shuffle(problems)
    turn = {problem: place for place, problem in enumerate(problems)}
    ordered = sorted(thoughts, key=lambda thought: turn[thought.source.prompt.problem.id])
    shift = max(counts.values(), default=0)
    pairs = [(own, ordered[(place + shift) % len(ordered)]) for place, own in enumerate(ordered)]
    pairs = [(a, b) for a, b in pairs if a.source.prompt.problem.id != b.source.prompt.problem.id]
    rng.shuffle(pairs)
    return pairs


def _arms(policy: Policy, template: Template, own: _Thought, other: _Thought) -> list[Prefix]:
    """The three prefixes in the order of ARMS, each ending in the opener."""

    def prefix(thought: _Thought | None) -> Prefix:
        ids, text = (thought.ids, thought.text) if thought is not None else ((), "")
        opened = encode(policy.tokenizer, opener(template, text, own.tags))
        return Prefix(own.source.key, own.source.prompt, (), ids + opened)

    return [prefix(own), prefix(None), prefix(other)]


def _answers_only(template: Template) -> Template:
    """The template that stops where the answer is given, so that nothing is reconsidered behind it.

    An answer between tags may begin on a line of its own; others end with their line.
    """
    end = "</answer>" if "<answer>" in opener(template, "") else "\n"
    return replace(template, stop=(*template.stop, end), keep_stop=True)


def _records(continued: Sequence[Continuation]) -> pl.DataFrame:
    """One row an answer, three in a row of each response, with the columns that `effects` reads and the answer."""
    rows = [
        {
            "kind": "thinking",
            "arm": ARMS[index % len(ARMS)],
            "prefix": one.prefix.key,
            "problem_id": one.prefix.prompt.problem.id,
            "correct": one.grade.correct,
            "tokens": one.response.num_tokens - len(one.prefix.ids),
            "extracted": one.grade.extracted,
            "response": one.response.text,
        }
        for index, one in enumerate(continued)
    ]
    return pl.DataFrame(rows, schema=_SCHEMA)


def _answered(records: pl.DataFrame, arm: str, seed: int) -> Answered:
    own = records.filter(pl.col("arm") == "own").select("prefix", own="extracted")
    rows = records.filter(pl.col("arm") == arm).join(own, on="prefix", maintain_order="left")
    rows = rows.with_columns(same=(pl.col("extracted") == pl.col("own")).fill_null(False))
    tokens = cluster_interval(rows["tokens"].to_numpy(), rows["problem_id"].to_numpy(), seed=seed)
    return Answered(arm, share(rows, "correct"), share(rows, "same"), tokens)
