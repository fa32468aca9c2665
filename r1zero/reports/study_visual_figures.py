"""The figures of a page about pictures, as plain plotly figures; see r1zero.reports.figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from r1zero.experiments.studies.estimate import LENGTH, SHARE, over_seeds
from r1zero.experiments.studies.lengths import SMOOTHING
from r1zero.experiments.studies.visual_curves import CURVES
from r1zero.experiments.studies.visual_measures import MeasuredRun
from r1zero.experiments.studies.visual_result import ArmSubtask, PictureStudy
from r1zero.reports.figures import over_steps
from r1zero.reports.traces import Figure, band, line

COLOURS = ("@blue", "@orange", "@green", "@ink", "@muted")  # of arms, in their order
SHOWN = ("correct", "tokens", "think_tokens", "cue_share", "copied", "degenerate_share")  # of CURVES
WIDTH = 0.7  # of a sub-task's place that its arms fill


def draw_accuracy(result: PictureStudy) -> Figure:
    """Every arm's final accuracy in every sub-task, beside chance and what it has before blank pictures."""
    arms, kinds = list(result.steps), list(dict.fromkeys(one.kind for one in result.subtasks))
    traces: list[dict[str, Any]] = []
    for index, (arm, colour) in enumerate(zip(arms, COLOURS * len(arms), strict=False)):
        own = [result.subtask(arm, kind) for kind in kinds]
        places = [place + WIDTH * ((index + 0.5) / len(arms) - 0.5) for place in range(len(kinds))]
        traces.append(_points(places, own, arm, colour))
        blank = [one.blank if math.isfinite(one.blank) else None for one in own]
        if any(value is not None for value in blank):
            mark = {"color": colour, "size": 6, "symbol": "x-thin-open"}
            traces.append(
                {"x": places, "y": blank, "mode": "markers", "marker": mark, "showlegend": False, "hoverinfo": "skip"}
            )
    for place, kind in enumerate(kinds):
        chance = result.subtask(arms[0], kind).chance
        if math.isfinite(chance):
            ends = [place - 0.45, place + 0.45]
            dashed = {"color": "@muted", "dash": "dot", "width": 1.5}
            traces.append(
                {
                    "x": ends,
                    "y": [chance, chance],
                    "mode": "lines",
                    "line": dashed,
                    "showlegend": False,
                    "hoverinfo": "skip",
                }
            )
    layout = {
        "xaxis": {"tickvals": list(range(len(kinds))), "ticktext": kinds, "range": [-0.5, len(kinds) - 0.5]},
        "yaxis": {"title": {"text": "accuracy (fraction)"}, "range": [0, 1.02]},
        "height": 320,
        "hovermode": "closest",
    }
    return {"data": traces, "layout": layout}


def _points(places: Sequence[float], own: Sequence[ArmSubtask], name: str, colour: str) -> dict[str, Any]:
    finite = all(math.isfinite(one.after.low) for one in own)
    bars = {
        "type": "data",
        "symmetric": False,
        "array": [one.after.high - one.after.estimate for one in own],
        "arrayminus": [one.after.estimate - one.after.low for one in own],
        "color": colour,
        "thickness": 2,
        "width": 3,
    }
    return {
        "x": list(places),
        "y": [one.after.estimate for one in own],
        "name": name,
        "mode": "markers",
        "marker": {"color": colour, "size": 9},
        "error_y": bars if finite else {"visible": False},
        "hovertemplate": "%{y:.3f}",
    }


def draw_curves(measured: Mapping[str, Sequence[MeasuredRun]]) -> list[tuple[str, Figure]]:
    """What each curve is, and its figure with a line an arm; arms without training, and curves of nothing, left out."""
    arms = {arm: runs for arm, runs in measured.items() if runs[0].training.steps}
    colours = dict(zip(measured, COLOURS * len(measured), strict=False))
    drawn = []
    for name in SHOWN:
        bands, lines = [], []
        for arm, runs in arms.items():
            steps, intervals = curve(runs, name)
            if not any(math.isfinite(one.estimate) for one in intervals):
                continue
            low, high = [one.low for one in intervals], [one.high for one in intervals]
            bands += band(steps, low, high, colours[arm])
            lines.append(line(steps, [one.estimate for one in intervals], arm, colours[arm]))
        if lines:
            drawn.append((CURVES[name], over_steps([*bands, *lines], _unit(name), to_zero=True)))
    return drawn


def _unit(name: str) -> str:
    return "tokens" if "tokens" in name else "fraction"


def curve(runs: Sequence[MeasuredRun], name: str) -> tuple[list[int], list[Any]]:
    """Steps, and the mean over seeds of each run's running mean."""
    shortest = min(len(one.training.steps) for one in runs)
    smooth = np.array([_running_mean(one.training.curves[name][:shortest]) for one in runs])
    return list(runs[0].training.steps[:shortest]), [
        over_seeds(column, LENGTH if "tokens" in name else SHARE) for column in smooth.T
    ]


def _running_mean(values: Sequence[float]) -> list[float]:
    """Over each value and the SMOOTHING - 1 before it, undefined ones left out."""
    spans = [np.asarray(values[max(0, t + 1 - SMOOTHING) : t + 1]) for t in range(len(values))]
    return [float(span[np.isfinite(span)].mean()) if np.isfinite(span).any() else math.nan for span in spans]
