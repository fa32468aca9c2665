"""A report as a list of sections: a question, what was found in sentences, tables and figures.

A section is text and plotly dictionaries already, so the terminal, the page and a notebook show the same.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from r1zero.reports.cells import elided, unbroken
from r1zero.reports.traces import Figure

# columns of words rather than numbers, wherever they stand
WORDS = (
    "after",
    "and",
    "answers",
    "arm",
    "best",
    "by",
    "contrast",
    "cue",
    "detector",
    "difficulty",
    "feature",
    "lengths",
    "measure",
    "metric",
    "model",
    "of either kind",
    "other",
    "outcome",
    "rate",
    "template",
    "unit",
    "verdict",
    "what",
    "where",
    "which",
)
LONGEST_NAME = 20  # characters of a model in a terminal's table
NARROW = 9  # characters below which no header of a number is broken


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
    folded: bool = False  # looked up rather than read: closed on the page, and not in the terminal

    def __post_init__(self) -> None:
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(f"table {self.key}: two columns of one name in {', '.join(self.columns)}")

    def of_words(self, index: int) -> bool:
        """Whether a column holds words, set to the left, rather than numbers."""
        return index == 0 or self.columns[index] in WORDS


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


def terminal_table(table: TextTable) -> RenderableType:
    """The table for a terminal: the columns that fit without breaking a number, and the names of the others."""
    return Fitted(table)


@dataclass(frozen=True)
class Fitted:
    """Shows as many of a table's first columns as fit the width; an author writes those that matter first."""

    table: TextTable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = self.table
        known = [i for i in range(len(table.columns)) if i == 0 or any(row[i] != "–" for row in table.rows)]
        shown = list(known)
        while len(shown) > 2 and _width(_drawn(table, shown), console, options) > options.max_width:
            shown.pop()
        if table.title:
            yield Paragraph(table.title, style="italic")
        yield _drawn(table, shown)
        if left := [table.columns[i] for i in known[len(shown) :]]:
            yield Paragraph("; ".join(left), "on the page: ", "dim")
        if unknown := [column for i, column in enumerate(table.columns) if i not in known]:
            yield Paragraph("; ".join(unknown), "undefined here: ", "dim")


@dataclass(frozen=True)
class Paragraph:
    """Text whose lines begin below one another, and in which no interval is broken."""

    text: str
    mark: str = ""
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        indent = " " * len(self.mark)
        lines = textwrap.fill(
            unbroken(self.text),
            options.max_width,
            initial_indent=self.mark,
            subsequent_indent=indent,
            break_on_hyphens=False,
        )
        yield Text(lines.replace("\u00a0", " "), style=self.style, no_wrap=True, overflow="fold")


def _drawn(table: TextTable, columns: Sequence[int]) -> Table:
    """Some columns; a header is broken where the cells below it are shorter, a number never."""
    shown = Table(box=None, header_style="bold", pad_edge=False)
    cells = [
        [elided(row[i], LONGEST_NAME) if table.columns[i] == "model" else row[i] for i in columns] for row in table.rows
    ]
    for place, index in enumerate(columns):
        longest = max((len(row[place]) for row in cells), default=0)
        header = "\n".join(textwrap.wrap(table.columns[index], max(longest, NARROW), break_long_words=False))
        side: Literal["left", "right"] = "left" if table.of_words(index) else "right"
        shown.add_column(Text(header), justify=side, no_wrap=True, overflow="fold")
    for row in cells:
        shown.add_row(*map(Text, row))
    return shown


def _width(table: Table, console: Console, options: ConsoleOptions) -> int:
    return Measurement.get(console, options.update(max_width=10_000), table).maximum


def terminal_sections(sections: Sequence[Section]) -> RenderableType:
    """Every section for a terminal: title, findings, tables, notes; figures and folded tables are the page's."""
    parts: list[RenderableType] = []
    for number, section in enumerate(sections, start=1):
        parts += [Text(), Text(f"{number}. {section.title}", style="bold"), Paragraph(section.question, style="dim")]
        parts += [Paragraph(finding, "• ") for finding in section.findings]
        for table in section.tables:
            if not table.folded:
                parts += [Text(), terminal_table(table)]
        if folded := [table.title for table in section.tables if table.folded]:
            parts += [Text(), Paragraph("; ".join(folded), "more on the page: ", "dim")]
        parts += [Paragraph(note, "note: ", "dim") for note in section.notes]
    return Group(*parts)
