"""The figures of the helping section, as plain plotly figures; colours are those of page.css."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import Any

from r1zero.analysis.contrast import Contrast
from r1zero.analysis.helping import HelpingResult
from r1zero.facts.trajectory import TRANSITIONS
from r1zero.reports.dots import short_name
from r1zero.reports.traces import HEIGHT, Figure
from r1zero.statistics.intervals import Interval

MODEL_COLOURS = ("@blue", "@orange", "@green", "@unformatted", "@muted")
MARKERS = ("circle", "diamond", "square", "cross", "x")
DRAWN_ONE_BY_ONE = 60  # questions; more are drawn as a histogram
TRANSITION_COLOURS = {
    "TT": "@correct",
    "FT": "@green",
    "TF": "@orange",
    "FF_same": "@wrong",
    "FF_other": "@wrong/0.5",
    "none": "@truncated",
}
TRANSITION_NAMES = {
    "TT": "stays right",
    "FT": "corrected",
    "TF": "damaged",
    "FF_same": "same wrong",
    "FF_other": "other wrong",
    "none": "no answer",
}


def draw_effects(results: Mapping[str, HelpingResult]) -> Figure:
    """Pooled and within-question differences, a row an estimate, a mark a model."""
    rows = ("pooled over questions", "within questions", "inverse variance", "length adjusted")
    traces = []
    for index, (model, result) in enumerate(results.items()):
        best = result.contrast
        values = (result.naive, best.effect, best.inverse_variance, best.length_adjusted)
        shift = (index - (len(results) - 1) / 2) * min(0.2, 0.7 / len(results))
        shown = [(len(rows) - 1 - row - shift, one) for row, one in enumerate(values) if math.isfinite(one.estimate)]
        traces.append(
            _dots([one for _, one in shown], [y for y, _ in shown], html.escape(model), index)
            | {"showlegend": len(results) > 1}
        )
    ticks = {"tickvals": list(range(len(rows))), "ticktext": list(reversed(rows)), "range": [-0.6, len(rows) - 0.4]}
    layout = {
        "xaxis": _difference_axis(),
        "yaxis": ticks | {"zeroline": False},
        "height": HEIGHT,
        "hovermode": "closest",
        "showlegend": len(results) > 1,
    }
    return {"data": traces, "layout": layout}


def draw_questions(one: Contrast) -> Figure:
    """Each question's difference with its interval, ascending; a histogram where they are many; the mean as a band."""
    band = _mean_band(one.effect)
    if len(one.differences) <= DRAWN_ONE_BY_ONE:
        trace = _dots([d.interval for d in one.differences], list(range(1, len(one.differences) + 1)), "questions", 0)
        trace["marker"]["size"] = 6
        trace["error_x"] |= {"thickness": 1, "width": 0}
        trace["text"] = [f"{d.reflecting} with a cue, {d.others} without" for d in one.differences]
        trace["hovertemplate"] = "%{x:+.2f}<br>%{text}<extra></extra>"
        y_axis: dict[str, Any] = {"title": {"text": "questions, ascending"}, "showticklabels": False, "zeroline": False}
    else:
        values = [d.interval.estimate for d in one.differences]
        bins = {"start": -1.025, "end": 1.025, "size": 0.05}
        colour = {"color": "@blue/0.75"}
        hover = "%{x}: %{y} questions<extra></extra>"
        trace = {"type": "histogram", "x": values, "xbins": bins, "marker": colour, "hovertemplate": hover}
        y_axis = {"title": {"text": "questions"}}
    layout = {
        "xaxis": _difference_axis() | {"range": [-1.05, 1.05]},
        "yaxis": y_axis,
        "shapes": band,
        "height": HEIGHT if len(one.differences) <= 30 or len(one.differences) > DRAWN_ONE_BY_ONE else 420,
        "hovermode": "closest",
        "showlegend": False,
    }
    return {"data": [trace], "layout": layout}


def draw_transitions(results: Mapping[str, HelpingResult]) -> Figure:
    """Shares of the transitions, stacked to 1, a bar with and a bar without cues for each model."""
    bars = []
    for model, result in results.items():
        name = f"{short_name(model, 20)}, " if len(results) > 1 else ""
        for kind, rates in (("with a cue", result.with_cue), ("without", result.without_cue)):
            if rates.responses:
                bars.append((f"{name}{kind} (n = {rates.responses:,})", rates))
    bars.reverse()  # plotly draws upwards
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": TRANSITION_NAMES[transition],
            "x": [rates.share((transition,)) for _, rates in bars],
            "y": [label for label, _ in bars],
            "marker": {"color": TRANSITION_COLOURS[transition]},
            "hovertemplate": "%{x:.1%} " + TRANSITION_NAMES[transition] + "<extra></extra>",
        }
        for transition in TRANSITIONS
    ]
    layout = {
        "barmode": "stack",
        "xaxis": {"title": {"text": "share of responses"}, "range": [0, 1]},
        "yaxis": {"zeroline": False},
        "height": max(HEIGHT, 120 + 40 * len(bars)),
        "bargap": 0.35,
        "hovermode": "closest",
    }
    return {"data": traces, "layout": layout}


def _dots(intervals: list[Interval], places: list[float] | list[int], name: str, index: int) -> dict[str, Any]:
    """Estimates with their intervals as horizontal bars."""
    colour = MODEL_COLOURS[index % len(MODEL_COLOURS)]

    def reach(one: Interval, bound: float) -> float:
        return abs(bound - one.estimate) if math.isfinite(bound) else 0.0

    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [one.estimate for one in intervals],
        "y": places,
        "marker": {"color": colour, "size": 9, "symbol": MARKERS[index % len(MARKERS)]},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [reach(one, one.high) for one in intervals],
            "arrayminus": [reach(one, one.low) for one in intervals],
            "color": colour,
            "thickness": 2,
            "width": 4,
        },
        "hovertemplate": "%{x:+.3f}",
    }


def _difference_axis() -> dict[str, Any]:
    return {
        "title": {"text": "right with a cue − right without"},
        "zeroline": True,
        "zerolinecolor": "@muted",
        "zerolinewidth": 2,
    }


def _mean_band(effect: Interval) -> list[dict[str, Any]]:
    """The weighted mean and its interval, behind everything else."""
    if not math.isfinite(effect.low):
        return []
    across = {"yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    area = {"type": "rect", "x0": effect.low, "x1": effect.high, "fillcolor": "@green/0.25", "line": {"width": 0}}
    mean = {"type": "line", "x0": effect.estimate, "x1": effect.estimate, "line": {"color": "@green", "width": 2}}
    return [area | across, mean | across]
