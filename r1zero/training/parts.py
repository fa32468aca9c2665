"""What a learner remembers besides the weights: each rank writes its parts, and any number of ranks reads them.

FOLDER/shard-00001-model-00001-of-00001.safetensors ...   of every rank its parts of AdamW's moments, the value head,
                                                          and the reference where it has moved
PyTorch's distributed checkpoints in safetensors: nothing in them is unpickled.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException

from r1zero.training.learner import Learner
from r1zero.training.sharding import take_part
from r1zero.training.steps import own_part

MOMENTS = ("exp_avg", "exp_avg_sq")


def write_learner(folder: Path, learner: Learner) -> dict[str, Any]:
    """Each rank writes its parts; returns what else `read_learner` must be told.  Raises OSError where one cannot."""
    steps = max((int(state["step"]) for state in learner.optimizer.state.values()), default=0)
    about = {"updates_done": learner.updates_done, "steps": steps, "reference_moved": learner.reference_moved}
    if tensors := _tensors(learner, about):
        _write(folder, tensors)
    return about


def read_learner(folder: Path, learner: Learner, about: Mapping[str, Any]) -> None:
    """The learner as it was, its weights aside.  Raises ValueError where the parts are damaged."""
    if about["steps"]:
        for parameter in learner.parameters:
            zeros = {name: torch.zeros_like(parameter.detach()) for name in MOMENTS}
            step = torch.tensor(float(about["steps"]), device=own_part(parameter).device)
            learner.optimizer.state[parameter] = {"step": step, **zeros}
    learner.updates_done, learner.reference_moved = about["updates_done"], about["reference_moved"]
    if tensors := _tensors(learner, about):
        _read(folder, tensors)


def divide_learner(learner: Learner, whole: Mapping[str, Any]) -> None:
    """The same for a learner whose weights are divided, from the `state_dict` of one whose weights were whole."""
    parameters = [parameter for group in learner.optimizer.param_groups for parameter in group["params"]]
    for place, state in whole["optimizer"]["state"].items():
        parts = {name: take_part(state[name], parameters[place]) for name in MOMENTS}
        learner.optimizer.state[parameters[place]] = {"step": state["step"], **parts}
    learner.updates_done = whole["updates_done"]
    for name, module in _modules(learner, {"reference_moved": "reference" in whole}).items():
        _set(module, whole[name])
    learner.reference_moved = "reference" in whole


def _tensors(learner: Learner, about: Mapping[str, Any]) -> dict[str, Tensor]:
    """By name, those that are written: themselves, so that reading fills them."""
    tensors: dict[str, Tensor] = {}
    if about["steps"]:
        names = {parameter: name for name, parameter in learner.through.named_parameters()}
        for parameter in learner.parameters:
            state = learner.optimizer.state[parameter]
            tensors |= {f"{moment}.{names[parameter]}": state[moment] for moment in MOMENTS}
    for kind, module in _modules(learner, about).items():
        tensors |= {f"{kind}.{name}": parameter.detach() for name, parameter in module.named_parameters()}
    return tensors


def _modules(learner: Learner, about: Mapping[str, Any]) -> dict[str, nn.Module]:
    modules: dict[str, nn.Module] = {}
    if learner.value_head is not None:
        modules["value_head"] = learner.value_head
    if learner.reference is not None and about["reference_moved"]:
        modules["reference"] = learner.reference.model
    return modules


@torch.no_grad()
def _set(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    for name, parameter in module.named_parameters():
        parameter.copy_(take_part(weights[name], parameter))


def _write(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Each rank its own parts, as safetensors.  Raises OSError where one of them cannot."""
    writer = dcp.HuggingFaceStorageWriter(str(folder), save_distributed=True)
    try:
        dcp.save(dict(tensors), storage_writer=writer)
    except CheckpointException as error:
        raise OSError(f"{folder}: {_first(error)}") from error


def _read(folder: Path, into: Mapping[str, Tensor]) -> None:
    """Fill tensors, divided or not, with what any number of ranks wrote.  Raises ValueError where that is damaged."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # one rank goes on
            dcp.load(dict(into), storage_reader=dcp.HuggingFaceStorageReader(str(folder)))
    except CheckpointException as error:
        raise ValueError(f"{folder.name}: {_first(error)}") from error


def _first(error: CheckpointException) -> str:
    rank, (cause, _) = sorted(error.failures.items())[0]
    return f"rank {rank}: {str(cause).splitlines()[0] if str(cause) else type(cause).__name__}"
