"""The section on emergence, from results made by hand."""

import itertools
import math

import pytest

from r1zero.analysis.emergence import RATES, SHARES, TESTED, EmergenceResult, emergence
from r1zero.facts.read import facts_frame
from r1zero.reports.probe.emergence import ROWS, course, p_cell, section, shown
from r1zero.reports.probe.page import render_page
from r1zero.statistics.changepoint import Counts, change_point
from r1zero.statistics.intervals import NOTHING, Interval


def result_of(hits, trials=100, p_sudden=None):
    """The same course of all rates."""
    steps = tuple(float(10 * at) for at in range(len(hits)))
    change = change_point(Counts(steps, tuple(hits), (trials,) * len(hits)), resamples=300)
    rates = tuple(Interval(k / trials, k / trials - 0.02, k / trials + 0.02) for k in hits)
    measures = dict.fromkeys(SHARES, rates) | {name: (NOTHING,) * len(hits) for name in RATES}
    changed = dict.fromkeys(TESTED, change.p_change)
    corrected = dict.fromkeys(TESTED, change.p_sudden if p_sudden is None else p_sudden)
    return EmergenceResult(
        steps,
        measures,
        dict.fromkeys(TESTED, change),
        changed,
        corrected,
        (trials,) * len(hits),
        25,
        True,
        1,
        (0, 100),
        NOTHING,
    )


JUMP = [2] * 6 + [40] * 6
RISE = list(range(2, 50, 4))


def test_a_sentence_says_what_the_corrected_test_says():
    assert "jumps between steps 50 and 60, from about" in course("reflecting", result_of(JUMP))
    assert "changes gradually" in course("reflecting", result_of(RISE))
    assert "do not say how" in course("reflecting", result_of(JUMP, p_sudden=0.2))
    assert "does not change beyond noise" in course("accuracy", result_of([20] * 12))
    assert "cannot be told from 4 measured steps; 6 are needed" in course("accuracy", result_of([1, 2, 3, 4]))


def test_one_run_has_no_column_of_its_own_and_two_have():
    one, two = section({"a": result_of(JUMP)}), section({"a": result_of(JUMP), "b": result_of(RISE)})
    assert one.tables[0].columns[0] == "step" and two.tables[0].columns[0] == "model"
    assert len(two.tables[0].rows) == 24 and {row[0] for row in two.tables[1].rows} == {"a", "b"}
    assert all(len(row) == len(table.columns) for table in (*one.tables, *two.tables) for row in table.rows)
    assert one.tables[1].rows[0][1] == "sudden" and one.tables[1].rows[0][-1] == "50 and 60"
    assert any(finding.startswith("b: ") for finding in two.findings)
    assert [panel.title for panel in one.panels] == ["Accuracy and reflection", "Sudden or smooth?", "Outcomes"]
    page = render_page([two])
    assert "Sudden or smooth? b" in page


def test_nothing_known_makes_a_section_all_the_same():
    empty = section({"a": emergence(facts_frame([]))})
    assert empty.findings == ("No response is stored with a training step.",)
    assert render_page([empty])
    one = section({"a": emergence(facts_frame([{"step": 2, "problem_id": "p", "cues": 0}]))})
    assert "0 of 1 responses hold a reflection cue" in one.findings[0]
    assert render_page([one])


def test_a_long_run_shows_evenly_chosen_steps_with_both_ends():
    assert shown(5) == [0, 1, 2, 3, 4]
    chosen = shown(60)
    assert len(chosen) == ROWS and chosen[0] == 0 and chosen[-1] == 59
    assert max(b - a for a, b in itertools.pairwise(chosen)) == 4


@pytest.mark.parametrize(("value", "cell"), [(0.0004, "< .001"), (0.05, ".050"), (1.0, "1.000"), (math.nan, "–")])
def test_p_values_have_three_digits(value, cell):
    assert p_cell(value) == cell
