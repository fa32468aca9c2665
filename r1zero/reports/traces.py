"""Pieces of plotly figures: lines, bands, and the figure around them.  Colours are written "@name"; see page.css."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Figure = dict[str, Any]
HEIGHT = 270  # pixels


def line(
    x: Sequence[float],
    y: Sequence[float],
    name: str,
    colour: str,
    *,
    width: float = 2,
    dash: str = "solid",
    markers: bool = False,
    digits: int = 4,
) -> dict[str, Any]:
    """A line; undefined values are gaps.  `digits` are those that the pointer shows."""
    dots = markers or sum(map(math.isfinite, y)) == 1  # a single value makes no line
    return {
        "x": list(x),
        "y": [value if math.isfinite(value) else None for value in y],
        "name": name,
        "mode": "lines+markers" if dots else "lines",
        "line": {"color": colour, "width": width, "dash": dash},
        "marker": {"size": 6},
        "hovertemplate": f"%{{y:.{digits}~g}}",
    }


def band(steps: Sequence[int], low: Sequence[float], high: Sequence[float], colour: str) -> list[dict[str, Any]]:
    """The area between two bounds, drawn forth along the upper and back along the lower one."""
    rows = [(s, a, b) for s, a, b in zip(steps, low, high, strict=True) if math.isfinite(a) and math.isfinite(b)]
    if not rows:
        return []
    outline = {
        "x": [s for s, _, _ in rows] + [s for s, _, _ in reversed(rows)],
        "y": [b for _, _, b in rows] + [a for _, a, _ in reversed(rows)],
        "fill": "toself",
        "fillcolor": colour + "/0.2",
        "line": {"width": 0},
        "mode": "lines",
        "hoverinfo": "skip",
        "showlegend": False,
    }
    return [outline]


def figure(traces: list[dict[str, Any]], x_title: str, y_title: str, x_axis: Figure, y_axis: Figure) -> Figure:
    """Traces under titled axes."""
    return {
        "data": traces,
        "layout": {
            "xaxis": {"title": {"text": x_title}} | x_axis,
            "yaxis": {"title": {"text": y_title}} | y_axis,
            "height": HEIGHT,
        },
    }
