"""A model whose weights, gradients and optimizer state are divided among ranks: PyTorch's FSDP2.

Every decoder layer is one unit and all the rest (embedding, last norm, head, value head) another.  A unit is whole on
every rank only while it computes; its gradient is added up over ranks on the way back.  So all ranks must compute the
same number of micro-batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel

from r1zero.config import ShardingConfig
from r1zero.models.logprobs import Head
from r1zero.training.ranks import is_first, num_ranks

T = TypeVar("T")


class Whole(nn.Module):
    """A model, its head and the value head as one: what is computed through it finds whole weights."""

    def __init__(self, model: PreTrainedModel, head: Head, value_head: nn.Module | None = None):
        super().__init__()
        self.model, self.value_head = model, value_head
        self._head = replace(head, weight_VD=torch.empty(0), bias_V=None)  # its weights are the model's

    def forward(self, compute: Callable[[], T]) -> T:
        """`compute()`; what it gives goes back through the same weights."""
        return compute()

    @property
    def head(self) -> Head:
        """The head with its weights as they are at this moment."""
        layer = self.model.get_output_embeddings()
        return replace(self._head, weight_VD=layer.weight, bias_V=getattr(layer, "bias", None))


def shard(whole: Whole, config: ShardingConfig, device: torch.device, dtype: torch.dtype) -> None:
    """Divide the weights among all ranks, in place.

    Layers are gathered in `dtype`, the rest in float32, gradients are added up in float32.  Raises ValueError for a
    model whose layers are not known.
    """
    names = set(whole.model._no_split_modules or ())
    layers = [module for module in whole.model.modules() if type(module).__name__ in names]
    if not layers:
        raise ValueError(
            f"sharding.weights=full: {type(whole.model).__name__} does not say which modules are its layers; use none"
        )
    mesh = init_device_mesh(device.type, (num_ranks(),))
    offload = CPUOffloadPolicy() if config.offload and device.type == "cuda" else OffloadPolicy()
    precision = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    for layer in layers:
        fully_shard(layer, mesh=mesh, mp_policy=precision, offload_policy=offload)
    fully_shard(whole, mesh=mesh, reshard_after_forward=True, offload_policy=offload)
    for module in whole.modules():
        if isinstance(module, FSDPModule):  # ranks hold parts of one loss: their gradients are added, not averaged
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def is_sharded(model: nn.Module) -> bool:
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def unsharded(named: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """The tensors whole, one after the other; all ranks take part."""
    for name, tensor in named:
        yield name, tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def copy_weights(named: Iterable[tuple[str, Tensor]], into: PreTrainedModel) -> None:
    """Overwrite a model's weights with those of the same name."""
    own = dict(into.named_parameters())
    with torch.no_grad():
        for name, tensor in unsharded(named):
            own[name].copy_(tensor)


def whole_weights(model: PreTrainedModel) -> dict[str, Tensor]:
    """All weights in CPU memory on the first rank, none on the others; all ranks take part."""
    weights = {}
    for name, tensor in unsharded(model.named_parameters()):
        if is_first():
            weights[name] = tensor.detach().cpu()
    return weights


def take_part(tensor: Tensor, like: Tensor) -> Tensor:
    """This rank's part of a whole tensor, divided as `like` is; no rank waits for another."""
    if not isinstance(like, DTensor):
        return tensor.to(like)
    mesh, places, local = like.device_mesh, like.placements, like.to_local()
    part = distribute_tensor(tensor.to(like.dtype), mesh, places, src_data_rank=None).to_local().to(local.device)
    return DTensor.from_local(part, mesh, places, run_check=False, shape=like.shape, stride=like.stride())


def set_weights(model: PreTrainedModel, weights: Mapping[str, Tensor]) -> None:
    """Overwrite a model's weights, divided or not, with whole ones.  Raises ValueError for names that do not match."""
    own = dict(model.named_parameters())
    missing, unexpected = sorted(set(own) - set(weights)), sorted(set(weights) - set(model.state_dict()))
    if missing or unexpected:
        raise ValueError(f"weights {missing[:3]} missing, {unexpected[:3]} unexpected")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(take_part(weights[name], parameter))
