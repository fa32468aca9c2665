"""What arms did to their weights: ratios by hand, warnings, and silence where nothing was recorded."""

from __future__ import annotations

import json
import math

import pytest

from r1zero.experiments.compare import compare
from r1zero.statistics.intervals import mean_interval

SMALL = {"steps": 2, "every": 2, "problems": 8}
GRPO = {"objective": {"name": "grpo"}}


@pytest.fixture
def run_with(fake_run):
    """run_with(name, settings, "grad/update_norm", (step 1, step 2)) -> a run's directory"""

    def make(name, settings, metric, values):
        run = fake_run(name, settings, **SMALL)
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for row, value in zip(rows[1:], values, strict=True):
            row[metric] = value
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return run

    return make


def sizes(comparison):
    return {size.metric: size for size in comparison.update_sizes}


def test_means_over_steps_and_their_ratio_over_seeds_by_hand(run_with):
    """Means 2 and 3 in seed 0, 2 and 4.5 in seed 1: log ratios log 1.5 and log 2.25, geometric mean 1.837."""
    runs = []
    for seed, after in ((0, (2.0, 4.0)), (1, (4.0, 5.0))):
        runs.append(run_with(f"a-{seed}", {"seed": seed}, "grad/update_norm", (1.0, 3.0)))
        runs.append(run_with(f"b-{seed}", {"seed": seed} | GRPO, "grad/update_norm", after))
    size = sizes(compare(runs))["grad/update_norm"]
    logs = mean_interval([math.log(1.5), math.log(2.25)])
    assert (size.baseline_mean, size.other_mean) == (2.0, 3.75)
    assert size.ratio.estimate == pytest.approx(math.sqrt(1.5 * 2.25))
    assert (size.ratio.low, size.ratio.high) == (pytest.approx(math.exp(logs.low)), pytest.approx(math.exp(logs.high)))
    assert not size.differs  # two seeds so far apart exclude nothing


@pytest.mark.parametrize(("factor", "warned"), [(1.3, True), (1.05, False), (0.7, True)])
def test_a_clear_difference_in_step_size_is_a_warning(run_with, factor, warned):
    runs = []
    for seed in range(3):
        noise = 1 + 0.001 * seed
        runs.append(run_with(f"a-{seed}", {"seed": seed}, "grad/update_norm", (1.0, 1.0)))
        runs.append(run_with(f"b-{seed}", {"seed": seed} | GRPO, "grad/update_norm", (factor * noise,) * 2))
    notes = " ".join(compare(runs).notes)
    assert (f"grpo moves the weights {factor:.2f} [" in notes) == warned
    assert ("differ in step size" in notes) == warned


def test_one_seed_has_a_ratio_without_an_interval_and_no_warning(run_with):
    a = run_with("a", {}, "grad/update_norm", (1.0, 1.0))
    comparison = compare([a, run_with("b", GRPO, "grad/update_norm", (2.0, 2.0))])
    size = sizes(comparison)["grad/update_norm"]
    assert size.ratio.estimate == pytest.approx(2) and math.isnan(size.ratio.low)
    assert not any("step size" in note for note in comparison.notes)


def test_only_what_both_have_is_compared_and_over_the_steps_both_have(run_with, fake_run):
    a = run_with("a", {}, "grad/update_norm", (1.0, 7.0))
    assert set(sizes(compare([a, fake_run("b", GRPO, **SMALL)]))) == {"grad/norm"}
    c = run_with("c", GRPO, "grad/update_norm", (3.0, None))
    size = sizes(compare([a, c]))["grad/update_norm"]
    assert (size.baseline_mean, size.other_mean) == (1.0, 3.0)
    still = run_with("d", {"learner": {"lr": 0.0}}, "grad/update_norm", (0.0, 0.0))
    assert math.isnan(sizes(compare([a, still]))["grad/update_norm"].ratio.estimate)
