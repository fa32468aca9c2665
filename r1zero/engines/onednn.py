"""Linear layers through oneDNN for the time of a sampling call on a CPU.

torch multiplies float32 matrices with MKL, which on processors of other makers than its own does not use the widest
vector instructions; oneDNN, which is part of torch as well, does.
oneDNN compiles a kernel for each shape it meets, so callers keep the number of rows a multiple of ROWS.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

ROWS = 16


def usable(model: nn.Module) -> bool:
    """Whether this model's weights and this build of torch allow it."""
    weight = next(model.parameters())
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


@contextmanager
def linear_layers(model: nn.Module) -> Iterator[None]:
    """Within this context the model's linear layers compute through oneDNN.  Forward only: there is no gradient."""
    layers = [module for module in model.modules() if type(module) is nn.Linear]
    for layer in layers:
        layer.forward = partial(_linear, layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """x W^T + b.  [..., D] -> [..., F]"""
    return torch.ops.mkldnn._linear_pointwise(x, layer.weight, layer.bias, "none", [], "")
