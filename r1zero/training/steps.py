"""What an optimizer step did: how far it moved the weights, whose tokens moved them, and in what direction.

Letters: M response tokens of a packed row.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from r1zero.models.packing import Packed
from r1zero.training.batching import Group
from r1zero.training.ranks import total


def update_norm(optimizer: torch.optim.Optimizer) -> float:
    """The norm of the last step of an AdamW optimizer, from its moments: no copy of the weights is kept.

    A step is lr (m' / (sqrt(v') + eps) + decay * weight), m' and v' the bias-corrected moments.  Gradient clipping and
    Adam hide the scale of a loss, so runs are matched by this and not by their learning rates.
    """
    square = 0.0
    for group in optimizer.param_groups:
        rate, decay, (beta1, beta2) = group["lr"], group["weight_decay"], group["betas"]
        for parameter in group["params"]:
            state = optimizer.state.get(parameter)
            if not state:
                continue
            steps = float(state["step"])
            first, second, weight = (own_part(t) for t in (state["exp_avg"], state["exp_avg_sq"], parameter.detach()))
            scale = (second / (1 - beta2**steps)).sqrt_().add_(group["eps"])
            move = (first / (1 - beta1**steps)).div_(scale)
            if decay:  # the weight has moved already: before = (after + rate * move) / (1 - rate * decay)
                move = move + decay * (weight + rate * move) / (1 - rate * decay)
            square += (rate * torch.linalg.vector_norm(move.float()).item()) ** 2
    divided = any(isinstance(p, DTensor) for group in optimizer.param_groups for p in group["params"])
    return math.sqrt(total(square) if divided else square)


def own_part(tensor: Tensor) -> Tensor:
    """What this rank has of a tensor that is divided among ranks; the whole of any other."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def cosine(gradient: Sequence[Tensor | None], other: Sequence[Tensor]) -> float:
    """The cosine of the angle between two gradients over the same weights; NaN where one is 0."""
    pairs = [(a, b) for a, b in zip(gradient, other, strict=True) if a is not None]
    dot = sum(float((a * b).sum()) for a, b in pairs)
    lengths = math.sqrt(sum(float((a * a).sum()) for a, _ in pairs) * sum(float((b * b).sum()) for b in other))
    return dot / lengths if lengths else math.nan


def credit_shares(credit_M: Tensor, packed: Packed, batch: Sequence[Group], max_tokens: int | None) -> dict[str, float]:
    """Sums of |d loss / d log-probability| over a micro-batch, in all and by whose tokens they are.

    `credit_correct` and `credit_wrong` by the grade of the response; `credit_quarter_1` to `_4` by its length, in
    quarters of the response limit; `credit_signed` is the sum with signs, pushed up positive: how far pushing up and
    pushing down do not balance.
    """
    signed_B = torch.zeros(packed.num_responses, dtype=credit_M.dtype, device=credit_M.device)
    signed_B.index_add_(0, packed.row_M, -credit_M)
    size_B = torch.zeros_like(signed_B).index_add_(0, packed.row_M, credit_M.abs())
    sums = {"credit": float(size_B.sum()), "credit_signed": float(signed_B.sum())}
    sizes = size_B.tolist()
    if batch[0].correct:
        right = [is_right for group in batch for is_right in group.correct or ()]
        sums["credit_correct"] = sum(size for size, is_right in zip(sizes, right, strict=True) if is_right)
        sums["credit_wrong"] = sum(size for size, is_right in zip(sizes, right, strict=True) if not is_right)
    if max_tokens:
        for quarter in range(1, 5):
            sums[f"credit_quarter_{quarter}"] = 0.0
        lengths = [len(ids) for group in batch for ids in group.responses]
        for size, length in zip(sizes, lengths, strict=True):
            sums[f"credit_quarter_{min(4, max(1, math.ceil(4 * length / max_tokens)))}"] += size
    return sums


def token_means(sums: Counter[str]) -> dict[str, float]:
    """Token sums of a step as metrics, NaN where there were no tokens."""
    tokens, positive, negative = sums["tokens"], sums["tokens_positive"], sums["tokens_negative"]
    ratios = {
        "policy/entropy": (sums["entropy"], tokens),
        "policy/clip_share": (sums["clipped_positive"] + sums["clipped_negative"], positive + negative),
        "policy/clip_share_positive": (sums["clipped_positive"], positive),
        "policy/clip_share_negative": (sums["clipped_negative"], negative),
        "policy/kl_sampler_learner": (sums["gap_k3"], tokens if "gap_k3" in sums else 0),
        "policy/sampler_gap_mean": (sums["gap_abs"], tokens if "gap_abs" in sums else 0),
        "policy/sampler_gap_max": (sums["max_gap_abs"], 1 if "max_gap_abs" in sums else 0),
        "policy/sampler_ess": (sums["rho"] ** 2, sums["rho_squared"] * tokens),
        "policy/corrected_share": (sums["corrected"], tokens if "corrected" in sums else 0),
    }
    if "kl_reference" in sums:
        ratios["policy/kl_reference"] = (sums["kl_reference"], tokens)
    if "value_error" in sums:
        ratios["policy/value_error"] = (sums["value_error"], 1)
    credit = sums["credit"]
    for name in ("correct", "wrong", "quarter_1", "quarter_2", "quarter_3", "quarter_4"):
        ratios[f"grad/share_{name}"] = (sums[f"credit_{name}"], credit if f"credit_{name}" in sums else 0)
    ratios["grad/signed_share"] = (sums["credit_signed"], credit)
    return {name: part / whole if whole else math.nan for name, (part, whole) in ratios.items()}
