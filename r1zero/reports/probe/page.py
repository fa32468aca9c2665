"""The page of a probe: one section a question, models side by side, in a single file that opens offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from r1zero.reports import page
from r1zero.reports.sections import Section
from r1zero.store import write_atomically


def write_probe(sections: Sequence[Section], out: Path, **facts: object) -> Path:
    """Write the page; `facts` are those of `render_page`."""
    write_atomically(out, render_page(sections, **facts).encode("utf-8", errors="replace"))  # type: ignore[arg-type]
    return out


def render_page(
    sections: Sequence[Section],
    *,
    headline: str = "Probe",
    kicker: str = "",
    provenance: Sequence[tuple[str, str]] = (),
) -> str:
    """The page as text.  `kicker` says what was asked; `provenance` are rows of (what, value)."""
    return page.render(
        "page.probe.html.j2",
        figures=[[panel.figure for panel in section.panels] for section in sections],
        headline=headline,
        kicker=kicker,
        sections=sections,
        provenance=provenance,
    )
