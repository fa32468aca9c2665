"""Statistics: hand-derived values, exact identities, and coverage in simulations whose truth is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from r1zero.statistics.intervals import (
    Interval,
    accuracy_interval,
    bootstrap_bounds,
    cluster_interval,
    effective_number,
    exact_interval,
    holm,
    mcnemar_exact,
    mean_interval,
    minimum_detectable_effect,
    paired_difference,
    pass_at_k,
    ratio_interval,
    share_interval,
    show_p,
    sign_flip_test,
    t_test,
    wilson_interval,
)


def test_wilson_solves_its_defining_equation():
    """The bounds are the p with |p̂ - p| = z sqrt(p(1-p)/n), and AIME 2024's 13/30 is 27.4 to 60.8 %."""
    for successes, n in [(13, 30), (1, 10), (499, 500)]:
        interval = wilson_interval(successes, n)
        for bound in (interval.low, interval.high):
            distance = abs(successes / n - bound)
            assert distance == pytest.approx(1.959964 * math.sqrt(bound * (1 - bound) / n), rel=1e-5)
    aime = wilson_interval(13, 30)
    assert (round(aime.low, 3), round(aime.high, 3)) == (0.274, 0.608)


def test_wilson_has_sensible_ends():
    none, all_ = wilson_interval(0, 20), wilson_interval(20, 20)
    assert none.low == 0 and 0 < none.high < 0.2
    assert all_.high == pytest.approx(1) and all_.low == pytest.approx(1 - none.high)
    assert math.isnan(wilson_interval(0, 0).estimate)


def test_accuracy_with_one_response_a_problem_is_wilson():
    correct = [1] * 13 + [0] * 17
    one = accuracy_interval(correct, [1] * 30)
    expected = wilson_interval(13, 30)
    assert (one.low, one.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_repeating_each_problems_only_answer_adds_no_information():
    once, eight = accuracy_interval([1, 0, 0, 1, 0], [1] * 5), accuracy_interval([8, 0, 0, 8, 0], [8] * 5)
    assert (eight.low, eight.high) == (pytest.approx(once.low), pytest.approx(once.high))
    half = accuracy_interval([4] * 50, [8] * 50)  # equal shares: as good as 400 independent responses, not better
    assert (half.low, half.high) == (
        pytest.approx(wilson_interval(200, 400).low),
        pytest.approx(wilson_interval(200, 400).high),
    )


def coverage(interval_of, truth: float, trials: int = 400) -> float:
    intervals = [interval_of(np.random.default_rng(trial)) for trial in range(trials)]
    return float(np.mean([i.low <= truth <= i.high for i in intervals]))


def test_accuracy_interval_covers_the_truth_when_problems_differ_in_difficulty():
    """p ~ Beta(0.4, 1.6) has mean 0.2; 4 responses to each of 60 problems.  Taken as independent they cover less."""

    def draw(rng):
        return rng.binomial(4, rng.beta(0.4, 1.6, 60))

    clustered = coverage(lambda rng: accuracy_interval(draw(rng), [4] * 60), 0.2)
    naive = coverage(lambda rng: wilson_interval(draw(rng).sum(), 240), 0.2)
    assert 0.92 <= clustered <= 0.98
    assert naive < 0.88


def test_cluster_bootstrap_covers_the_truth_when_responses_of_a_problem_resemble_each_other():
    def interval(rng):
        problem = np.repeat(np.arange(40), 5)
        values = rng.normal(100, 20, 40)[problem] + rng.normal(0, 5, 200)
        return cluster_interval(values, problem, seed=1, resamples=400)

    assert 0.90 <= coverage(interval, 100, trials=300) <= 0.98


def test_cluster_interval_weights_responses_not_problems_and_ignores_undefined_ones():
    interval = cluster_interval([1, 1, 1, 5, math.nan], ["a", "a", "a", "b", "b"])
    assert interval.estimate == 2 and interval.low == 1 and interval.high == 5
    assert math.isnan(cluster_interval([1.0, 2.0], ["a", "a"]).low)
    assert math.isnan(cluster_interval([], []).estimate)


def test_cluster_interval_is_the_same_for_the_same_seed():
    values, names = list(range(20)), [i // 2 for i in range(20)]
    assert cluster_interval(values, names, seed=3) == cluster_interval(values, names, seed=3)
    assert cluster_interval(values, names, seed=3) != cluster_interval(values, names, seed=4)


def test_t_interval_of_three_seeds_by_hand():
    """Mean 2, sd 1, t(.975, 2) = 4.3027: half-width 4.3027 / sqrt(3) = 2.484."""
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval.estimate == 2 and interval.high - 2 == pytest.approx(2.484, abs=1e-3)
    assert math.isnan(mean_interval([1.0]).low) and math.isnan(mean_interval([]).estimate)


def test_pass_at_k_is_the_share_of_subsets_that_hold_a_right_answer():
    for n, c, k in itertools.product(range(1, 7), range(7), range(1, 7)):
        if c > n or k > n:
            continue
        subsets = list(itertools.combinations([1] * c + [0] * (n - c), k))
        assert pass_at_k(n, c, k) == pytest.approx(np.mean([max(s) for s in subsets]))
    assert math.isnan(pass_at_k(4, 2, 5))
    with pytest.raises(ValueError, match="c=5"):
        pass_at_k(4, 5, 1)


def test_mcnemar_is_the_two_sided_coin_test():
    """1 of 8 discordant problems: 2 (1 + 8) / 256."""
    assert mcnemar_exact(1, 7) == pytest.approx(18 / 256) == mcnemar_exact(7, 1)


def test_flipping_signs_of_binary_differences_is_mcnemars_test():
    for only_a, only_b in [(1, 7), (0, 5), (4, 4), (2, 9)]:
        differences = [-1] * only_a + [1] * only_b + [0] * 10
        assert sign_flip_test(differences) == pytest.approx(mcnemar_exact(only_a, only_b))
    many = sign_flip_test([-1] * 15 + [1] * 35, resamples=20_000)
    assert many == pytest.approx(mcnemar_exact(15, 35), abs=0.004)


def test_sign_flip_by_hand():
    """Differences 1, 2, 3: of 8 flips two reach |sum| = 6, so p = 1/4."""
    assert sign_flip_test([1, 2, 3]) == 0.25
    assert sign_flip_test([0.0, 0.0]) == 1.0


def test_paired_difference_of_one_response_a_problem_by_hand():
    """10 problems, 4 gained, 1 lost: cells 4.5 and 1.5 of 12, centre .25, half-width 1.96 sqrt(6 - 9/12)/12 = .374."""
    a = [1] + [0] * 4 + [1] * 3 + [0] * 2
    b = [0] + [1] * 4 + [1] * 3 + [0] * 2
    pair = paired_difference(a, b)
    assert (pair.wins, pair.losses, pair.ties, pair.num_problems) == (4, 1, 5, 10)
    assert pair.interval.estimate == pytest.approx(0.3)
    assert pair.interval.low == pytest.approx(0.25 - 0.3742, abs=1e-3)
    assert pair.interval.high == pytest.approx(0.25 + 0.3742, abs=1e-3)
    assert pair.p_value == pytest.approx(mcnemar_exact(1, 4))
    same = paired_difference([1.0, 0.0] * 20, [1.0, 0.0] * 20)
    assert same.interval.low < 0 < same.interval.high and same.p_value == 1


def test_paired_difference_swaps_its_sign_with_its_arguments():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, 50) / 4, rng.integers(0, 5, 50) / 4
    ab, ba = paired_difference(a, b), paired_difference(b, a)
    assert ab.interval.estimate == -ba.interval.estimate and (ab.wins, ab.losses) == (ba.losses, ba.wins)
    assert "bootstrap" in ab.method
    with pytest.raises(ValueError, match="same problems"):
        paired_difference([1.0], [1.0, 0.0])


@pytest.mark.parametrize("samples", [1, 4])
def test_paired_interval_covers_the_true_difference_and_the_test_keeps_its_level(samples):
    """Both policies share each problem's difficulty p ~ Beta(1, 2); B adds 0.1 (1 - p), 0.0667 on average."""

    def draw(rng, gain):
        p = rng.beta(1, 2, 80)
        return rng.binomial(samples, p) / samples, rng.binomial(samples, p + gain * (1 - p)) / samples

    covered = coverage(lambda rng: paired_difference(*draw(rng, 0.1), seed=1).interval, 0.1 * 2 / 3, trials=150)
    assert covered >= 0.89
    rejected = [paired_difference(*draw(np.random.default_rng(t), 0.0)).p_value < 0.05 for t in range(150)]
    assert np.mean(rejected) <= 0.10


def test_numbers_are_shown_briefly_and_undefined_ones_as_a_dash():
    assert f"{Interval(0.5, math.nan, 1.0)}" == ".50 [–, 1.00]"
    assert f"{Interval(120.4, 110.6, math.inf):.0f}" == "120 [111, –]"
    assert show_p(0.05) == "p = .050"
    assert Interval(0, 0, 0.2).overlaps(Interval(0, 0.2, 0.3)) and not Interval(0, 0, 0.2).overlaps(Interval(0, 0.3, 1))


def test_holm_by_hand():
    """Ascending .01 .02 .03 .04 times 4, 3, 2, 1: .04 .06 .06 .04; the last may not fall below the one before it."""
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == [] and holm([0.2]) == [0.2]


def test_undefined_p_values_are_no_part_of_the_family():
    corrected = holm([math.nan, 0.02, 0.04])
    assert math.isnan(corrected[0]) and corrected[1:] == [0.04, 0.04]


def test_holm_keeps_the_chance_of_any_false_alarm():
    """Five true nulls, and five beside three real effects: at most 5 % of families have a false alarm."""
    rng = np.random.default_rng(0)
    for real in (0, 3):
        alarms = [min(holm([*rng.random(5), *[1e-6] * real])[:5]) < 0.05 for _ in range(3000)]
        assert np.mean(alarms) <= 0.06
    assert np.mean([rng.random(5).min() < 0.05 for _ in range(3000)]) > 0.2  # without correction


def test_t_test_agrees_with_the_t_interval_and_with_a_worked_example():
    """1, 2, 3: t = 2 / (1 / sqrt 3) = 3.464 with 2 degrees of freedom, p = 1 - t / sqrt(t^2 + 2) = .0742."""
    assert t_test([1.0, 2.0, 3.0]) == pytest.approx(1 - math.sqrt(12 / 14), abs=1e-9)
    rng = np.random.default_rng(0)
    for _ in range(200):
        x = rng.normal(0.8, 1, 5)
        interval = mean_interval(x)
        assert (t_test(x) < 0.05) == (not interval.low <= 0 <= interval.high)
    assert t_test([0.0, 0.0]) == 1.0
    assert all(math.isnan(t_test(x)) for x in ([], [1.0], [0.1, 0.1, 0.1], [1.0, math.nan]))


def test_minimum_detectable_effect_agrees_with_published_sample_sizes():
    """Cohen (1988): 34 pairs detect half a standard deviation with 80 % power, 199 pairs a fifth."""
    assert minimum_detectable_effect(1.0, 34) <= 0.5 < minimum_detectable_effect(1.0, 33)
    assert minimum_detectable_effect(1.0, 199) <= 0.2 < minimum_detectable_effect(1.0, 198)
    assert minimum_detectable_effect(3.0, 34) == pytest.approx(3 * minimum_detectable_effect(1.0, 34))
    assert minimum_detectable_effect(1.0, 10**6) == pytest.approx((1.959964 + 0.841621) / 1000, rel=1e-3)
    assert minimum_detectable_effect(1.0, 34, power=0.95) > minimum_detectable_effect(1.0, 34)


@pytest.mark.parametrize("n", [2, 3, 5, 60])
def test_a_difference_of_that_size_is_found_in_four_of_five_experiments(n):
    rng = np.random.default_rng(n)
    x = rng.normal(minimum_detectable_effect(2.0, n), 2.0, (20_000, n))
    t = x.mean(axis=1) / (x.std(axis=1, ddof=1) / math.sqrt(n))
    critical = mean_interval([-1.0, 1.0] + [0.0] * (n - 2))  # half-width t sd / sqrt(n), so t is read off
    spread = np.std([-1.0, 1.0] + [0.0] * (n - 2), ddof=1) / math.sqrt(n)
    assert np.mean(np.abs(t) > critical.high / spread) == pytest.approx(0.8, abs=0.012)


def test_without_spread_or_pairs_no_effect_is_called_detectable():
    assert all(math.isnan(minimum_detectable_effect(*x)) for x in ((1.0, 1), (0.0, 5), (math.nan, 5), (1.0, 0)))


def test_chances_of_problems_have_an_interval_without_those_that_are_undefined():
    some = share_interval([1.0, 0.0, 0.5, math.nan], [4, 4, 4, 2])
    assert some == accuracy_interval([4, 0, 2], [4, 4, 4])
    assert share_interval([1.0, 1.0], [8, 8]).low == wilson_interval(2, 2).low  # all right, and not certain
    assert math.isnan(share_interval([math.nan], [2]).estimate)


def test_beyond_many_problems_the_bounds_are_those_of_the_bootstrap_without_drawing(monkeypatch):
    rng = np.random.default_rng(3)
    counts = rng.integers(1, 9, 4000).astype(float)
    sums = rng.binomial(counts.astype(int), 0.3).astype(float)
    drawn = bootstrap_bounds(sums, counts, seed=0, resamples=4000, level=0.95)
    monkeypatch.setattr("r1zero.statistics.intervals.MANY", 100)
    normal = bootstrap_bounds(sums, counts, seed=0, resamples=4000, level=0.95)
    width = drawn[1] - drawn[0]
    assert abs(normal[0] - drawn[0]) < 0.06 * width and abs(normal[1] - drawn[1]) < 0.06 * width
    by_hand = bootstrap_bounds(np.array([1.0, 0.0, 1.0, 2.0] * 50), np.full(200, 2.0), seed=0, resamples=1, level=0.95)
    # r = 200 / 400 = .5, deviations 0, -1, 0, 1 repeated: their squares sum to 100; sd = sqrt(100 * 200/199) / 400
    assert by_hand == pytest.approx((0.5 - 1.959964 * 0.0250627, 0.5 + 1.959964 * 0.0250627), abs=1e-6)


def test_the_effective_number_lies_between_problems_and_responses():
    sizes = np.full(4, 6)
    assert effective_number(np.array([6, 0, 6, 0]), sizes) == 4  # all or none within a problem: a problem is one trial
    assert effective_number(np.array([3, 3, 3, 3]), sizes) == 24  # less spread than independent responses would have
    assert effective_number(np.array([6, 6, 6, 6]), sizes) == 4  # how alike responses are is not seen


def test_share_of_responses_by_hand():
    """3 of 4 and 0 of 2: p = 1/2, residuals 1 and -1, variance 2 x 2 / 36 = 1/9, trials (1/4) / (1/9) = 2.25."""
    found = ratio_interval([3, 0], [4, 2])
    expected = wilson_interval(1.125, 2.25)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.5, expected.low, expected.high))
    assert ratio_interval([0, 0, 0], [4, 2, 0]) == exact_interval(0, 2)
    assert ratio_interval([4, 2], [4, 2]) == exact_interval(2, 2)
    assert ratio_interval([3], [6]) == wilson_interval(0.5, 1)
    assert math.isnan(ratio_interval([], []).estimate)


def test_shares_of_problems_of_very_different_size_are_covered():
    """The share of responses is .3; one problem in four has forty responses, the others four, chances of their own."""
    rng, hits, sims = np.random.default_rng(0), 0, 300
    for _ in range(sims):
        sizes = rng.choice([4, 40], 40, p=[0.75, 0.25])
        found = ratio_interval(rng.binomial(sizes, rng.beta(0.6, 1.4, 40)), sizes)
        hits += found.low <= 0.3 <= found.high
    assert hits / sims >= 0.9


def test_problems_that_all_differ_alike_leave_a_paired_difference_unsure():
    same = paired_difference([0.5, 0.5, 0.25], [0.5, 0.5, 0.25])
    assert (same.interval.low, same.interval.high) == pytest.approx((-1.96 / 5, 1.96 / 5), abs=1e-3)
    one = paired_difference([0.5], [0.75])
    assert one.interval.estimate == 0.25 and one.interval.low < 0 < one.interval.high and one.p_value == 1
