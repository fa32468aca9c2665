"""Has the model read the questions?  The first part of each is given bare, and its continuation compared with the rest.

A model that completes truncated benchmark questions word for word has met them in training (arXiv:2507.10532 does this
with Qwen2.5 on MATH-500).  Responses are greedy and as long as the part that is missing.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from r1zero.config import SamplingConfig
from r1zero.engines import Engine
from r1zero.evaluation.suites import Entry
from r1zero.models.load import Policy
from r1zero.records import Problem, Prompt
from r1zero.statistics.intervals import Interval, wilson_interval

SHARE = 0.6  # of a question's words that are given
NEAR = 0.75  # similarity from which a continuation counts as near
FEWEST_WORDS = 4  # missing words below which a question is too short to tell
_WORD = re.compile(r"[^\W_]+|[^\w\s]")


@dataclass(frozen=True)
class Completion:
    """One truncated question and what the model made of it."""

    problem_id: str
    given: str
    missing: str
    continuation: str

    @property
    def similarity(self) -> float:
        """Matching words, in order, of the missing part and as many words of the continuation, 0 to 1."""
        return similarity(self.missing, self.continuation)

    @property
    def exact(self) -> bool:
        return self.similarity == 1.0


@dataclass(frozen=True)
class Contamination:
    """Shares of completions of one benchmark."""

    benchmark: str
    questions: int
    skipped: int  # too short, or too long for the context
    exact: Interval
    near: Interval  # similarity of at least NEAR, the exact ones included
    closest: tuple[Completion, ...]  # the most similar ones, to be read


def words(text: str) -> list[str]:
    """Words and signs, lower case, white space dropped.

    >>> words("Find $x^2$, please.")
    ['find', '$', 'x', '^', '2', '$', ',', 'please', '.']
    """
    return _WORD.findall(text.lower())


def similarity(missing: str, continuation: str) -> float:
    """2 M / T of difflib on words: M matching ones, T those of both sides; the continuation is cut to equal length.

    >>> similarity("the sum of all x", "The sum of all  x. Then"), similarity("a b c d", "a b x y")
    (1.0, 0.5)
    """
    wanted = words(missing)
    got = words(continuation)[: len(wanted)]
    return difflib.SequenceMatcher(None, wanted, got, autojunk=False).ratio()


def truncate(problem: Problem, share: float = SHARE) -> tuple[str, str] | None:
    """A question's beginning and the rest, parted between words; None where too little would be missing."""
    pieces = re.findall(r"\s*\S+", problem.text.rstrip())
    cut = round(share * len(pieces))
    if cut < 1 or len(pieces) - cut < FEWEST_WORDS:
        return None
    return "".join(pieces[:cut]).lstrip(), "".join(pieces[cut:])


def probe(
    entry: Entry, engine: Engine, policy: Policy, *, address: tuple[int | str, ...], share: float = SHARE
) -> Contamination:
    """Complete every question of a benchmark that is long enough."""
    prompts, parted, longest = [], [], 1
    for problem in entry.problems:
        parts = truncate(problem, share)
        if parts is None:
            continue
        given, missing = (tuple(policy.tokenizer.encode(part, add_special_tokens=False)) for part in parts)
        if given and len(given) + len(missing) < policy.max_context:
            prompts.append(Prompt(replace(problem, id=f"{problem.id}:truncated"), "truncated", parts[0], given))
            parted.append((problem.id, *parts))
            longest = max(longest, len(missing) + len(missing) // 4 + 2)  # room for other ways to spell the same
    if not prompts:
        return summarise_completions(entry.name, [], skipped=len(entry.problems))
    sampling = SamplingConfig(temperature=0.0, max_tokens=longest)
    responses_PG = engine.generate(prompts, samples=1, sampling=sampling, address=(*address, "contamination"))
    completions = [Completion(*texts, responses[0].text) for texts, responses in zip(parted, responses_PG, strict=True)]
    return summarise_completions(entry.name, completions, skipped=len(entry.problems) - len(prompts))


def summarise_completions(name: str, completions: Sequence[Completion], *, skipped: int = 0) -> Contamination:
    """Shares with Wilson's intervals; NaN where no question could be truncated."""
    similarities = [completion.similarity for completion in completions]
    closest = sorted(completions, key=lambda completion: -completion.similarity)[:3]
    return Contamination(
        benchmark=name,
        questions=len(completions),
        skipped=skipped,
        exact=wilson_interval(sum(value == 1.0 for value in similarities), len(completions)),
        near=wilson_interval(sum(value >= NEAR for value in similarities), len(completions)),
        closest=tuple(closest),
    )
