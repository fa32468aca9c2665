"""Countdown: combine every given number exactly once with + - * / so that the target comes out.

Problems are solvable by construction and reproducible by (seed, split, index).  A problem is *held out* when a hash of
its sorted numbers and target says so, whatever the seed: what a model is evaluated on is in no training stream and in
no pretraining corpus.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from r1zero.config import TaskConfig
from r1zero.records import Problem

Split = Literal["train", "eval"]
HELD_OUT = 10  # one problem in ten is held out
VALUE_MAX = 125  # largest value on the way to a generated target
OPERATORS = "++++----***/"  # how often each is tried; a division seldom comes out whole
ENUMERATED = 3  # problems of up to so many numbers draw their target from all reachable ones
PATIENCE = 2000  # draws without anything new after which a split counts as exhausted


@dataclass(frozen=True)
class Term:
    """A value with the expression that gives it.

    Example: Term(29, "25+4", precedence=1)
    """

    value: int
    text: str
    precedence: int = 3  # 1 sum or difference, 2 product or quotient, 3 a number


@dataclass(frozen=True)
class Step:
    """One written operation on whole numbers; str(step) is "25+4=29"."""

    left: int
    operator: str
    right: int
    value: int

    def __str__(self) -> str:
        return f"{self.left}{self.operator}{self.right}={self.value}"


def combine(left: Term, operator: str, right: Term) -> Term | None:
    """`left operator right` with only the parentheses it needs, or None where that is no positive whole number.

    >>> combine(Term(20, "20"), "-", combine(Term(6, "6"), "/", Term(2, "2"))).text
    '20-6/2'
    >>> combine(Term(3, "3"), "*", combine(Term(6, "6"), "-", Term(2, "2"))).text
    '3*(6-2)'
    """
    a, b = left.value, right.value
    left_text, right_text = left.text, right.text
    if operator == "+":
        return Term(a + b, f"{left_text}+{right_text}", 1)
    if operator == "-":
        if a <= b:
            return None
        right_text = f"({right_text})" if right.precedence == 1 else right_text
        return Term(a - b, f"{left_text}-{right_text}", 1)
    left_text = f"({left_text})" if left.precedence == 1 else left_text
    if operator == "*":
        right_text = f"({right_text})" if right.precedence == 1 else right_text
        return Term(a * b, f"{left_text}*{right_text}", 2)
    if a % b:
        return None
    right_text = f"({right_text})" if right.precedence <= 2 else right_text
    return Term(a // b, f"{left_text}/{right_text}", 2)


def last_steps(terms: Sequence[Term], value_max: int) -> list[tuple[Step, Term]]:
    """Every way of combining two terms into a positive whole number of at most `value_max`."""
    one, two = terms
    found = []
    for operator in "+-*/":
        for left, right in ((one, two), (two, one)):
            if (result := combine(left, operator, right)) is not None and result.value <= value_max:
                found.append((Step(left.value, operator, right.value, result.value), result))
    return found


def random_step(rng: random.Random, terms: Sequence[Term], value_max: int) -> tuple[Step, list[Term]]:
    """Combine two random terms by a random operator that works; the rest of the terms and the result come back."""
    while True:
        i, j = rng.sample(range(len(terms)), 2)
        operator = rng.choice(OPERATORS)
        result = combine(terms[i], operator, terms[j])
        if result is None or result.value > value_max:
            continue
        rest = [term for k, term in enumerate(terms) if k not in (i, j)]
        return Step(terms[i].value, operator, terms[j].value, result.value), [*rest, result]


def as_terms(nums: Sequence[int]) -> list[Term]:
    """Numbers as terms to be combined."""
    return [Term(n, str(n)) for n in nums]


def draw(rng: random.Random, config: TaskConfig) -> tuple[list[int], int]:
    """Random numbers, and a target evenly from the targets that they reach through positive whole numbers.

    Evenly, because a random combination would mostly be a sum, which a guess finds.  With more than three numbers the
    search would be slow, and a random combination it is.
    """
    while True:
        nums = [rng.randint(1, config.number_max) for _ in range(rng.choice(config.num_numbers))]
        if len(nums) <= ENUMERATED:
            targets = [value for value in whole_values(tuple(sorted(nums))) if value <= config.target_max]
            if targets:
                return nums, rng.choice(targets)
            continue
        terms = as_terms(nums)
        while len(terms) > 1:
            _, terms = random_step(rng, terms, VALUE_MAX)
        if terms[0].value <= config.target_max:
            return nums, terms[0].value


@lru_cache(maxsize=65_536)
def whole_values(nums: tuple[int, ...]) -> tuple[int, ...]:
    """Every value of all of `nums` whose way leads through positive whole numbers of at most VALUE_MAX, ascending.

    >>> whole_values((2, 3))
    (1, 5, 6)
    """
    if len(nums) == 1:
        return nums
    values: set[int] = set()
    for i, j in itertools.combinations(range(len(nums)), 2):
        a, b = nums[i], nums[j]
        rest = [n for k, n in enumerate(nums) if k not in (i, j)]
        low, high = min(a, b), max(a, b)
        results = {a + b, a * b, high - low} | ({high // low} if high % low == 0 else set())
        for result in results:
            if 0 < result <= VALUE_MAX:
                values.update(whole_values(tuple(sorted((*rest, result)))))
    return tuple(sorted(values))


def problem_key(nums: Sequence[int], target: int) -> str:
    """What makes two problems the same one: "3-5-8:23" whatever the order of the numbers."""
    return "-".join(str(n) for n in sorted(nums)) + f":{target}"


def is_held_out(nums: Sequence[int], target: int) -> bool:
    """Whether the problem belongs to evaluation; depends on nothing but the problem."""
    return hashlib.sha256(problem_key(nums, target).encode()).digest()[0] % HELD_OUT == 0


def make_problem(nums: Sequence[int], target: int, suffix: str = "") -> Problem:
    """The record of one problem.

    >>> make_problem([25, 4, 7], 93).text
    'Using the numbers 25, 4, 7, make 93.'
    """
    fields = {"nums": list(nums), "target": target}
    return Problem(
        id=f"countdown-{problem_key(nums, target)}{suffix}",
        task="countdown",
        text=f"Using the numbers {', '.join(map(str, nums))}, make {target}.",
        gold=json.dumps(fields),
        fields=fields,
        level=float(len(nums)),
    )


@dataclass(frozen=True)
class GeneratedCountdown:
    """Procedural problems.  `train` is an endless stream of its seed; `eval` is one fixed list of distinct problems."""

    config: TaskConfig
    seed: int
    name: str = "countdown"
    _held_out: list[Problem] = field(default_factory=list, repr=False, compare=False)

    def problems(self, split: Split, start: int, count: int) -> list[Problem]:
        """Problems start, ..., start + count - 1 of the split.  Raises ValueError when the split has too few."""
        if split == "eval":
            self._extend_held_out(start + count)
            return self._held_out[start : start + count]
        return [self._train_problem(index) for index in range(start, start + count)]

    def _train_problem(self, index: int) -> Problem:
        rng = random.Random(f"countdown train {self.seed} {index}")
        for _ in range(PATIENCE):
            nums, target = draw(rng, self.config)
            if not is_held_out(nums, target):
                return make_problem(nums, target, suffix=f"#{index}")
        raise ValueError(f"every problem with {self._dials()} is held out: widen task.number_max or task.target_max")

    def _extend_held_out(self, count: int) -> None:
        if len(self._held_out) >= count:
            return
        rng = random.Random("countdown eval")  # not the seed: runs of different seeds meet the same problems
        found: dict[str, Problem] = {}
        failures = 0
        while len(found) < count and failures < PATIENCE:
            nums, target = draw(rng, self.config)
            key = problem_key(nums, target)
            if is_held_out(nums, target) and key not in found:
                found[key] = make_problem(nums, target)
                failures = 0
            else:
                failures += 1
        if len(found) < count:
            raise ValueError(
                f"only {len(found)} held-out problems exist with {self._dials()} and {count} are asked for: "
                "lower evaluation.num_problems, or widen task.number_max or task.target_max"
            )
        self._held_out[:] = found.values()

    def _dials(self) -> str:
        c = self.config
        return f"num_numbers={list(c.num_numbers)}, number_max={c.number_max}, target_max={c.target_max}"


@lru_cache(maxsize=65_536)
def reachable(nums: tuple[int, ...]) -> frozenset[Fraction]:
    """Every value that uses each of `nums` exactly once, exactly; meant for at most four numbers.

    >>> Fraction(24) in reachable((3, 3, 8, 8))
    True
    """
    if len(nums) == 1:
        return frozenset((Fraction(nums[0]),))
    values: set[Fraction] = set()
    for mask in range(1, 2 ** (len(nums) - 1)):  # the last number is always on the right: each partition once
        left = reachable(tuple(sorted(n for i, n in enumerate(nums) if mask >> i & 1)))
        right = reachable(tuple(sorted(n for i, n in enumerate(nums) if not mask >> i & 1)))
        for a in left:
            for b in right:
                values |= {a + b, a - b, b - a, a * b}
                if b:
                    values.add(a / b)
                if a:
                    values.add(b / a)
    return frozenset(values)
