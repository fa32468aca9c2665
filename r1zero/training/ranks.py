"""What several processes of one training run must agree on: counts before the split, gradients after it.

Without torch.distributed, or with one process, every function returns what it was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def num_ranks() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rows_of_all(rows: Tensor) -> tuple[Tensor, slice]:
    """The rows of all ranks, in order of rank, and where this rank's are among them."""
    if num_ranks() == 1:
        return rows, slice(0, len(rows))
    gathered: list[Any] = [None] * num_ranks()
    dist.all_gather_object(gathered, rows)
    start = sum(len(part) for part in gathered[: dist.get_rank()])
    return torch.cat(gathered), slice(start, start + len(rows))


def total(count: float) -> float:
    """A number summed over ranks."""
    return summed({"count": count})["count"]


def summed(sums: Mapping[str, float]) -> dict[str, float]:
    """Sums over ranks; a name that begins with "max_" takes the largest instead."""
    if num_ranks() == 1:
        return dict(sums)
    gathered: list[Any] = [None] * num_ranks()
    dist.all_gather_object(gathered, dict(sums))
    merged: dict[str, float] = {}
    for part in gathered:
        merge(merged, part)
    return merged


def merge(into: dict[str, float], sums: Mapping[str, float]) -> None:
    """Add sums up in place; a name that begins with "max_" takes the larger instead."""
    for name, value in sums.items():
        before = into.get(name, 0.0)
        into[name] = max(before, value) if name.startswith("max_") else before + value


def sum_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Gradients summed over ranks, in place: each rank holds its part of the step's loss."""
    if num_ranks() == 1:
        return
    parameters = list(parameters)
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    sum_tensors([parameter.grad for parameter in parameters if parameter.grad is not None])


def sum_tensors(tensors: Iterable[Tensor]) -> None:
    """The same of plain tensors."""
    if num_ranks() > 1:
        for tensor in tensors:
            dist.all_reduce(tensor)
