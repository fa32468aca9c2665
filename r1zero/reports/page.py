"""A page that opens offline: template, style, figures and the one script that draws them, in a single file."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from r1zero.reports.cells import unbroken


def render(
    template: str, *, figures: Any, filters: Mapping[str, Callable[[Any], str]] | None = None, **facts: Any
) -> str:
    """The whole page as text.  `figures` are plotly figures as the template's script elements expect them."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"unbroken": unbroken} | dict(filters or {})
    library, starter = plotly_library(), page_source("page.js")
    return environment.from_string(page_source(template)).render(
        figures=embedded_json(figures),
        style=Markup(page_source("page.css")),
        library=Markup(library),
        starter=Markup(starter),
        script_hashes=" ".join(f"'sha256-{script_hash(script)}'" for script in (library, starter)),
        **facts,
    )


def embedded_json(value: Any) -> Markup:
    """JSON that can stand in a script element: no "<" can end it, undefined numbers are null."""
    return Markup(json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"))


def script_hash(script: str) -> str:
    """What the page's content security policy knows a script by, so that no other script runs."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@functools.cache
def page_source(name: str) -> str:
    """Template, style or script of the page."""
    return (files("r1zero.reports") / name).read_text(encoding="utf-8")


@functools.cache
def plotly_library() -> str:
    """plotly.js as the plotly package ships it, 4.8 MB."""
    return (files("plotly") / os.path.join("package_data", "plotly.min.js")).read_text(encoding="utf-8")
