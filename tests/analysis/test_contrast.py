"""The within-question contrast: numbers worked out by hand, and simulated truths."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from r1zero.analysis.contrast import (
    Questions,
    contrast,
    inverse_variance,
    mantel_haenszel,
    own_intervals,
    permutation_test,
    pooled_difference,
    smoothed_variances,
    usable,
)
from r1zero.analysis.occurrences import occurrence_rows, odds_ratio_within, pooled_odds_ratio, unit
from r1zero.facts.columns import facts_frame


def counts(*rows, problems=None):
    """Questions from (right with a cue, with a cue, right without, without)."""
    c1, n1, c0, n0 = (np.array(column) for column in zip(*rows, strict=True))
    return Questions(c1, n1, c0, n0, np.array(problems or range(len(rows))))


def facts_of(*rows, problems=None, **further):
    """One response a row of facts, from such counts."""
    made = []
    for index, (c1, n1, c0, n0) in enumerate(rows):
        problem = str(problems[index] if problems else index)
        for cues, right, all_of in ((2, c1, n1), (0, c0, n0)):
            base = {"model": "m", "task": "math", "problem_id": problem, "cues": cues, "num_chars": 100 + 100 * cues}
            made += [base | further | {"correct": i < right, "num_tokens": 50} for i in range(all_of)]
    return facts_frame(made)


# Two questions: 1/2 with and 2/2 without (d = -1/2, weight 2*2/4 = 1); 2/4 and 1/4 (d = 1/4, weight 4*4/8 = 2)
TWO = ((1, 2, 2, 2), (2, 4, 1, 4))


def test_the_mean_weighs_questions_by_their_sizes_alone():
    assert mantel_haenszel(counts(*TWO)).estimate == pytest.approx((1 * -0.5 + 2 * 0.25) / 3)


def test_smoothed_variances_are_those_of_one_more_of_either_outcome():
    # question 1: p~ = 2/4 of 4 and 3/4 of 4;  question 2: p~ = 3/6 of 6 and 2/6 of 6
    expected = [0.25 / 4 + 0.1875 / 4, 0.25 / 6 + (2 / 9) / 6]
    assert smoothed_variances(counts(*TWO)) == pytest.approx(expected)
    weights = 1 / np.array(expected)
    assert inverse_variance(counts(*TWO)).estimate == pytest.approx(
        (-0.5 * weights[0] + 0.25 * weights[1]) / weights.sum()
    )


def test_questions_all_right_have_an_interval_with_a_width():
    found = mantel_haenszel(counts(*[(3, 3, 5, 5)] * 20))
    assert found.estimate == 0
    assert -0.2 < found.low < -0.02 and 0.02 < found.high < 0.2


def test_questions_of_one_problem_are_one_cluster():
    rows = [(3, 4, 1, 4), (1, 4, 3, 4)] * 10
    apart, together = mantel_haenszel(counts(*rows)), mantel_haenszel(counts(*rows, problems=sorted([0, 1] * 10)))
    assert apart.estimate == together.estimate == 0
    alike = [(4, 4, 0, 4)] * 10 + [(0, 4, 4, 4)] * 10
    clustered = mantel_haenszel(counts(*alike, problems=[0] * 10 + [1] * 10))
    assert clustered.high - clustered.low > mantel_haenszel(counts(*alike)).high * 2


def test_a_single_question_is_no_proof():
    found = contrast(usable(facts_of((1, 1, 0, 1))), min_size=1)
    assert found.effect.estimate == 1 and found.effect.low < 0


def test_the_exact_permutation_p_value_of_one_question_is_fishers():
    for row in ((4, 5, 1, 7), (2, 6, 5, 6), (3, 3, 0, 9)):
        c1, n1, c0, n0 = row
        p, how = permutation_test(counts(row))
        support = np.arange(max(0, c1 + c0 - n0), min(n1, c1 + c0) + 1)
        chances = stats.hypergeom.pmf(support, n1 + n0, c1 + c0, n1)
        expected = n1 * (c1 + c0) / (n1 + n0)
        assert how == "exact"
        assert p == pytest.approx(chances[np.abs(support - expected) >= abs(c1 - expected) - 1e-9].sum())


def test_exact_permutations_agree_with_drawn_ones():
    rows = counts(*[(3, 5, 2, 6), (1, 4, 3, 5), (2, 6, 4, 5), (5, 6, 2, 5)] * 2)
    n1, n, c = rows.n1_Q, rows.n1_Q + rows.n0_Q, rows.c1_Q + rows.c0_Q
    sums = np.random.default_rng(0).hypergeometric(c, n - c, n1, size=(100_000, 8)).sum(axis=1)
    expected = (n1 * c / n).sum()
    drawn = np.mean(np.abs(sums - expected) >= abs(rows.c1_Q.sum() - expected) - 1e-9)
    assert permutation_test(rows)[0] == pytest.approx(drawn, abs=0.008)


def test_of_very_many_questions_the_normal_approximation_serves(monkeypatch):
    rows = counts(*[(3, 5, 2, 6), (1, 4, 3, 5), (3, 6, 3, 5), (4, 6, 2, 5)] * 50)
    exact, how = permutation_test(rows)
    monkeypatch.setattr("r1zero.analysis.contrast.EXACT_CELLS", 0)
    approximate, otherwise = permutation_test(rows)
    assert (how, otherwise) == ("exact", "normal approximation")
    assert 0.01 < exact < 0.9 and approximate == pytest.approx(exact, abs=0.01)


def test_questions_left_out_are_counted_by_reason():
    rows = usable(facts_of((0, 0, 2, 4), (3, 4, 0, 0), (1, 1, 0, 0), (1, 2, 1, 6), (2, 5, 3, 5)))
    found = contrast(rows)
    assert (found.num_questions, found.single, found.never, found.always, found.too_few) == (1, 1, 1, 1, 1)
    assert contrast(rows, min_size=2).num_questions == 2


def test_templates_and_temperatures_are_questions_of_their_own():
    warm, cold = facts_of((0, 2, 2, 2), temperature=1.0), facts_of((2, 2, 0, 2), temperature=0.1)
    found = contrast(usable(pl.concat([warm, cold])), min_size=2)
    assert (found.num_questions, found.num_problems, found.effect.estimate) == (2, 1, 0)
    assert (found.better, found.worse) == (0, 0)


def test_pooling_reverses_what_holds_on_every_question():
    """Simpson: on either question reflecting helps by .2; the hard one is where they reflect."""
    rows = usable(facts_of((3, 10, 1, 10), (30, 100, 1, 10), (10, 10, 80, 100), problems=["a", "b", "c"]))
    assert contrast(rows).effect.estimate == pytest.approx(0.2)
    assert pooled_difference(rows).estimate < -0.25
    assert pooled_difference(rows).estimate == pytest.approx(43 / 120 - 82 / 120)


def test_without_variation_of_length_the_adjusted_contrast_is_the_plain_one():
    rows = facts_of((1, 5, 4, 5), (3, 6, 3, 8), (2, 7, 6, 9)).with_columns(pl.lit(300, pl.Int32).alias("num_chars"))
    found = contrast(usable(rows))
    assert found.length_adjusted.estimate == pytest.approx(found.effect.estimate)


def test_length_explains_what_only_length_does():
    """Long responses are wrong, whether or not they reflect; most that reflect are long."""
    rng = np.random.default_rng(1)
    made = []
    for problem in range(40):
        for _ in range(20):
            cue = rng.random() < 0.5
            long = rng.random() < (0.8 if cue else 0.2)
            right = rng.random() < (0.2 if long else 0.7)
            made.append(
                {
                    "problem_id": str(problem),
                    "cues": int(cue),
                    "correct": bool(right),
                    "num_chars": 2000 if long else 200,
                }
            )
    found = contrast(usable(facts_frame(made)))
    assert found.effect.high < -0.2
    assert found.length_adjusted.low < 0 < found.length_adjusted.high


def test_nothing_in_nothing_out():
    for facts in (
        facts_frame([]),
        facts_frame([{"correct": None, "cues": 1}]),
        facts_frame([{"correct": True, "cues": 1}]),
    ):
        found = contrast(usable(facts))
        assert found.num_questions == 0 and math.isnan(found.effect.estimate) and math.isnan(found.p_permutation)
        assert found.above == found.below == 0


# ---------------------------------------------------------------------------------------------------------------------
# Simulated truths


def simulate(rng, problems, samples, effect, accuracies):
    """Questions of such accuracies; the harder, the more of their responses reflect."""
    p = rng.choice(accuracies, problems)
    n1 = rng.binomial(samples, 0.6 - 0.4 * p)
    n0 = samples - n1
    return Questions(rng.binomial(n1, p + effect), n1, rng.binomial(n0, p), n0, np.arange(problems))


@pytest.mark.parametrize(
    ("problems", "samples", "min_size", "effect", "accuracies"),
    [
        (60, 16, 5, 0.1, (0.05, 0.3, 0.6, 0.85)),  # easy and hard ones
        (60, 8, 2, 0.1, (0.05, 0.3, 0.6, 0.85)),  # small groups
        (40, 8, 1, -0.04, (0.05, 0.1)),  # hard ones only
        (12, 16, 5, 0.1, (0.3, 0.6)),  # few
    ],
)
def test_the_interval_covers_a_planted_effect_nine_times_in_ten(problems, samples, min_size, effect, accuracies):
    rng = np.random.default_rng(5)
    covered, estimates = 0, []
    for _ in range(200):
        found = simulate(rng, problems, samples, effect, accuracies)
        found = found.take(np.minimum(found.n1_Q, found.n0_Q) >= min_size)
        interval = mantel_haenszel(found)
        covered += interval.low <= effect <= interval.high
        estimates.append(interval.estimate)
    assert covered >= 180
    assert abs(np.mean(estimates) - effect) < 4 * np.std(estimates) / math.sqrt(200)  # unbiased


def test_inverse_variance_weights_are_biased_where_sizes_alone_are_not():
    """Effects differ between questions and the difference is known only from few responses."""
    rng = np.random.default_rng(9)
    sizes, inverse = [], []
    for _ in range(300):
        found = simulate(rng, 200, 8, 0.1, (0.0, 0.05, 0.1))
        found = found.take(np.minimum(found.n1_Q, found.n0_Q) >= 2)
        sizes.append(mantel_haenszel(found).estimate)
        inverse.append(inverse_variance(found).estimate)
    error = np.std(sizes) / math.sqrt(300)
    assert abs(np.mean(sizes) - 0.1) < 3 * error
    assert np.mean(inverse) < 0.1 - 3 * error


def test_where_reflecting_changes_nothing_p_values_are_uniform():
    rng = np.random.default_rng(3)
    p = np.array([permutation_test(simulate(rng, 30, 12, 0.0, (0.1, 0.5, 0.8)))[0] for _ in range(400)])
    assert (p < 0.05).mean() <= 0.08
    assert 0.4 < (p < 0.5).mean() < 0.6


def test_own_intervals_rarely_leave_out_the_truth():
    rng = np.random.default_rng(4)
    found = simulate(rng, 4000, 20, 0.1, (0.05, 0.3, 0.6, 0.85))
    found = found.take(np.minimum(found.n1_Q, found.n0_Q) >= 5)
    low, high = own_intervals(found)
    assert ((low <= 0.1) & (high >= 0.1)).mean() >= 0.93


# ---------------------------------------------------------------------------------------------------------------------
# Occurrences


def test_odds_ratios_of_one_table_are_the_cross_product():
    one = counts((6, 10, 4, 12))  # right: 6 with a cue and 4 without; wrong: 4 and 8
    assert pooled_odds_ratio(one).estimate == pytest.approx(6 * 8 / (4 * 4))
    assert odds_ratio_within(one).estimate == pytest.approx(6 * 8 / (4 * 4))


def test_the_common_odds_ratio_is_mantel_and_haenszels():
    # (a d / n) and (b c / n): question 1: 1*0/4, 2*1/4... with a=1, b=2, c=1, d=0; question 2: a=2, b=1, c=2, d=3
    assert odds_ratio_within(counts(*TWO)).estimate == pytest.approx((0 / 4 + 6 / 8) / (2 / 4 + 2 / 8))
    assert math.isnan(odds_ratio_within(counts((2, 2, 0, 2))).estimate)


def test_the_common_odds_ratio_covers_a_planted_one():
    rng, covered = np.random.default_rng(7), 0
    for _ in range(200):
        p0 = rng.choice([0.1, 0.4, 0.7], 60)
        odds = 2 * p0 / (1 - p0)
        n1 = rng.binomial(8, 0.4, 60)
        found = Questions(rng.binomial(n1, odds / (1 + odds)), n1, rng.binomial(8 - n1, p0), 8 - n1, np.arange(60))
        interval = odds_ratio_within(found)
        covered += interval.low <= 2 <= interval.high
    assert covered >= 180


def test_cues_are_counted_per_response_and_per_thousand_tokens():
    rows = usable(facts_of((1, 2, 1, 2), (1, 4, 2, 4)))  # two cues in a response that has any, fifty tokens in each
    every = occurrence_rows(rows)[-1]
    assert (every.right.responses, every.right.cues, every.wrong.cues) == (5, 4, 8)
    assert every.right.per_response.estimate == pytest.approx(4 / 5)
    assert every.right.per_thousand.estimate == pytest.approx(4 / 0.25)
    assert unit(rows) == "tokens"
    assert unit(rows.with_columns(pl.lit(None, pl.Int32).alias("num_tokens"))) == "characters"


def test_several_temperatures_have_a_row_each_before_all():
    warm, cold = facts_of(TWO[0], temperature=1.0), facts_of(TWO[1], temperature=0.1)
    assert [row.temperature for row in occurrence_rows(usable(pl.concat([warm, cold])))] == [0.1, 1.0, None]
    assert [row.temperature for row in occurrence_rows(usable(warm))] == [None]


def test_the_odds_ratio_knows_that_templates_and_temperatures_ask_one_problem():
    """Problems differ in what reflecting is worth, which twelve questions each repeat; the mean of all is covered."""
    rng, found = np.random.default_rng(0), []
    for _ in range(150):
        problem = np.repeat(np.arange(24), 12)
        worth = rng.normal(0, 0.15, 24)[problem]
        n1 = rng.binomial(8, 0.4, problem.size)
        c1, c0 = rng.binomial(n1, 0.5 + np.clip(worth, -0.4, 0.4)), rng.binomial(8 - n1, 0.5)
        found.append(odds_ratio_within(Questions(c1, n1, c0, 8 - n1, problem)))
    middle = np.exp(np.mean([math.log(one.estimate) for one in found]))
    assert np.mean([one.low <= middle <= one.high for one in found]) >= 0.9


def test_questions_of_one_problem_are_one_cluster_of_the_contrast():
    """Problem 0 gains 1/2 in each of its questions, problem 1 loses 1/2, and so on: 8 problems, however many questions.

    Deviations of problems are ±1/2 of equal weight: variance 8/7 x 8 x (1/16)² = 1/28, t with 7 degrees of freedom.
    """
    for each in (1, 12):
        rows = [(90, 100, 40, 100) if p % 2 else (40, 100, 90, 100) for p in range(8) for _ in range(each)]
        found = mantel_haenszel(counts(*rows, problems=[p for p in range(8) for _ in range(each)]))
        half = stats.t.ppf(0.975, 7) * math.sqrt(1 / 28)
        assert (found.low, found.estimate, found.high) == pytest.approx((-half, 0, half))


def test_asking_each_problem_again_makes_the_pooled_odds_ratio_no_surer():
    rows = [(8, 10, 3, 10), (2, 10, 7, 10), (5, 10, 5, 10), (9, 10, 4, 10)]
    once = pooled_odds_ratio(counts(*rows))
    again = pooled_odds_ratio(counts(*rows * 5, problems=list(range(4)) * 5))
    assert (again.low, again.high) == pytest.approx((once.low, once.high))


def test_more_reflection_at_hotter_temperatures_is_no_effect_of_reflecting():
    """Heat makes wrong and makes reflect; reflecting itself does nothing: pooled it looks harmful, within it is not."""
    rng, rows = np.random.default_rng(2), []
    for p in range(64):
        for step, heat in enumerate((0.2, 0.5, 0.8, 1.1)):
            for template in ("a", "b", "c"):
                rows += [
                    {
                        "problem_id": f"p{p}", "template": template, "temperature": heat,
                        "correct": bool(rng.random() < 0.9 - step / 4), "cues": int(rng.random() < 0.1 + step / 4),
                    }
                    for _ in range(4)
                ]  # fmt: skip
    one = usable(facts_frame(rows))
    assert pooled_difference(one).high < -0.2
    effect = contrast(one, min_size=1).effect
    assert effect.low < 0 < effect.high and effect.high - effect.low < 0.15
