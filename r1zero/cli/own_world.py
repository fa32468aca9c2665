"""What a tiny model was pretrained on: it is asked that unless the command line says otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

World = Literal["countdown", "visual"]
RECIPES: dict[World, str] = {"countdown": "probe_tiny", "visual": "probe_tiny_visual"}  # of `r1zero probe`


def world_of(model: str) -> World | None:
    """From the recipe.json that `r1zero pretrain` wrote beside a model; None where there is none."""
    from r1zero.models.load import resolve_model

    try:
        path = Path(resolve_model(model)) / "recipe.json"
    except ValueError:
        return None  # said where the model is loaded
    if not path.exists():
        return None
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not readable JSON ({error}): remove it, or pretrain the model again") from error
    return "visual" if saved.get("config", {}).get("world") == "visual" else "countdown"


def evaluation_of(model: str) -> dict[str, Any]:
    """How `r1zero eval` asks a model of its own world, as values of an EvalConfig; nothing where defaults do."""
    if world_of(model) != "visual":
        return {}
    return {"task": {"name": "visual"}, "template": {"name": "visual_think"}, "sampling": {"max_tokens": 64}}
