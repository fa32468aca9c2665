"""Weights in a file of memory, which another process of this machine opens: no disk, no pickle.

The file is in the safetensors format (https://github.com/huggingface/safetensors): the header's length in 8 bytes, a
JSON header with the type, shape and place of each tensor, then the numbers.  It belongs to nobody but this process
(Linux `memfd`), has no name on any disk, and is gone when the last process that opened it is.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import torch
from safetensors import safe_open
from torch import Tensor

TYPES: Final = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.int64: "I64"}
ALIGNMENT = 64  # bytes: where the numbers begin


class WeightFile:
    """The newest weights, in one place that is written again and again."""

    def __init__(self) -> None:
        if not hasattr(os, "memfd_create"):
            raise ValueError("engines with weights of their own need Linux: use engine.name fast or huggingface")
        self.descriptor = os.memfd_create("r1zero-weights")
        self.size = 0  # bytes

    @property
    def path(self) -> str:
        """Where other processes of the same user open it, as long as this one lives."""
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    def write(self, named_tensors: Iterable[tuple[str, Tensor]], dtype: torch.dtype) -> None:
        """Replace what was there; floating-point weights are rounded to `dtype`."""
        tensors = dict(named_tensors)
        kinds = {name: dtype if tensor.is_floating_point() else tensor.dtype for name, tensor in tensors.items()}
        header, starts, size = _layout(tensors, kinds)
        os.ftruncate(self.descriptor, size)
        self.size = size
        with mmap.mmap(self.descriptor, size) as memory:
            memory[: len(header)] = header
            for name, tensor in tensors.items():
                whole = _whole(tensor)  # of one after the other: every rank comes by in the same order
                if whole.numel():
                    place = torch.frombuffer(memory, dtype=kinds[name], count=tensor.numel(), offset=starts[name])
                    place.copy_(whole.detach().flatten())
                    del place  # a view keeps the memory from being closed

    def clear(self) -> None:
        os.ftruncate(self.descriptor, 0)
        self.size = 0

    def append(self, piece: bytes) -> None:
        """Bytes from elsewhere, which `read_weights` checks."""
        done = 0
        while done < len(piece):
            done += os.pwrite(self.descriptor, piece[done:], self.size + done)
        self.size += len(piece)

    def pieces(self, most: int = 1 << 22) -> Iterator[bytes]:
        """The file's bytes, at most `most` at a time."""
        for at in range(0, self.size, most):
            yield os.pread(self.descriptor, min(most, self.size - at), at)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1


def read_weights(path: str) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor, in the order they were written.  Raises ValueError where it is no such file."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            for name in file.offset_keys():
                yield name, file.get_tensor(name)
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"what was sent are no weights in the safetensors format: {error}") from error
    except Exception as error:  # safetensors raises its own type for a broken file
        raise ValueError(f"what was sent are no weights in the safetensors format: {error}") from error


def _whole(tensor: Tensor) -> Tensor:
    """All of a tensor of which each rank holds a part."""
    gather: Callable[[], Tensor] | None = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def _layout(tensors: Mapping[str, Tensor], kinds: Mapping[str, torch.dtype]) -> tuple[bytes, dict[str, int], int]:
    """The header with its length before it, where each tensor starts in the file, and the file's size."""
    entries: dict[str, Any] = {}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.numel() * kinds[name].itemsize
        entries[name] = {"dtype": TYPES[kinds[name]], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(entries).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    header = len(text).to_bytes(8, "little") + text
    starts = {name: len(header) + entry["data_offsets"][0] for name, entry in entries.items()}
    return header, starts, len(header) + end
