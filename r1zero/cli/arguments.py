"""Reads a command line into Arguments: positionals, a verb's own options, and `--section.key value` for every knob."""

from __future__ import annotations

import typing
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass

from r1zero.cli.verb import Arguments, Option, Verb
from r1zero.config import nearest

EVERYWHERE = (Option("help", "", "show this page", short="h"),)


def parse(verb: Verb, words: Sequence[str]) -> Arguments:
    """The words after the verb, read.  Raises ValueError naming a wrong flag and the nearest right ones.

    `--key=value` is `--key value`; dashes in keys are underscores; a switch needs no value; `--` ends the flags.
    """
    options = {option.name: option for option in (*EVERYWHERE, *verb.options)}
    shorts = {option.short: option.name for option in options.values() if option.short}
    knobs = knob_types(verb)
    positionals: list[str] = []
    given: dict[str, str] = {}
    overrides: dict[str, str] = {}
    rest = deque(words)
    while rest:
        word = rest.popleft()
        if word == "--":
            positionals += rest
            rest.clear()
        elif word == "-" or not word.startswith("-"):
            positionals.append(word)
        else:
            flag, equals, value = word.partition("=")
            key = flag.lstrip("-")
            name = key.replace("_", "-") if flag.startswith("--") else shorts.get(key, "")
            knob = key.replace("-", "_")
            if flag.startswith("--") and knob in knobs:
                overrides[knob] = value if equals else _value(flag, rest, is_switch=knobs[knob] is bool)
            elif name in options and not options[name].metavar:
                if equals:
                    raise ValueError(f"--{name} takes no value")
                given[name] = "true"
            elif name in options:
                given[name] = value if equals else _value(flag, rest)
                _check_choice(options[name], given[name])
            else:
                raise ValueError(f"unknown option {flag}: {_nearest_flag(knob, knobs, options)}")
    _check_positionals(verb, positionals, given)
    return Arguments(tuple(positionals), given, overrides)


def knob_types(verb: Verb) -> dict[str, type]:
    """Every knob of the verb's config by its full name, with its annotated type."""
    return dict(_knob_types(verb.config_type)) if verb.config_type else {}


def _knob_types(config_type: type, prefix: str = "") -> Iterator[tuple[str, type]]:
    hints = typing.get_type_hints(config_type)
    for f in fields(config_type):
        if is_dataclass(hints[f.name]):
            yield from _knob_types(hints[f.name], f"{prefix}{f.name}.")
        else:
            yield prefix + f.name, hints[f.name]


def _value(flag: str, rest: deque[str], *, is_switch: bool = False) -> str:
    """The value of a flag, taken from the words after it; a switch that stands alone is "true"."""
    following = rest[0] if rest else None
    if is_switch and (following is None or following.lower() not in ("true", "false")):
        return "true"
    if following is None or (following.startswith("--") and len(following) > 2):
        raise ValueError(f"{flag} needs a value")
    return rest.popleft()


def _check_choice(option: Option, value: str) -> None:
    if option.choices and value not in option.choices:
        raise ValueError(f"--{option.name} {value}: {nearest(value, option.choices)}")


def _check_positionals(verb: Verb, positionals: Sequence[str], given: dict[str, str]) -> None:
    fewest, most = verb.positionals
    if "help" in given:
        return
    if len(positionals) < fewest:
        raise ValueError(f"usage: r1zero {verb.name} {verb.usage}")
    if len(positionals) > most:
        raise ValueError(f"unexpected {positionals[most]!r}; usage: r1zero {verb.name} {verb.usage}")


def _nearest_flag(key: str, knobs: dict[str, type], options: dict[str, Option]) -> str:
    """Full names that end in the key, else names that look like it."""
    same_ending = [knob for knob in knobs if knob.rsplit(".", 1)[-1] == key]
    if same_ending:
        return f"did you mean {', '.join('--' + knob for knob in same_ending)}?"
    suggestion = nearest(key, [*options, *knobs], "--")
    return suggestion if suggestion.startswith("did you mean") else "see --help for every option"
