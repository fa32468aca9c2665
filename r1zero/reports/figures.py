"""The panels of a report, as plain plotly figures: {"data": [...], "layout": {...}}.

A panel is drawn for each run and put on the same axes (`share_axes`), so that runs can be read side by side.  Colours
are written "@name" or "@name/opacity"; page.css gives their values in the reader's light or dark theme.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from r1zero.experiments.recorded import RecordedRun
from r1zero.records import OUTCOMES, Outcome
from r1zero.reports.traces import Figure, band, figure, line
from r1zero.store import read_rollouts

COLOURS: dict[Outcome, str] = {outcome: f"@{outcome}" for outcome in OUTCOMES}  # an outcome has one colour everywhere
BLUE, ORANGE, GREEN = "@blue", "@orange", "@green"
INK, MUTED = "@ink", "@muted"
DASHES = ("solid", "dash", "dot", "dashdot")
SMOOTHING = 5  # steps in the running mean of noisy curves


@dataclass(frozen=True)
class Panel:
    """One chart of the page: what it shows and how to read it."""

    key: str
    title: str
    caption: str
    draw: Callable[[RecordedRun], Figure | None]  # None where the run did not record what it needs


def draw_progress(run: RecordedRun) -> Figure | None:
    """Training reward with its interval, and held-out accuracy with its."""
    traces: list[dict[str, Any]] = []
    steps, rewards = run.series("reward/mean")
    if run.has("reward/mean"):
        traces += _reward_band(run)
        traces.append(line(steps, rewards, "training reward", MUTED, width=1))
        if len(steps) > 2 * SMOOTHING:
            traces.append(line(steps, _running_mean(rewards), f"mean of {SMOOTHING} steps", INK))
    for suite, dash in zip(run.suites, DASHES * len(run.suites), strict=False):
        x, accuracy = run.series(f"eval/{suite}/accuracy")
        low, high = run.series(f"eval/{suite}/accuracy_low")[1], run.series(f"eval/{suite}/accuracy_high")[1]
        name = "held-out accuracy" if len(run.suites) == 1 else f"accuracy on {html.escape(suite)}"
        if len(low) == len(high) == len(x):
            traces += band(x, low, high, COLOURS["correct"])
        traces.append(line(x, accuracy, name, COLOURS["correct"], dash=dash, markers=True))
    return over_steps(traces, "reward, accuracy (fraction)", to_zero=True) if traces else None


def _reward_band(run: RecordedRun) -> list[dict[str, Any]]:
    """95 % interval of each step's mean reward, groups as clusters: mean ± t sd/sqrt(P) over the P group means."""
    try:
        rollouts = read_rollouts(run.dir)
    except ValueError:  # rollouts were not copied with the run: the line stands without its band
        return []
    groups = rollouts.group_by("step", "problem_id").agg(pl.col("reward").mean())
    steps = groups.group_by("step").agg(
        pl.col("reward").mean().alias("mean"), pl.col("reward").std().alias("sd"), pl.len().alias("n")
    )
    rows = steps.filter(pl.col("n") > 1).sort("step").collect()
    n = rows["n"].to_numpy()
    half = stats.t.ppf(0.975, n - 1) * rows["sd"].to_numpy() / np.sqrt(n)
    mean = rows["mean"].to_numpy()
    return band(rows["step"].to_list(), (mean - half).tolist(), (mean + half).tolist(), MUTED)


def draw_length(run: RecordedRun) -> Figure | None:
    """Mean tokens by outcome, and of all responses."""
    names = {outcome: f"outcome/{outcome}/tokens_mean" for outcome in OUTCOMES}
    traces = [
        line(*run.series(name), outcome, COLOURS[outcome], width=1.5)
        for outcome, name in names.items()
        if run.has(name)
    ]
    if run.has("response/tokens_mean"):
        traces.append(line(*run.series("response/tokens_mean"), "all responses", INK, width=2.5))
    return over_steps(traces, "mean length (tokens)", to_zero=True) if traces else None


def draw_outcomes(run: RecordedRun) -> Figure | None:
    """Shares of the outcomes, stacked to 1."""
    traces = []
    for outcome in OUTCOMES:
        if run.has(f"outcome/{outcome}/share"):
            trace = line(*run.series(f"outcome/{outcome}/share"), outcome, COLOURS[outcome], width=0.5)
            fill = COLOURS[outcome] + "/0.75"
            traces.append(trace | {"stackgroup": "outcomes", "fillcolor": fill, "hovertemplate": "%{y:.1%}"})
    return over_steps(traces, "share of responses (fraction)", y_range=(0, 1)) if traces else None


def draw_decomposition(run: RecordedRun) -> Figure | None:
    """Why the mean length differs from step 1's: within outcomes, or their mix."""
    if not run.has("response/change"):
        return None
    return over_steps(
        [
            line(*run.series("response/change_within"), "within outcomes", GREEN),
            line(*run.series("response/change_mix"), "mix of outcomes", ORANGE, dash="dash"),
            line(*run.series("response/change"), "both: the change", INK, width=2.5),
        ],
        "change of mean length (tokens)",
    )


def draw_groups(run: RecordedRun) -> Figure | None:
    """Groups that teach nothing, beside the share expected of equally hard problems."""
    if not run.has("group/degenerate_share"):
        return None
    lines = (
        ("group/degenerate_share", "all rewards equal", INK, "solid"),
        ("group/degenerate_predicted", "expected if equally hard", MUTED, "dash"),
        ("group/all_wrong_share", "none correct", COLOURS["wrong"], "dot"),
        ("group/all_correct_share", "all correct", COLOURS["correct"], "dot"),
    )
    traces = [line(*run.series(name), label, colour, dash=dash, width=1.5) for name, label, colour, dash in lines]
    return over_steps(traces, "share of groups (fraction)", y_range=(0, 1))


def draw_reflection(run: RecordedRun) -> Figure | None:
    """How many responses hold a reflection cue, by correctness."""
    lines = (
        ("reflection/cue_share_correct", "correct responses", COLOURS["correct"], 1.5),
        ("reflection/cue_share_incorrect", "all others", COLOURS["wrong"], 1.5),
        ("reflection/cue_share", "all responses", INK, 2.5),
    )
    traces = [line(*run.series(name), label, colour, width=w) for name, label, colour, w in lines if run.has(name)]
    return over_steps(traces, "share with a cue (fraction)", y_range=(0, 1)) if traces else None


def draw_policy(run: RecordedRun) -> Figure | None:
    """Entropy, divergences and gradient norm, one above the other on the same steps."""
    rows = (
        ("entropy (nats)", {"policy/entropy": "entropy"}, "linear"),
        (
            "KL (nats)",
            {"policy/kl_sampler_learner": "KL sampler–learner", "policy/kl_reference": "KL to the initial model"},
            "log",
        ),
        ("gradient norm", {"grad/norm": "gradient norm"}, "linear"),
    )
    traces: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    for index, (title, names, scale) in enumerate(rows):
        number = "" if index == 0 else str(index + 1)
        top = 1 - index * 0.36
        axes[f"yaxis{number}"] = {"title": {"text": title}, "type": scale, "domain": [top - 0.28, top], "nticks": 4}
        if scale == "log":
            axes[f"yaxis{number}"] |= {"exponentformat": "e"}
        for (name, label), colour in zip(names.items(), (INK, ORANGE), strict=False):
            steps, values = run.series(name)
            positive = [v if scale == "linear" or v > 0 else math.nan for v in values]
            if run.has(name):
                traces.append(line(steps, positive, label, colour, width=1.5) | {"yaxis": f"y{number}"})
    if not traces:
        return None
    figure = over_steps(traces, "")
    figure["layout"] |= axes | {"height": 420, "showlegend": run.has("policy/kl_reference")}
    figure["layout"]["xaxis"]["anchor"] = "y3"
    return figure


def draw_speed(run: RecordedRun) -> Figure | None:
    """Tokens a second of sampling and learning."""
    lines = (
        ("speed/rollout_tokens_per_s", "sampling", BLUE),
        ("speed/learner_tokens_per_s", "learning (prompts included)", GREEN),
    )
    traces = [line(*run.series(name), label, colour, width=1.5) for name, label, colour in lines if run.has(name)]
    figure = over_steps(traces, "tokens per second", to_zero=True) if traces else None
    if figure:
        figure["layout"]["yaxis"] |= {"tickformat": ",.3~s"}
    return figure


PANELS: tuple[Panel, ...] = (
    Panel("progress", "Reward and held-out accuracy", "Bands are 95 % intervals, problems as clusters.", draw_progress),
    Panel("length", "Length by outcome", "Mean tokens of the training responses of each outcome.", draw_length),
    Panel("outcomes", "Outcome ledger", "Every training response falls in exactly one outcome.", draw_outcomes),
    Panel(
        "decomposition",
        "Why the length changed",
        "Against step 1: responses of an outcome growing (within), or outcomes becoming more frequent (mix).",
        draw_decomposition,
    ),
    Panel(
        "groups",
        "Groups that teach nothing",
        "Equal rewards give zero advantages. Above the dashed line: problems are unequally hard.",
        draw_groups,
    ),
    Panel(
        "reflection",
        "Reflection cues",
        "Words such as “wait” or “let me check” are there; that is all.",
        draw_reflection,
    ),
    Panel("policy", "Policy", "KL sampler–learner near 0 says that what is sampled is what is scored.", draw_policy),
    Panel("speed", "Speed", "Measured while the step ran, on the run's own machine.", draw_speed),
)


def share_axes(figures: Sequence[Figure | None]) -> None:
    """Give figures of one panel the same ranges, so that their heights can be compared by eye."""
    drawn = [figure for figure in figures if figure]
    x = [value for figure in drawn for trace in figure["data"] for value in trace["x"]]
    if x:
        pad = max(0.5, (max(x) - min(x)) * 0.02)
        for figure in drawn:
            figure["layout"]["xaxis"] |= {"range": [min(x) - pad, max(x) + pad]}
            if max(x) - min(x) <= 10:
                figure["layout"]["xaxis"]["dtick"] = 1  # there is no step 2.5
    for axis in ("y", "y2", "y3"):
        name = "yaxis" + axis[1:]
        traces = [trace for figure in drawn for trace in figure["data"] if trace.get("yaxis", "y") == axis]
        values = [v for trace in traces for v in trace["y"] if v is not None and math.isfinite(v)]
        if not values or any("range" in figure["layout"].get(name, {}) for figure in drawn):
            continue
        log = drawn[0]["layout"][name].get("type") == "log"
        if log:
            values = [math.log10(v) for v in values]
        low, high = min(values), max(values)
        if drawn[0]["layout"][name].get("rangemode") == "tozero":
            low = min(0.0, low)
        pad = (high - low) * 0.06 or max(abs(high) * 0.1, 0.01)
        floor = 0.0 if low >= 0 and high > 0 and not log else -math.inf  # shares and lengths do not go below 0
        for figure in drawn:
            figure["layout"][name]["range"] = [max(low - pad, floor), high + pad]


# ---------------------------------------------------------------------------------------------------------------------
# Pieces of a figure


def over_steps(
    traces: list[dict[str, Any]], y_title: str, y_range: tuple[float, float] | None = None, *, to_zero: bool = False
) -> Figure:
    """Traces over training steps."""
    y_axis: Figure = {"range": list(y_range)} if y_range else {}
    return figure(traces, "training step", y_title, {}, y_axis | ({"rangemode": "tozero"} if to_zero else {}))


def _running_mean(values: Sequence[float]) -> list[float]:
    """Mean of each value and the SMOOTHING - 1 before it, undefined ones left out."""
    means = []
    for i in range(len(values)):
        window = [v for v in values[max(0, i + 1 - SMOOTHING) : i + 1] if math.isfinite(v)]
        means.append(sum(window) / len(window) if window else math.nan)
    return means
