"""Effects of interventions: numbers worked out by hand, and intervals that cover a planted truth."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from r1zero.probe.effects import Contrast, arms, effect, effects, paired
from r1zero.statistics.intervals import minimum_detectable_effect

ARMS = ("kept", "banned")
BANNED = Contrast("kept − banned", "cue", "kept", "banned")
CORRECTED = Contrast("kept − banned", "cue", "kept", "banned", placebo="placebo")


def frame(*rows: tuple[str, str, str, str, int, int]) -> pl.DataFrame:
    names = ("kind", "arm", "prefix", "problem_id", "correct", "tokens")
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(pl.col("correct").cast(pl.Boolean))


def simulated(
    rng: np.random.Generator, *, problems: int, effect: float, placebo: float | None = None, samples: int = 4
) -> pl.DataFrame:
    """Continuations of one to three prefixes a problem whose chance of success rises by `effect` when kept.

    Problems differ in difficulty and in how much the cue does for them; the mean over prefixes is `effect`.
    """
    rows = []
    for problem in range(problems):
        base, own = rng.uniform(0.2, 0.5), rng.normal(0, 0.1)
        for kind, mean in (("cue", effect), ("placebo", placebo)):
            for prefix in range(rng.integers(1, 4) if mean is not None else 0):
                chances = {"kept": float(np.clip(base + (mean or 0.0) + own, 0, 1)), "banned": base}
                for arm, chance in chances.items():
                    for _ in range(samples):
                        correct, tokens = int(rng.random() < chance), int(rng.integers(10, 20))
                        rows.append((kind, arm, f"{kind}{problem}/{prefix}", f"p{problem}", correct, tokens))
    return frame(*rows)


def test_a_prefix_is_the_unit_and_not_the_continuation() -> None:
    records = frame(
        *[("cue", "kept", "a", "p1", 1, 30)] * 2,
        *[("cue", "banned", "a", "p1", 0, 10)] * 6,
        ("cue", "kept", "b", "p2", 1, 20),
        ("cue", "kept", "b", "p2", 0, 20),
        *[("cue", "banned", "b", "p2", 1, 16)] * 2,
        ("cue", "kept", "c", "p3", 1, 99),  # never banned: left out
        ("placebo", "banned", "c", "p3", 1, 99),
    )
    differences = paired(records, "cue", "kept", "banned")
    assert differences["correct"].to_list() == [1.0, -0.5]
    assert differences["tokens"].to_list() == [20.0, 4.0]
    found = effect(records, BANNED)
    assert (found.accuracy.estimate, found.tokens.estimate) == (0.25, 12.0)
    assert (found.prefixes, found.problems) == (2, 2)
    assert found.p_value == 1.0  # of +1 and -.5 under four flips, all are at least as far from 0 as .5


def test_a_placebo_effect_is_taken_off() -> None:
    rows = []
    for p in range(8):
        for kind, kept, banned in (("cue", 1, 0), ("placebo", 1, p % 2)):
            rows += [
                (kind, "kept", f"{kind}{p}", f"p{p}", kept, 30),
                (kind, "banned", f"{kind}{p}", f"p{p}", banned, 10),
            ]
    records = frame(*rows)
    assert effect(records, BANNED).accuracy.estimate == 1.0
    found = effect(records, CORRECTED)
    assert found.accuracy.estimate == pytest.approx(0.5)
    assert found.tokens.estimate == 0.0
    assert found.p_value == pytest.approx(2 * 0.5**4, abs=0.02)  # the four problems that differ all point one way


def test_holm_counts_only_the_family() -> None:
    records = simulated(np.random.default_rng(0), problems=40, effect=0.3, placebo=0.0)
    outside = Contrast("kept − banned", "placebo", "kept", "banned", in_family=False)
    first, second, other = effects(records, [BANNED, CORRECTED, outside])
    smaller, larger = sorted((first.p_value, second.p_value))
    assert sorted((first.p_holm, second.p_holm)) == pytest.approx([min(1, 2 * smaller), max(2 * smaller, larger)])
    assert math.isnan(other.p_holm)
    assert not math.isnan(other.p_value)


def test_nothing_is_undefined_and_not_zero() -> None:
    empty = frame().cast(
        {"tokens": pl.Int64, "problem_id": pl.String, "prefix": pl.String, "kind": pl.String, "arm": pl.String}
    )
    for contrast in (BANNED, CORRECTED):
        found = effect(empty, contrast)
        assert math.isnan(found.accuracy.estimate)
        assert math.isnan(found.p_value)
        assert found.prefixes == 0
    alone = frame(("cue", "kept", "a", "p", 1, 3), ("cue", "banned", "a", "p", 0, 2))
    assert effect(alone, BANNED).accuracy.estimate == 1.0
    assert math.isnan(effect(alone, BANNED).accuracy.low)


def test_arms_come_in_the_order_asked_for() -> None:
    records = frame(("cue", "banned", "a", "p", 0, 4), ("cue", "kept", "a", "p", 1, 8)).with_columns(
        truncated=pl.Series([True, False]), cued=pl.Series([False, True])
    )
    found = arms(records, [("cue", "kept"), ("placebo", "kept"), ("cue", "banned")])
    assert [(arm.name, arm.tokens.estimate, arm.truncated.estimate) for arm in found] == [
        ("kept", 8.0, 0.0),
        ("banned", 4.0, 1.0),
    ]


def coverage(contrast: Contrast, truth: float, **settings: float) -> tuple[float, float]:
    """Shares of 200 simulations whose interval covers the truth, and whose p-value is below .05."""
    covered = significant = 0
    for seed in range(200):
        records = simulated(np.random.default_rng(seed), problems=40, **settings)  # type: ignore[arg-type]
        found = effect(records, contrast, seed=seed)
        covered += found.accuracy.low <= truth <= found.accuracy.high
        significant += found.p_value < 0.05
    return covered / 200, significant / 200


def test_the_interval_covers_a_planted_effect_and_the_test_finds_it() -> None:
    covered, significant = coverage(BANNED, 0.15, effect=0.15)
    assert covered >= 0.9
    assert significant > 0.8


def test_without_an_effect_the_test_is_rarely_significant() -> None:
    covered, significant = coverage(BANNED, 0.0, effect=0.0)
    assert covered >= 0.9
    assert significant <= 0.09  # .05 and two standard errors of 200 simulations


def test_the_corrected_effect_is_covered_too() -> None:
    covered, significant = coverage(CORRECTED, 0.2, effect=0.3, placebo=0.1)
    assert covered >= 0.9
    assert significant > 0.5


def test_an_effect_that_placebo_places_have_too_is_rarely_significant() -> None:
    covered, significant = coverage(CORRECTED, 0.0, effect=0.2, placebo=0.2)
    assert covered >= 0.9
    assert significant <= 0.09


def test_no_difference_anywhere_is_not_known_to_be_none_everywhere() -> None:
    """With 8 of 8 problems alike, up to .3694 of all (1 - .025^(1/8)) may be otherwise."""
    rows = [(kind, arm, f"{kind}{p}", f"p{p}", 0, 9) for kind in ("cue", "placebo") for p in range(8) for arm in ARMS]
    found = effect(frame(*rows), BANNED).accuracy
    assert (found.estimate, found.low, found.high) == pytest.approx((0, -0.3694, 0.3694), abs=1e-4)
    found = effect(frame(*rows), CORRECTED).accuracy
    assert (found.estimate, found.low, found.high) == pytest.approx((0, -0.7388, 0.7388), abs=1e-4)
    [alone, _] = arms(frame(*rows).with_columns(truncated=False, cued=False), [("cue", arm) for arm in ARMS])
    assert (alone.accuracy.estimate, alone.accuracy.high) == pytest.approx((0, 0.3694), abs=1e-4)
    always = [(kind, arm, prefix, name, int(arm == "kept"), 9) for kind, arm, prefix, name, _, _ in rows]
    found = effect(frame(*always), BANNED).accuracy
    assert (found.estimate, found.low, found.high) == pytest.approx((1, 1 - 2 * 0.3694, 1), abs=1e-4)


def scarce_placebos(seed: int, *, problems: int) -> pl.DataFrame:
    """Two cue places in each of 30 problems, one placebo place in each of the first few; the same effect everywhere."""
    rng, rows = np.random.default_rng(seed), []
    for kind, many, each, spread in (("cue", 30, 2, 0.1), ("placebo", problems, 1, 0.5)):
        for prefix in range(many * each):
            name, chance = f"p{prefix // each}", rng.normal(0.2, spread)
            rows += [
                (kind, "kept", f"{kind}{prefix}", name, chance, 1),
                (kind, "banned", f"{kind}{prefix}", name, 0, 1),
            ]
    return pl.DataFrame(rows, schema=("kind", "arm", "prefix", "problem_id", "correct", "tokens"), orient="row")


def test_few_placebo_places_do_not_make_the_corrected_effect_significant() -> None:
    """Swapping labels, which evens the two numbers of places out, is significant in 4 of 10 of these."""
    p_values = [effect(scarce_placebos(seed, problems=10), CORRECTED, seed=seed).p_value for seed in range(200)]
    assert sum(p < 0.05 for p in p_values) / 200 <= 0.1


def test_the_detectable_difference_is_that_of_the_standard_error() -> None:
    """Own places 0 and 1 (mean .5), placebo 0 and 0, in two problems: each moves the difference by a quarter."""
    rows = [("cue", "kept", "a", "p1", 0, 1), ("cue", "kept", "b", "p2", 1, 1)]
    rows += [("placebo", "kept", "c", "p1", 0, 1), ("placebo", "kept", "d", "p2", 0, 1)]
    rows += [(kind, "banned", prefix, problem, 0, 1) for kind, _, prefix, problem, _, _ in rows]
    found = effect(frame(*rows), CORRECTED)
    assert found.accuracy.estimate == 0.5
    assert found.detectable == pytest.approx(minimum_detectable_effect(math.sqrt(0.5), 2))  # sd of 0 and 1
