"""Comparison of runs: pairing, refusals, seeds, and numbers worked out by hand."""

from __future__ import annotations

import io
import json
import math
import shutil

import pytest
from rich.console import Console

from r1zero.experiments.compare import as_dict, compare
from r1zero.experiments.recorded import load_run, problem_shares
from r1zero.reports.comparison import render
from r1zero.statistics.intervals import holm, mcnemar_exact, mean_interval

GRPO = {"objective": {"name": "grpo"}}
SMALL = {"steps": 4, "every": 2, "problems": 24}


def seeded(seed: int, **settings: object) -> dict:
    return {"seed": seed} | settings


def printed(comparison) -> str:
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(render(comparison))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_two_runs_are_paired_over_the_same_problems(fake_run):
    a, b = fake_run("a", **SMALL), fake_run("b", GRPO, accuracy=(0.17, 0.9), **SMALL)
    suite = compare([a, b]).suites[0]
    shares = [problem_shares(load_run(run).evaluation("countdown", 4)) for run in (a, b)]
    gained = sum(shares[1][p][0] > shares[0][p][0] for p in shares[0])
    lost = sum(shares[1][p][0] < shares[0][p][0] for p in shares[0])
    difference = suite.differences[0]
    accuracy = difference.accuracy.over_problems
    assert (suite.step, suite.num_problems, difference.num_seeds) == (4, 24, 1)
    assert (accuracy.better, accuracy.worse) == (gained, lost)
    assert accuracy.interval.estimate == pytest.approx((gained - lost) / 24)
    assert accuracy.p_value == pytest.approx(mcnemar_exact(gained, lost))
    assert "McNemar exact test on one sampled answer a problem" in accuracy.method
    alone = difference.accuracy.over_seeds  # one seed says nothing about the next
    assert math.isnan(alone.interval.low) and math.isnan(alone.p_value) and math.isnan(alone.detectable)
    metrics = load_run(b).rows[-1]
    assert suite.results[1].last.estimate == pytest.approx(metrics["eval/countdown/accuracy"])
    assert suite.results[1].last.low == pytest.approx(metrics["eval/countdown/accuracy_low"])


def test_runs_that_differ_only_by_seed_are_one_arm_paired_by_seed(fake_run):
    runs = [fake_run(f"dr-{s}", seeded(s), **SMALL) for s in range(3)]
    runs += [fake_run(f"grpo-{s}", seeded(s, **GRPO), accuracy=(0.17, 0.8), **SMALL) for s in (2, 0, 1)]
    comparison = compare(runs)
    suite = comparison.suites[0]
    assert [result.arm for result in suite.results] == ["dr_grpo", "grpo"]
    assert suite.results[1].seeds == (2, 0, 1)
    ends = {run.name: load_run(run).rows[-1]["eval/countdown/accuracy"] for run in runs}
    gaps = [ends[f"grpo-{s}"] - ends[f"dr-{s}"] for s in range(3)]
    expected = mean_interval(gaps)
    difference = suite.differences[0]
    over_seeds = difference.accuracy.over_seeds
    assert difference.num_seeds == 3 and not difference.shared_problems
    assert (over_seeds.interval.low, over_seeds.interval.high) == (
        pytest.approx(expected.low),
        pytest.approx(expected.high),
    )
    assert (over_seeds.p_value < 0.05) == (expected.low > 0) and over_seeds.better == 3
    assert difference.accuracy.sign_flip_p == 0.25  # 2 of the 2^3 sign patterns are as extreme
    assert difference.accuracy.over_problems.interval.estimate == pytest.approx(expected.estimate)
    assert (
        difference.accuracy.over_problems.count == 72 and "within each seed" in difference.accuracy.over_problems.method
    )
    assert not any("single-seed" in note for note in comparison.notes)


def test_seeds_of_one_config_are_summarised_without_a_pair(fake_run):
    comparison = compare([fake_run(f"dr-seed{s}", seeded(s), **SMALL) for s in range(2)])
    assert comparison.suites[0].differences == () and comparison.suites[0].results[0].arm == "dr"
    assert any("one arm" in note for note in comparison.notes)


def test_a_single_seed_is_said_to_be_one(fake_run):
    comparison = compare([fake_run("a", **SMALL), fake_run("b", GRPO, **SMALL)])
    assert any("single-seed" in note for note in comparison.notes)


def test_the_differing_knobs_are_named_with_both_values(fake_run):
    settings = {"objective": {"name": "grpo"}, "learner": {"lr": 3e-5}}
    comparison = compare([fake_run("a", **SMALL), fake_run("b", settings, **SMALL)])
    assert comparison.config_differences == {
        "objective.name": {"a": "dr_grpo", "b": "grpo"},
        "learner.lr": {"a": 1e-6, "b": 3e-5},
    }


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"model": {"path": "other"}}, r"model\.path is 'tiny-search' in one and 'other'"),
        ({"task": {"number_max": 9}}, r"task\.number_max is 25 in one and 9"),
        ({"evaluation": {"temperature": 0.0}}, r"evaluation\.temperature is 1\.0 in one and 0\.0"),
        ({"evaluation": {"max_tokens": 64}}, r"evaluation\.max_tokens"),
        ({"seed": 1, "objective": {"name": "grpo"}}, "different held-out problems .0 in common of 24 and 24"),
    ],
)
def test_what_is_not_comparable_is_refused_with_the_reason(fake_run, settings, why):
    with pytest.raises(ValueError, match=why):
        compare([fake_run("a", **SMALL), fake_run("b", settings, **SMALL)])


def test_too_few_missing_and_unevaluated_runs_are_refused(fake_run, tmp_path):
    a = fake_run("a", **SMALL)
    with pytest.raises(ValueError, match="at least two runs"):
        compare([a])
    with pytest.raises(ValueError, match="given twice"):
        compare([a, a])
    with pytest.raises(ValueError, match="no run directory"):
        compare([a, tmp_path / "nowhere"])
    with pytest.raises(ValueError, match="no stored held-out evaluation"):
        compare([a, fake_run("b", evaluates=False, **SMALL)])


def test_an_interrupted_run_is_compared_at_the_last_step_both_have(fake_run):
    a, b = fake_run("a", **SMALL), fake_run("b", GRPO, stopped_at=3, **SMALL)
    comparison = compare([a, b])
    assert comparison.suites[0].step == 2
    notes = " ".join(comparison.notes)
    assert "compared at step 2" in notes and "not finished: b" in notes


def test_lost_evaluation_parts_move_the_comparison_to_an_earlier_step(fake_run):
    a, b = fake_run("a", **SMALL), fake_run("b", GRPO, **SMALL)
    (b / "eval" / "step-000004.parquet").unlink()
    assert compare([a, b]).suites[0].step == 2
    shutil.rmtree(b / "eval")
    with pytest.raises(ValueError, match="no stored held-out evaluation"):
        compare([a, b])


def test_tokens_at_equal_reward_by_hand(fake_run):
    """Means over 5 steps, of which there are two: .25, .45 and .25, .15.  Both reach .25, at step 5.

    That b begins with 1 does not count: a mean over a single step reaches anything.
    """
    runs = []
    a = ((0.0, 0.0, 0.25, 0.5, 0.5, 1.0), (100, 100, 100, 100, 150, 200))
    b = ((1.0, 0.0, 0.0, 0.0, 0.25, 0.5), (90, 90, 90, 90, 40, 40))
    for name, settings, (rewards, tokens) in [("a", {}, a), ("b", GRPO, b)]:
        run = fake_run(name, settings, steps=6, every=6, problems=4)
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for row, reward, length in zip(rows[1:], rewards, tokens, strict=True):
            row |= {"reward/mean": reward, "response/tokens_mean": length}
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        runs.append(run)
    equal = compare(runs).equal_reward
    assert equal is not None and equal.level == pytest.approx(0.25)
    assert equal.steps == {"a": 5, "b": 5} and equal.tokens == {"a": 110.0, "b": 80.0}


def test_differently_defined_rewards_have_no_equal_level(fake_run):
    comparison = compare([fake_run("a", **SMALL), fake_run("b", {"reward": {"wrong_answer": 0.1}}, **SMALL)])
    assert comparison.equal_reward is None and any("rewards are defined differently" in n for n in comparison.notes)


def test_the_printed_comparison_states_difference_interval_and_method(fake_run):
    comparison = compare([fake_run("a", **SMALL), fake_run("b", GRPO, **SMALL)])
    text = " ".join(printed(comparison).split())
    assert "held-out accuracy on countdown, 24 problems" in text and "a in held-out accuracy: " in text
    assert "McNemar exact test" in text and "objective.name dr_grpo grpo" in text
    assert json.loads(json.dumps(as_dict(comparison), allow_nan=False))["suites"][0]["step"] == 4


def test_undefined_numbers_do_not_stop_a_comparison(fake_run):
    run = fake_run("b", GRPO, **SMALL)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows[1] |= {"reward/mean": None}
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert math.isnan(load_run(run).series("reward/mean")[1][0])
    assert printed(compare([fake_run("a", **SMALL), run]))


def test_seeds_without_a_partner_are_left_out_of_the_difference_and_said_to_be(fake_run):
    runs = [fake_run(f"dr-{s}", seeded(s), **SMALL) for s in range(3)]
    comparison = compare([*runs, *(fake_run(f"grpo-{s}", seeded(s, **GRPO), **SMALL) for s in (1, 2))])
    assert comparison.suites[0].differences[0].num_seeds == 2
    assert any("only one of two arms" in note for note in comparison.notes)
    with pytest.raises(ValueError, match="no seed in common"):
        compare(
            [runs[0], runs[1], fake_run("x-7", seeded(7, **GRPO), **SMALL), fake_run("x-8", seeded(8, **GRPO), **SMALL)]
        )


def test_runs_of_one_config_and_seed_are_compared_one_by_one(fake_run):
    comparison = compare([fake_run("a", **SMALL), fake_run("again", **SMALL)])
    difference = comparison.suites[0].differences[0]
    accuracy = difference.accuracy.over_problems
    assert (difference.baseline, difference.other, accuracy.interval.estimate) == ("a", "again", 0.0)
    assert (accuracy.better, accuracy.worse, accuracy.p_value) == (0, 0, 1.0)


def test_arms_are_named_by_what_their_directories_do_not_share(fake_run):
    one = [fake_run("quick-dr_grpo-seed0", **SMALL), fake_run("quick-grpo-seed0", GRPO, **SMALL)]
    assert [result.arm for result in compare(one).suites[0].results] == ["dr_grpo", "grpo"]
    nested = [fake_run("dr/seed-0", **SMALL), fake_run("plain/seed-0", GRPO, **SMALL)]
    assert [result.arm for result in compare(nested).suites[0].results] == ["dr", "plain"]
    seeds = [fake_run(f"home/seed-{s}", seeded(s), **SMALL) for s in range(2)]
    assert compare(seeds).suites[0].results[0].arm == "home"


def test_runs_of_different_initial_models_under_one_name_are_noted(fake_run):
    a, b = fake_run("a", **SMALL), fake_run("b", GRPO, accuracy=(0.17, 0.6), **SMALL)
    assert not any("started elsewhere" in note for note in compare([a, b]).notes)
    c = fake_run("c", GRPO, accuracy=(0.5, 0.6), **SMALL)
    assert any("c started elsewhere" in note for note in compare([a, c]).notes)


def test_every_measure_is_paired_and_corrected_as_one_family(fake_run):
    runs = [fake_run(f"dr-{s}", seeded(s), **SMALL) for s in range(3)]
    runs += [fake_run(f"grpo-{s}", seeded(s, **GRPO), accuracy=(0.17, 0.8), growth=2.0, **SMALL) for s in range(3)]
    difference = compare(runs).suites[0].differences[0]
    rows = {row.measure: row for row in difference.measures}
    ends = {run.name: load_run(run).rows[-1] for run in runs}
    names = {"tokens": "tokens_mean", "truncated_share": "outcome/truncated/share", "cue_share": "cue_share"}
    names |= {"accuracy": "accuracy", "tokens_correct": "outcome/correct/tokens_mean"}
    for measure, metric in names.items():
        gaps = [
            ends[f"grpo-{s}"][f"eval/countdown/{metric}"] - ends[f"dr-{s}"][f"eval/countdown/{metric}"]
            for s in range(3)
        ]
        assert rows[measure].over_seeds.interval.estimate == pytest.approx(sum(gaps) / 3)
        assert rows[measure].over_seeds.interval.low == pytest.approx(mean_interval(gaps).low)
    assert len(rows) == 6 and rows["tokens_incorrect"].other_value > rows["tokens_incorrect"].baseline_value
    for level in ("over_seeds", "over_problems"):
        results = [getattr(row, level) for row in difference.measures]
        assert [r.p_holm for r in results] == pytest.approx(holm([r.p_value for r in results]), nan_ok=True)


def test_greedy_answers_are_named_in_the_test(fake_run):
    greedy = {"evaluation": {"temperature": 0.0}}
    comparison = compare([fake_run("a", greedy, **SMALL), fake_run("b", greedy | GRPO, **SMALL)])
    assert "McNemar exact test on greedy answers" in comparison.suites[0].differences[0].accuracy.over_problems.method
    several = compare([fake_run("c", samples=4, **SMALL), fake_run("d", GRPO, samples=4, **SMALL)])
    assert "bootstrap" in several.suites[0].differences[0].accuracy.over_problems.method


def test_a_directory_of_seeds_stands_for_its_runs(fake_run, tmp_path):
    for s in range(2):
        fake_run(f"dr/seed-{s}", seeded(s), **SMALL)
        fake_run(f"grpo/seed-{s}", seeded(s, **GRPO), **SMALL)
        (tmp_path / "dr" / f"seed-{s}.json").write_text("{}")  # the recipe beside the run is none
    suite = compare([tmp_path / "dr", tmp_path / "grpo"]).suites[0]
    assert [(result.arm, result.seeds) for result in suite.results] == [("dr_grpo", (0, 1)), ("grpo", (0, 1))]


def test_runs_from_before_a_knob_was_made_have_its_default(fake_run):
    old = fake_run("old", **SMALL)
    saved = json.loads((old / "config.json").read_text())
    del saved["config"]["learner"]["beta2"], saved["config"]["evaluation"]["top_p"]
    (old / "config.json").write_text(json.dumps(saved))
    comparison = compare([old, fake_run("new", GRPO, **SMALL)])
    assert list(comparison.config_differences) == ["objective.name"]


@pytest.mark.parametrize("width", [80, 120])
def test_the_tables_fit_the_terminal(fake_run, width):
    runs = [fake_run(f"dr-{s}", seeded(s), **SMALL) for s in range(3)]
    runs += [fake_run(f"grpo-{s}", seeded(s, **GRPO), accuracy=(0.17, 0.8), **SMALL) for s in range(3)]
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(render(compare(runs)))
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert max(map(len, lines)) <= width
    for label in ("dr_grpo ×3", "grpo ×3", "held-out accuracy  ", "tokens, not right ones", "cue share"):
        row = next(line for line in lines if line.startswith(label))
        assert row.count("[") == row.count("]") >= 1  # no interval is broken over two lines
