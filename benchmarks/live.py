"""Bytes of tensors that are alive while code runs: what a plan is held against.

It counts storages by watching every operator, so it is exact where the allocator's rounding and a kernel's own work
space are not looked at, and it also counts tensors without data (torch's FakeTensorMode): a model of billions of
parameters is measured on a laptop.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Within it, `now` is the sum of the storages that were made or watched and are still held, `peak` its largest.

    Example: with LiveBytes() as live: y = x @ x; assert live.now == y.nbytes
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0
        self._sizes: dict[int, int] = {}

    def watch(self, tensors: Iterable[Tensor]) -> None:
        """Count tensors that were there before."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key = id(storage)
            if key not in self._sizes:
                self._sizes[key] = storage.nbytes()
                weakref.finalize(storage, self._forget, key)
                self.now += self._sizes[key]
        self.peak = max(self.peak, self.now)

    def restart(self) -> None:
        """Forget the peak so far."""
        self.peak = self.now

    def _forget(self, key: int) -> None:
        self.now -= self._sizes.pop(key)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.watch(leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor))
        return made


def held(tensors: Iterable[Tensor]) -> int:
    """Bytes of the distinct storages behind tensors."""
    return sum({id(s): s.nbytes() for s in (t.untyped_storage() for t in tensors)}.values())
