"""Constant, smooth and sudden courses, told apart; with made-up runs whose truth is known."""

import math

import numpy as np
import pytest
from scipy import stats

from r1zero.statistics.changepoint import FEWEST, Counts, Fits, angle, change_point, courses, draws, noise, rate

STEPS = np.arange(12)
SMOOTH = {
    "straight": np.linspace(0.05, 0.35, 12),
    "a quick rise": 0.05 + 0.3 / (1 + np.exp(-(STEPS - 6) * 2 * math.log(9) / 4)),  # 10 to 90 % over four intervals
    "early and saturating": 0.05 + 0.3 * (1 - np.exp(-STEPS / 3)),
    "from nothing": np.linspace(0.001, 0.15, 12),
}
JUMP = np.where(STEPS < 6, 0.05, 0.15)


def responses(rng: np.random.Generator, curve: np.ndarray, problems: int = 48, samples: int = 8, rho: float = 0.0):
    """Counts of problems that differ in difficulty and change a little by themselves; [T, P] hits and trials.

    A problem has a place among the problems, which wanders, with correlation `rho` from time to time; its rate is that
    quantile of a beta distribution with the curve's mean.
    """
    wander = rng.normal(size=(curve.size, problems))
    for t in range(1, curve.size):
        wander[t] = rho * wander[t - 1] + math.sqrt(1 - rho**2) * wander[t]
    places = rng.normal(size=problems) + 0.4 * wander
    quantiles = stats.norm.cdf(places / math.hypot(1, 0.4))
    rates = stats.beta.ppf(quantiles, 4 * curve[:, None], 4 * (1 - curve[:, None]))
    return rng.binomial(samples, rates), np.full(rates.shape, samples)


def examined(curve: np.ndarray, seed: int, rho: float = 0.0):
    hits, trials = responses(np.random.default_rng(seed), curve, rho=rho)
    if rho:  # the responses, too, persist: the random numbers are the same at all times
        shares = stats.beta.ppf(np.random.default_rng(seed).random(48), 4 * curve[:, None], 4 * (1 - curve[:, None]))
        numbers = np.random.default_rng(seed + 10_000).random((48, 8))
        flips = np.random.default_rng(seed + 20_000).random((curve.size, 48, 8)) < 1 - rho
        fresh = np.random.default_rng(seed + 30_000).random((curve.size, 48, 8))
        for t in range(curve.size):
            numbers = np.where(flips[t], fresh[t], numbers)
            hits[t] = (numbers < shares[t][:, None]).sum(-1)
    found = noise(hits, trials)
    counts = Counts(tuple(STEPS), tuple(hits.sum(1)), tuple(trials.sum(1)), found.dispersion, found.persistence)
    return change_point(counts, seed=seed, resamples=300)


def test_a_constant_rate_is_rarely_said_to_change():
    verdicts = [examined(np.full(12, 0.2), seed).verdict for seed in range(100)]
    assert verdicts.count("no change") >= 92
    assert verdicts.count("sudden") <= 4


def test_noise_that_persists_between_checkpoints_is_no_change():
    """Nine in ten random numbers are those of the checkpoint before: rates drift, and nothing has happened."""
    found = [examined(np.full(12, 0.2), seed, rho=0.9) for seed in range(100)]
    assert sum(one.verdict != "no change" for one in found) <= 10
    assert sum(one.verdict == "sudden" for one in found) <= 6


@pytest.mark.parametrize("name", SMOOTH)
def test_a_smooth_rise_is_rarely_called_sudden(name):
    found = [examined(SMOOTH[name], seed) for seed in range(50)]
    assert sum(one.p_sudden < 0.05 for one in found) <= 4  # size at most 8 %
    assert sum(one.verdict != "no change" for one in found) >= 48


def test_a_jump_is_found_where_it_is():
    found = [examined(JUMP, seed) for seed in range(50)]
    assert sum(one.verdict == "sudden" for one in found) >= 40  # power
    assert sum(one.when.low <= 5 and one.when.high >= 6 for one in found) >= 45  # coverage
    one = found[0]
    assert one.penalised["sudden"] < one.penalised["smooth"] < one.penalised["constant"]
    assert one.before == pytest.approx(0.05, abs=0.03) and one.after == pytest.approx(0.15, abs=0.04)


def test_courses_of_the_smooth_family_take_at_least_three_intervals_to_rise():
    times = tuple(range(0, 120, 10))
    for course in courses(times)["smooth"]:
        assert np.abs(np.diff(course)).max() < 0.36  # F rises by tanh(RISE/12) = .35 in a third of its width
    sudden = courses(times)["sudden"]
    assert sudden.shape == (11, 12) and sudden[3].tolist() == [0.0] * 4 + [1.0] * 8


def test_the_deviance_of_a_jump_is_that_of_two_means():
    """Angles .1 .1 .3 .3 of weight 4 n = 40 each: around the mean .2 they leave 4 * 40 * .01, around two means 0."""
    fits = Fits(courses((0.0, 1.0, 2.0, 3.0)), np.full(4, 40.0))
    y = np.array([0.1, 0.1, 0.3, 0.3])
    assert fits.best(y, "constant") == pytest.approx(1.6)
    assert fits.best(y, "sudden") == pytest.approx(0.0)
    assert fits.course(y, "sudden") == pytest.approx(y) and fits.place(y, "sudden") == 1
    uneven = Fits(courses((0.0, 1.0, 2.0, 3.0)), np.array([40.0, 40.0, 40.0, 120.0]))
    assert uneven.course(np.array([0.1, 0.3, 0.2, 0.4]), "constant") == pytest.approx(np.full(4, 0.3))


def test_angles_have_one_variance_whatever_the_rate():
    rng = np.random.default_rng(0)
    for chance in (0.1, 0.3, 0.5, 0.9):
        hits = rng.binomial(200, chance, 20_000)
        assert np.var(angle(hits, np.full(hits.size, 200))) == pytest.approx(1 / 800, rel=0.06)
    assert rate(angle(np.array([60.0]), np.array([200.0]))) == pytest.approx(0.3, abs=0.002)


def test_noise_is_that_of_independent_trials_and_grows_where_responses_agree():
    rng = np.random.default_rng(1)
    trials = np.full((20, 200), 8)
    plain = noise(rng.binomial(8, 0.3, (20, 200)), trials)
    assert plain.dispersion == pytest.approx(1, abs=0.1) and plain.persistence < 0.05
    copied = noise(8 * rng.binomial(1, 0.3, (20, 200)), trials)  # all eight alike: the variance is eightfold
    assert copied.dispersion == pytest.approx(8, abs=0.6)
    always = noise(np.tile(np.array([0, 8] * 100), (20, 1)), trials)  # easy and hard problems, the same at all times
    assert (always.dispersion, always.persistence) == (1.0, 0.0)


def test_the_persistence_of_noise_is_found_and_drawn():
    rng = np.random.default_rng(2)
    numbers = rng.random((400, 8))
    hits = np.empty((20, 400))
    for t in range(20):  # seven in ten random numbers stay
        numbers = np.where(rng.random(numbers.shape) < 0.3, rng.random(numbers.shape), numbers)
        hits[t] = (numbers < 0.3).sum(1)
    found = noise(hits, np.full(hits.shape, 8.0))
    assert found.persistence == pytest.approx(0.7, abs=0.05) and found.dispersion == pytest.approx(1, abs=0.15)
    drawn = draws(np.full(20, 0.6), np.full(20, 500.0), 0.7, 4000, rng)
    assert np.corrcoef(drawn[:, 4], drawn[:, 5])[0, 1] == pytest.approx(0.7, abs=0.04)
    assert drawn.var(0).mean() == pytest.approx(1 / 2000, rel=0.06)


def test_too_few_measurements_tell_nothing():
    short = change_point(Counts(tuple(range(FEWEST - 1)), (1,) * 5, (10,) * 5))
    assert short.verdict == "cannot tell" and math.isnan(short.p_sudden) and short.num_times == 5
    assert change_point(Counts((), (), ())).verdict == "cannot tell"
    without = change_point(Counts(tuple(range(8)), (0,) * 8, (0,) * 8))
    assert without.verdict == "cannot tell" and without.num_times == 0
    never = change_point(Counts(tuple(range(8)), (0,) * 8, (50,) * 8), resamples=100)
    assert never.verdict == "no change" and never.p_change == 1.0


def test_the_jump_lies_within_its_range_in_nine_of_ten_simulations():
    """A small jump between times 5 and 6: the best place misses it often, the range seldom."""
    rng, covered, missed, sims = np.random.default_rng(3), 0, 0, 100
    rates = np.r_[np.full(6, 0.05), np.full(6, 0.1)]
    for seed in range(sims):
        counts = Counts(tuple(range(12)), tuple(rng.binomial(200, rates)), (200,) * 12)
        when = change_point(counts, seed=seed, resamples=200).when
        covered += when.low <= 5.5 <= when.high
        missed += when.estimate != 5.5
    assert covered / sims >= 0.9 and missed / sims >= 0.15
