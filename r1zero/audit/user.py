"""A user's own loss under audit: the record it is given, how it is found, and what is said when it fails.

Letters: B responses of a micro-batch, G responses to a problem, T tokens of the padded width.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from r1zero.audit.batch import ProbeBatch, pushed_up
from r1zero.config import nearest


@dataclass(frozen=True)
class UserBatch:
    """One micro-batch, as the user's function gets it.  Everything is float64 unless said."""

    logprobs_BT: Tensor  # of the policy, with gradient; nats
    old_logprobs_BT: Tensor  # of the policy that sampled
    mask_BT: Tensor  # 1 on response tokens, 0 on padding
    rewards_B: Tensor
    group_rewards_BG: Tensor  # the rewards of each response's whole group, its own included
    groups_B: Tensor  # which problem each response answers; int64
    lengths_B: Tensor  # response tokens
    max_tokens: int  # the response limit
    step_responses: int  # in the whole optimizer step, over all micro-batches
    step_tokens: int
    num_microbatches: int


@dataclass(frozen=True)
class UserLoss:
    """`function(UserBatch) -> scalar`, called once a micro-batch; the gradients of a step are added."""

    name: str
    function: Callable[[UserBatch], Tensor]
    pads_left: bool = True
    note: str = ""

    def token_weights(self, batch: ProbeBatch) -> Tensor:
        """Raises ValueError with the line of the user's file where its function fails."""
        mask_BT, old_BT = batch.mask(), batch.old_logprobs()
        groups_B = torch.arange(batch.rewards_PG.shape[0]).repeat_interleave(batch.group_size)

        def loss(rows: tuple[int, ...], logprobs_BT: Tensor) -> Tensor:
            at = list(rows)
            value = self._call(
                UserBatch(
                    logprobs_BT=logprobs_BT,
                    old_logprobs_BT=old_BT[at],
                    mask_BT=mask_BT[at],
                    rewards_B=batch.rewards_PG.flatten()[at],
                    group_rewards_BG=batch.rewards_PG[groups_B[at]],
                    groups_B=groups_B[at],
                    lengths_B=batch.lengths_PG.flatten()[at],
                    max_tokens=batch.max_tokens,
                    step_responses=batch.rewards_PG.numel(),
                    step_tokens=int(batch.lengths_PG.sum()),
                    num_microbatches=len(batch.parts),
                )
            )
            if not isinstance(value, Tensor) or value.numel() != 1:
                shown = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                raise ValueError(f"{self.name} returned {shown}: return one number, the micro-batch's loss")
            if not torch.isfinite(value).all():
                raise ValueError(f"{self.name} returned {value.item()} for a micro-batch of {len(at)} responses")
            return value.reshape(())

        return pushed_up(batch, loss)

    def _call(self, batch: UserBatch) -> Tensor:
        try:
            return self.function(batch)
        except Exception as error:
            raise ValueError(f"{self.name} failed: {where(error)}") from error


def load_user_loss(spec: str) -> UserLoss:
    """The function named `module:function` or `file.py:function`, looked for from the current directory.

    Raises ValueError naming what is missing, or the line where the module fails to import.
    """
    place, colon, name = spec.rpartition(":")
    if not colon or not place or not name:
        raise ValueError(f"--loss {spec}: give MODULE:FUNCTION, such as my_module:my_loss")
    module = _import(place)
    function = getattr(module, name, None)
    if not callable(function):
        choices = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ValueError(f"--loss {spec}: no function {name} in {place}: {nearest(name, choices)}")
    return UserLoss(name, function)


def where(error: BaseException) -> str:
    """The error with the innermost line of the user's own code.

    Frames of r1zero and of installed packages are left out, unless there are no others.
    """
    frames = traceback.extract_tb(error.__traceback__)
    inside = str(Path(__file__).parent)
    own = [f for f in frames if not f.filename.startswith(inside) and "site-packages" not in f.filename]
    own = [f for f in own if not f.filename.startswith(("<frozen", sysconfig.get_paths()["stdlib"]))] or list(frames)
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError) or not own:
        return text
    last = own[-1]
    return f"{Path(last.filename).name}, line {last.lineno}, in {last.name}: {last.line}: {text}"


def _import(place: str) -> ModuleType:
    if place.endswith(".py") and not Path(place).is_file():
        raise ValueError(f"--loss: no file {place}")
    with _current_directory_first():
        try:
            if place.endswith(".py"):
                return _import_file(Path(place))
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name and (place == error.name or place.startswith(f"{error.name}.")):
                raise ValueError(f"--loss: no module {place} in {Path.cwd()} or among installed packages") from None
            raise ValueError(f"--loss: {place} cannot be imported: {where(error)}") from error
        except Exception as error:
            raise ValueError(f"--loss: {place} cannot be imported: {where(error)}") from error


def _import_file(path: Path) -> ModuleType:
    name = f"audited_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"--loss: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _current_directory_first() -> Iterator[None]:
    sys.path.insert(0, str(Path.cwd()))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.pop(0)
