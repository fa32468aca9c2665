"""What the words of `r1zero probe A B ...` are: models to ask, training runs to follow, or stored responses to read.

In this order: the name of a shipped model; a directory of weights (config.json of a model); the directory of a run, by
the verb in its config.json (`train` is followed, anything else is read); a parquet or jsonl file, a folder of those, or
a glob; a Hub id OWNER/NAME.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from r1zero.config import nearest
from r1zero.models.load import holds_model, shipped_models
from r1zero.store import FOLDERS, read_config, read_metrics
from r1zero.training.checkpoint import checkpoint_steps

Kind = Literal["model", "run", "rollouts"]
FILES = (".parquet", ".jsonl")


@dataclass(frozen=True)
class Target:
    """One word of the command line.

    Example: Target("runs/quickstart", "run", "quickstart")
    """

    path: str
    kind: Kind
    name: str  # how tables call it
    stored: bool = False  # its responses are read, nothing is asked


def find_target(path: str, *, stored: bool = False) -> Target:
    """What stands at a path; with `stored` a run is not followed but read.  Raises ValueError naming the choices."""
    place = Path(path)
    if path in shipped_models():
        return Target(path, "model", path)
    if place.is_dir() and (place / "adapter_config.json").exists():
        return Target(path, "model", place.resolve().name)
    if place.is_dir() and (place / "config.json").exists():
        saved = _json(place / "config.json")
        if "verb" not in saved and "config" not in saved:
            return Target(path, "model", place.resolve().name)
        if saved.get("verb", "train") == "train":
            return Target(path, "run", place.resolve().name, stored)
        return Target(path, "rollouts", place.resolve().name, True)
    if place.is_dir() and (any((place / folder).is_dir() for folder in FOLDERS.values()) or _files(place)):
        return Target(path, "rollouts", place.resolve().name, True)
    if (place.is_file() and place.suffix in FILES) or "*" in path:
        return Target(path, "rollouts", place.stem.strip("*.") or path, True)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", path) and not path.startswith(".") and not place.exists():
        return Target(path, "model", path.rsplit("/", 1)[1])
    raise ValueError(
        f"{path}: give a model (a directory, a Hub id OWNER/NAME, or one of {', '.join(shipped_models())}), the "
        f"directory of a run, an evaluation, a probe or an import, or a parquet or jsonl file of responses; "
        f"{nearest(path, shipped_models())}"
    )


def _files(place: Path) -> list[Path]:
    return [file for suffix in FILES for file in sorted(place.glob(f"[!.]*{suffix}"))]


def _json(file: Path) -> dict[str, Any]:
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not readable JSON ({error})") from None
    return saved if isinstance(saved, dict) else {}


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a run after a step.

    Example: Checkpoint("step-000020", 20, Path("runs/a/checkpoints/step-000020/model"))
    """

    name: str
    step: int
    path: str  # a directory, or what the base model is called


def find_checkpoints(run_dir: Path) -> list[Checkpoint]:
    """The base model, every checkpoint that holds weights, and the final model, by step; each step once.

    Raises ValueError when there is no weight but the base model's.
    """
    saved = read_config(run_dir)
    found: dict[int, Checkpoint] = {}
    base = saved["config"].get("model", {}).get("path")
    if base:
        found[0] = Checkpoint("base", 0, str(base))
    final = run_dir / "model"
    if (final / "config.json").exists():
        last = max((row["step"] for row in read_metrics(run_dir)), default=0)
        found[last] = Checkpoint("final", last, str(final))
    for step in checkpoint_steps(run_dir):
        model = run_dir / "checkpoints" / f"step-{step:06d}" / "model"
        if holds_model(model) and step not in found:
            found[step] = Checkpoint(f"step {step}", step, str(model))
    if not any(step > 0 for step in found):
        raise ValueError(
            f"{run_dir} holds no weights after step 0: train it with --checkpoint.every and --checkpoint.keep, or read "
            "the responses it stored with --stored"
        )
    return [found[step] for step in sorted(found)]
