"""Which rows of r1zero's table a loss is, if any: the same token weights, on policy and off, up to one factor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from r1zero.audit.batch import LossUnderAudit, ProbeBatch, relative_change, split_rows
from r1zero.audit.own import ObjectiveUnderAudit
from r1zero.audit.probes import mixed_batch
from r1zero.objectives import OBJECTIVES, Objective

SAME = 1e-6  # relative
BUT_FOR_EPS = 2e-3


@dataclass(frozen=True)
class Resemblance:
    """A row whose token weights are `factor` times smaller than those of the loss."""

    row: str
    factor: float
    on_policy: float  # largest difference left on the first update of a rollout, as a share of the largest weight
    off_policy: float  # the same for updates after it

    def sentence(self, name: str) -> str:
        scaled = "" if abs(self.factor - 1) < BUT_FOR_EPS else f", times {self.factor:.4g}"
        close = "" if self.on_policy < SAME else f" (to {self.on_policy:.0e}, as another eps would make it)"
        if self.off_policy < BUT_FOR_EPS:
            return f"{name} is r1zero's {self.row}{scaled}{close}."
        return f"On policy {name} is r1zero's {self.row}{scaled}{close}; its clip or ratio differs."


def resemblances(
    loss: LossUnderAudit, group_size: int, max_tokens: int, rows: Mapping[str, Objective] = OBJECTIVES
) -> list[Resemblance]:
    """The rows with the same weights on policy, in steps of several kinds and with one factor for all of them.

    Where some agree off policy, too, only those.
    """
    steps = kinds_of_step(mixed_batch(group_size, max_tokens))
    moved = off_policy(steps[0])
    theirs, theirs_moved = [loss.token_weights(step) for step in steps], loss.token_weights(moved)
    found = []
    for name, objective in rows.items():
        row = ObjectiveUnderAudit(objective)
        ours = [row.token_weights(step) for step in steps]
        factor = _factor(ours[0], theirs[0])
        if not math.isfinite(factor) or factor == 0:
            continue
        gap = max(relative_change(a, factor * b) for a, b in zip(theirs, ours, strict=True))
        if gap < BUT_FOR_EPS:
            gap_moved = relative_change(theirs_moved, factor * row.token_weights(moved))
            found.append(Resemblance(name, factor, gap, gap_moved))
    exact = [one for one in found if one.off_policy < BUT_FOR_EPS]
    return exact or found


def kinds_of_step(batch: ProbeBatch) -> tuple[ProbeBatch, ...]:
    """The batch; with another response limit, fewer problems, other lengths, more padding; and cut in two."""
    return (
        batch,
        replace(batch, max_tokens=2 * batch.max_tokens),
        replace(batch, rewards_PG=batch.rewards_PG[:2], lengths_PG=batch.lengths_PG[:2]),
        replace(batch, lengths_PG=(batch.lengths_PG**2 / batch.lengths_PG.max()).ceil()),
        replace(batch, width=batch.width + max(1, batch.width // 4)),
        replace(batch, microbatches=split_rows(batch.size[0], 2)),
    )


def off_policy(batch: ProbeBatch) -> ProbeBatch:
    """The batch once the policy has moved: log ratios of tokens to +-0.5 about response means to +-0.01.

    So the clips of tokens and of sequences are met, inside and outside.
    """
    count, width = batch.size
    means_B1 = 0.01 * torch.sin(torch.arange(count, dtype=torch.float64) * 2.4)[:, None]
    waves_BT = 0.49 * torch.sin(torch.arange(count * width, dtype=torch.float64).reshape(count, width) * 1.7)
    return replace(batch, log_ratio_BT=means_B1 + waves_BT)


def _factor(ours_BT: Tensor, theirs_BT: Tensor) -> float:
    square = float((ours_BT**2).sum())
    return float((ours_BT * theirs_BT).sum()) / square if square else math.nan
