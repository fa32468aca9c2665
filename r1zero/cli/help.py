"""What `--help` prints: every option and every knob, with its meaning, unit and default."""

from __future__ import annotations

import shutil
import textwrap
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from r1zero.cli.arguments import EVERYWHERE
from r1zero.cli.verb import Option, Verb
from r1zero.config import flatten

COLUMN = 34  # where explanations begin


def overview(verbs: Iterable[Verb], version: str) -> str:
    """What `r1zero --help` prints."""
    lines = [
        f"r1zero {version}: a laboratory for R1-Zero-like training",
        "",
        "usage: r1zero VERB [...]",
        "",
        *(line for verb in verbs for line in _entry(verb.name, verb.summary, 12)),
        "",
        "`r1zero VERB --help` explains every option. A first run, in minutes on a laptop: r1zero train",
        "Exit codes: 0 done, 1 failed while working, 2 wrong usage or input.",
        "R1ZERO_TRACEBACK=1 in the environment shows where an error arose.",
    ]
    return "\n".join(lines)


def page(verb: Verb, recipe: Mapping[str, Any], recipe_name: str) -> str:
    """What `r1zero VERB --help` prints; `recipe` holds the values, by full name, that a recipe gives."""
    lines = [f"usage: r1zero {verb.name} {verb.usage}", "", *_wrap(verb.summary, 0)]
    for paragraph in verb.details.strip("\n").split("\n\n"):
        lines += ["", *(_wrap(paragraph, 0) if not paragraph.startswith("  ") else paragraph.splitlines())]
    lines += ["", "options"]
    for option in (*verb.options, *EVERYWHERE):
        lines += _entry(_flag(option), option.help, COLUMN)
    if verb.config_type is not None:
        lines += ["", "config (each is also a key of the recipe's TOML)"]
        lines += _knobs(verb.config_type, flatten(verb.config_type()), recipe, recipe_name)
    return "\n".join(lines)


def _flag(option: Option) -> str:
    value = "|".join(option.choices) or option.metavar
    return f"{'-' + option.short + ', ' if option.short else ''}--{option.name} {value}".rstrip()


def _knobs(
    config_type: type, defaults: Mapping[str, Any], recipe: Mapping[str, Any], recipe_name: str, section: str = ""
) -> Iterator[str]:
    """A config's own knobs, then those of its sections, each under a heading."""
    hints = typing.get_type_hints(config_type)
    sections = [f for f in fields(config_type) if is_dataclass(hints[f.name])]
    for f in fields(config_type):
        if f in sections:
            continue
        name = section + f.name
        default = f"default: {show(defaults[name])}"
        if name in recipe and show(recipe[name]) != show(defaults[name]):
            default += f"; {recipe_name}: {show(recipe[name])}"
        yield from _entry(f"--{name} {metavar(hints[f.name])}", f"{f.metadata['help']} ({default})", COLUMN)
    for f in sections:
        yield ""
        yield f"{section}{f.name}: {f.metadata['help']}"
        yield from _knobs(hints[f.name], defaults, recipe, recipe_name, f"{section}{f.name}.")


def metavar(kind: Any) -> str:
    """What stands for a value of this type: INT, FLOAT, TEXT, true|false, a|b|c, INT,INT,..."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return metavar(next(a for a in arguments if a is not type(None)))
    if origin is typing.Literal:
        return "|".join(str(a) for a in arguments)
    if origin is tuple:
        return f"{metavar(arguments[0])},..."
    return {int: "INT", float: "FLOAT", bool: "true|false"}.get(kind, "TEXT")


def show(value: Any) -> str:
    """A default as one would type it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ",".join(str(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"


def _entry(flag: str, text: str, column: int) -> Iterator[str]:
    """A flag with its explanation beside it, or below it when it is long."""
    lines = _wrap(text, column)
    head = f"  {flag}"
    if len(head) + 2 > column:
        yield head
        yield from lines
    else:
        yield head.ljust(column) + lines[0].lstrip()
        yield from lines[1:]


def _wrap(text: str, indent: int) -> list[str]:
    width = max(60, min(120, shutil.get_terminal_size((100, 24)).columns))
    pad = " " * indent
    return textwrap.wrap(
        " ".join(text.split()), width, initial_indent=pad, subsequent_indent=pad, break_on_hyphens=False
    )
