"""What a terminal and the page make of a section."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from r1zero.reports.probe.page import render_page
from r1zero.reports.sections import Section, TextTable, terminal_sections, terminal_table

TABLE = TextTable(
    "t",
    "a table",
    "",
    ("template", "pass@1", "share of questions", "of these corrected"),
    (("native", ".16 [.12, .20]", ".98 [.94, 1.00]", ".20 [.14, .28]"),),
)


def printed(what: RenderableType, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(what)
    return console.file.getvalue()


def test_a_number_is_never_broken_and_what_does_not_fit_is_named():
    wide, narrow = printed(terminal_table(TABLE), 100), printed(terminal_table(TABLE), 44)
    assert ".20 [.14, .28]" in wide and "on the page" not in wide
    assert ".98 [.94, 1.00]" in narrow and ".20 [" not in narrow and "…" not in narrow
    assert "on the page: of these corrected" in narrow
    assert max(map(len, narrow.splitlines())) <= 44


def test_a_header_is_broken_where_its_numbers_are_shorter():
    table = TextTable("t", "", "", ("cue", "problems with both kinds"), (("wait", "7"),))
    assert max(len(line.rstrip()) for line in printed(terminal_table(table), 100).splitlines()) < 24


def test_a_finding_keeps_its_intervals_whole_at_any_width():
    said = "From .12 [.11, .14] to .35 [.33, .38] (p < .001) of responses."
    for width in range(20, 70):
        shown = printed(terminal_sections([Section("s", "S", "Q?", (said,))]), width)
        assert all(part in shown for part in (".12 [.11, .14]", ".35 [.33, .38]", "p < .001")), width


def test_a_folded_table_is_closed_on_the_page_and_only_named_in_the_terminal():
    folded = TextTable("f", "looked up", "", ("cue", "count"), (("wait", "7,123"),), folded=True)
    section = Section("s", "S", "Q?", (), (folded,))
    shown = printed(terminal_sections([section]), 80)
    assert "more on the page: looked up" in shown and "7,123" not in shown
    page = render_page([section])
    assert (
        page.index("<details", page.index('id="s"'))
        < page.index("7,123")
        < page.index("</details>", page.index("7,123"))
    )


def test_a_table_with_two_columns_of_one_name_is_refused_because_json_would_lose_one():
    with pytest.raises(ValueError, match="corrected"):
        TextTable("t", "", "", ("which", "corrected", "corrected"), ())
