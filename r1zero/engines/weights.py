"""Weights on their way from the learner to an engine that holds a copy of them.

`fast` and `huggingface` sample with the learner's own modules and need nothing of this.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from torch import Tensor

from r1zero.models.load import Policy
from r1zero.models.lora import is_adapted, merged


@runtime_checkable
class HoldsWeights(Protocol):
    """An engine with weights of its own."""

    def load_weights(self, named_tensors: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Sample with these from now on; responses say `version`, the number of updates behind the weights."""
        ...


def publish(engine: object, policy: Policy, version: int) -> None:
    """Hand the policy's weights to an engine that holds a copy; any other has them already."""
    if isinstance(engine, HoldsWeights):
        engine.load_weights(named_weights(policy), version)


def named_weights(policy: Policy) -> Iterable[tuple[str, Tensor]]:
    """Every weight by its name in the model; those that are tied once.  An adapter is added up."""
    weights = {name: parameter.detach() for name, parameter in policy.model.named_parameters()}
    return merged(policy.model, weights) if is_adapted(policy.model) else weights.items()
