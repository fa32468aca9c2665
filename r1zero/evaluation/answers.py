"""The rollouts of an evaluation or a probe, in memory or in a directory from which a killed one continues.

OUT/config.json   OUT/eval/part-000003.parquet        one part a chunk of the queue, written whole or not at all
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from r1zero.config import EvalConfig, to_dict
from r1zero.engines import Engine
from r1zero.evaluation.queue import Plan, Timing, run_queue
from r1zero.evaluation.summary import NEEDED
from r1zero.records import Rollout
from r1zero.store import jsonable, read_config, rollouts_frame, write_config, write_frame

log = logging.getLogger("r1zero")

MAY_CHANGE = frozenset({"out", "data", "cluster"})  # between the parts of one evaluation: where things are
MAY_BE_THERE = {".lock", "log.txt"}  # in a directory that holds nothing yet


@dataclass(frozen=True)
class Answers:
    """What came back."""

    rollouts: pl.DataFrame  # columns NEEDED; `response`, too, where pictures were shown
    continued: int  # chunks that were there before
    timing: Timing


def collect(
    config: EvalConfig,
    suites: Sequence[str],
    plan: Plan,
    engine: Engine,
    *,
    weights: str,
    provenance: Mapping[str, Any],
    on_tokens: Callable[[int], None] | None = None,
) -> Answers:
    """Answer the whole plan; with `config.out`, keep every chunk there and redo none that is kept.

    `weights` is the model's digest.  Raises ValueError when the directory holds anything but a part of this very
    evaluation.
    """
    out = Path(config.out) if config.out else None
    if out is not None:
        here = {"config": to_dict(config), "suites": list(suites), "questions": plan.fingerprint, "weights": weights}
        open_directory(out, config.verb, here, provenance)
    seeing = any(prompt.images for chunk in plan.chunks for prompt in chunk.prompts)
    columns = [*NEEDED, "response"] if seeing else [*NEEDED]
    frames: dict[int, pl.DataFrame] = {}
    if out is not None:
        for chunk in plan.chunks:
            if (file := part(out, chunk.index)).exists():
                frames[chunk.index] = pl.read_parquet(file, columns=columns)
    continued = len(frames)

    def keep(index: int, rollouts: list[Rollout]) -> None:
        frame = rollouts_frame(
            rollouts,
            run=out.name if out else "",
            checkpoint=config.model.path,
            temperature=config.sampling.temperature,
            top_p=config.sampling.top_p,
            seed=config.seed,
        )
        if out is not None:
            write_frame(part(out, index), frame)
        frames[index] = frame.select(columns)

    timing = run_queue(
        plan,
        engine,
        samples=config.samples,
        sampling=config.sampling,
        address=(config.seed, "evaluation"),
        is_kept=lambda index: index in frames,
        keep=keep,
        answer_format=config.answer_format,
        on_tokens=on_tokens,
    )
    return Answers(pl.concat([frames[chunk.index] for chunk in plan.chunks]), continued, timing)


def part(out: Path, index: int) -> Path:
    return out / "eval" / f"part-{index:06d}.parquet"


def open_directory(
    out: Path,
    verb: str,
    here: Mapping[str, Any],
    provenance: Mapping[str, Any],
    *,
    noun: str = "evaluation",
    may_change: Collection[str] = MAY_CHANGE,
) -> None:
    """Make the directory, or check that it holds this very work.  Raises ValueError naming the first difference.

    `here` is what decides the rollouts: {"config": ..., "questions": fingerprint, "weights": digest, ...}; keys of the
    config in `may_change`, with all below them, are passed over.
    """
    if not (out / "config.json").exists():
        if out.exists() and any(path.name not in MAY_BE_THERE for path in out.iterdir()):
            raise ValueError(f"{out} is not empty and holds no {noun}: choose another --out")
        out.mkdir(parents=True, exist_ok=True)
        write_config(out, {"verb": verb, **here, **provenance})
        return
    there = read_config(out)
    if there.get("verb") != verb:
        article = "an" if noun[0] in "aeiou" else "a"
        raise ValueError(f"{out} holds a {there.get('verb')} run, not {article} {noun}: choose another --out")
    for key, what in (("commit", "code"), ("versions", "library versions")):
        if there.get(key) != json.loads(json.dumps(provenance.get(key))):
            log.warning("%s was begun with other %s: its parts may be graded otherwise than the rest", out, what)
    changed = differing({key: there.get(key) for key in here}, json.loads(json.dumps(jsonable(here))), may_change)
    if changed:
        key, before, now = changed
        what = f"{key} was {before!r}, is {now!r}"
        if key == "questions":
            what = "the questions are others, or their template is"
        elif key == "weights":
            what = "the model at this path has other weights now"
        raise ValueError(f"{out} holds another {noun} ({what}): choose another --out, or remove it")


def differing(
    there: Any, here: Any, may_change: Collection[str] = MAY_CHANGE, key: str = ""
) -> tuple[str, Any, Any] | None:
    """The first key in which two trees of plain values differ, with both values; keys that may change are passed over.

    >>> differing({"config": {"seed": 1, "out": "a"}}, {"config": {"seed": 2, "out": "b"}})
    ('seed', 1, 2)
    """
    if key in may_change:
        return None
    if not isinstance(there, Mapping) or not isinstance(here, Mapping):
        return None if there == here else (key, there, here)
    for name in [*here, *(name for name in there if name not in here)]:
        full = f"{key}.{name}" if key and key != "config" else name
        found = differing(there.get(name), here.get(name), may_change, full)
        if found:
            return found
    return None
