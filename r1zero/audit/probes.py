"""Questions put to a loss: who is weighed how, and what leaves its gradient as it is.

Letters: P problems, G responses to each, B = P G responses, T tokens.  Weights are -d loss / d log pi of a token; where
they are shown they are multiplied by B M, so that Dr. GRPO's are its advantages.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from r1zero.audit.batch import LossUnderAudit, ProbeBatch, relative_change, response_means, rewards, split_rows

COMPANIONS = 3  # problems of accuracy 1/2 beside the one whose accuracy varies
LENGTH_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # of max_tokens


# ---------------------------------------------------------------------------------------------------------------------
# Length


@dataclass(frozen=True)
class LengthRow:
    """The mean weight of a token (times B M) in responses of this length, on policy."""

    length: int  # tokens
    right: float
    wrong: float


def length_table(loss: LossUnderAudit, group_size: int, max_tokens: int) -> tuple[LengthRow, ...]:
    """Weights in one step in which right and wrong answers have the same lengths, each as often.

    As many problems as lengths, half of each group right; every response takes each length in one of the problems.
    """
    lengths = sorted({max(1, round(share * max_tokens)) for share in LENGTH_SHARES})
    place_PG = (torch.arange(len(lengths))[:, None] + torch.arange(group_size)) % len(lengths)
    lengths_PG = torch.tensor(lengths, dtype=torch.float64)[place_PG]
    rewards_PG = rewards(group_size, len(lengths))
    if _is_silent(loss, rewards_PG, lengths_PG, max_tokens):
        rewards_PG = rewards(group_size, len(lengths), 1)
    batch = ProbeBatch(rewards_PG, lengths_PG, max_tokens, max_tokens)
    weights_PG = response_means(loss, batch).reshape(rewards_PG.shape) * rewards_PG.numel() * max_tokens
    right_PG = rewards_PG == 1
    return tuple(
        LengthRow(
            length,
            right=float(weights_PG[right_PG & (lengths_PG == length)].mean()),
            wrong=float(weights_PG[~right_PG & (lengths_PG == length)].mean()),
        )
        for length in lengths
    )


def _is_silent(loss: LossUnderAudit, rewards_PG: Tensor, lengths_PG: Tensor, max_tokens: int) -> bool:
    return bool((response_means(loss, ProbeBatch(rewards_PG, lengths_PG, max_tokens, max_tokens)) == 0).all())


# ---------------------------------------------------------------------------------------------------------------------
# Difficulty


@dataclass(frozen=True)
class Difficulty:
    """Token weights (times B L) of right and wrong answers in groups with k of G right, k = 0 ... G.

    The expected gradient of a problem of accuracy p is w(p) times that of p.
    """

    right_K: tuple[float, ...]  # NaN for k = 0
    wrong_K: tuple[float, ...]  # NaN for k = G

    def weight(self, accuracy: float) -> float:
        """w(p) = sum_j C(G-1, j) p^j (1-p)^(G-1-j) (a(j+1, right) - a(j, wrong)), a(k, .) the weights of the table.

        Constant for an unbiased objective (arXiv:2503.20783 argues that dividing by the std makes it vary).
        """
        others = len(self.right_K) - 2
        return sum(
            math.comb(others, j)
            * accuracy**j
            * (1 - accuracy) ** (others - j)
            * (self.right_K[j + 1] - self.wrong_K[j])
            for j in range(others + 1)
        )

    def relative(self, accuracy: float) -> float:
        """w(p) / w(1/2); NaN where the latter is 0."""
        middle = self.weight(0.5)
        return self.weight(accuracy) / middle if middle else math.nan


def difficulty(loss: LossUnderAudit, group_size: int, max_tokens: int) -> Difficulty:
    """Every number of right answers in one group; all responses of one length, COMPANIONS other groups half right.

    Scales over the whole step feel the companions.
    """
    length = max(1, max_tokens // 8)
    right_K, wrong_K = [], []
    for k in range(group_size + 1):
        rewards_PG = torch.cat([rewards(group_size, 1, k), rewards(group_size, COMPANIONS)])
        lengths_PG = torch.full_like(rewards_PG, length)
        weights_B = response_means(loss, ProbeBatch(rewards_PG, lengths_PG, max_tokens, length))
        weights_G = weights_B[:group_size] * rewards_PG.numel() * length
        right_K.append(float(weights_G[:k].mean()) if k else math.nan)
        wrong_K.append(float(weights_G[k:].mean()) if k < group_size else math.nan)
    return Difficulty(tuple(right_K), tuple(wrong_K))


# ---------------------------------------------------------------------------------------------------------------------
# Rewards shifted, scaled, all equal


@dataclass(frozen=True)
class RewardResponse:
    """What becomes of the weights when rewards change, as a share of the largest weight."""

    shift_change: float  # R + 1/2
    scale_factor: float  # R x 2: by how much the weights grow ...
    scale_residual: float  # ... and what that factor leaves unexplained
    constant_weight: float  # largest weight in a group whose rewards are all equal, as a share; 0 is exact
    constant_at: tuple[float, ...]  # the equal rewards at which it is not 0


def reward_response(loss: LossUnderAudit, group_size: int, max_tokens: int) -> RewardResponse:
    """Shift, scale and equal rewards in a step of mixed groups with rewards 0, 0.1 and 1 and different lengths."""
    batch = mixed_batch(group_size, max_tokens)
    before_BT = loss.token_weights(batch)
    shifted_BT = loss.token_weights(replace(batch, rewards_PG=batch.rewards_PG + 0.5))
    scaled_BT = loss.token_weights(replace(batch, rewards_PG=2 * batch.rewards_PG))
    square = float((before_BT**2).sum())
    factor = float((scaled_BT * before_BT).sum()) / square if square else math.nan
    equal, at = 0.0, []
    for value in (0.0, 0.1, 1.0):
        rewards_PG = batch.rewards_PG.clone()
        rewards_PG[0] = value
        weights_BT = loss.token_weights(replace(batch, rewards_PG=rewards_PG))
        largest = float(weights_BT[:group_size].abs().max())
        if largest != 0:
            at.append(value)
            equal = max(equal, largest / float(weights_BT.abs().max()))
    return RewardResponse(
        shift_change=relative_change(before_BT, shifted_BT),
        scale_factor=factor,
        scale_residual=relative_change(before_BT, scaled_BT / factor) if factor else math.nan,
        constant_weight=equal,
        constant_at=tuple(at),
    )


def mixed_batch(group_size: int, max_tokens: int) -> ProbeBatch:
    """Four problems, one of them with one right answer alone, the others with format rewards of 0.1, too.

    Lengths differ within and between groups; padded to max_tokens.
    """
    problems = 4
    place = torch.arange(problems * group_size)
    lengths_PG = (1 + (place * 7 + 3) % max(2, max_tokens // 2)).reshape(problems, group_size).double()
    rewards_PG = rewards(group_size, problems)
    rewards_PG[0] = rewards(group_size, 1, 1)
    if group_size > 2:
        rewards_PG[1:, -1] = 0.1
    return ProbeBatch(rewards_PG, lengths_PG, max_tokens, max_tokens)


# ---------------------------------------------------------------------------------------------------------------------
# What should change nothing


@dataclass(frozen=True)
class Invariances:
    """How far the gradient moves, as a share of its largest weight, under changes that mean nothing; 0 is ideal."""

    split: float  # into two micro-batches, or one for each response
    padding: float  # wider by a quarter
    order: float  # problems, and responses within them, the other way round
    padding_side: float  # left instead of right; NaN where the loss cannot be given it
    outside: float  # largest weight on padding


def invariances(loss: LossUnderAudit, group_size: int, max_tokens: int) -> Invariances:
    batch = mixed_batch(group_size, max_tokens)
    before_BT = loss.token_weights(batch)
    count, width = batch.size
    splits = [
        relative_change(before_BT, loss.token_weights(replace(batch, microbatches=split_rows(count, parts))))
        for parts in (2, count)
    ]
    extra = max(1, width // 4)
    wider_BT = loss.token_weights(replace(batch, width=width + extra))
    turned = replace(batch, rewards_PG=batch.rewards_PG.flip(0, 1), lengths_PG=batch.lengths_PG.flip(0, 1))
    turned_BT = loss.token_weights(turned).flip(0)
    side = math.nan
    if loss.pads_left:
        left = replace(batch, padding="left")
        own, other = before_BT[batch.mask() > 0], loss.token_weights(left)[left.mask() > 0]
        side = relative_change(own, other)
    return Invariances(
        split=max(splits),
        padding=relative_change(before_BT, wider_BT[:, :width]),
        order=relative_change(before_BT, turned_BT),
        padding_side=side,
        outside=float((before_BT * (1 - batch.mask())).abs().max()),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Far from the old policy


@dataclass(frozen=True)
class ClipCurve:
    """The weight of a token at probability ratio r over that at r = 1, by the sign of the advantage."""

    ratios: tuple[float, ...]
    right: tuple[float, ...]
    wrong: tuple[float, ...]  # NaN where wrong answers have no weight


@dataclass(frozen=True)
class SilentBeyond:
    """The ratios beyond which a token has no gradient: infinity or 0 if it always has one, NaN if it never has."""

    right_above: float
    right_below: float
    wrong_above: float
    wrong_below: float


def clip_curve(loss: LossUnderAudit, group_size: int, max_tokens: int, ratios: tuple[float, ...]) -> ClipCurve:
    """Every token of every response at the same ratio; the first token's weight is shown."""
    batch = _clip_batch(loss, group_size, max_tokens)
    at_one = _first_weights(loss, batch, 1.0)
    curves = [
        [w / one if one else math.nan for w, one in zip(_first_weights(loss, batch, r), at_one, strict=True)]
        for r in ratios
    ]
    right, wrong = zip(*curves, strict=True)
    return ClipCurve(ratios, right, wrong)


def silent_beyond(loss: LossUnderAudit, group_size: int, max_tokens: int) -> SilentBeyond:
    """Found by bisection between ratio 1 and e^3 = 20 or e^-3 = .05."""
    batch = _clip_batch(loss, group_size, max_tokens)
    edges = [_edge(loss, batch, side, limit) for side in (0, 1) for limit in (3.0, -3.0)]
    return SilentBeyond(*edges)


def _edge(loss: LossUnderAudit, batch: ProbeBatch, side: int, limit: float) -> float:
    """The ratio between 1 and e^limit where the weight of right (side 0) or wrong answers becomes 0."""
    inside, outside = 0.0, limit
    if _first_weights(loss, batch, 1.0)[side] == 0:
        return math.nan
    if _first_weights(loss, batch, math.exp(limit))[side] != 0:
        return math.inf if limit > 0 else 0.0
    for _ in range(20):
        middle = (inside + outside) / 2
        if _first_weights(loss, batch, math.exp(middle))[side] == 0:
            outside = middle
        else:
            inside = middle
    return math.exp(inside)


def _clip_batch(loss: LossUnderAudit, group_size: int, max_tokens: int) -> ProbeBatch:
    length = max(1, min(16, max_tokens // 8))
    rewards_PG = rewards(group_size, 2)
    batch = ProbeBatch(rewards_PG, torch.full_like(rewards_PG, length), max_tokens, length)
    silent = bool((response_means(loss, batch) == 0).all())
    return replace(batch, rewards_PG=rewards(group_size, 2, 1)) if silent else batch


def _first_weights(loss: LossUnderAudit, batch: ProbeBatch, ratio: float) -> tuple[float, float]:
    """The weight of the first token of a right and of a wrong answer when every token has this ratio."""
    log_ratio_BT = torch.full((batch.size[0], 1), math.log(ratio), dtype=torch.float64)
    weights_BT = loss.token_weights(replace(batch, log_ratio_BT=log_ratio_BT))
    return float(weights_BT[0, 0]), float(weights_BT[batch.group_size - 1, 0])
