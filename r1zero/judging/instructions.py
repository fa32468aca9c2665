"""What a judge is told: versioned text files with our own wording, filled with a question and a response.

A file is never edited once verdicts were made with it: a new wording is a new version, and so a new key in the cache.
The files name no reflection cue, lest judge and keyword detector agree because one quotes the other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from string import Template
from typing import Any

from r1zero.config import nearest

# What is asked, in which version, and the categories of the verdict.
CURRENT: dict[str, tuple[int, tuple[int, ...]]] = {
    "answering": (1, (0, 1)),  # does the response try to answer the question?
    "reflection": (1, (0, 1, 2, 3)),  # off-topic, answers, looks back, program code only
}


@dataclass(frozen=True)
class Instruction:
    """One version of one question to the judge."""

    name: str
    version: int
    text: str  # with $problem, $response and $mark
    categories: tuple[int, ...]

    @property
    def label(self) -> str:
        """Example: "answering-1", the name of its file"""
        return f"{self.name}-{self.version}"

    @property
    def response_format(self) -> dict[str, Any]:
        """The verdict as a JSON schema, for endpoints with structured output."""
        verdict = {
            "type": "object",
            "properties": {
                "reason": {"type": "string"},
                "category": {"type": "integer", "enum": list(self.categories)},
            },
            "required": ["reason", "category"],
            "additionalProperties": False,
        }
        return {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": verdict}}


@dataclass(frozen=True)
class Rendered:
    """What is sent."""

    text: str
    shortened: bool  # the judge does not see all of the response, or of the problem


@lru_cache
def load_instruction(name: str) -> Instruction:
    """The current version of an instruction, by its name."""
    if name not in CURRENT:
        raise ValueError(f"no judge {name!r}: {nearest(name, CURRENT)}")
    version, categories = CURRENT[name]
    text = (files("r1zero.judging") / "prompts" / f"{name}-{version}.txt").read_text(encoding="utf-8")
    return Instruction(name, version, text, categories)


def render(instruction: Instruction, problem: str, response: str, max_chars: int) -> Rendered:
    """The instruction around a problem and a response, each cut in its middle to `max_chars` characters.

    Both are untrusted text.  They stand between tags that end in a mark which occurs in neither, so that neither can
    close its block, and the instruction follows them.  The mark is a digest of both: equal texts are rendered equally.
    """
    problem, response = _encodable(problem), _encodable(response)
    shown, seen = shorten(problem, max_chars), shorten(response, max_chars)
    text = Template(instruction.text).substitute(problem=shown, response=seen, mark=_mark(shown, seen))
    return Rendered(text, shown != problem or seen != response)


def shorten(text: str, max_chars: int) -> str:
    """The text without its middle, which a line tells the length of, where it is longer than `max_chars`.

    >>> shorten("abcdefghij", 6)
    'abc\\n[... 4 characters left out ...]\\nhij'
    """
    left_out = len(text) - max_chars
    if left_out <= 0:
        return text
    head = max_chars - max_chars // 2
    return f"{text[:head]}\n[... {left_out:,} characters left out ...]\n{text[head + left_out :]}"


def _mark(problem: str, response: str) -> str:
    """Sixteen hexadecimal digits that occur in neither text."""
    mark = hashlib.sha256(f"{problem}\0{response}".encode()).hexdigest()[:16]
    while mark in problem or mark in response:
        mark = hashlib.sha256(mark.encode()).hexdigest()[:16]
    return mark


def _encodable(text: str) -> str:
    """The text with a replacement character for every lone surrogate, which no request can carry."""
    return text.encode("utf-8", "replace").decode()
