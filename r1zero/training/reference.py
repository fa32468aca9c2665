"""What a policy is held against: the model that it was at the start, or at some later step."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from r1zero.models.load import Policy
from r1zero.models.logprobs import Head, head_of
from r1zero.models.lora import adapter_as, adapter_weights, is_adapted, without_adapter


@dataclass(frozen=True)
class Reference:
    """A model that does not learn: a copy, or the policy's own modules with other weights in the adapter's place."""

    model: PreTrainedModel
    head: Head
    adapter: Mapping[str, nn.Parameter] | None = None  # None: the model is a copy; empty: the adapter adds nothing

    @contextmanager
    def in_place(self) -> Iterator[PreTrainedModel]:
        """The model as it is to be looked at."""
        if self.adapter is None:
            yield self.model
            return
        with adapter_as(self.model, self.adapter) if self.adapter else without_adapter(self.model):
            yield self.model

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.model.state_dict() if self.adapter is None else self.adapter)

    def restored(self, state: Mapping[str, Tensor]) -> Reference:
        """The reference whose `state_dict` this was."""
        if self.adapter is not None:
            return replace(self, adapter=_frozen(state))
        self.model.load_state_dict(state)
        return self


def initial_reference(policy: Policy) -> Reference:
    """The policy at the start; with LoRA its own weights without the adapter, which adds nothing there."""
    return Reference(policy.model, head_of(policy), {}) if is_adapted(policy.model) else present_reference(policy)


def present_reference(policy: Policy) -> Reference:
    """The policy as it is, which goes on learning while this does not."""
    if not is_adapted(policy.model):
        model = copy.deepcopy(policy.model).requires_grad_(False)
        return Reference(model, head_of(replace(policy, model=model)))
    own = {name: weight.detach().clone() for name, weight in adapter_weights(policy.model).items()}
    return Reference(policy.model, head_of(policy), _frozen(own))


@torch.no_grad()
def copy_parameters(model: PreTrainedModel, into: PreTrainedModel) -> None:
    """Overwrite the weights of a model of the same shape, divided in the same way."""
    for own, theirs in zip(into.parameters(), model.parameters(), strict=True):
        own.copy_(theirs)


def _frozen(weights: Mapping[str, Tensor]) -> dict[str, nn.Parameter]:
    return {name: nn.Parameter(weight, requires_grad=False) for name, weight in weights.items()}
