"""What a verb is: its name, what it takes, and the function that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Option:
    """A flag of a verb that is not a knob of its config.

    Example: Option("seeds", "N", "train N runs, of seeds seed, seed+1, ...")
    """

    name: str  # without the dashes
    metavar: str  # "" for a switch that takes no value
    help: str
    short: str = ""  # "o" for -o
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Arguments:
    """A command line, read.

    Example: Arguments(("quickstart",), {"seeds": "5"}, {"learner.lr": "1e-5"})
    """

    positionals: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)  # by name; a switch that is given is "true"
    overrides: Mapping[str, str] = field(default_factory=dict)  # knobs by full name

    def count(self, name: str, default: int) -> int:
        """An option that counts something.  Raises ValueError unless it is a whole number of at least 1."""
        value = self.options.get(name)
        if value is None:
            return default
        if not value.isascii() or not value.isdigit() or int(value) < 1:
            raise ValueError(f"--{name} {value}: give a whole number, at least 1")
        return int(value)

    def has(self, name: str) -> bool:
        return name in self.options


@dataclass(frozen=True)
class Verb:
    """One word of the command line."""

    name: str
    summary: str  # one line
    usage: str  # what follows "r1zero NAME"
    run: Callable[[Arguments], int]  # returns the exit code
    positionals: tuple[int, int]  # fewest and most
    options: tuple[Option, ...] = ()
    config_type: type[Any] | None = None  # its knobs are flags, too
    details: str = ""  # paragraphs of --help
    default_recipe: str = ""  # used when the first positional, the recipe, is absent
