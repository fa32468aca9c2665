"""The figures of an audit's page, as plain plotly figures with the colours of r1zero.reports ("@correct")."""

from __future__ import annotations

import math
from collections.abc import Sequence

from r1zero.audit.record import Audit
from r1zero.reports.traces import Figure, figure, line

DIGITS = 3
RIGHT, WRONG, INK, MUTED = "@correct", "@wrong", "@ink", "@muted"
ACCURACY_GRID = tuple(i / 100 for i in range(1, 100))
HIGHEST = 4.0  # of the relative weights shown


def figures_of(audits: Sequence[Audit]) -> list[list[Figure]]:
    """Three figures an audit, on the same axes for all: length, difficulty, clip."""
    return [[length_figure(found), difficulty_figure(found), clip_figure(found)] for found in audits]


def length_figure(found: Audit) -> Figure:
    """|weight| of a token by the length of its response, beside the mean of that sign; 1/L is a falling diagonal."""
    lengths = [row.length for row in found.lengths]
    traces = [
        line(
            lengths,
            _beside_mean([row.right for row in found.lengths]),
            "right answers",
            RIGHT,
            markers=True,
            digits=DIGITS,
        )
    ]
    wrong = _beside_mean([row.wrong for row in found.lengths])
    if any(map(math.isfinite, wrong)):
        traces.append(line(lengths, wrong, "wrong answers", WRONG, dash="dash", markers=True, digits=DIGITS))
    x_axis = {"type": "log", "tickvals": lengths, "ticktext": [str(length) for length in lengths]}
    y_axis = {"type": "log", "range": [math.log10(0.08), math.log10(5)], "tickvals": [0.1, 0.2, 0.5, 1, 2, 4]}
    return figure(traces, "response length (tokens)", "weight of a token ÷ mean", x_axis, y_axis)


def difficulty_figure(found: Audit) -> Figure:
    """w(p) / w(1/2), with 1 for comparison."""
    weights = [found.difficulty.relative(p) for p in ACCURACY_GRID]
    traces = [
        line([0, 1], [1, 1], "no bias", MUTED, width=1, digits=DIGITS),
        line(ACCURACY_GRID, weights, f"groups of {found.group_size}", INK, digits=DIGITS),
    ]
    y_axis = {"range": [0, HIGHEST]}
    return figure(traces, "accuracy of the problem", "weight of a problem ÷ at ½", {"range": [0, 1]}, y_axis)


def clip_figure(found: Audit) -> Figure:
    """The weight of a token by its probability ratio, beside ratio 1."""
    curves = (("A > 0", found.clip.right, RIGHT, "solid"), ("A < 0", found.clip.wrong, WRONG, "dash"))
    traces = [
        line(found.clip.ratios, values, name, colour, dash=dash, digits=DIGITS)
        for name, values, colour, dash in curves
        if any(map(math.isfinite, values))
    ]
    ticks = [0.25, 0.5, 1, 2, 4]
    x_axis = {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
    y_axis = {"range": [-0.1, HIGHEST + 0.1]}
    return figure(traces, "probability ratio to the old policy", "weight of a token ÷ at 1", x_axis, y_axis)


def _beside_mean(values: Sequence[float]) -> list[float]:
    mean = sum(values) / len(values)
    return [value / mean if mean else math.nan for value in values]
