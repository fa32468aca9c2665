"""What several processes of one training run must agree on: counts before the split, gradients after it.

Without torch.distributed, or with one process, every function returns what it was given.  Values travel as JSON or as
the bytes of a tensor: nothing that is received is unpickled.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from r1zero.models.load import choose_device

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # what it tells each process
STARTER = "R1ZERO_STARTER"  # process id of `r1zero train --ranks`
PATIENCE = datetime.timedelta(minutes=60)  # a rank that is not heard of for so long is given up


def num_ranks() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number, also before and after it is joined to the others."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank()
    return int(os.environ["RANK"]) if started_as_rank() else 0


def is_first() -> bool:
    """Whether this rank is the one that writes and speaks."""
    return rank() == 0


def started_as_rank() -> bool:
    """Whether torchrun, or `r1zero train --ranks`, started this process as one of several."""
    return all(name in os.environ for name in TORCHRUN) and int(os.environ["WORLD_SIZE"]) > 1


def is_orphan() -> bool:
    """Whether the `r1zero train --ranks` that started this process has died: nobody would end it with the others."""
    starter = os.environ.get(STARTER)
    return starter is not None and os.getppid() != int(starter)


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Within it, the processes that torchrun started together know one another; alone, or joined already, nothing."""
    if num_ranks() > 1 or not started_as_rank():
        yield
        return
    own = device_of_rank(device)
    if own.startswith("cuda"):
        torch.cuda.set_device(own)
    dist.init_process_group("cpu:gloo,cuda:nccl" if own.startswith("cuda") else "gloo", timeout=PATIENCE)
    yield  # where this raises the others are beyond reach, and whoever started the ranks ends them
    dist.destroy_process_group()


def device_of_rank(name: str) -> str:
    """`learner.device` for this rank: with several on a machine each has a GPU of its own."""
    if num_ranks() == 1 and not started_as_rank():
        return name
    check_devices(name, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if choose_device(name).type == "cuda" else "cpu"


def check_devices(name: str, ranks: int) -> None:
    """Raises ValueError where this machine has too few GPUs for so many ranks."""
    if choose_device(name).type != "cuda":
        return
    if name not in ("auto", "cuda"):
        raise ValueError(f"learner.device={name} with several ranks: each takes a GPU of its own; use auto or cpu")
    if ranks > torch.cuda.device_count():
        raise ValueError(
            f"{ranks} ranks on this machine, which has {torch.cuda.device_count()} GPUs: start at most as many ranks, "
            "or use learner.device=cpu"
        )


def check_alike(facts: Mapping[str, Any]) -> None:
    """Raises ValueError naming the first of the facts in which a rank differs from rank 0."""
    first, *others = gathered(dict(facts))
    for number, other in enumerate(others, 1):
        for name in first | other:
            if first.get(name) != other.get(name):
                raise ValueError(
                    f"rank {number} has {name} {other.get(name)!r}, rank 0 has {first.get(name)!r}: "
                    "all ranks of a run need the same packages and the same settings"
                )


def gathered(value: Any) -> list[Any]:
    """What each rank gave, in order of rank, as JSON has it: tuples come back as lists, floats to the last bit."""
    if num_ranks() == 1:
        return [value]
    return [json.loads(content) for content in _gathered_bytes(json.dumps(value).encode())]


def rows_of_all(rows: Tensor) -> tuple[Tensor, slice]:
    """The rows of all ranks, in order of rank, and where this rank's are among them."""
    if num_ranks() == 1:
        return rows, slice(0, len(rows))
    shapes = gathered(list(rows.shape))
    parts = [
        torch.frombuffer(bytearray(content), dtype=rows.dtype).view(shape) if content else rows.new_zeros(shape)
        for content, shape in zip(_gathered_bytes(rows.contiguous().numpy().tobytes()), shapes, strict=True)
    ]
    start = sum(len(part) for part in parts[: dist.get_rank()])
    return torch.cat(parts), slice(start, start + len(rows))


def total(count: float) -> float:
    """A number summed over ranks."""
    return summed({"count": count})["count"]


def largest(count: float) -> float:
    """The largest of a number over ranks."""
    return summed({"max_count": count})["max_count"]


def summed(sums: Mapping[str, float]) -> dict[str, float]:
    """Sums over ranks; a name that begins with "max_" takes the largest instead."""
    if num_ranks() == 1:
        return dict(sums)
    merged: dict[str, float] = {}
    for part in gathered(dict(sums)):
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


def _gathered_bytes(content: bytes) -> list[bytes]:
    """Each rank's bytes, in order of rank."""
    sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(num_ranks())]
    dist.all_gather(sizes, torch.tensor([len(content)]))
    longest = max(int(size) for size in sizes)
    if longest == 0:
        return [b""] * num_ranks()
    own = torch.zeros(longest, dtype=torch.uint8)
    own[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else own[:0]
    parts = [torch.empty(longest, dtype=torch.uint8) for _ in range(num_ranks())]
    dist.all_gather(parts, own)
    return [part[: int(size)].numpy().tobytes() for part, size in zip(parts, sizes, strict=True)]
