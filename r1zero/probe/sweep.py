"""Asks a design: one engine, cell after cell, into a directory from which a killed probe continues.

OUT/config.json   OUT/eval/part-000003.parquet   OUT/weights.json      the layout of `r1zero eval --out`
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from r1zero.config import ProbeConfig, to_dict
from r1zero.engines import Engine
from r1zero.evaluation.answers import MAY_CHANGE, open_directory, part
from r1zero.evaluation.queue import Plan, Timing, run_queue
from r1zero.probe.design import Design
from r1zero.records import Rollout
from r1zero.store import rollouts_frame, write_atomically, write_frame

# what is done with rollouts, not what they are: may change between the parts of one probe
ANALYSIS = frozenset({"pool", "labels", "judge", "causal", "thinking", "threads", "device"})
ADDRESS = "probe"


class Watcher(Protocol):
    """Who watches a probe; see r1zero.probe.progress."""

    def begin(self, what: str, total: int, done: int = 0) -> None: ...
    def advance(self, count: int) -> None: ...
    def tokens(self, count: int) -> None: ...


@dataclass(frozen=True)
class Swept:
    """What asking came to."""

    out: Path
    asked: int  # responses that were sampled now
    continued: int  # responses that were there before
    dropped: tuple[str, ...]  # problems whose prompt leaves no room under some template
    timing: Timing


def open_probe(out: Path, config: ProbeConfig, plan: Plan, facts: Mapping[str, Any], source: Mapping[str, Any]) -> None:
    """Make the directory of a probe or check that it holds this very one; `facts` are further things that must agree.

    Raises ValueError naming the first difference.
    """
    here = {"config": to_dict(config), "questions": plan.fingerprint, **facts}
    open_directory(out, config.verb, here, source, noun="probe", may_change=MAY_CHANGE | ANALYSIS)


def sweep(
    plan: Plan,
    engine: Engine,
    design: Design,
    config: ProbeConfig,
    out: Path,
    *,
    checkpoint: str,
    watcher: Watcher | None = None,
    what: str = "asking",
) -> Swept:
    """Ask every chunk of the plan that is not kept yet, and keep it.  The directory must be open."""
    kept = {chunk.index: part(out, chunk.index).exists() for chunk in plan.chunks}
    sizes = {chunk.index: len(chunk.prompts) * (chunk.way.samples if chunk.way else 1) for chunk in plan.chunks}
    ways = {chunk.index: chunk.way for chunk in plan.chunks}
    there = sum(size for index, size in sizes.items() if kept[index])
    if watcher:
        watcher.begin(what, sum(sizes.values()), there)

    def keep(index: int, rollouts: list[Rollout]) -> None:
        way = ways[index]
        frame = rollouts_frame(
            rollouts,
            run=out.name,
            checkpoint=checkpoint,
            temperature=way.temperature if way else None,
            top_p=config.top_p,
            seed=config.seed,
        )
        write_frame(part(out, index), frame)
        if watcher:
            watcher.advance(len(rollouts))

    timing = run_queue(
        plan,
        engine,
        samples=config.samples,
        sampling=design.sampling,
        address=(config.seed, ADDRESS),
        is_kept=kept.__getitem__,
        keep=keep,
        answer_format=config.answer_format,
        on_tokens=watcher.tokens if watcher else None,
    )
    return Swept(out, sum(sizes.values()) - there, there, plan.dropped, timing)


def at_step(plan: Plan, step: int) -> Plan:
    """The chunks of a plan that are asked of the model at one step of its training."""
    return replace(plan, chunks=tuple(chunk for chunk in plan.chunks if chunk.way and chunk.way.step == step))


def is_answered(plan: Plan, out: Path) -> bool:
    return all(part(out, chunk.index).exists() for chunk in plan.chunks)


def check_weights(out: Path, name: str, digest: str) -> None:
    """Remember with which weights `name` was asked.  Raises ValueError when they have changed since."""
    file = out / "weights.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if known.get(name, digest) != digest:
        raise ValueError(f"{out} holds responses of {name} with other weights: choose another --out, or remove it")
    if name not in known:
        write_atomically(file, (json.dumps(known | {name: digest}, indent=2) + "\n").encode())


def merged(timings: Sequence[Timing]) -> Timing:
    """The sum of several timings."""
    return Timing(
        sum(one.wall for one in timings),
        sum(one.sampling for one in timings),
        sum(one.grading for one in timings),
        sum(one.tokens for one in timings),
    )
