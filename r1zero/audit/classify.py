"""What a loss divides a token by, found by experiment: change one length, one padding, one split; see who reacts.

Every experiment lengthens a right and a wrong answer of a half-right group together, so that baselines and scales
weighted by length stay where they are.  One more lengthens a right answer alone, to see whether there are any.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from r1zero.audit.batch import LossUnderAudit, ProbeBatch, doubled, response_means, rewards, split_rows

TOLERANCE = 2e-3  # relative; eps beside a std and Bessel's correction over tokens stay below it


@dataclass(frozen=True)
class Reaction:
    """One experiment: what was changed, and what became of the weight of a token of a right and of a wrong answer."""

    change: str
    right: float  # weight after over weight before
    wrong: float  # the same; NaN where the loss ignores wrong answers


@dataclass(frozen=True)
class Classification:
    """What a token's loss is divided by."""

    name: str  # one of DENOMINATORS, "mixed", or "no gradient"
    uses_max_tokens: bool  # twice the response limit, half the weight
    averages_step: bool  # twice the problems, half the weight
    split_factor: float  # weight in two micro-batches over weight in one: 1 where their number is divided by
    uniform: bool  # all tokens of a response weigh the same
    alone_factor: float  # of a right answer twice as long by itself: its weight over what the denominator makes of it
    reactions: tuple[Reaction, ...]  # the evidence

    @property
    def label(self) -> str:
        """The name, and for a constant whether it is the response limit."""
        return f"{self.name} 1/M" if self.name == "constant" and self.uses_max_tokens else self.name

    @property
    def length_in_advantages(self) -> bool:
        """Whether advantages depend on lengths: baselines and scales that are means over tokens."""
        return abs(self.alone_factor - 1) > TOLERANCE


# ---------------------------------------------------------------------------------------------------------------------
# Hypotheses: a batch and one of its rows -> what a token of that row is divided by, up to a constant


def _nothing(batch: ProbeBatch, row: int) -> float:
    return 1.0


def _own_length(batch: ProbeBatch, row: int) -> float:
    return float(batch.lengths_PG.flatten()[row])


def _batch_tokens(batch: ProbeBatch, row: int) -> float:
    return float(batch.lengths_PG.sum())


def _microbatch_tokens(batch: ProbeBatch, row: int) -> float:
    return float(batch.lengths_PG.flatten()[list(_part_of(batch, row))].sum() * len(batch.parts))


def _padded_width(batch: ProbeBatch, row: int) -> float:
    return float(batch.width)


def _longest(batch: ProbeBatch, row: int) -> float:
    return float(batch.lengths_PG.max())


def _microbatch_longest(batch: ProbeBatch, row: int) -> float:
    return float(batch.lengths_PG.flatten()[list(_part_of(batch, row))].max())


def _group_tokens(batch: ProbeBatch, row: int) -> float:
    return float(batch.lengths_PG[row // batch.group_size].sum())


def _same_sign(batch: ProbeBatch, row: int) -> float:
    problem = row // batch.group_size
    same_G = batch.rewards_PG[problem] == batch.rewards_PG.flatten()[row]
    return float(batch.lengths_PG[problem][same_G].sum())


def _part_of(batch: ProbeBatch, row: int) -> tuple[int, ...]:
    return next(rows for rows in batch.parts if row in rows)


DENOMINATORS: dict[str, Callable[[ProbeBatch, int], float]] = {
    "constant": _nothing,
    "1 over own length": _own_length,
    "1 over batch tokens": _batch_tokens,
    "1 over micro-batch tokens": _microbatch_tokens,
    "1 over padded width": _padded_width,
    "1 over longest response": _longest,
    "1 over longest of micro-batch": _microbatch_longest,
    "1 over group tokens": _group_tokens,
    "1 over group tokens of its sign": _same_sign,
}


# ---------------------------------------------------------------------------------------------------------------------
# Experiments


def base_batch(group_size: int, max_tokens: int, num_correct: int | None = None) -> ProbeBatch:
    """Two problems, every response an eighth of the limit long, padded to half of it."""
    length = max(1, max_tokens // 8)
    rewards_PG = rewards(group_size, 2, num_correct)
    return ProbeBatch(rewards_PG, torch.full_like(rewards_PG, length), max_tokens, 4 * length)


@dataclass(frozen=True)
class Experiment:
    """Two batches that differ in one thing."""

    change: str
    before: ProbeBatch
    after: ProbeBatch


def experiments(base: ProbeBatch) -> list[Experiment]:
    """One change each.  The responses watched are the first problem's first (right) and last (wrong)."""
    size, last = base.group_size, base.group_size - 1
    own = doubled(base.lengths_PG, ((0, 0), (0, last)))
    other_group = doubled(base.lengths_PG, ((1, 0), (1, last)))
    split = replace(base, microbatches=split_rows(2 * size, 2))
    found = [
        Experiment("own length x2", base, replace(base, lengths_PG=own)),
        Experiment("lengths in another group x2", base, replace(base, lengths_PG=other_group)),
        Experiment("padded width x2", base, replace(base, width=2 * base.width)),
        Experiment("split in two: own length x2", split, replace(split, lengths_PG=own)),
        Experiment("split in two: lengths in the other part x2", split, replace(split, lengths_PG=other_group)),
    ]
    if size >= 4:
        mates = doubled(base.lengths_PG, ((0, 1), (0, last - 1)))
        found.insert(1, Experiment("others' lengths in its group x2", base, replace(base, lengths_PG=mates)))
    return found


def classify(loss: LossUnderAudit, group_size: int, max_tokens: int) -> Classification:
    """Which denominator explains every experiment; "mixed" where none alone does, with the reactions as evidence.

    Groups are of an even size: half of each is right.
    """
    group_size += group_size % 2
    base = _base_with_gradient(loss, group_size, max_tokens)
    if base is None:
        return Classification("no gradient", False, False, 1.0, True, 1.0, ())
    places = [0, group_size - 1]
    reactions, fitting = [], set(DENOMINATORS)
    for experiment in experiments(base):
        ratios = _ratios(loss, experiment.before, experiment.after)[places].tolist()
        reactions.append(Reaction(experiment.change, *ratios))
        for name, denominator in DENOMINATORS.items():
            for row, ratio in zip(places, ratios, strict=True):
                expected = denominator(experiment.before, row) / denominator(experiment.after, row)
                if math.isfinite(ratio) and abs(ratio - expected) > TOLERANCE * expected:
                    fitting.discard(name)
    if {"1 over group tokens", "1 over group tokens of its sign"} <= fitting:
        one_right = replace(base, lengths_PG=doubled(base.lengths_PG, ((0, 1),)))
        same = abs(float(_ratios(loss, base, one_right)[group_size - 1]) - 1) < TOLERANCE
        fitting.discard("1 over group tokens" if same else "1 over group tokens of its sign")
    of_limit = float(_ratios(loss, base, replace(base, max_tokens=2 * max_tokens))[0])
    of_step = float(_ratios(loss, base, _twice_the_problems(base))[0])
    of_split = float(_ratios(loss, base, replace(base, microbatches=split_rows(2 * group_size, 2)))[0])
    name = next((name for name in DENOMINATORS if name in fitting), "mixed")
    alone = replace(base, lengths_PG=doubled(base.lengths_PG, ((0, 0),)))
    of_alone = float(_ratios(loss, base, alone)[0])
    expected_alone = DENOMINATORS[name](base, 0) / DENOMINATORS[name](alone, 0) if name in DENOMINATORS else of_alone
    return Classification(
        name=name,
        uses_max_tokens=abs(of_limit - 0.5) < TOLERANCE,
        averages_step=abs(of_step - 0.5) < TOLERANCE,
        split_factor=of_split,
        uniform=_is_uniform(loss, base),
        alone_factor=of_alone / expected_alone,
        reactions=(
            *reactions,
            Reaction("own length x2, no other's", of_alone, math.nan),
            Reaction("split in two", of_split, math.nan),
            Reaction("max_tokens x2", of_limit, math.nan),
            Reaction("problems x2", of_step, math.nan),
        ),
    )


def _ratios(loss: LossUnderAudit, before: ProbeBatch, after: ProbeBatch) -> Tensor:
    """The weight after over before, of a token of each response of `before`; NaN where it had none.  [B]"""
    was_B = response_means(loss, before)
    became_B = response_means(loss, after)[: len(was_B)]
    return torch.where(was_B != 0, became_B / was_B, math.nan)


def _base_with_gradient(loss: LossUnderAudit, group_size: int, max_tokens: int) -> ProbeBatch | None:
    """Half right if that moves anything, else one right (objectives of the best answer alone ignore ties)."""
    for num_correct in (None, 1):
        base = base_batch(group_size, max_tokens, num_correct)
        if response_means(loss, base)[0] != 0:
            return base
    return None


def _twice_the_problems(base: ProbeBatch) -> ProbeBatch:
    return replace(base, rewards_PG=base.rewards_PG.repeat(2, 1), lengths_PG=base.lengths_PG.repeat(2, 1))


def _is_uniform(loss: LossUnderAudit, base: ProbeBatch) -> bool:
    weights_BT = loss.token_weights(base)
    own_T = weights_BT[0][base.mask()[0] > 0]
    return bool((own_T - own_T.mean()).abs().max() <= 1e-6 * own_T.abs().max())
