"""Checkpoints: a Hugging Face directory with the optimizer beside it, renamed into place when complete.

checkpoints/step-000100/model/          opens with AutoModelForCausalLM.from_pretrained, float32; of an adapted model
                                        the adapter alone
checkpoints/step-000100/optimizer.pt    AdamW's moments and the number of updates
checkpoints/step-000100/optimizer/      the same where ranks have parts of them, for any number of ranks to continue
checkpoints/step-000100/state.json      the step, and what else the loop must remember
checkpoints/step-000100/replay.parquet  groups that can be replayed, where the run replays any
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from polars.exceptions import PolarsError
from safetensors.torch import load_file

from r1zero.models.load import Policy, save_policy
from r1zero.models.lora import adapter_weights, is_adapted, read_adapter, write_adapter
from r1zero.store import sync_folder
from r1zero.training.learner import Learner
from r1zero.training.parts import divide_learner, read_learner, write_learner
from r1zero.training.ranks import gathered, is_first
from r1zero.training.replay import Memory, read_memories, write_memories
from r1zero.training.sharding import is_sharded, set_weights, take_part, whole_weights


def save_checkpoint(
    run_dir: Path,
    step: int,
    policy: Policy,
    learner: Learner,
    state: dict[str, Any],
    keep: int,
    memories: Sequence[Memory] = (),
) -> Path:
    """Write the checkpoint of `step`, then drop all but the `keep` newest; a kill leaves the older ones.

    All ranks take part; the first one writes what is not divided.
    """
    folder = run_dir / "checkpoints"
    final, partial = folder / f"step-{step:06d}", folder / f".step-{step:06d}.partial"
    if is_first():
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    gathered(step)  # no rank writes before the folder is there
    try:
        weights = whole_weights(policy.model) if is_sharded(policy.model) else None
        if learner.sharded:
            state = state | {"learner": write_learner(partial / "optimizer", learner)}
        if is_first():
            if is_adapted(policy.model):
                write_adapter(policy.model, partial / "model", weights)
            else:
                save_policy(policy, partial / "model", weights=weights)
            if not learner.sharded:
                torch.save(learner.state_dict(), partial / "optimizer.pt")
            (partial / "state.json").write_text(json.dumps({"step": step} | state))
            if memories:
                write_memories(partial / "replay.parquet", memories)
            _sync(partial)
            shutil.rmtree(final, ignore_errors=True)
            os.replace(partial, final)
            sync_folder(folder)
    finally:
        if is_first():
            shutil.rmtree(partial, ignore_errors=True)
    for old in checkpoint_steps(run_dir)[: -max(1, keep)] if is_first() else ():
        shutil.rmtree(folder / f"step-{old:06d}")
    return final


def checkpoint_steps(run_dir: Path) -> list[int]:
    """Steps that have a complete checkpoint, ascending."""
    matches = (re.fullmatch(r"step-(\d+)", path.name) for path in (run_dir / "checkpoints").glob("step-*"))
    return sorted(int(match[1]) for match in matches if match)


def load_checkpoint(run_dir: Path, step: int, policy: Policy, learner: Learner) -> dict[str, Any]:
    """Put the weights and the optimizer back as they were after `step`; returns the loop's state."""
    folder = run_dir / "checkpoints" / f"step-{step:06d}"
    try:
        state = json.loads((folder / "state.json").read_text())
        load_weights(policy, folder / "model")
        if learner.policy is not policy:
            load_weights(learner.policy, folder / "model")
        if not (folder / "optimizer.pt").exists():
            read_learner(folder / "optimizer", learner, state["learner"])
            return state
        whole = torch.load(folder / "optimizer.pt", map_location=learner.device, weights_only=True)
        if learner.sharded:
            divide_learner(learner, whole)
        else:
            learner.load_state_dict(whole)
        return state
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise _damaged(folder, error) from error


def load_memories(run_dir: Path, step: int) -> tuple[Memory, ...]:
    """The groups that could be replayed after `step`; none where the run replays nothing."""
    folder = run_dir / "checkpoints" / f"step-{step:06d}"
    try:
        return read_memories(folder / "replay.parquet") if (folder / "replay.parquet").exists() else ()
    except (OSError, PolarsError) as error:
        raise _damaged(folder, error) from error


def load_weights(policy: Policy, directory: Path) -> None:
    """Overwrite the policy's weights in place with those that `save_checkpoint` wrote."""
    if is_adapted(policy.model):
        written = read_adapter(policy.model, directory)
        with torch.no_grad():
            for name, weight in adapter_weights(policy.model).items():
                weight.copy_(take_part(written[name], weight))
        return
    if policy.vision is None:
        weights: dict[str, torch.Tensor] = {}
        for file in sorted(directory.glob("*.safetensors")):
            weights |= load_file(file)
    else:  # models that see are stored under older names of their parts, which only transformers' own reading undoes
        kind: Any = type(policy.model)
        read, found = kind.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
        weights = {name: weight for name, weight in read.state_dict().items() if name not in found["missing_keys"]}
    if is_sharded(policy.model):
        set_weights(policy.model, weights)
        return
    missing, unexpected = policy.model.load_state_dict(weights, strict=False)
    tied = set(policy.model.all_tied_weights_keys)
    if unexpected or set(missing) - tied:
        raise ValueError(f"weights {sorted(set(missing) - tied)[:3]} missing, {unexpected[:3]} unexpected")


def _damaged(folder: Path, error: Exception) -> ValueError:
    reason = str(error).splitlines()[0]
    return ValueError(f"checkpoint {folder} is damaged ({reason}): remove it to continue from the one before")


def _sync(folder: Path) -> None:
    """Flush every file below to the disk, so that the rename cannot come before the content."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as handle:
                os.fsync(handle.fileno())
