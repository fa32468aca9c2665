"""Dots with their intervals, one row a name: shares of templates, rates of keywords."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from r1zero.reports.cells import elided
from r1zero.reports.traces import Figure
from r1zero.statistics.intervals import Interval

COLOURS = ("@blue", "@orange", "@green", "@unformatted", "@truncated")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x")
ROW = 24  # pixels of height a row
SPREAD = 0.5  # of a row, over which its dots are spread


def dots(
    names: Sequence[str],
    series: Mapping[str, Mapping[str, Interval]],
    x_title: str,
    *,
    x_axis: Mapping[str, Any] | None = None,
    digits: int = 3,
) -> Figure:
    """Rows in the order of `names`, from the top; a series (a model, a detector) has one colour and one shape."""
    shown = {name: values for name, values in series.items() if any(_known(values.get(row)) for row in names)}
    beside = {row: [name for name in shown if _known(shown[name].get(row))] for row in names}
    traces = [_trace(names, name, values, beside, i, digits) for i, (name, values) in enumerate(shown.items())]
    most = max((len(there) for there in beside.values()), default=1)
    ticks = {"tickvals": list(range(len(names))), "ticktext": [short_name(name) for name in reversed(names)]}
    layout = {
        "xaxis": {"title": {"text": x_title}, "zeroline": False} | dict(x_axis or {}),
        "yaxis": ticks | {"range": [-0.6, len(names) - 0.4], "zeroline": False, "showgrid": False},
        "height": max(190, 100 + int(ROW * len(names) * max(1.0, 0.6 * most))),
        "hovermode": "closest",
        "showlegend": len(shown) > 1,
    }
    return {"data": traces, "layout": layout}


def _trace(
    names: Sequence[str],
    name: str,
    values: Mapping[str, Interval],
    beside: Mapping[str, Sequence[str]],
    index: int,
    digits: int,
) -> Figure:
    places = [
        (values[row], len(names) - 1 - place - _shift(beside[row].index(name), len(beside[row])))
        for place, row in enumerate(names)
        if name in beside[row]
    ]
    return {
        "x": [one.estimate for one, _ in places],
        "y": [place for _, place in places],
        "name": short_name(name),
        "mode": "markers",
        "marker": {"color": COLOURS[index % len(COLOURS)], "size": 8, "symbol": SYMBOLS[index % len(SYMBOLS)]},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [_reach(one.high - one.estimate) for one, _ in places],
            "arrayminus": [_reach(one.estimate - one.low) for one, _ in places],
            "color": COLOURS[index % len(COLOURS)],
            "thickness": 1.6,
            "width": 3,
        },
        "hovertemplate": f"%{{x:.{digits}~g}}",
    }


def short_name(name: str, most: int = 28) -> str:
    """A name that fits beside an axis, and that plotly takes for no markup."""
    return elided(name, most).replace("&", "&amp;").replace("<", "&lt;")


def cell(value: Interval) -> str:
    """An interval in a table; a dash where it is undefined."""
    return str(value) if math.isfinite(value.estimate) else "–"


def _shift(index: int, count: int) -> float:
    return SPREAD * (index / (count - 1) - 0.5) if count > 1 else 0.0


def _known(value: Interval | None) -> bool:
    return value is not None and math.isfinite(value.estimate)


def _reach(width: float) -> float:
    return max(0.0, width) if math.isfinite(width) else 0.0
