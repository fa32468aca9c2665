"""What a study found, as a reader sees it: sentences and tables on the terminal, and a page with figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from r1zero.experiments.studies.design import Gathered
from r1zero.experiments.studies.length_bias import LengthBias
from r1zero.experiments.studies.visual_result import PictureStudy
from r1zero.reports import page, study_lengths, study_visual
from r1zero.reports.html import config_rows, provenance_rows
from r1zero.reports.sections import Section
from r1zero.store import write_atomically


@dataclass(frozen=True)
class View:
    """How one kind of result is shown."""

    headline: Callable[[Any], str]
    render: Callable[[Any], RenderableType]  # on the terminal
    sections: Callable[[Any, Any], list[Section]]  # of the page: measured runs, result


VIEWS: dict[type, View] = {
    LengthBias: View(study_lengths.headline, study_lengths.render, study_lengths.sections),
    PictureStudy: View(study_visual.headline, study_visual.render, study_visual.sections),
}


def render(result: Any) -> RenderableType:
    """Verdicts, tables and notes for the terminal."""
    return VIEWS[type(result)].render(result)


def write_study(gathered: Gathered, measured: Any, result: Any, out: Path) -> Path:
    """One HTML file that opens offline."""
    write_atomically(out, render_study(gathered, measured, result).encode("utf-8", errors="replace"))
    return out


def render_study(gathered: Gathered, measured: Any, result: Any) -> str:
    """The page as text."""
    view = VIEWS[type(result)]
    sections = view.sections(measured, result)
    firsts = [runs[0] for runs in gathered.runs.values()]
    return page.render(
        "page.study.html.j2",
        figures=[[panel.figure for panel in section.panels] for section in sections],
        headline=view.headline(result),
        question=gathered.study.question,
        result=result,
        sections=sections,
        arms=list(gathered.runs),
        runs=[str(run.dir) for run in gathered.all_runs],
        config_rows=config_rows(firsts),
        provenance_rows=provenance_rows(firsts),
    )
