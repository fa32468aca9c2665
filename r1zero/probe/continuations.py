"""Responses broken off somewhere and continued: the one move that every intervention is made of.

A continuation is the whole response: what was kept of the stored one, what was written in its place, and what the
model then sampled.  It is cut where the stored response would have been: after `max_tokens` in all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from r1zero.config import SamplingConfig
from r1zero.engines import Engine
from r1zero.engines.stopping import cut, decode
from r1zero.grading.batch import Submission, grade_together
from r1zero.models.load import Policy
from r1zero.probe.positions import TokenText
from r1zero.records import FinishReason, Grade, Prompt, Response
from r1zero.tasks.templates import Template

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Prefix:
    """A response broken off at a place, and what is written there.

    Arms of the same place share its key: their randomness is the same wherever they are still alike.
    """

    key: str  # unique; randomness is addressed by it
    prompt: Prompt
    kept: Ids  # tokens of the stored response before the place
    given: Ids = ()  # tokens that follow without being sampled

    @property
    def ids(self) -> Ids:
        return self.kept + self.given


@dataclass(frozen=True)
class Continuation:
    """One way in which a prefix went on."""

    prefix: Prefix
    sample: int
    response: Response  # all of it; log-probabilities are NaN where nothing was sampled
    begins: int  # character of the response's text where the sampled part begins
    grade: Grade

    @property
    def spent(self) -> int:
        """Tokens from the place on, given ones included."""
        return self.response.num_tokens - len(self.prefix.kept)


@dataclass(frozen=True)
class Bans:
    """Token sequences banned in what is sampled: all of it, or its first tokens only."""

    sequences: tuple[Ids, ...] = ()
    for_tokens: int | None = None  # None: to the end


@dataclass(frozen=True)
class _Sampled:
    ids: Ids
    logprobs: tuple[float, ...]
    finish_reason: FinishReason


def fits(prefix: Prefix, policy: Policy, sampling: SamplingConfig) -> bool:
    """Whether at least one token can still be sampled, by the context and by `max_tokens`."""
    return len(prefix.ids) < min(sampling.max_tokens, policy.max_context - len(prefix.prompt.token_ids))


def continue_from(
    policy: Policy,
    engine: Engine,
    template: Template,
    prefixes: Sequence[Prefix],
    *,
    samples: int,
    sampling: SamplingConfig,
    address: tuple[int | str, ...],
    bans: Bans = Bans(),
    on_tokens: Callable[[int], None] | None = None,
) -> list[list[Continuation]]:
    """`samples` graded continuations of each prefix, [P][N].  Raises ValueError for a prefix that does not fit.

    `sampling.max_tokens` counts the whole response, from its first token.
    """
    misfit = next((prefix for prefix in prefixes if not fits(prefix, policy, sampling)), None)
    if misfit is not None:
        raise ValueError(
            f"prefix {misfit.key!r} leaves no room for a token: leave it out (`fits`), or raise max_tokens"
        )

    def sample(prefixes: Sequence[Prefix], count: int, most: int, banned: Sequence[Ids]) -> list[list[_Sampled]]:
        """At most `most` tokens more."""
        longest = max(sampling.max_tokens - len(prefix.ids) for prefix in prefixes)
        responses_PN = engine.generate(
            [_prompt(prefix) for prefix in prefixes],
            samples=count,
            sampling=replace(sampling, max_tokens=min(most, longest)),
            address=address,
            stop=template.stop,
            keep_stop=True,
            on_tokens=on_tokens,
            **({"banned": banned} if banned else {}),
        )
        return [[_Sampled(r.token_ids, r.logprobs, r.finish_reason) for r in group] for group in responses_PN]

    if not prefixes:
        return []
    if bans.sequences and bans.for_tokens is not None:
        first_PN = sample(prefixes, samples, bans.for_tokens, bans.sequences)
        sampled_PN = _carried_on(policy, prefixes, first_PN, sampling, lambda p: sample(p, 1, sampling.max_tokens, ()))
    else:
        sampled_PN = sample(prefixes, samples, sampling.max_tokens, bans.sequences)
    whole_PN = [
        [_whole(policy, template, prefix, one, sampling.max_tokens) for one in group]
        for prefix, group in zip(prefixes, sampled_PN, strict=True)
    ]
    grades = iter(
        grade_together(
            Submission(response.text, (prefix.prompt.problem.gold,), template.answer_format, prefix.prompt.problem.task)
            for prefix, group in zip(prefixes, whole_PN, strict=True)
            for response in group
        )
    )
    return [
        [
            Continuation(prefix, index, response, len(decode(policy.tokenizer, prefix.ids)), next(grades))
            for index, response in enumerate(group)
        ]
        for prefix, group in zip(prefixes, whole_PN, strict=True)
    ]


def _prompt(prefix: Prefix) -> Prompt:
    """What the engine reads: prompt and prefix as one, under the prefix's own name."""
    prompt = prefix.prompt
    problem = replace(prompt.problem, id=prefix.key)
    return replace(prompt, problem=problem, token_ids=prompt.token_ids + prefix.ids)


def _carried_on(
    policy: Policy,
    prefixes: Sequence[Prefix],
    first_PN: Sequence[Sequence[_Sampled]],
    sampling: SamplingConfig,
    sample: Callable[[Sequence[Prefix]], list[list[_Sampled]]],
) -> list[list[_Sampled]]:
    """Those that were cut after the banned tokens, continued without bans."""
    unfinished: dict[tuple[int, int], Prefix] = {}
    for p, (prefix, group) in enumerate(zip(prefixes, first_PN, strict=True)):
        for n, one in enumerate(group):
            longer = replace(prefix, key=f"{prefix.key}+{n}", given=prefix.given + one.ids)
            if one.finish_reason == "length" and fits(longer, policy, sampling):
                unfinished[p, n] = longer
    more = sample(list(unfinished.values())) if unfinished else []
    rest: Mapping[tuple[int, int], _Sampled] = {at: only for at, [only] in zip(unfinished, more, strict=True)}

    def joined(one: _Sampled, at: tuple[int, int]) -> _Sampled:
        if at not in rest:
            return one
        return _Sampled(one.ids + rest[at].ids, one.logprobs + rest[at].logprobs, rest[at].finish_reason)

    return [[joined(one, (p, n)) for n, one in enumerate(group)] for p, group in enumerate(first_PN)]


def _whole(policy: Policy, template: Template, prefix: Prefix, sampled: _Sampled, max_tokens: int) -> Response:
    """The response from its first token, cut at `max_tokens` and at a stop string, also one that the prefix began."""
    ids = (prefix.ids + sampled.ids)[:max_tokens]
    reason: FinishReason = sampled.finish_reason if len(ids) == len(prefix.ids + sampled.ids) else "length"
    spoken = TokenText.of(policy.tokenizer, ids[:-1] if ids[-1] in policy.end_ids else ids)
    text, begins = spoken.text, len(decode(policy.tokenizer, prefix.ids))
    kept = cut(text, template.stop, keep=True)
    if len(kept) < len(text) and len(kept) > begins:
        ids, reason = spoken.ids[: spoken.through(len(kept))], "stop"
    if len(kept) > begins:
        text = cut(text, template.stop, keep=template.keep_stop)
    own = sampled.logprobs[: max(0, len(ids) - len(prefix.ids))]
    return Response(text, ids, (math.nan,) * (len(ids) - len(own)) + own, reason)
