"""Whether the final model of a run needs its thinking to answer; the model is asked again."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from r1zero.config import SamplingConfig, TrainConfig, build
from r1zero.experiments.recorded import RecordedRun
from r1zero.statistics.intervals import Interval
from r1zero.store import jsonable, part_path, write_atomically

if TYPE_CHECKING:
    from r1zero.probe.thinking import ThinkingResult

TRIVIALITY = "triviality.json"  # in the directory of a run
METHOD = 2  # how thinking is taken away; another number asks anew.  2: the answer's tags are spaced as in the response


@dataclass(frozen=True)
class Triviality:
    """Right answers of the final model to held-out problems after its own thinking, none, and another problem's.

    Shares of the responses that were intervened in, each answered anew by the likeliest tokens; differences are paired
    by response, with intervals over problems.  All NaN where no response had thinking before an answer.
    """

    step: int
    responses: int
    problems: int
    without_thinking: Interval  # share of the answered responses that have nothing before the answer; left out
    own: Interval
    deleted: Interval
    swapped: Interval
    own_minus_deleted: Interval
    own_minus_swapped: Interval
    p_deleted: float  # sign flips of whole problems; not corrected
    p_swapped: float
    same_deleted: Interval  # share that answers as after its own thinking
    same_swapped: Interval


def think_triviality(run: RecordedRun, count: int = 200, seed: int = 0) -> Triviality:
    """Ask the run's final model again, up to `count` of its last held-out responses; kept in RUN/triviality.json.

    What is kept is taken when it was asked of the same responses with the same settings.  Raises ValueError for a run
    without its final model or its last evaluation.
    """
    if count < 1:
        raise ValueError(f"count={count}: must be at least 1")
    part = part_path(run.dir, "eval", run.last_step)
    if not part.exists() or not (run.dir / "model" / "config.json").exists():
        raise ValueError(f"{run.dir} has no final model with its evaluation: continue the run to its last step")
    of = {
        "method": METHOD,
        "step": run.last_step,
        "count": count,
        "seed": seed,
        "responses": hashlib.sha256(part.read_bytes()).hexdigest(),
    }
    path = run.dir / TRIVIALITY
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if kept.get("of") != of:
        kept = {"of": of, "found": jsonable(_summary(_answer_anew(run, count, seed), run.last_step))}
        write_atomically(path, (json.dumps(kept, indent=2) + "\n").encode())
    return _from_json(kept["found"])


def _answer_anew(run: RecordedRun, count: int, seed: int) -> ThinkingResult:
    from r1zero.engines import build_engine
    from r1zero.models.load import load_policy
    from r1zero.probe.thinking import thinking_test
    from r1zero.tasks.templates import load_template

    config = build(TrainConfig, run.saved["config"])
    settings = config.evaluation
    policy = load_policy(
        str(run.dir / "model"),
        config.learner.device,
        max_pixels=config.model.max_pixels,
        pictures=run.dir / "images",
    )
    return thinking_test(
        policy,
        build_engine(config.engine, policy),
        load_template(config.template.name),
        run.evaluation(run.suites[0], run.last_step),
        responses=count,
        sampling=SamplingConfig(temperature=0.0, max_tokens=settings.max_tokens),
        seed=seed,
        out=None,
    )


def _summary(result: ThinkingResult, step: int) -> Triviality:
    own, deleted, swapped = result.arms
    less_deleted, less_swapped, _ = result.effects
    return Triviality(
        step=step,
        responses=result.responses,
        problems=result.problems,
        without_thinking=result.without_thinking,
        own=own.accuracy,
        deleted=deleted.accuracy,
        swapped=swapped.accuracy,
        own_minus_deleted=less_deleted.accuracy,
        own_minus_swapped=less_swapped.accuracy,
        p_deleted=less_deleted.p_value,
        p_swapped=less_swapped.p_value,
        same_deleted=deleted.unchanged,
        same_swapped=swapped.unchanged,
    )


def _from_json(found: Mapping[str, Any]) -> Triviality:
    """null is NaN."""

    def number(value: Any) -> Any:
        return math.nan if value is None else value

    read: dict[str, Any] = {
        name: Interval(*map(number, value.values())) if isinstance(value, Mapping) else number(value)
        for name, value in found.items()
    }
    return Triviality(**read)
