"""Choosing the best of several templates: the paired lead, and what the winner's curse adds."""

from __future__ import annotations

import numpy as np
import pytest

from r1zero.analysis.template_choice import choose_template


def test_a_clear_winner_is_chosen_by_every_half_and_flattered_by_none():
    shares = np.array([[1.0, 0.0]] * 12)
    found = choose_template("pass@1", ["a", "b"], shares, np.full((12, 2), 4))
    assert found.best == "a" and found.chosen == 1 and found.optimism == 0
    (rival,) = found.rivals
    assert rival.behind.interval.estimate == 1 and rival.behind.wins == 12 and rival.chosen == 0


def test_equal_templates_flatter_their_winner():
    """Ten templates of 20 %: the largest of ten means on 20 problems is above .2, and on other problems .2 again."""
    rng = np.random.default_rng(0)
    on_chosen, on_others = [], []
    for seed in range(40):
        shares = rng.binomial(1, 0.2, (40, 10)).astype(float)
        found = choose_template("pass@1", [f"t{k}" for k in range(10)], shares, np.ones((40, 10)), seed=seed)
        on_chosen.append(found.on_chosen)
        on_others.append(found.on_others)
    assert np.mean(on_chosen) > 0.3
    assert np.mean(on_others) == pytest.approx(0.2, abs=0.03)


def test_the_lead_is_paired_over_the_same_problems():
    """Hard and easy problems differ far more than templates do: only pairs show a lead of .05."""
    rng = np.random.default_rng(1)
    ease = 0.9 * rng.random(80)
    shares = np.stack([ease + 0.1 * rng.random(80), ease], axis=1)
    found = choose_template("pass@1", ["a", "b"], shares, np.full((80, 2), 8))
    lead = found.rivals[0]
    assert lead.behind.interval.low > 0.04 and lead.p_value < 0.001
    assert lead.share.overlaps(found.share)  # unpaired intervals overlap


def test_the_best_of_equal_templates_is_seldom_called_ahead():
    """Six alike: the best is .05 ahead of the worst of them in a tenth of draws when only the five rivals count."""
    rng, alarms, sims = np.random.default_rng(15), 0, 150
    for _ in range(sims):
        shares = rng.binomial(4, rng.uniform(0.1, 0.9, 40)[:, None], (40, 6)) / 4
        found = choose_template("pass@1", list("abcdef"), shares, np.full((40, 6), 4))
        alarms += min(rival.p_value for rival in found.rivals) < 0.05
    assert alarms / sims <= 0.08


def test_one_template_or_too_few_problems_are_no_choice():
    assert choose_template("pass@1", ["a"], np.ones((9, 1)), np.ones((9, 1))) is None
    assert choose_template("pass@1", ["a", "b"], np.ones((3, 2)), np.ones((3, 2))) is None
    holes = np.where(np.arange(20).reshape(10, 2) < 14, np.nan, 1.0)
    assert choose_template("pass@1", ["a", "b"], holes, np.ones((10, 2))) is None
