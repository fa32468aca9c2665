"""What changes over the training of a run on pictures, read from what the run stored.

T training steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from r1zero.analysis.redundancy import FALSE_ALARMS, Bar, copied_share, is_beyond, packed_share, set_bar
from r1zero.experiments.recorded import RecordedRun
from r1zero.experiments.studies.lengths import windows
from r1zero.facts.think_span import think_span
from r1zero.statistics.intervals import NOTHING, Interval, ratio_interval
from r1zero.store import part_path, part_steps, read_rollouts

MOST_STEPS = 200  # that are read of a longer run, spread evenly
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


@dataclass(frozen=True)
class RepetitionAlarm:
    """Whether the last responses of a run repeat themselves as its first ones did not."""

    bar: Bar
    first: Interval  # share of responses beyond the bar in the first steps, over problems; NaN without a bar
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
        return _mean(np.asarray(self.curves[name])[windows(len(self.steps))[last]])


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
    beyond = [float(is_beyond(*shares, bar)) if bar.known else math.nan for shares in zip(copied, packed, strict=True)]
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
    """Over problems, each asked once a step; undefined where there is no bar."""
    read = read.filter(pl.col("alarm_share").is_not_nan())
    by_problem = read.group_by("step", "problem_id").agg(pl.col("alarm_share").sum(), pl.len().alias("n"))
    return ratio_interval(by_problem["alarm_share"].to_numpy(), by_problem["n"].to_numpy())


def _mean(values: np.ndarray) -> float:
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if defined.size else math.nan
