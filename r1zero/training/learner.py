"""The learner: one model, one optimizer, and gradients that do not depend on how a batch was cut.

Letters: N tokens of a packed row, M response tokens, B responses, T tokens of the longest response.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from r1zero.config import LearnerConfig
from r1zero.models.attention import hidden_states
from r1zero.models.load import Policy
from r1zero.models.logprobs import Head, head_of, token_logprobs
from r1zero.models.packing import Packed, pack
from r1zero.objectives import BatchSize, TokenBatch
from r1zero.objectives.ratios import kl_k3
from r1zero.training.batching import Group, microbatches
from r1zero.training.schedule import learning_rate

Loss = Callable[[TokenBatch, BatchSize], tuple[Tensor, dict[str, Tensor]]]


class NonFiniteError(RuntimeError):
    """A NaN or infinite loss or gradient.  `groups` are the micro-batch it came from; nothing was updated."""

    def __init__(self, message: str, groups: Sequence[Group]):
        super().__init__(message)
        self.groups = tuple(groups)


@dataclass(frozen=True)
class Update:
    """What one optimizer step reports."""

    metrics: dict[str, float]
    num_tokens: int  # prompt and response tokens that were computed


class Learner:
    """Trains a policy's weights in place, so that an engine holding the same policy samples from them at once."""

    def __init__(
        self,
        policy: Policy,
        config: LearnerConfig,
        *,
        num_updates: int,
        temperature: float = 1.0,
        gradient_checkpointing: bool = False,
        with_reference: bool = False,
    ):
        self.policy, self.config, self.num_updates, self.temperature = policy, config, num_updates, temperature
        self.updates_done = 0
        self.head = head_of(policy)
        self.dtype = compute_dtype(config.dtype, policy.device)
        self.reference = _frozen_copy(policy) if with_reference else None
        matrices = [p for p in policy.model.parameters() if p.requires_grad and p.ndim >= 2]
        vectors = [p for p in policy.model.parameters() if p.requires_grad and p.ndim < 2]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
            lr=config.lr,
            betas=(config.beta1, config.beta2),
            fused=True,
        )
        if gradient_checkpointing:
            enable = getattr(
                policy.model, "activation_checkpointing_enable", policy.model.gradient_checkpointing_enable
            )
            enable()  # the second name is that of transformers before 5.2x
            policy.model.train()
            for module in policy.model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0  # what is sampled is what is scored

    def update(self, groups: Sequence[Group], loss: Loss, size: BatchSize) -> Update:
        """One optimizer step on `groups`, accumulated over micro-batches.

        `size` counts the whole step, of which `groups` may be the part that has a gradient.  Raises NonFiniteError
        before the weights are touched.
        """
        rate = learning_rate(self.config, self.updates_done, self.num_updates)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate
        sums: Counter[str] = Counter()
        for batch in microbatches(groups, self.config.tokens_per_microbatch):
            sums.update(self._accumulate(batch, loss, size))
        norm = self._clip_gradients(groups) if groups else 0.0
        if groups:
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.updates_done += 1
        metrics = {"grad/norm": norm, "learner/lr": rate, "learner/loss": sums["loss"]} | _means(sums)
        return Update(metrics, int(sums["tokens_computed"]))

    @torch.no_grad()
    def score(self, groups: Sequence[Group]) -> list[Group]:
        """The same groups with `old_logprobs` filled in by the weights as they are."""
        scored = []
        for group in groups:
            rows: list[tuple[float, ...]] = []
            for batch in microbatches([group], self.config.tokens_per_microbatch):
                packed = pack([piece.tree for piece in batch], self.policy.device)
                logprobs_M = self._token_logprobs(self.policy.model, self.head, packed)[0]
                lengths = [len(ids) for piece in batch for ids in piece.responses]
                rows += [tuple(part.tolist()) for part in logprobs_M.split(lengths)]
            scored.append(replace(group, old_logprobs=tuple(rows)))
        return scored

    def state_dict(self) -> dict[str, Any]:
        """Everything besides the weights that the next update depends on."""
        return {"optimizer": self.optimizer.state_dict(), "updates_done": self.updates_done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.updates_done = state["updates_done"]

    def _accumulate(self, batch: list[Group], loss: Loss, size: BatchSize) -> dict[str, float]:
        """Forward and backward of one micro-batch; gradients add up in the parameters."""
        packed = pack([group.tree for group in batch], self.policy.device)
        logprobs_M, entropies_M = self._token_logprobs(self.policy.model, self.head, packed)
        tokens = self._token_batch(batch, packed, logprobs_M)
        value, extra = loss(tokens, size)
        if not torch.isfinite(value):
            self.optimizer.zero_grad(set_to_none=True)
            raise NonFiniteError(_blame(batch, packed, tokens, value.item()), batch)
        value.backward()
        sums = {"loss": value.detach(), "entropy": entropies_M.sum(), "tokens": torch.tensor(len(logprobs_M))} | extra
        if batch[0].sampler_logprobs is not None:
            sampler_BT = packed.padded(_flat([g.sampler_logprobs for g in batch], logprobs_M))
            gap_BT = kl_k3(sampler_BT, tokens.old_logprobs_BT)
            sums["kl_sampler_learner"] = (gap_BT * tokens.mask_BT).sum()
        return {name: float(v) for name, v in sums.items()} | {"tokens_computed": len(packed.input_ids_N)}

    def _token_batch(self, batch: list[Group], packed: Packed, logprobs_M: Tensor) -> TokenBatch:
        old_M = logprobs_M.detach()
        if batch[0].old_logprobs is not None:
            old_M = _flat([g.old_logprobs for g in batch], logprobs_M)
        reference_BT = None
        if self.reference is not None:
            with torch.no_grad():
                model, head = self.reference
                reference_BT = packed.padded(self._token_logprobs(model, head, packed)[0])
        return TokenBatch(
            logprobs_BT=packed.padded(logprobs_M),
            old_logprobs_BT=packed.padded(old_M),
            mask_BT=packed.padded(torch.ones_like(old_M)),
            advantages_B=torch.tensor([a for g in batch for a in g.advantages], device=old_M.device),
            reference_logprobs_BT=reference_BT,
        )

    def _token_logprobs(self, model: PreTrainedModel, head: Head, packed: Packed) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies of the response tokens, [M] each, at the sampling temperature."""
        device_type = self.policy.device.type
        with torch.autocast(device_type, dtype=torch.bfloat16, enabled=self.dtype is torch.bfloat16):
            hidden_ND = hidden_states(model, packed.input_ids_N, packed.position_ids_N, packed)
        hidden_MD = hidden_ND.index_select(0, packed.predicting_M)
        return token_logprobs(head, hidden_MD, packed.target_ids_M, temperature=self.temperature)

    def _clip_gradients(self, groups: Sequence[Group]) -> float:
        limit = self.config.max_grad_norm or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.policy.model.parameters(), limit)
        if not torch.isfinite(norm):
            self.optimizer.zero_grad(set_to_none=True)
            raise NonFiniteError(
                f"the gradient norm is {norm.item()}: lower learner.lr or raise numerical precision", groups
            )
        return norm.item()


def compute_dtype(name: str, device: torch.device) -> torch.dtype:
    """The arithmetic of forward and backward; `auto` is bfloat16 where the hardware multiplies it natively."""
    if name == "auto":
        native = (
            torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else _cpu_has_bfloat16()
        )
        return torch.bfloat16 if native else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def _cpu_has_bfloat16() -> bool:
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _frozen_copy(policy: Policy) -> tuple[PreTrainedModel, Head]:
    model = copy.deepcopy(policy.model).requires_grad_(False)
    return model, head_of(replace(policy, model=model))


def _flat(values: Sequence[tuple[tuple[float, ...], ...] | None], like: Tensor) -> Tensor:
    """One number a response token, trees in order, as `Packed` has them.  -> [M]"""
    return torch.tensor(
        [x for group in values for row in group or () for x in row], dtype=like.dtype, device=like.device
    )


def _means(sums: Counter[str]) -> dict[str, float]:
    """Token sums of a step as `policy/...` metrics, NaN where there were no tokens."""
    positive, negative = sums["tokens_positive"], sums["tokens_negative"]
    ratios = {
        "policy/entropy": (sums["entropy"], sums["tokens"]),
        "policy/kl_sampler_learner": (sums["kl_sampler_learner"], sums["tokens"]),
        "policy/clip_share": (sums["clipped_positive"] + sums["clipped_negative"], positive + negative),
        "policy/clip_share_positive": (sums["clipped_positive"], positive),
        "policy/clip_share_negative": (sums["clipped_negative"], negative),
    }
    if "kl_reference" in sums:
        ratios["policy/kl_reference"] = (sums["kl_reference"], sums["tokens"])
    return {name: part / whole if whole else math.nan for name, (part, whole) in ratios.items()}


def _blame(batch: list[Group], packed: Packed, tokens: TokenBatch, value: float) -> str:
    """Which problem's response made the loss non-finite."""
    bad_B = ~torch.isfinite(tokens.logprobs_BT.detach()).all(-1)
    owners = [group.problem_id for group in batch for _ in group.responses]
    culprits = sorted({owner for owner, bad in zip(owners, bad_B.tolist(), strict=True) if bad}) or sorted(set(owners))
    shown = ", ".join(culprits[:3]) + (f" and {len(culprits) - 3} more" if len(culprits) > 3 else "")
    return f"the loss is {value} on problem {shown}"
