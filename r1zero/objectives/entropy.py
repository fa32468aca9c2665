"""Keeping the policy from freezing: an adaptive entropy bonus, and learning only where the policy was undecided.

Letters: N tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True)
class EntropyControl:
    """The coefficient of the entropy bonus, raised while entropy is below a target and lowered above it.

    After each step: coefficient + rate where entropy < target, coefficient - rate where above, never negative; and
    the bonus is switched off while entropy is above the target (Skywork-OR1, arXiv:2505.22312, section 4).  Without a
    target the coefficient stays.

    Example: EntropyControl(coefficient=0.0, target=0.2, rate=0.005)
    """

    coefficient: float = 0.0
    target: float | None = None  # nats a token
    rate: float = 0.005
    active: bool = True

    def after(self, entropy: float) -> EntropyControl:
        """The control after a step of this mean entropy, in nats; unchanged where that is NaN."""
        if self.target is None or entropy != entropy:
            return self
        step = self.rate if entropy < self.target else -self.rate
        return replace(self, coefficient=max(0.0, self.coefficient + step), active=entropy <= self.target)

    @property
    def bonus(self) -> float:
        return self.coefficient if self.active else 0.0


def entropy_threshold(entropies_N: Tensor, share: float) -> float:
    """The entropy that the given share of all the step's tokens reach: those learn, the rest do not.  [N] -> nats

    share = 0.2 keeps the forking fifth of the tokens (arXiv:2506.01939); 1 keeps all.

    >>> import torch
    >>> entropy_threshold(torch.tensor([0.0, 0.1, 2.0, 1.0]), 0.5)
    1.0
    """
    if share >= 1 or entropies_N.numel() == 0:
        return -1.0
    kept = max(1, round(share * entropies_N.numel()))
    return float(entropies_N.flatten().topk(kept).values[-1])
