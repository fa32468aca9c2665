"""What is measured of a run on pictures: its sub-tasks, what changes over training, and whether its thinking matters.

T training steps.  All but `think_triviality` only reads what the run stored.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from r1zero.analysis.redundancy import FALSE_ALARMS, Bar, copied_share, is_beyond, packed_share, set_bar
from r1zero.config import SamplingConfig, TrainConfig, build
from r1zero.experiments.recorded import RecordedRun
from r1zero.experiments.studies.lengths import windows
from r1zero.facts.think_span import think_span
from r1zero.statistics.intervals import NOTHING, Interval, ratio_interval
from r1zero.store import jsonable, part_path, part_steps, read_rollouts, write_atomically

if TYPE_CHECKING:
    from r1zero.probe.thinking import ThinkingResult

MOST_STEPS = 200  # that are read of a longer run, spread evenly
TRIVIALITY = "triviality.json"  # in the directory of a run
METHOD = 2  # how thinking is taken away; another number asks anew.  2: the answer's tags are spaced as in the response
CURVES: dict[str, str] = {
    "tokens": "tokens of a response",
    "think_tokens": "tokens of the thinking before the answer",
    "cue_share": "share of responses with a reflection cue",
    "copied": "share of a response's words copied from earlier in it",
    "packed": "bytes after compression over before, in pieces of one length",
    "alarm_share": "share of responses that repeat themselves beyond the first ones' bar",
    "reward": "mean reward",
    "correct": "share of right responses",
    "degenerate_share": "share of groups whose rewards are all equal",
}
_WRITTEN = {  # curves that metrics.jsonl has
    "tokens": "response/tokens_mean",
    "cue_share": "reflection/cue_share",
    "reward": "reward/mean",
    "correct": "outcome/correct/share",
    "degenerate_share": "group/degenerate_share",
}


# ---------------------------------------------------------------------------------------------------------------------
# Sub-tasks


@dataclass(frozen=True)
class SubtaskCell:
    """One sub-task, or `total`, at one evaluation.  Fractions; NaN where the run did not write it."""

    accuracy: Interval  # over problems
    problems: float  # held-out ones
    chance: float
    prior: float
    blank: float  # accuracy before pictures with nothing in them
    read: float  # share of responses that name exactly one choice


def subtask_accuracies(run: RecordedRun, step: int) -> dict[str, SubtaskCell]:
    """The sub-tasks at the evaluation of `step`, and `total`, by name; empty where the questions have none.

    Raises ValueError for a step at which nothing was evaluated.
    """
    row = next((row for row in run.rows if row["step"] == step), {})
    suite = next((name for name in run.suites if f"eval/{name}/accuracy" in row), None)
    if suite is None:
        evaluated = sorted({row["step"] for row in run.rows for name in run.suites if f"eval/{name}/accuracy" in row})
        raise ValueError(f"{run.dir} was not evaluated at step {step}, but at {', '.join(map(str, evaluated))}")
    prefix = f"eval/{suite}/"
    names = [key.removeprefix(f"{prefix}chance/") for key in row if key.startswith(f"{prefix}chance/")]
    return {
        name: SubtaskCell(
            Interval(*(row[f"{prefix}subtask/{name}{end}"] for end in ("", "_low", "_high"))),
            *(row.get(f"{prefix}{kind}/{name}", math.nan) for kind in ("problems", "chance", "prior", "blank", "read")),
        )
        for name in names
    }


# ---------------------------------------------------------------------------------------------------------------------
# Over training


@dataclass(frozen=True)
class RepetitionAlarm:
    """Whether the last responses of a run repeat themselves as its first ones did not."""

    bar: Bar
    first: Interval  # share of responses beyond the bar in the first steps, over problems
    last: Interval  # in the last ones

    @property
    def sounded(self) -> bool:
        """Whether more of the last responses are beyond the bar than chance, and the first ones, account for."""
        return self.last.low > np.fmax(FALSE_ALARMS, self.first.high)


@dataclass(frozen=True)
class OverTraining:
    """What changes from step to step; the responses of step t were written by the model after t - 1 updates."""

    steps: tuple[int, ...]  # [T]
    curves: Mapping[str, tuple[float, ...]]  # by name of CURVES: [T], NaN where undefined
    alarm: RepetitionAlarm

    def window(self, name: str, *, last: bool) -> float:
        """The mean of a curve over the first or the last steps; NaN where it is undefined there."""
        values = np.asarray(self.curves[name])[windows(len(self.steps))[last]]
        defined = values[np.isfinite(values)]
        return float(defined.mean()) if defined.size else math.nan


def over_training(run: RecordedRun) -> OverTraining:
    """Every curve of CURVES, from metrics.jsonl and the stored training rollouts.

    Of more than MOST_STEPS steps so many are read, the first and the last among them.  Tokens of thinking need the
    run's tokenizer, in RUN/model; they are NaN where it is not there.
    """
    steps = _spread(part_steps(run.dir, "train"))
    written = {row["step"]: row for row in run.rows}
    if not steps:
        return OverTraining((), dict.fromkeys(CURVES, ()), RepetitionAlarm(set_bar(()), NOTHING, NOTHING))
    tokenizer, bar = _tokenizer(run.dir), set_bar(_responses(run.dir, steps[0])["response"].to_list())
    read = [_read(_responses(run.dir, step), bar, tokenizer) for step in steps]
    curves = {
        name: tuple(float(written.get(step, {}).get(_WRITTEN[name], math.nan)) for step in steps)
        if name in _WRITTEN
        else tuple(_mean(table[name].to_numpy()) for table in read)
        for name in CURVES
    }
    first, last = (pl.concat(read[window]) for window in windows(len(steps)))
    return OverTraining(tuple(steps), curves, RepetitionAlarm(bar, _alarm_share(first), _alarm_share(last)))


def _spread(steps: list[int]) -> list[int]:
    if len(steps) <= MOST_STEPS:
        return steps
    return [steps[index] for index in np.linspace(0, len(steps) - 1, MOST_STEPS).round().astype(int)]


def _responses(run_dir: Path, step: int) -> pl.DataFrame:
    table = read_rollouts(part_path(run_dir, "train", step)).select("step", "problem_id", "response")
    return table.with_columns(pl.col("response").fill_null("")).collect()


def _read(responses: pl.DataFrame, bar: Bar, tokenizer: PreTrainedTokenizerBase | None) -> pl.DataFrame:
    """One row a response: step, problem_id, and the curves that its text decides."""
    texts = responses["response"].to_list()
    copied = [copied_share(text) for text in texts]
    packed = [packed_share(text, bar.piece) for text in texts]
    beyond = [float(is_beyond(*shares, bar)) for shares in zip(copied, packed, strict=True)]
    thought = _count_tokens(tokenizer, [think_span(text) for text in texts])
    columns = {"copied": copied, "packed": packed, "alarm_share": beyond, "think_tokens": thought}
    return responses.select("step", "problem_id").with_columns(pl.Series(k, v, pl.Float64) for k, v in columns.items())


def _count_tokens(tokenizer: PreTrainedTokenizerBase | None, texts: list[str]) -> list[float]:
    if tokenizer is None:
        return [math.nan] * len(texts)
    return [float(len(ids)) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def _tokenizer(run_dir: Path) -> PreTrainedTokenizerBase | None:
    """That of the run's final model; None where the run has none yet."""
    folder = run_dir / "model"
    return AutoTokenizer.from_pretrained(str(folder)) if (folder / "tokenizer_config.json").exists() else None


def _alarm_share(read: pl.DataFrame) -> Interval:
    """Over problems, each asked once a step."""
    by_problem = read.group_by("step", "problem_id").agg(pl.col("alarm_share").sum(), pl.len().alias("n"))
    return ratio_interval(by_problem["alarm_share"].to_numpy(), by_problem["n"].to_numpy())


def _mean(values: np.ndarray) -> float:
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if defined.size else math.nan


# ---------------------------------------------------------------------------------------------------------------------
# Does the answer need its thinking?


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
