"""Paper vs yours: values that the original works report, as data with their status, beside an evaluation of the same.

A value is compared where model, template and benchmark are the paper's.  Whether the rest of the protocol (samples,
temperature, budget, questions left out) is the same is said with it: without that nothing is called compatible.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal

from r1zero.statistics.intervals import Interval
from r1zero.tasks.benchmarks import BENCHMARKS

Status = Literal["table", "figure", "text", "misprint"]
ROUNDING = 0.0005  # values are given to a tenth of a percent
READING = 0.01  # and those read off a figure to a percent
# how answers were found under each template where a row or its source says nothing else
USUAL_RULES = {"r1": "r1", "qwen_math": "boxed_strict", "none": "boxed_strict"}
SAME_RULES = {("boxed_strict", "boxed")}  # theirs and ours that find the same in whole responses


@dataclass(frozen=True)
class Reference:
    """One published number.

    Example: Reference("...", "Qwen2.5-Math-7B", ("qwen2.5-math-7b",), "none", "aime24", 0.2, "misprint", printed=0.002)
    """

    source: str
    model: str
    names: tuple[str, ...]  # ends of Hub ids or of directories, lower case
    template: str
    benchmark: str  # or the suite whose macro average it is
    value: float  # fraction
    status: Status
    printed: float | None = None  # fraction that stands in the paper, where that is a misprint
    samples: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    answer_format: str = ""  # the rule that found the answers; "" is not known
    note: str = ""

    @property
    def is_count(self) -> bool:
        """Whether the value is some number of right answers to the benchmark's questions: one response to each.

        Otherwise it was averaged over samples, or another set was asked.  True where the size is unknown.
        """
        benchmark = BENCHMARKS.get(self.benchmark)
        if benchmark is None:
            return True
        nearest_count = round(self.value * benchmark.size) / benchmark.size
        return abs(nearest_count - self.value) <= ROUNDING + 1e-9


@lru_cache(maxsize=1)
def references() -> tuple[Reference, ...]:
    """Every value of references.toml."""
    data = tomllib.loads((files("r1zero") / "evaluation" / "references.toml").read_text(encoding="utf-8"))
    return tuple(
        _reference(source, row, column, percent)
        for source in data["source"]
        for row in source["rows"]
        for column, percent in zip(source["columns"], row["values"], strict=True)
    )


def _reference(source: Mapping, row: Mapping, column: str, percent: float) -> Reference:
    protocol = {name: row.get(name, source.get(name)) for name in ("samples", "temperature", "max_tokens")}
    printed = row.get("printed", {}).get(column)
    return Reference(
        source=source["title"],
        model=row["model"],
        names=tuple(row["names"]),
        template=row["template"],
        benchmark=column,
        value=percent / 100,
        status="misprint" if printed is not None else source.get("status", "table"),
        printed=None if printed is None else printed / 100,
        answer_format=row.get("answer_format", source.get("answer_format", USUAL_RULES.get(row["template"], ""))),
        note=row.get("note", ""),
        **protocol,
    )


@dataclass(frozen=True)
class Protocol:
    """How an evaluation asked.

    Example: Protocol("Qwen/Qwen2.5-Math-1.5B", "none", samples=1, temperature=0.0, max_tokens=3000)
    """

    model: str
    template: str
    samples: int
    temperature: float
    max_tokens: int
    answer_format: str = ""  # the rule that found the answers; "" is not stated


@dataclass(frozen=True)
class Match:
    """A published number beside ours."""

    reference: Reference
    ours: Interval
    differs: tuple[str, ...]  # what of the protocol is not the paper's

    @property
    def compatible(self) -> bool | None:
        """Whether the paper's value, within its rounding, lies in our interval; None where the protocol differs."""
        if self.differs or math.isnan(self.ours.low):
            return None
        slack = READING if self.reference.status == "figure" else ROUNDING
        return self.ours.low - slack <= self.reference.value <= self.ours.high + slack

    @property
    def verdict(self) -> str:
        if self.compatible is None:
            return "not comparable: " + "; ".join(self.differs or ("no interval",))
        return "compatible" if self.compatible else "differs"

    @property
    def remark(self) -> str:
        """The status, with what is odd about the value."""
        reference = self.reference
        remarks: list[str] = [reference.status]
        if reference.printed is not None:
            remarks.append(f"printed as {100 * reference.printed:.1f}")
        if not reference.is_count:
            remarks.append(f"no count of {BENCHMARKS[reference.benchmark].size}: averaged, or another set")
        return ", ".join(remarks)


def short_name(model: str) -> str:
    """The end of a Hub id or path, lower case.

    >>> short_name("Qwen/Qwen2.5-Math-1.5B"), short_name("models/Oat-Zero-7B/")
    ('qwen2.5-math-1.5b', 'oat-zero-7b')
    """
    return model.rstrip("/").rsplit("/", 1)[-1].lower()


def match(
    protocol: Protocol,
    accuracies: Mapping[str, Interval],
    incomplete: Mapping[str, str] | None = None,
    known: Sequence[Reference] | None = None,
) -> list[Match]:
    """Published numbers of this model under this template, for the benchmarks and suites in `accuracies`.

    `incomplete` says of a benchmark why not all its questions were asked.
    """
    name = short_name(protocol.model)
    found = []
    for reference in references() if known is None else known:
        same = name in reference.names and reference.template == protocol.template
        if same and reference.benchmark in accuracies:
            missing = (incomplete or {}).get(reference.benchmark)
            differs = (*differences(protocol, reference), *([missing] if missing else []))
            found.append(Match(reference, accuracies[reference.benchmark], differs))
    return found


def differences(protocol: Protocol, reference: Reference) -> tuple[str, ...]:
    """What an evaluation did otherwise than the paper, in words; what the paper does not say is passed over."""
    found = []
    for key in ("samples", "temperature", "max_tokens"):
        theirs, ours = getattr(reference, key), getattr(protocol, key)
        if theirs is not None and theirs != ours:
            found.append(f"{key} {ours}, theirs {theirs}")
    theirs, ours = reference.answer_format, protocol.answer_format
    if theirs and ours and theirs != ours and (theirs, ours) not in SAME_RULES:
        found.append(f"answers found by {ours}, theirs by {theirs}")
    return tuple(found)


def published_names(template: str) -> list[str]:
    """Names of models that have published values under a template, as `match` knows them."""
    return sorted({name for reference in references() if reference.template == template for name in reference.names})
