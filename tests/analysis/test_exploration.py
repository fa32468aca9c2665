"""Exploration on facts made by hand, and intervals on a simulated truth."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from r1zero.analysis.exploration import exploration, powers_of_two, tallies
from r1zero.facts.columns import facts_frame
from r1zero.statistics.tally import Tally


def rows(problem: str, answers: str, temperature: float | None = 1.0, template: str = "r1") -> list[dict]:
    """One response a letter: R right, a letter its wrong answer, - none, ? not graded."""
    return [
        {"template": template, "temperature": temperature, "problem_id": problem, "sample": i, "task": "t"}
        | {"correct": None if letter == "?" else letter == "R"}
        | {"answer": {"R": 0, "-": None, "?": None}.get(letter, ord(letter))}
        for i, letter in enumerate(answers)
    ]


def test_answers_are_counted_by_problem():
    facts = facts_frame(rows("p", "RaRb-a?") + rows("q", "aaa"))
    assert tallies(facts) == {("r1", 1.0): {("t", "p"): Tally(2, (2, 1), 1), ("t", "q"): Tally(0, (3,), 0)}}


def test_one_cell_by_hand():
    """p: 2 of 4 right, q: none.  pass@2 = (1 - 1/6 + 0)/2; maj@4: p wins, q not; distinct among 4: 3 and 1."""
    (cell,) = exploration(facts_frame(rows("p", "RRab?") + rows("q", "ccc-"))).cells
    assert (cell.num_problems, cell.num_responses, cell.num_ungraded) == (2, 8, 1)
    assert cell.accuracy.estimate == 0.25 and [at.k for at in cell.at] == [1, 2, 4]
    assert cell.at[1].solved.estimate == pytest.approx(5 / 12)
    assert cell.at[2].solved.estimate == cell.at[2].majority.estimate == 0.5
    assert cell.at[2].distinct.estimate == 2
    assert cell.agreement.estimate == pytest.approx((1 / 6 + 3 / 6) / 2)
    assert cell.largest.estimate == pytest.approx((0.5 + 0.75) / 2)
    assert cell.calibration.telling.auroc.estimate == 0  # the more agreed-on answer is the wrong one
    assert cell.num_tied == 0


def test_where_wrong_answers_were_not_read_votes_are_undefined():
    (cell,) = exploration(facts_frame(rows("p", "R---") + rows("q", "RR--"))).cells
    assert cell.at[-1].solved.estimate == 1 and math.isnan(cell.at[-1].majority.estimate)
    assert math.isnan(cell.agreement.estimate) and cell.calibration.num_problems == 0


def test_empty_one_row_and_null_facts_give_nan_not_errors():
    assert exploration(facts_frame([])).cells == ()
    assert exploration(facts_frame([{}])).cells == ()
    (cell,) = exploration(facts_frame([{"correct": False}])).cells
    assert math.isnan(cell.temperature) and math.isnan(cell.agreement.estimate) and cell.at[-1].k == 1


def test_hot_sampling_buys_coverage_and_not_correctness():
    """Cold: the same answer eight times, right on half of the problems.  Hot: always one right of eight."""
    cold = [row for i in range(40) for row in rows(f"p{i}", ("R" if i % 2 else "a") * 8, 0.1)]
    hot = [row for i in range(40) for row in rows(f"p{i}", "Rabcdefg", 1.0)]
    found = exploration(facts_frame(hot + cold))
    best = {one.metric: one for one in found.best}
    assert [cell.temperature for cell in found.cells] == [0.1, 1.0]
    assert (best["pass@1"].best, best["pass@k"].best, best["maj@k"].best) == (0.1, 1.0, 0.1)
    assert best["pass@k"].k == 8 and best["pass@k"].heat.interval.estimate == 0.5
    assert best["pass@1"].heat.interval.estimate == pytest.approx(1 / 8 - 0.5)
    assert best["pass@1"].choice.firsts == (1.0, 0.0) and best["pass@1"].choice.lead.interval.low > 0.2


def test_best_temperature_compares_only_problems_asked_at_all():
    facts = facts_frame(
        rows("p", "Ra", 0.5) + rows("q", "aa", 0.5) + rows("s", "RR", 0.5) + rows("p", "RR") + rows("q", "aR")
    )
    best = {one.metric: one for one in exploration(facts).best}
    assert best["pass@1"].choice.num_problems == 2 and best["pass@1"].means == (0.25, 0.75)


def test_order_of_rows_does_not_matter():
    facts = facts_frame([row for i in range(12) for row in rows(f"p{i}", "RRab"[: 1 + i % 4] + "-", 0.5)])
    assert exploration(facts) == exploration(facts.sample(fraction=1, shuffle=True, seed=3))


def test_k_goes_to_what_half_of_the_problems_have():
    assert powers_of_two(np.array([8, 8, 3])) == [1, 2, 4, 8] and powers_of_two(np.array([])) == []
    (cell,) = exploration(facts_frame(rows("p", "Raaa") + rows("q", "R") + rows("s", "aaaa"))).cells
    assert [(at.k, at.num_problems) for at in cell.at] == [(1, 3), (2, 2), (4, 2)]


@pytest.mark.parametrize(("k", "measure"), [(8, "solved"), (8, "majority"), (4, "distinct")])
def test_intervals_cover_what_more_problems_would_show(k, measure):
    """60 problems whose chances of right, a, b are Dirichlet, eight responses each; truth from 4,000 such problems."""

    def cell(seed: int, problems: int):
        rng = np.random.default_rng(seed)
        chances = rng.dirichlet([1.5, 1.0, 0.5], problems)
        picks = (rng.random((problems, 8, 1)) > np.cumsum(chances, axis=1)[:, None, :2]).sum(axis=2)
        frame = pl.DataFrame({"problem_id": np.repeat(np.arange(problems), 8).astype(str), "answer": picks.ravel()})
        base = facts_frame([]).select(pl.exclude("problem_id", "answer", "correct"))
        facts = frame.with_columns(pl.col("answer").cast(pl.UInt64), correct=pl.col("answer") == 0)
        nulls = [pl.lit(None, kind).alias(name) for name, kind in base.schema.items()]
        (only,) = exploration(facts.with_columns(nulls)).cells
        return getattr(next(at for at in only.at if at.k == k), measure)

    truth = cell(1, 4000).estimate
    found = [cell(100 + i, 60) for i in range(200)]
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.9
