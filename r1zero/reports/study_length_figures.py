"""The figures of length-bias's page, as plain plotly figures; see r1zero.reports.figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from r1zero.experiments.studies.factorial import Effect
from r1zero.experiments.studies.length_bias import FACTORS, FAMILY, MeasuredRun
from r1zero.experiments.two_branch import figure, simulate
from r1zero.reports.figures import over_steps, share_axes
from r1zero.reports.traces import Figure, band, line
from r1zero.statistics.intervals import mean_interval

COLOURS = {"right": "@correct", "wrong": "@wrong"}
ARM_COLUMNS = 4
MARKERS = {"right": "circle", "wrong": "diamond"}
NAMES = dict(zip(FACTORS, ("1/length", "1/std", "interaction"), strict=True))


def draw_arms(measured: Mapping[str, Sequence[MeasuredRun]]) -> list[Figure]:
    """Running mean lengths of right and wrong training responses, one figure an arm, with 95 % intervals over seeds."""
    figures = [_draw_arm(runs) for runs in measured.values()]
    share_axes(figures)
    return figures


def _draw_arm(runs: Sequence[MeasuredRun]) -> Figure:
    steps = runs[0].lengths.steps_T.tolist()
    bands, lines = [], []
    for answers, colour in COLOURS.items():
        curves = [one.lengths.running_mean(answers) for one in runs]
        shortest = min(curve.size for curve in curves)
        intervals = [
            mean_interval([value for value in column if math.isfinite(value)])
            for column in np.stack([curve[:shortest] for curve in curves], axis=1)
        ]
        bands += band(steps[:shortest], [one.low for one in intervals], [one.high for one in intervals], colour)
        lines.append(line(steps[:shortest], [one.estimate for one in intervals], f"{answers} answers", colour))
    return over_steps([*bands, *lines], "mean length (tokens)", to_zero=True)


def draw_effects(effects: Sequence[Effect]) -> list[Figure]:
    """Every contrast with its interval, one figure for each place where lengths were measured, on one scale."""
    drawn = [one for one in effects if one.where in FAMILY]
    bounds = [
        bound
        for one in drawn
        for bound in (one.interval.low, one.interval.high, one.interval.estimate)
        if math.isfinite(bound)
    ]
    reach = 1.05 * max((abs(bound) for bound in bounds), default=1.0) or 1.0
    return [_draw_effects([one for one in drawn if one.where == where], reach) for where in FAMILY]


def _draw_effects(effects: Sequence[Effect], reach: float) -> Figure:
    traces = []
    for shift, (answers, colour) in zip((-0.12, 0.12), COLOURS.items(), strict=True):
        own = [one for one in effects if one.answers == answers and math.isfinite(one.interval.estimate)]
        places = [len(FACTORS) - 1 - FACTORS.index(one.factor) + shift for one in own]
        finite = all(math.isfinite(one.interval.low) for one in own)
        traces.append(
            {
                "x": [one.interval.estimate for one in own],
                "y": places,
                "name": f"{answers} answers",
                "mode": "markers",
                "marker": {"color": colour, "size": 9, "symbol": MARKERS[answers]},
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [one.interval.high - one.interval.estimate for one in own],
                    "arrayminus": [one.interval.estimate - one.interval.low for one in own],
                    "color": colour,
                    "thickness": 2,
                    "width": 4,
                }
                if finite
                else {"visible": False},
                "hovertemplate": "%{x:+.1f} tokens",
            }
        )
    ticks = {"tickvals": list(range(len(FACTORS))), "ticktext": [NAMES[name] for name in reversed(FACTORS)]}
    layout = {
        "xaxis": {
            "title": {"text": "effect on the change of length (tokens)"},
            "range": [-reach, reach],
            "zeroline": True,
            "zerolinecolor": "@muted",
            "zerolinewidth": 2,
        },
        "yaxis": ticks | {"range": [-0.5, len(FACTORS) - 0.5], "zeroline": False},
        "height": 250,
        "hovermode": "closest",
    }
    return {"data": traces, "layout": layout}


def draw_theory(arms: Sequence[str]) -> Figure:
    """The two-branch policy under the same objectives."""
    return figure([simulate(arm) for arm in arms], columns=ARM_COLUMNS)
