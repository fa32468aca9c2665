"""The question inside a prompt: logs of trainers keep what the model read, and not the problem it was made from."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from r1zero.importing.values import shown, text
from r1zero.tasks.templates import TEMPLATES

_PLACE = "{{ text }}"
_SPECIAL = re.compile(r"<\|[a-z_]+\|>")  # trainers decode without such tokens
_USER_MARK, _ASSISTANT_MARK = "<|im_start|>user\n", "<|im_end|>"


@dataclass(frozen=True)
class Asked:
    """What a prompt asks, and the template that it was made with where it is one of ours to the letter.

    Example: Asked("2 + 2?", "qwen_math")
    """

    problem: str
    template: str | None = None


def asked(prompt: str) -> Asked:
    """The question of a prompt: by our own templates, else the last user's turn of ChatML, else the whole prompt.

    Both are known with their special tokens and without them.

    >>> asked("system\\nBe brief.\\nuser\\n2 + 2?\\nassistant\\n")
    Asked(problem='2 + 2?', template=None)
    """
    for before, after, name in _frames():
        if prompt.startswith(before) and prompt.endswith(after) and len(prompt) >= len(before) + len(after):
            return Asked(prompt[len(before) : len(prompt) - len(after)], name)
    if _USER_MARK in prompt:
        turn = prompt.rpartition(_USER_MARK)[2]
        return Asked(turn.partition(_ASSISTANT_MARK)[0].strip())
    turn, found, end = prompt.rpartition("\nassistant")
    if found and end.strip() in ("", "<think>") and (turn.startswith("user\n") or "\nuser\n" in turn):
        return Asked(f"\n{turn}".rpartition("\nuser\n")[2].strip())
    return Asked(prompt)


@lru_cache(maxsize=1)
def _frames() -> tuple[tuple[str, str, str], ...]:
    """What stands before and after the question in each of our templates, with special tokens and without."""
    frames: dict[tuple[str, str], str] = {}
    for template in TEMPLATES.values():
        before, place, after = template.source.partition(_PLACE)
        if place and before and not any("{{" in part or "{%" in part for part in (before, after)):
            frames[before, after] = template.name
            frames.setdefault((_SPECIAL.sub("", before), _SPECIAL.sub("", after)), template.name)
    return tuple((before, after, name) for (before, after), name in frames.items())


def prompt_text(value: Any) -> str | None:
    """A prompt as text; the messages of a conversation stay JSON, with the roles that they have."""
    if isinstance(value, list):
        return json.dumps([{"role": role, "content": content} for role, content in messages(value)])
    return text(value)


def messages(value: list[Any]) -> list[tuple[str, str]]:
    """(role, content) of each message; of content in several parts the texts.  Raises ValueError for what is none."""
    found = []
    for message in value:
        if not isinstance(message, dict) or "content" not in message:
            raise ValueError(f"holds {shown(message)}, which is no message with `role` and `content`")
        content = message["content"]
        if isinstance(content, list):
            content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
        found.append((text(message.get("role")) or "", text(content) or ""))
    return found


def last_of(value: list[Any], role: str) -> str:
    """The content of the last message by somebody, "" when there is none."""
    return next((content for who, content in reversed(messages(value)) if who == role), "")
