"""The sections on answering and reflection: sentences that hold their numbers, tables, figures that plotly takes."""

from __future__ import annotations

import doctest
import importlib
import json

import polars as pl
import pytest

from r1zero.analysis.answering import answering
from r1zero.analysis.detectors import reflection
from r1zero.facts.columns import facts_frame
from r1zero.reports.dots import dots
from r1zero.reports.probe import answering as probe_answering
from r1zero.reports.probe import reflection as probe_reflection
from r1zero.reports.probe.page import render_page
from r1zero.reports.probe.reflection import fraction
from r1zero.statistics.intervals import NOTHING, Interval

WILD = "</script><b>&[bold]"


def facts(temperatures: tuple[float, ...] = (0.2, 1.0), template: str = "none") -> pl.DataFrame:
    """Six problems, two templates, four samples a temperature; hot responses reflect, r1 is answered."""
    rows = []
    for t in temperatures:
        for name in ("r1", template):
            for p in range(6):
                for s in range(4):
                    cue = t > 0.5 and s < 2
                    rows.append(
                        {"problem_id": f"p{p}", "template": name, "temperature": t, "sample": s,
                         "digest": len(rows) + 1,
                         "answered": name == "r1", "correct": p == 0, "formatted": True, "truncated": False,
                         "num_chars": 9, "cues": int(cue), "keywords": [0] * cue, "cues_oat_zero": 0,
                         "cues_understand_r1_zero": 0, "candidates": 1 + int(cue and p % 2)}
                    )  # fmt: skip
    return facts_frame(rows)


def sections(results: dict[str, pl.DataFrame]):
    return (
        probe_answering.section({name: answering(one) for name, one in results.items()}),
        probe_reflection.section({name: reflection(one) for name, one in results.items()}),
    )


def test_findings_hold_the_numbers():
    answers, reflects = sections({"m": facts()})
    assert answers.findings[0].startswith("From .00 [.00, ") and "1.00 [" in answers.findings[0]
    assert "r1 is ahead of none by 1.00" in answers.findings[1]
    assert reflects.findings[0].startswith(".25 [") and "of 96 responses" in reflects.findings[0]
    assert "From temperature 0.2 to 1" in reflects.findings[1] and ".50 [" in reflects.findings[1]


def test_a_model_that_never_reflects_has_a_bound_and_no_verdict():
    (_, section) = sections({"m": facts((0.2,))})
    assert "No cue of the pool extended in 48 responses to 6 problems: at most .459 " in section.findings[0]


def test_one_model_has_no_column_and_several_have_one():
    for section in sections({"m": facts()}):
        assert all("model" not in table.columns for table in section.tables)
    for section in sections({"a": facts(), "b": facts()}):
        assert all(table.columns[0] == "model" for table in section.tables)
        assert all(len(row) == len(table.columns) for table in section.tables for row in table.rows)


@pytest.mark.parametrize("names", [("m",), ("a", WILD)])
def test_pages_hold_every_figure_and_no_markup_of_a_name(names):
    shown = sections({name: facts(template=WILD) for name in names})
    assert [section.key for section in shown] == ["answering", "reflection"]
    for panel in (panel for section in shown for panel in section.panels):
        json.dumps(panel.figure, allow_nan=False)
    page = render_page(shown)
    assert "<b>&" not in page and "</script><b>" not in page


@pytest.mark.parametrize("rows", [[], [{}], [{"problem_id": "p", "answered": True, "cues": 0, "keywords": []}]])
def test_sections_of_almost_nothing_are_no_error(rows):
    for section in sections({"m": facts_frame(rows)}):
        assert section.findings
        for panel in section.panels:
            json.dumps(panel.figure, allow_nan=False)


def test_a_row_of_dots_is_centred_where_one_stands_alone_and_spread_where_several_do():
    one, two = Interval(0.5, 0.4, 0.6), Interval(0.7, 0.6, 0.8)
    figure = dots(["top", "bottom"], {"a": {"top": one, "bottom": one}, "b": {"top": two, "bottom": NOTHING}}, "share")
    first, second = figure["data"]
    assert first["y"] == [1.25, 0] and second["y"] == [0.75] and second["x"] == [0.7]
    assert first["error_x"]["array"] == pytest.approx([0.1, 0.1])
    assert figure["layout"]["yaxis"]["ticktext"] == ["bottom", "top"]


def test_small_shares_keep_their_digits():
    assert fraction(Interval(0.0004, 0.0001, 0.002)) == ".0004 [.0001, .0020]"
    assert fraction(NOTHING) == "–"


@pytest.mark.parametrize("module", ["facts.trying", "statistics.kappa", "reports.probe.reflection", "cli.label"])
def test_docstring_examples_hold(module):
    assert doctest.testmod(importlib.import_module(f"r1zero.{module}")).failed == 0
