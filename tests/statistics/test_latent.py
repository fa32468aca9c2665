"""Latent classes: planted prevalences and errors are recovered, and what is not identified is said not to be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from r1zero.statistics.latent import latent_classes

SENSITIVITY, SPECIFICITY = (0.6, 0.9, 0.7), (0.97, 0.9, 0.85)


def draw(rng, num: int, prevalence: float, sensitivity=SENSITIVITY, specificity=SPECIFICITY) -> np.ndarray:
    """Verdicts of detectors that err independently, given the class.  -> [N, K]"""
    truth = rng.random(num) < prevalence
    return np.stack(
        [
            np.where(truth, rng.random(num) < se, rng.random(num) >= sp)
            for se, sp in zip(sensitivity, specificity, strict=True)
        ],
        axis=1,
    )


def test_three_detectors_give_back_what_was_planted():
    found = latent_classes(["a", "b", "c"], draw(np.random.default_rng(3), 60_000, 0.2))
    assert found.identified and math.isnan(found.fit_p)  # seven shares, seven parameters: nothing left to test
    assert found.prevalence.estimate == pytest.approx(0.2, abs=0.01)
    assert [x.estimate for x in found.sensitivity] == pytest.approx(SENSITIVITY, abs=0.03)
    assert [x.estimate for x in found.specificity] == pytest.approx(SPECIFICITY, abs=0.01)


def test_the_intervals_cover_the_truth_in_nine_of_ten_simulations():
    rng, hits, sims = np.random.default_rng(0), np.zeros(7), 200
    truth = (0.2, *SENSITIVITY, *SPECIFICITY)
    for seed in range(sims):
        found = latent_classes(["a", "b", "c"], draw(rng, 3000, 0.2), seed=seed)
        intervals = (found.prevalence, *found.sensitivity, *found.specificity)
        hits += [x.low <= y <= x.high for x, y in zip(intervals, truth, strict=True)]
    assert (hits / sims)[0] >= 0.9
    assert (hits / sims).mean() >= 0.9 and (hits / sims).min() >= 0.85


def test_two_detectors_in_two_populations_are_identified_by_their_different_prevalences():
    rng = np.random.default_rng(1)
    hot, cold = (draw(rng, 40_000, p, SENSITIVITY[:2], SPECIFICITY[:2]) for p in (0.5, 0.1))
    found = latent_classes(["a", "b"], np.concatenate([hot, cold]), populations_N=["hot"] * 40_000 + ["cold"] * 40_000)
    assert found.identified and found.prevalence.estimate == pytest.approx(0.3, abs=0.015)
    assert [x.estimate for x in found.sensitivity] == pytest.approx(SENSITIVITY[:2], abs=0.03)


def test_a_fourth_detector_tests_the_model_and_a_copy_fails_it():
    rng = np.random.default_rng(2)
    four = draw(rng, 20_000, 0.3, (0.8, 0.7, 0.75, 0.8), (0.9, 0.9, 0.85, 0.9))
    assert latent_classes(list("abcd"), four).fit_p > 0.01
    four[:, 3] = np.where(rng.random(20_000) < 0.05, ~four[:, 2], four[:, 2])  # sees what the third one sees
    copied = latent_classes(list("abcd"), four)
    assert copied.fit_p < 1e-6 and "contradicts" in copied.reason
    assert not copied.identified and math.isnan(copied.prevalence.estimate) and not copied.sensitivity


def test_three_detectors_in_two_populations_are_tested_against_each_other():
    """The third sees what the second sees: alone nothing tells, with another prevalence beside it the table does."""
    rng = np.random.default_rng(7)
    parts = [draw(rng, 20_000, p, (0.8, 0.7, 0.75), (0.9, 0.9, 0.85)) for p in (0.5, 0.1)]
    where = np.repeat([0, 1], 20_000)
    honest = np.concatenate(parts)
    assert latent_classes(list("abc"), honest, populations_N=where).fit_p > 0.01
    leaning = honest.copy()
    leaning[:, 2] = np.where(rng.random(40_000) < 0.5, honest[:, 1], honest[:, 2])
    assert latent_classes(list("abc"), leaning).identified
    assert not latent_classes(list("abc"), leaning, populations_N=where).identified


@pytest.mark.parametrize(
    ("columns", "populations", "why"),
    [
        ((0, 1), None, "two detectors in one population"),
        ((0, 1), "halves", "prevalence does not differ"),
        ((0,), None, "one detector"),
        ((0, 1, "none"), None, "says the same of every response"),
        ((0, 1, "part of 1"), None, "do not err independently"),
        ((0, 1, "noise"), None, "agree no more than chance"),
        ((0, 1, "rare"), None, "at least 10 are needed"),
    ],
)
def test_what_cannot_be_told_is_said_not_to_be(columns, populations, why):
    rng = np.random.default_rng(4)
    x = draw(rng, 4000, 0.3)
    made = {
        "none": np.zeros(4000, bool),
        "part of 1": x[:, 1] & (rng.random(4000) < 0.5),
        "noise": rng.random(4000) < 0.5,
        "rare": np.arange(4000) < 3,
    }
    chosen = np.stack([x[:, c] if isinstance(c, int) else made[c] for c in columns], axis=1)
    groups = np.arange(4000) % 2 if populations else None
    found = latent_classes([str(c) for c in columns], chosen, populations_N=groups)
    assert not found.identified and why in found.reason and math.isnan(found.prevalence.estimate)
    assert found.bounds == (chosen.all(1).mean(), chosen.any(1).mean())


def test_no_responses_are_no_error():
    assert "no responses" in latent_classes(["a", "b"], np.empty((0, 2), bool)).reason


def test_responses_to_one_problem_are_drawn_together():
    x = draw(np.random.default_rng(5), 500, 0.3)
    once = latent_classes(["a", "b", "c"], np.repeat(x, 8, axis=0), clusters_N=np.repeat(np.arange(500), 8))
    naive = latent_classes(["a", "b", "c"], np.repeat(x, 8, axis=0))
    assert once.prevalence.high - once.prevalence.low > 1.5 * (naive.prevalence.high - naive.prevalence.low)
