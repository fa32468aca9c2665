"""From a recipe's name and a command line to a config: shipped recipe, TOML file, or what a run saved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from r1zero.cli.verb import Arguments, Verb
from r1zero.config import (
    PretrainConfig,
    ProbeConfig,
    SFTConfig,
    TrainConfig,
    build,
    flatten,
    merge,
    nearest,
    nested,
    read_recipe,
)

SHIPPED = Path(str(files("r1zero") / "recipes"))
RECIPE_OF = {config_type.verb: config_type for config_type in (TrainConfig, PretrainConfig, SFTConfig, ProbeConfig)}


def shipped_recipes(verb: str | None = None) -> dict[str, Path]:
    """The recipes inside the package by name, or those of one verb."""
    found = {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}
    return found if verb is None else {name: path for name, path in found.items() if verb_of(read_recipe(path)) == verb}


def verb_of(values: Mapping[str, Any]) -> str | None:
    """The verb whose config has these keys; None when no config has."""
    for verb, config_type in RECIPE_OF.items():
        if set(values) <= {f.name for f in fields(config_type)}:
            return verb
    return None


def find_recipe(name: str) -> Path:
    """The file of a recipe.  A shipped one goes by its name, a run directory stands for its config.json.

    Raises ValueError naming the nearest shipped recipes.
    """
    shipped = shipped_recipes()
    plain = name.replace("-", "_")
    for known, path in shipped.items():
        if known.replace("-", "_") == plain:
            return path
    path = Path(name)
    if path.is_dir():
        if (path / "config.json").exists():
            return path / "config.json"
        raise ValueError(f"{name} is a directory without config.json: give a recipe or the directory of a run")
    if path.exists() or path.suffix in (".toml", ".json"):
        return path
    raise ValueError(f"no recipe {name!r}: {nearest(name, shipped)}; or give the path of a TOML file")


def load_recipe(name: str, verb: str) -> dict[str, Any]:
    """A recipe's values for a verb.  Raises ValueError when there is none, or when it is another verb's."""
    path = find_recipe(name)
    values = read_recipe(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path} is not a readable recipe: its `config` is not a table")
    owner = _saved_verb(path) or verb_of(values)
    if owner is not None and owner != verb and verb_of(values) != verb:
        raise ValueError(f"recipe {name} is for `r1zero {owner}`, not for `r1zero {verb}`")
    return values


def _saved_verb(path: Path) -> str | None:
    """The verb that wrote a config.json."""
    return json.loads(path.read_text(encoding="utf-8")).get("verb") if path.suffix == ".json" else None


def recipe_name(name: str) -> str:
    """What to call the runs of a recipe: "runs/quickstart/config.json" -> "quickstart"."""
    path = Path(name)
    return path.parent.name if path.name == "config.json" else path.stem


def flat_recipe(verb: Verb, arguments: Arguments) -> tuple[dict[str, Any], str]:
    """The values, by full name, of the recipe that a command line names, and what to call it: for `--help`."""
    name = arguments.positionals[0] if arguments.positionals else verb.default_recipe
    if any(option.name == "recipe" for option in verb.options):
        name = arguments.options.get("recipe", "")
    owner = verb.config_type.verb if verb.config_type and verb.default_recipe else verb.name
    if owner not in RECIPE_OF or not name:
        return {}, ""
    return flatten(build(RECIPE_OF[owner], load_recipe(name, owner))), recipe_name(name)


def resolve(verb: Verb, arguments: Arguments) -> Any:
    """The verb's config: its defaults, then the recipe, then the command line."""
    assert verb.config_type is not None
    recipe = arguments.positionals[0] if arguments.positionals else verb.default_recipe
    values = load_recipe(recipe, verb.config_type.verb) if recipe else {}  # `r1zero plan` plans those of train
    return build(verb.config_type, merge(values, nested(arguments.overrides)))
