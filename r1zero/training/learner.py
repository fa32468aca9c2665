"""The learner: one model, one optimizer, and gradients that do not depend on how a batch was cut.

Letters: N tokens of a packed row, M response tokens, B responses, T tokens of the longest response.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from r1zero.config import LearnerConfig, ShardingConfig
from r1zero.models.attention import hidden_states
from r1zero.models.load import Policy
from r1zero.models.logprobs import Head, head_of, token_logprobs
from r1zero.models.lora import is_adapted
from r1zero.models.packing import Packed, pack
from r1zero.models.vision import features_of
from r1zero.models.vision_prompt import sight
from r1zero.objectives import TokenBatch
from r1zero.training.batching import Group, PerToken, microbatches
from r1zero.training.ranks import gathered, largest, merge, num_ranks, sum_gradients, sum_tensors, summed, total
from r1zero.training.reference import Reference, copy_parameters, initial_reference, present_reference
from r1zero.training.schedule import learning_rate
from r1zero.training.sharding import Whole, shard
from r1zero.training.steps import cosine, credit_shares, token_means, update_norm

Loss = Callable[[TokenBatch], tuple[Tensor, dict[str, Tensor]]]  # a micro-batch's share, and sums for the metrics


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


@dataclass(frozen=True)
class Shadow:
    """Another objective's loss, and its gradient as it adds up, to be compared and not followed."""

    name: str
    loss: Loss
    gradient: list[Tensor]


@dataclass(frozen=True)
class Accumulation:
    """What is done with every micro-batch of an optimizer step."""

    loss: Loss
    num_microbatches: int = 1
    entropy_bonus: float | None = None  # None: the entropy has no gradient
    shadows: Sequence[Shadow] = ()


NO_SHADOWS: Mapping[str, Loss] = {}
WHOLE = ShardingConfig(weights="none")
IDLE = Group("idle", (0,), responses=((0,),), advantages=(0.0,))  # computed where other ranks have more to compute


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
        with_values: bool = False,
        max_tokens: int | None = None,
        sharding: ShardingConfig = WHOLE,
    ):
        self.policy, self.config, self.num_updates, self.temperature = policy, config, num_updates, temperature
        self.max_tokens = max_tokens  # the response limit, of which length shares are quarters
        self.updates_done = 0
        self.device = policy.device
        head = head_of(policy)
        self.dtype = compute_dtype(config.dtype, policy.device)
        reference = initial_reference(policy) if with_reference else None
        self.reference_moved = False
        freeze(policy, config.freeze)
        self.value_head = _value_head(head) if with_values else None
        self.through = Whole(policy.model, head, self.value_head)
        self._hold_against(reference)
        self.sharded = sharding.weights == "full" and num_ranks() > 1
        if self.sharded:
            shard(self.through, sharding, self.device, self.dtype)
            if self.through_reference not in (None, self.through):
                shard(self.through_reference, sharding, self.device, self.dtype)
        self.parameters = [p for p in policy.model.parameters() if p.requires_grad]
        if self.value_head is not None:
            self.parameters += list(self.value_head.parameters())
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in self.parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
                {"params": [p for p in self.parameters if p.ndim < 2], "weight_decay": 0.0},
            ],
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

    def update(
        self,
        groups: Sequence[Group],
        loss: Loss,
        *,
        entropy_bonus: float | None = None,
        shadows: Mapping[str, Loss] = NO_SHADOWS,
    ) -> Update:
        """One optimizer step on `groups`, whose advantages and weights are set, accumulated over micro-batches.

        The weights count the whole step, of which `groups` may be the part that has a gradient; with several ranks,
        this rank's part.  Over divided weights every rank computes as many micro-batches as the one that has most, and
        groups must be scored where there is a reference.  `entropy_bonus` gives the entropy a gradient.  `shadows` are
        other losses, in the order of the groups' `shadow_credits`, whose gradients are compared with this one's.
        Raises NonFiniteError before the weights are touched.
        """
        rate = learning_rate(self.config, self.updates_done, self.num_updates)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate
        batches = microbatches(groups, self.config.tokens_per_microbatch)
        num_microbatches = int(total(len(batches)))
        others = [Shadow(name, loss, [torch.zeros_like(p) for p in self.parameters]) for name, loss in shadows.items()]
        plan = Accumulation(loss, num_microbatches, entropy_bonus, others)
        sums = self._accumulated(batches, plan)
        metrics = {"learner/lr": rate, "learner/loss": sums["loss"]}
        if num_microbatches:
            if not self.sharded:  # else they were added up on the way back
                sum_gradients(self.parameters)
            for other in others:
                sum_tensors(other.gradient)
                metrics[f"grad/cosine_{other.name}"] = cosine([p.grad for p in self.parameters], other.gradient)
            metrics |= self._step(groups)
        else:
            metrics |= {"grad/norm": 0.0, "grad/norm_clipped": 0.0, "grad/update_norm": 0.0}
        self.optimizer.zero_grad(set_to_none=True)
        self.updates_done += 1
        return Update(metrics | token_means(sums), int(sums["tokens_computed"]))

    @torch.no_grad()
    def score(self, groups: Sequence[Group]) -> list[Group]:
        """The same groups with what the weights as they are say of each token.

        Fills in `old_logprobs` and `entropies`, `reference_logprobs` where there is a reference, `values` where there
        is a value head.
        """
        rows: dict[str, Any] = {}  # a number a token, of all responses in order
        batches = microbatches(groups, self.config.tokens_per_microbatch)
        rounds = self._rounds(len(batches))
        for batch in batches:
            packed = self._pack(batch)
            ends = list(itertools.accumulate((len(ids) for piece in batch for ids in piece.responses), initial=0))
            for name, values_M in self._scores(packed).items():
                values = values_M.tolist()
                rows.setdefault(name, []).extend(tuple(values[a:b]) for a, b in itertools.pairwise(ends))
        for _ in range(rounds - len(batches)):
            self._scores(self._pack([IDLE]))
        scored, done = [], 0
        for group in groups:
            own: dict[str, Any] = {name: tuple(row[done : done + len(group.responses)]) for name, row in rows.items()}
            scored.append(replace(group, **own))
            done += len(group.responses)
        return scored

    def _hold_against(self, reference: Reference | None) -> None:
        """Make this the reference; one that is an adapter is computed through the policy's own modules."""
        self.reference = reference
        self.through_reference = (
            None
            if reference is None
            else self.through
            if reference.adapter is not None
            else (Whole(reference.model, reference.head))
        )

    def refresh_reference(self) -> None:
        """Make the reference the policy as it is."""
        if self.reference is not None:
            if self.sharded:
                copy_parameters(self.policy.model, self.reference.model)
            else:
                self._hold_against(present_reference(self.policy))
            self.reference_moved = True

    def state_dict(self) -> dict[str, Any]:
        """Everything besides the weights that the next update depends on."""
        state = {"optimizer": self.optimizer.state_dict(), "updates_done": self.updates_done}
        if self.value_head is not None:
            state["value_head"] = self.value_head.state_dict()
        if self.reference is not None and self.reference_moved:  # else it is the initial model
            state["reference"] = self.reference.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.updates_done = state["updates_done"]
        if self.value_head is not None:
            self.value_head.load_state_dict(state["value_head"])
        if self.reference is not None and "reference" in state:
            self.reference = self.reference.restored(state["reference"])
            self.reference_moved = True

    def _accumulated(self, batches: Sequence[list[Group]], plan: Accumulation) -> Counter[str]:
        """Every micro-batch's gradient; returns their sums over all ranks, which fail together or not at all."""
        own: dict[str, float] = {"failed": 0}
        failure, done, rounds = None, 0, self._rounds(len(batches))
        for batch in batches:
            done += 1
            try:
                merge(own, self._accumulate(batch, plan))
            except NonFiniteError as error:
                own, failure = {"failed": 1}, error
                break
        for _ in range(rounds - done if self.sharded else 0):
            self._stand_by(plan)
        sums = Counter(summed(own))
        if sums["failed"]:
            self.optimizer.zero_grad(set_to_none=True)
            said = [message for message in gathered(str(failure) if failure else None) if message]
            raise failure or NonFiniteError(f"on another rank, {said[0]}", [])
        return sums

    def _rounds(self, own: int) -> int:
        """Micro-batches of the rank that has most, where the weights are divided: so many must all compute."""
        return int(largest(own)) if self.sharded else own

    def _stand_by(self, plan: Accumulation) -> None:
        """Give the other ranks this one's part of the weights for a micro-batch, and add nothing to the gradient."""
        outputs = self._computed(self._pack([IDLE]), plan)
        _back(outputs.values(), [torch.zeros_like(output) for output in outputs.values()])

    def _accumulate(self, batch: list[Group], plan: Accumulation) -> dict[str, float]:
        """Forward and backward of one micro-batch; gradients add up in the parameters.

        The backward pass has two halves: the loss's gradient on the log-probabilities is the credit each token gets,
        and is looked at before it is carried on through the model.
        """
        packed = self._pack(batch)
        outputs = self._computed(packed, plan)
        leaves = {name: output.detach().requires_grad_() for name, output in outputs.items()}
        tokens = self._token_batch(batch, packed, leaves)
        tokens = replace(tokens, num_microbatches=plan.num_microbatches, entropy_bonus=plan.entropy_bonus or 0.0)
        value, extra = plan.loss(tokens)
        credit = _credit(value, leaves.values())
        if not torch.isfinite(value) or not all(torch.isfinite(part).all() for part in credit):
            if self.sharded:  # the others are on their way back through the weights
                _back(outputs.values(), [torch.zeros_like(part) for part in credit])
            raise NonFiniteError(_blame(batch, tokens, value.item()), batch)
        _back(outputs.values(), credit, keep=bool(plan.shadows))
        for place, shadow in enumerate(plan.shadows):
            other = _credit(shadow.loss(_in_shadow(tokens, batch, place))[0], [leaves["logprobs"]])
            last = place == len(plan.shadows) - 1
            gradients = torch.autograd.grad(
                outputs["logprobs"], self.parameters, other, retain_graph=not last, allow_unused=True
            )
            for summed_part, part in zip(shadow.gradient, gradients, strict=True):
                if part is not None:
                    summed_part += part
        sums = {"loss": value.detach(), "entropy": leaves["entropies"].detach().sum()} | extra
        counts = {"tokens": len(packed.target_ids_M), "tokens_computed": len(packed.input_ids_N)}
        shares = credit_shares(credit[0], packed, batch, self.max_tokens)
        return {name: float(number) for name, number in sums.items()} | counts | shares

    def _pack(self, batch: Sequence[Group]) -> Packed:
        """The groups in one flat row, where a picture stands, and is encoded, once for its group or piece of one."""
        trees = [replace(g.tree, sight=sight(self.policy, g.prompt_ids, g.images)) for g in batch]
        return pack(trees, self.device)

    def _computed(self, packed: Packed, plan: Accumulation) -> dict[str, Tensor]:
        return self.through(partial(self._outputs, packed, entropy_gradient=plan.entropy_bonus is not None))

    def _outputs(self, packed: Packed, *, entropy_gradient: bool = False) -> dict[str, Tensor]:
        """What the weights say of the response tokens, [M] each: log-probabilities, entropies, values."""
        hidden_MD = self._hidden(self.policy.model, packed)
        logprobs_M, entropies_M = token_logprobs(
            self.through.head,
            hidden_MD,
            packed.target_ids_M,
            temperature=self.temperature,
            entropy_gradient=entropy_gradient,
        )
        outputs = {"logprobs": logprobs_M, "entropies": entropies_M}
        if self.value_head is not None:
            outputs["values"] = self.value_head(hidden_MD.float())[:, 0]
        return outputs

    def _scores(self, packed: Packed) -> dict[str, Tensor]:
        outputs = self.through(partial(self._outputs, packed))
        scores = {"old_logprobs": outputs["logprobs"], "entropies": outputs["entropies"]}
        if self.value_head is not None:
            scores["values"] = outputs["values"]
        if self.reference is not None:
            scores["reference_logprobs"] = self._reference_logprobs(packed)
        return scores

    def _token_batch(self, batch: list[Group], packed: Packed, leaves: Mapping[str, Tensor]) -> TokenBatch:
        logprobs_M = leaves["logprobs"]

        def padded(name: str) -> Tensor | None:
            values = [getattr(group, name) for group in batch]
            return None if values[0] is None else packed.padded(_flat(values, logprobs_M))

        def by_response(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=logprobs_M.dtype, device=logprobs_M.device)

        old_BT, reference_BT, advantages_BT = (
            padded("old_logprobs"),
            padded("reference_logprobs"),
            padded("token_advantages"),
        )
        if reference_BT is None and self.reference is not None:
            reference_BT = packed.padded(self._reference_logprobs(packed))
        if advantages_BT is None:
            advantages_BT = by_response([a for g in batch for a in g.advantages])[:, None]
        return TokenBatch(
            logprobs_BT=packed.padded(logprobs_M),
            old_logprobs_BT=packed.padded(logprobs_M.detach()) if old_BT is None else old_BT,
            mask_BT=packed.padded(torch.ones_like(logprobs_M)),
            advantages_BT=advantages_BT,
            weights_B=by_response([w for g in batch for w in g.weights]),
            sampler_logprobs_BT=padded("sampler_logprobs"),
            reference_logprobs_BT=reference_BT,
            entropies_BT=packed.padded(leaves["entropies"]),
            learns_BT=padded("learns"),
            values_BT=packed.padded(leaves["values"]) if "values" in leaves else None,
            old_values_BT=padded("values"),
            value_targets_BT=padded("value_targets"),
            value_weights_BT=padded("value_weights"),
        )

    @torch.no_grad()
    def _reference_logprobs(self, packed: Packed) -> Tensor:
        assert self.reference is not None and self.through_reference is not None
        reference, whole = self.reference, self.through_reference

        def compute() -> Tensor:
            with reference.in_place() as model:
                hidden_MD = self._hidden(model, packed)
            return token_logprobs(whole.head, hidden_MD, packed.target_ids_M, temperature=self.temperature)[0]

        return whole(compute)

    def _hidden(self, model: PreTrainedModel, packed: Packed) -> Tensor:
        """Hidden states that predict the response tokens.  -> [M, D]"""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype is torch.bfloat16):
            features_FD = features_of(self.policy.vision, model, packed.sights)
            ids_N, positions = packed.input_ids_N, packed.position_ids_N
            hidden_ND = hidden_states(model, ids_N, positions, packed, features_FD, packed.at_F)
        return hidden_ND.index_select(0, packed.predicting_M)

    def _step(self, groups: Sequence[Group]) -> dict[str, float]:
        """Clip the gradient and move the weights; how long both were, and the step that came of it."""
        limit = self.config.max_grad_norm or float("inf")
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, limit))
        if not math.isfinite(norm):
            self.optimizer.zero_grad(set_to_none=True)
            raise NonFiniteError(f"the gradient norm is {norm}: lower learner.lr or raise numerical precision", groups)
        self.optimizer.step()
        return {
            "grad/norm": norm,
            "grad/norm_clipped": min(norm, limit),
            "grad/update_norm": update_norm(self.optimizer),
        }


def _back(outputs: Iterable[Tensor], credit: Iterable[Tensor], *, keep: bool = False) -> None:
    """Carry the credit of the outputs that have a gradient back through the model."""
    pairs = [(output, part) for output, part in zip(outputs, credit, strict=True) if output.requires_grad]
    outs, parts = zip(*pairs, strict=True)
    torch.autograd.backward(outs, parts, retain_graph=keep)


def freeze(policy: Policy, part: Literal["none", "vision", "language"]) -> None:
    """Take one part of a model that sees out of training; its other part learns, whatever was frozen before.

    An adapted model stays as it is: its adapters stand where something learns.  Raises ValueError for a model of text.
    """
    if part == "none" or is_adapted(policy.model):
        return
    frozen = policy.part(part)
    policy.model.requires_grad_(True)
    for module in frozen:
        module.requires_grad_(False)


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


def _flat(values: Sequence[PerToken | None], like: Tensor) -> Tensor:
    """One number a response token, trees in order, as `Packed` has them.  -> [M]"""
    return torch.tensor(
        [x for group in values for row in group or () for x in row], dtype=like.dtype, device=like.device
    )


def _credit(value: Tensor, leaves: Iterable[Tensor]) -> list[Tensor]:
    """The loss's gradient on what the model put out; zeros where it has none."""
    wanted = list(leaves)
    if not value.requires_grad:
        return [torch.zeros_like(leaf) for leaf in wanted]
    parts = torch.autograd.grad(value, wanted, allow_unused=True, retain_graph=True)  # shadows share the padding
    return [torch.zeros_like(leaf) if part is None else part for leaf, part in zip(wanted, parts, strict=True)]


def _in_shadow(tokens: TokenBatch, batch: list[Group], place: int) -> TokenBatch:
    """The same tokens with the advantages and weights of another objective, all of which it learns from."""
    credits = [row[place] for group in batch for row in group.shadow_credits or ()]
    table_B2 = torch.tensor(credits, dtype=tokens.weights_B.dtype, device=tokens.weights_B.device)
    return replace(tokens, advantages_BT=table_B2[:, :1], weights_B=table_B2[:, 1], learns_BT=None)


def _value_head(head: Head) -> torch.nn.Linear:
    """From a hidden state to the reward expected from there; 0 before it is trained."""
    layer = torch.nn.Linear(head.weight_VD.shape[1], 1, device=head.weight_VD.device, dtype=torch.float32)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    return layer


def _blame(batch: list[Group], tokens: TokenBatch, value: float) -> str:
    """Which problem's response made the loss non-finite."""
    bad_B = ~torch.isfinite(tokens.logprobs_BT.detach()).all(-1)
    owners = [group.problem_id for group in batch for _ in group.responses]
    culprits = sorted({owner for owner, bad in zip(owners, bad_B.tolist(), strict=True) if bad}) or sorted(set(owners))
    shown = ", ".join(culprits[:3]) + (f" and {len(culprits) - 3} more" if len(culprits) > 3 else "")
    return f"the loss is {value} on problem {shown}"
