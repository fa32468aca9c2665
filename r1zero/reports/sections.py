"""A report as a list of sections: a question, what was found in sentences, tables and figures.

A section is text and plotly dictionaries already, so the terminal, the page and a notebook show the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from r1zero.reports.traces import Figure

# columns of words rather than numbers, wherever they stand
WORDS = (
    "and",
    "answers",
    "best",
    "cue",
    "detector",
    "measure",
    "metric",
    "model",
    "other",
    "outcome",
    "template",
    "what",
    "where",
)


@dataclass(frozen=True)
class TextTable:
    """A table for the terminal and for the page; cells are text already.

    Example: TextTable("pass", "accuracy", "avg@8, clustered by problem", ("template", "pass@1"), (("r1", ".18"),))
    """

    key: str
    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Panel:
    """A figure with its title and what one sees in it."""

    title: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Section:
    """One question of a report with its answer."""

    key: str  # one word, for anchors and JSON
    title: str
    question: str
    findings: tuple[str, ...]  # sentences, with their numbers
    tables: tuple[TextTable, ...] = ()
    panels: tuple[Panel, ...] = ()
    notes: tuple[str, ...] = ()  # what limits the findings


def terminal_table(table: TextTable) -> Table:
    """The table for a terminal; a column of words is set to the left."""
    shown = Table(title=Text(table.title), title_justify="left", box=None, header_style="bold", pad_edge=False)
    for index, column in enumerate(table.columns):
        shown.add_column(Text(column), justify="left" if index == 0 or column in WORDS else "right")
    for row in table.rows:
        shown.add_row(*map(Text, row))
    return shown


def terminal_sections(sections: Sequence[Section]) -> RenderableType:
    """Every section for a terminal: title, findings, tables, notes; figures are the page's."""
    parts: list[RenderableType] = []
    for number, section in enumerate(sections, start=1):
        parts += [Text(), Text(f"{number}. {section.title}", style="bold"), Text(section.question, style="dim")]
        parts += [Text(f"• {finding}") for finding in section.findings]
        for table in section.tables:
            parts += [Text(), terminal_table(table)]
        parts += [Text(f"note: {note}", style="dim") for note in section.notes]
    return Group(*parts)
