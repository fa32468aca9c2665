"""Is a tiny model a good model organism?  What its Countdown traces show of its skills.

A trace of the generated corpus writes calculations as "25*4=100" and checks as "93 vs 95, no."; both can be held to the
truth, so a model's skills are measured apart from its luck.  P problems, G responses each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from r1zero.facts.cues import has_cue
from r1zero.records import OUTCOMES, Rollout
from r1zero.statistics.intervals import Interval, accuracy_interval, mean_interval, pass_at_k, wilson_interval

CALCULATION = re.compile(r"(?<![\d*+/-])(\d{1,9}) ?([+*/-]) ?(\d{1,9}) ?= ?(\d{1,9})(?!\d)")
CHECK = re.compile(r"(?<!\d)(\d{1,9}) vs (\d{1,9}), (yes|no)\b")


@dataclass(frozen=True)
class Tally:
    """So many right out of so many."""

    right: int = 0
    total: int = 0

    @property
    def share(self) -> Interval:
        """The share that is right, with its Wilson interval."""
        return wilson_interval(self.right, self.total)

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.right + other.right, self.total + other.total)


@dataclass(frozen=True)
class TraceFacts:
    """What one response shows.

    `checks_of_hits` are the checks whose written value is the target (the answer is "yes"), `checks_of_misses` the
    others.
    """

    calculations: Tally
    checks_of_hits: Tally
    checks_of_misses: Tally
    attempts: int  # checks that are not the repetition of an earlier one's calculations
    repeated: int  # the repetitions
    hit_last: bool  # the last check says "yes"


def trace_facts(text: str, target: int) -> TraceFacts:
    """Hold every calculation and every check of a response to the truth.

    A check is right when it quotes the problem's target and says "yes" exactly where the value beside it is the target.

    >>> facts = trace_facts("2+3=5, 5*4=20 vs 14, no.\\n3*4=12, 12+2=15 vs 14, yes.", target=14)
    >>> facts.calculations, facts.checks_of_misses, facts.hit_last
    (Tally(right=3, total=4), Tally(right=1, total=2), True)
    """
    calculations = [_is_right(*match.groups()) for match in CALCULATION.finditer(text)]
    hits, misses = Tally(), Tally()
    for value, quoted, verdict in CHECK.findall(text):
        is_hit = int(value) == target
        right = int(quoted) == target and (verdict == "yes") == is_hit
        if is_hit:
            hits += Tally(right, 1)
        else:
            misses += Tally(right, 1)
    lines = [CALCULATION.findall(line) for line in text.splitlines() if CHECK.search(line)]
    ideas = [tuple(_idea(*calculation) for calculation in line) for line in lines]
    verdicts = CHECK.findall(text)
    return TraceFacts(
        calculations=Tally(sum(calculations), len(calculations)),
        checks_of_hits=hits,
        checks_of_misses=misses,
        attempts=len(set(ideas)),
        repeated=len(ideas) - len(set(ideas)),
        hit_last=bool(verdicts) and verdicts[-1][2] == "yes",
    )


def _is_right(left: str, operator: str, right: str, value: str) -> bool:
    a, b, c = int(left), int(right), int(value)
    if operator == "/":
        return b != 0 and a == b * c
    return c == {"+": a + b, "-": a - b, "*": a * b}[operator]


def _idea(left: str, operator: str, right: str, value: str) -> tuple[str, ...]:
    """The same for 4 * 25 and 25 * 4."""
    return (operator, *(sorted((left, right)) if operator in "+*" else (left, right)))


@dataclass(frozen=True)
class Organism:
    """The properties of a model under one template and temperature; fractions with 95 % intervals."""

    num_problems: int
    num_responses: int
    calculations_right: Interval
    checks_right: Interval
    checks_of_hits_right: Interval  # says "yes" where it should
    checks_of_misses_right: Interval  # says "no" where it should
    answers_after_yes_right: Interval  # of responses whose last check says "yes"
    pass_at: Mapping[int, Interval]  # k -> chance that one of k responses is right, mean over problems
    outcomes: Mapping[str, float]  # shares of the ledger's four outcomes; they add to 1
    cue_share: Interval  # responses with a reflection cue
    tokens_mean: float
    attempts_mean: float  # different checked attempts in a response
    repeated_share: float  # checked attempts that repeat an earlier one of the same response


def measure(rollouts: Sequence[Rollout], ks: Sequence[int] = (1, 8)) -> Organism:
    """The properties that a model's graded Countdown responses show.  Raises ValueError without any."""
    if not rollouts:
        raise ValueError("no rollouts to measure: sample at least one response")
    facts = [trace_facts(r.response.text, int(r.prompt.problem.fields["target"])) for r in rollouts]
    correct_P: dict[str, list[bool]] = {}
    for rollout in rollouts:
        correct_P.setdefault(rollout.prompt.problem.id, []).append(rollout.grade.correct)
    hits = sum((f.checks_of_hits for f in facts), Tally())
    misses = sum((f.checks_of_misses for f in facts), Tally())
    after_yes = [r.grade.correct for r, f in zip(rollouts, facts, strict=True) if f.hit_last]
    outcomes = [rollout.outcome for rollout in rollouts]
    attempts, repeated = sum(f.attempts for f in facts), sum(f.repeated for f in facts)
    return Organism(
        num_problems=len(correct_P),
        num_responses=len(rollouts),
        calculations_right=sum((f.calculations for f in facts), Tally()).share,
        checks_right=(hits + misses).share,
        checks_of_hits_right=hits.share,
        checks_of_misses_right=misses.share,
        answers_after_yes_right=Tally(sum(after_yes), len(after_yes)).share,
        pass_at={k: _pass_at(list(correct_P.values()), k) for k in ks},
        outcomes={name: outcomes.count(name) / len(outcomes) for name in OUTCOMES},
        cue_share=wilson_interval(sum(has_cue(r.response.text) for r in rollouts), len(rollouts)),
        tokens_mean=float(np.mean([r.response.num_tokens for r in rollouts])),
        attempts_mean=attempts / len(rollouts),
        repeated_share=repeated / (attempts + repeated) if attempts else math.nan,
    )


def _pass_at(correct_PG: Sequence[Sequence[bool]], k: int) -> Interval:
    """Mean over problems of the unbiased pass@k; problems with fewer than k responses are left out."""
    counted = [(len(c), sum(c)) for c in correct_PG if len(c) >= k]
    if k == 1:
        return accuracy_interval([c for _, c in counted], [n for n, _ in counted])
    values = [pass_at_k(n, c, k) for n, c in counted]
    if values and all(n == k for n, _ in counted):
        return wilson_interval(sum(values), len(values))
    return mean_interval(values)


def organism_rows(organism: Organism) -> list[tuple[str, str]]:
    """(property, value with interval), as the model card and the benchmark print them."""
    rows = [
        ("calculations right", f"{organism.calculations_right:.4f}"),
        ("checks against the target right", f"{organism.checks_right:.4f}"),
        ("... where the value is the target", f"{organism.checks_of_hits_right:.4f}"),
        ("... where it is not", f"{organism.checks_of_misses_right:.4f}"),
        ("right answer after a last check that says yes", f"{organism.answers_after_yes_right:.3f}"),
    ]
    rows += [(f"pass@{k}", f"{interval:.3f}") for k, interval in organism.pass_at.items()]
    rows += [(f"share {name}", f"{share:.3f}") for name, share in organism.outcomes.items()]
    return [
        *rows,
        ("share with a reflection cue", f"{organism.cue_share:.3f}"),
        ("tokens a response, mean", f"{organism.tokens_mean:.1f}"),
        ("different checked attempts a response, mean", f"{organism.attempts_mean:.2f}"),
        ("checked attempts that repeat an earlier one", f"{organism.repeated_share:.3f}"),
    ]
