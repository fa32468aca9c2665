"""What a knob is, and how configs are read, merged and written: TOML and flags in, resolved JSON out."""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")


def knob(default: Any, help: str) -> Any:
    """A dataclass field with its one-sentence explanation."""
    if isinstance(default, type) and is_dataclass(default):
        return field(default_factory=default, metadata={"help": help})
    return field(default=default, metadata={"help": help})


def require(holds: bool, key: str, value: Any, remedy: str) -> None:
    if not holds:
        raise ValueError(f"{key}={value}: must be {remedy}")


def build(config_type: type[T], values: Mapping[str, Any], *, where: str = "") -> T:
    """A config from nested mappings.  Raises ValueError naming an unknown key and the nearest valid ones."""
    known = {f.name: f for f in fields(config_type)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(config_type)
    given: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise ValueError(f"unknown key {where + key!r}: {nearest(key, known, where)}")
        if is_dataclass(hints[key]):
            if not isinstance(value, Mapping):
                raise ValueError(
                    f"{where + key} is a section, not a value: write [{where + key}] or --{where + key}.KEY VALUE"
                )
            given[key] = build(hints[key], value, where=f"{where}{key}.")
        else:
            given[key] = _convert(value, hints[key], where + key)
    return config_type(**given)


def nearest(word: str, choices: Iterator[str] | Mapping[str, Any] | typing.Iterable[str], prefix: str = "") -> str:
    """ "did you mean ..." for a wrong name, or the list of the right ones."""
    choices = list(choices)
    close = difflib.get_close_matches(word, choices, n=3, cutoff=0.5)
    shown = ", ".join(prefix + c for c in (close or choices))
    return f"did you mean {shown}?" if close else f"choose from {shown}"


def _convert(value: Any, kind: Any, key: str) -> Any:
    """`value` as the annotated type; strings come from the command line, anything else from TOML or JSON."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None or value in ("none", "null"):
            return None
        return _convert(value, next(a for a in args if a is not type(None)), key)
    if origin is Literal:
        if value not in args:
            raise ValueError(f"{key}={value!r}: {nearest(str(value), [str(a) for a in args])}")
        return value
    if origin is tuple:
        items = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
        return tuple(_convert(item, args[0], key) for item in items)
    try:
        if kind is bool:
            if isinstance(value, bool):
                return value
            return {"true": True, "false": False}[str(value).lower()]
        if kind is int and not isinstance(value, bool) and (isinstance(value, str) or float(value).is_integer()):
            return int(value)
        if kind is float and not isinstance(value, bool):
            return float(value)
        if kind is str and isinstance(value, str):
            return value
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"{key}={value!r}: expected {kind.__name__}")


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """{"learner.lr": 1e-6, ...}: every knob by its full name."""
    flat: dict[str, Any] = {}
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            flat |= flatten(value, f"{prefix}{f.name}.")
        else:
            flat[prefix + f.name] = value
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"learner.lr": 1} -> {"learner": {"lr": 1}}"""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *sections, name = key.split(".")
        at = tree
        for section in sections:
            at = at.setdefault(section, {})
            if not isinstance(at, dict):
                raise ValueError(f"{key}: {section} is a value, not a section")
        at[name] = value
    return tree


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the leaves of `over` laid on top."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def read_recipe(path: Path) -> dict[str, Any]:
    """A recipe's values, from TOML or from the JSON a run saved.  Raises ValueError naming the file and the fault."""
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text)["config"] if path.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError:
        raise ValueError(f"no recipe at {path}") from None
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a readable recipe: {error}") from None


def to_dict(config: Any) -> dict[str, Any]:
    """The resolved config as plain values, to be written as JSON and fed back through `build`."""
    return dataclasses.asdict(config)
