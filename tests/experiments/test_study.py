"""Studies: effects that were planted are found, none is found where there is none, and the theory's numbers by hand."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from rich.console import Console

from r1zero.cli.main import main
from r1zero.config import TrainConfig, build, to_dict
from r1zero.experiments.studies import STUDIES
from r1zero.experiments.studies.design import arm_configs, gather
from r1zero.experiments.studies.factorial import clause, contrasts, effect, with_holm
from r1zero.experiments.studies.length_bias import CELLS, FACTORS, LENGTH_BIAS, LengthBias, analyse, measure
from r1zero.experiments.studies.lengths import StepLengths, equal_accuracy_steps, windows
from r1zero.experiments.studies.prediction import predict_step
from r1zero.objectives import OBJECTIVES
from r1zero.reports.study import render, render_study
from r1zero.reports.study_lengths import study_tables
from r1zero.store import SCHEMA, append_metrics, part_path, write_config, write_frame

STEPS, PROBLEMS, GROUP, HELD_OUT = 30, 4, 6, 60
LENGTH, STD = "division by length", "division by the std"


def sampled(rng: np.random.Generator, step: int, problems: int, group: int, right: float, wrong: float, run: str):
    """Rows of one step: half of the responses right, lengths scattered around the two means."""
    count = problems * group
    correct = np.tile(np.arange(group) % 2 == 0, problems)
    lengths = np.maximum(1, np.where(correct, right, wrong) + rng.normal(0, 8, count)).astype(int)
    return {
        "run": [run] * count,
        "step": [step] * count,
        "task": ["countdown"] * count,
        "problem_id": [f"p{step}-{i // group}" for i in range(count)],
        "sample": [i % group for i in range(count)],
        "num_tokens": lengths.tolist(),
        "finish_reason": ["stop"] * count,
        "correct": correct.tolist(),
        "formatted": [True] * count,
        "reward": correct.astype(float).tolist(),
    }


def store(path: Path, parts: list[dict]) -> None:
    rows = {name: [value for part in parts for value in part.get(name, [None] * len(part["step"]))] for name in SCHEMA}
    write_frame(path, pl.DataFrame(rows, schema=SCHEMA))


def plant(home: Path, *, seeds: int = 5, length: float = 0.0, std: float = 0.0, **settings: object) -> None:
    """A study's runs: in every arm wrong answers grow by 10 tokens from first to last step and right ones shrink by 5.

    Dividing by length adds `length` to the change of wrong answers and takes half of it off that of right ones;
    dividing by the std adds `std` to both.
    """
    for config in arm_configs(LENGTH_BIAS, build(TrainConfig, {"steps": STEPS, **settings}), home, seeds):
        run_dir, arm = Path(config.run.dir), config.objective.name
        by_length, by_std = CELLS[arm]
        write_config(run_dir, {"config": to_dict(config), "commit": "0123", "versions": {}, "verb": "train"})
        rng = np.random.default_rng([7, config.seed, list(CELLS).index(arm)])
        base = 100 + 5 * np.random.default_rng(config.seed).normal()  # shared by the arms of a seed
        wrong = 10 + length * by_length + std * by_std + rng.normal(0, 2)
        right = -5 - length / 2 * by_length + std * by_std + rng.normal(0, 2)

        def at(share: float, step: int, problems: int, group: int) -> dict:
            return sampled(rng, step, problems, group, base / 2 + right * share, base + wrong * share, arm)  # noqa: B023

        window = windows(STEPS)
        shares = np.interp(np.arange(STEPS), [window[0].stop - 1, window[1].start], [0, 1])  # flat in the windows
        store(
            part_path(run_dir, "train", 1),
            [at(float(s), t, PROBLEMS, GROUP) for t, s in enumerate(shares, start=1)],
        )
        for step in range(STEPS + 1):
            row: dict[str, float] = {}
            if step:
                row = {"group/degenerate_share": 0.25, "grad/norm": 2.0 if step % 2 else 0.5}
            if step in (0, STEPS):
                store(part_path(run_dir, "eval", step), [at(step / STEPS, step, HELD_OUT, 2)])
                row |= {"eval/countdown/accuracy": 0.5}
            append_metrics(run_dir, {"step": step} | row)


def analysed(home: Path) -> LengthBias:
    gathered = gather(LENGTH_BIAS, home)
    return analyse(gathered, measure(gathered))


def effects_of(result: LengthBias) -> dict:
    return {(one.factor, one.answers, one.where): one for one in result.effects}


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("planted")
    plant(home, length=30.0)
    return home


def test_a_planted_effect_is_found_with_its_size_and_the_other_factor_is_not(planted):
    result = analysed(planted)
    effects = effects_of(result)
    for where in ("training", "held-out"):
        for answers, truth in (("wrong", 30.0), ("right", -15.0)):
            one = effects[LENGTH, answers, where]
            assert one.interval.low < truth < one.interval.high and one.found
            assert one.interval.high - one.interval.low < 12
            assert not effects[STD, answers, where].found
            assert abs(effects[STD, answers, where].interval.estimate) < 5
    assert len(one.by_seed) == 5 and one.sign_flip_p == 2 / 2**5  # the smallest that five seeds allow
    length, std = result.verdicts[:2]
    assert length.startswith("Division by length, in training: lengthens wrong answers: +")
    assert "shortens right answers: −" in length
    assert std.startswith("Division by the std, in training: no effect on wrong answers found")
    assert "it could have seen" in std


def test_nothing_is_found_where_nothing_was_planted(tmp_path):
    plant(tmp_path)
    result = analysed(tmp_path)
    assert not any(one.found for one in result.effects)
    assert len(result.verdicts) == 4
    for verdict in result.verdicts:
        assert "lengthens" not in verdict and "shortens" not in verdict
    changes = {(one.arm, one.answers): one.change for one in result.arms}
    for arm in CELLS:  # 4 standard errors, 2 / sqrt(5) each
        assert changes[arm, "wrong"].estimate == pytest.approx(10, abs=3.6)
        assert changes[arm, "right"].estimate == pytest.approx(-5, abs=3.6)


def test_an_effect_of_the_std_is_not_laid_to_the_length(tmp_path):
    plant(tmp_path, std=25.0)
    effects = effects_of(analysed(tmp_path))
    for answers in ("right", "wrong"):
        assert effects[STD, answers, "training"].found and not effects[LENGTH, answers, "training"].found


def test_intervals_cover_a_planted_main_effect_as_often_as_they_say():
    rng, hits, trials = np.random.default_rng(0), 0, 400
    for _ in range(trials):
        shared = rng.normal(0, 50, 5)  # what a seed does to all its arms cancels
        cells = {cell: shared + 7 * cell[0] + rng.normal(0, 3, 5) for cell in CELLS.values()}
        interval = effect(LENGTH, "wrong", "training", contrasts(cells)[0]).interval
        hits += interval.low < 7 < interval.high
    assert 0.92 < hits / trials < 0.98


def test_at_most_a_twentieth_of_families_without_effects_has_any_found():
    rng, alarms, trials = np.random.default_rng(1), 0, 300
    for _ in range(trials):
        effects = []
        for where in ("training", "held-out"):
            for answers in ("right", "wrong"):
                cells = {cell: rng.normal(0, 3, 5) for cell in CELLS.values()}
                values = zip(FACTORS, contrasts(cells), strict=True)
                effects += [effect(factor, answers, where, by_seed) for factor, by_seed in values]
        alarms += any(one.found for one in with_holm(effects, ("training", "held-out")))
    assert alarms / trials < 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


def test_holm_counts_the_family_and_leaves_the_check_alone():
    strong, weak = [5.0, 5.1, 4.9, 5.2, 4.8], [1.0, -1.0, 0.5, -0.4, 0.1]
    raw = [effect(LENGTH, "wrong", "training", strong), effect(STD, "wrong", "training", weak)]
    check = effect(LENGTH, "wrong", "equal accuracy", strong)
    corrected = with_holm([*raw, check], ("training", "held-out"))
    assert corrected[0].holm_p == pytest.approx(2 * raw[0].p_value) and corrected[0].found
    assert math.isnan(corrected[2].holm_p) and not corrected[2].found and corrected[2].hinted


def test_an_effect_that_does_not_survive_the_correction_is_called_possible():
    hinted = replace(effect(LENGTH, "wrong", "training", [1.0, 2.0, 3.0, 0.5, 1.5]), holm_p=0.2)
    assert hinted.interval.low > 0 and hinted.hinted
    assert clause(hinted).startswith("may move wrong answers: +1.6") and "p = .20 after Holm" in clause(hinted)


def test_one_seed_gives_numbers_and_no_finding(tmp_path):
    plant(tmp_path, seeds=1, length=30.0)
    result = analysed(tmp_path)
    assert not any(one.found or one.hinted for one in result.effects)
    assert "nothing can be said of the spread over seeds" in result.verdicts[0]
    assert any("one seed" in note for note in result.notes)


# ---------------------------------------------------------------------------------------------------------------------
# Lengths


def lengths_of(right: list[float], counts: list[float], wrong_counts: list[float]) -> StepLengths:
    """Steps whose right answers have these mean lengths; wrong ones have 10 tokens each."""
    counted = {"right": np.array(counts), "wrong": np.array(wrong_counts)}
    tokens = {"right": np.array(right) * counted["right"], "wrong": 10.0 * counted["wrong"]}
    return StepLengths(np.arange(1, len(right) + 1), counted, tokens)


def test_a_window_is_a_mean_over_responses_not_over_steps():
    lengths = lengths_of([10.0, 40.0, 7.0], [1.0, 2.0, 0.0], [1.0, 1.0, 1.0])
    assert lengths.mean("right", slice(0, 2)) == pytest.approx((10 + 80) / 3)
    assert math.isnan(lengths.mean("right", slice(2, 3)))
    assert windows(60) == (slice(0, 5), slice(50, 60)) and windows(2) == (slice(0, 1), slice(1, 2))


def test_equal_accuracy_is_the_level_that_the_slowest_arm_reaches():
    fast = lengths_of([20.0] * 10, list(range(10)), [10.0 - n for n in range(10)])  # accuracy 0, .1, ... .9
    slow = lengths_of([20.0] * 10, [n / 2 for n in range(10)], [10 - n / 2 for n in range(10)])
    level, reached = equal_accuracy_steps({"fast": fast, "slow": slow})
    assert level == pytest.approx(0.35)  # slow's mean over steps 6-10: (.25 + .3 + .35 + .4 + .45) / 5
    assert reached == {"fast": 6, "slow": 9}  # fast's mean over steps 3-7 is .4, over 2-6 .3


# ---------------------------------------------------------------------------------------------------------------------
# Theory


def test_the_harmonic_gap_of_one_group_by_hand():
    """Rewards (1, 0, 0, 0), lengths (10, 20, 40, 80): A = (1.5, -.5, -.5, -.5) by Bessel's std."""
    rewards, lengths = np.array([[1.0, 0, 0, 0]]), np.array([[10.0, 20, 40, 80]])
    found = predict_step(OBJECTIVES["grpo"], rewards, lengths, rewards > 0, 100)
    expected = 1000 * (1.5 / 10 - 0.5 * (1 / 20 + 1 / 40 + 1 / 80)) / 4
    assert found.gap == pytest.approx(expected, rel=1e-5)
    p, weight = 0.25, 1.5 / 0.75  # A_right / (1 - p): 1 over the Bessel std
    inverse_gap = 1 / 10 - (1 / 20 + 1 / 40 + 1 / 80) / 3
    assert found.gap == pytest.approx(1000 * weight * p * (1 - p) * inverse_gap, rel=1e-5)


def test_the_predicted_push_is_the_covariance_of_length_and_weight_by_hand():
    """One right answer has no covariance.  Wrong ones: w A = -.5 / (4 L), of 20, 40, 80 tokens."""
    rewards, lengths = np.array([[1.0, 0, 0, 0]]), np.array([[10.0, 20, 40, 80]])
    found = predict_step(OBJECTIVES["grpo"], rewards, lengths, rewards > 0, 100)
    pushes = np.array([1.5, -0.5, -0.5, -0.5]) / (4 * lengths[0])
    total = (np.abs(pushes) * lengths[0]).sum()
    assert total == pytest.approx(3.0 / 4)
    covariance = np.cov(lengths[0, 1:], pushes[1:] * 4 / total)[0, 1]
    assert found.drift["wrong"] == pytest.approx(covariance, rel=1e-5) and covariance > 0
    assert math.isnan(found.drift["right"])


def test_weights_that_ignore_length_push_no_length():
    rng = np.random.default_rng(0)
    rewards = rng.integers(0, 2, (20, 8)).astype(float)
    lengths = rng.integers(1, 100, (20, 8)).astype(float)
    for name in ("dr_grpo", "grpo_no_length", "rloo", "dapo", "bnpo"):
        drift = predict_step(OBJECTIVES[name], rewards, lengths, rewards > 0, 100).drift
        assert abs(drift["right"]) < 1e-12 and abs(drift["wrong"]) < 1e-12
    drift = predict_step(OBJECTIVES["grpo_no_std"], rewards, lengths, rewards > 0, 100).drift
    assert drift["right"] < 0 < drift["wrong"]


def test_the_predicted_push_is_what_a_table_of_responses_learns():
    """Probabilities of a table follow d log pi_i = f_i - mean f; the change of the mean lengths is the covariance."""
    lengths = np.array([[5.0, 9, 30, 12, 40, 18]])
    rewards = np.array([[1.0, 1, 1, 0, 0, 0]])
    objective = OBJECTIVES["grpo_no_std"]
    found = predict_step(objective, rewards, lengths, rewards > 0, 64)
    advantages = objective.advantages(torch.from_numpy(rewards)).numpy()[0]
    pushes = advantages / (6 * lengths[0])
    pushes = pushes * 6 / (np.abs(pushes) * lengths[0]).sum()
    for answers, rows in (("right", slice(0, 3)), ("wrong", slice(3, 6))):
        own, f, eta = lengths[0, rows], pushes[rows], 1e-6
        moved = np.exp(eta * f) / np.exp(eta * f).sum()
        slope = ((moved * own).sum() - own.mean()) / eta
        assert found.drift[answers] == pytest.approx(slope * 3 / 2, rel=1e-4)  # Bessel: 3 sampled responses


def test_predictions_are_signs_and_shares_of_grpos(planted):
    result = analysed(planted)
    drift = {(one.arm, one.answers): one.drift.estimate for one in result.arms}
    assert drift["grpo", "wrong"] == pytest.approx(1.0)
    assert drift["grpo", "right"] < 0
    assert (
        max(abs(drift[arm, answers]) for arm in ("dr_grpo", "grpo_no_length") for answers in ("right", "wrong")) < 1e-9
    )
    predicted = {(one.factor, one.answers): one.interval.estimate for one in result.predicted}
    assert predicted[LENGTH, "wrong"] == pytest.approx(1.0, abs=0.3) and predicted[LENGTH, "right"] < 0
    for said in ("wrong answers longer (push +1.0: borne out)", "division by the std wrong answers as long"):
        assert said in result.expectation


# ---------------------------------------------------------------------------------------------------------------------
# Which runs count


def test_configs_are_balanced_and_differ_in_seed_and_objective_only(tmp_path):
    configs = arm_configs(LENGTH_BIAS, TrainConfig(seed=3), tmp_path, 2)
    assert [(c.seed, c.objective.name) for c in configs] == [(s, arm) for s in (3, 4) for arm in CELLS]
    assert Path(configs[5].run.dir) == tmp_path / "grpo_no_std" / "seed-4"


def test_seeds_without_all_arms_and_unfinished_runs_are_left_out_and_named(tmp_path):
    plant(tmp_path, seeds=3)
    metrics = tmp_path / "dr_grpo" / "seed-2" / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:-5]))
    gathered = gather(LENGTH_BIAS, tmp_path)
    assert gathered.seeds == (0, 1)
    assert any("dr_grpo/seed-2 is not finished" in note for note in gathered.notes)
    assert any("seeds without all 4 arms are left out: 2" in note for note in gathered.notes)


def test_runs_that_differ_in_another_knob_are_refused(tmp_path):
    plant(tmp_path, seeds=1)
    path = tmp_path / "grpo" / "seed-0" / "config.json"
    saved = json.loads(path.read_text())
    saved["config"]["learner"]["lr"] = 0.5
    path.write_text(json.dumps(saved))
    with pytest.raises(ValueError, match=r"differ in learner\.lr"):
        gather(LENGTH_BIAS, tmp_path)


def test_an_empty_directory_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="run `r1zero study length-bias"):
        gather(LENGTH_BIAS, tmp_path)


# ---------------------------------------------------------------------------------------------------------------------
# What is shown


def test_terminal_and_page_show_verdicts_tables_and_diagnostics(planted):
    gathered = gather(LENGTH_BIAS, planted)
    measured = measure(gathered)
    result = analyse(gathered, measured)
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(render(result))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "lengthens wrong answers" in shown and "1/length" in shown and "cannot fall below p = 0.0625" in shown
    page = render_study(gathered, measured, result)
    for table in study_tables(result):
        assert table.title[1:] in page.replace("&#39;", "'") and len({len(row) for row in table.rows}) == 1
    assert page.count('class="figure"') == 4 + 2 + 1
    diagnostics = {row.name: row.by_arm["grpo"].estimate for row in result.diagnostics}
    assert diagnostics["steps whose gradient was clipped"] == pytest.approx(0.5)
    assert diagnostics["groups with right and wrong answers, first steps"] == pytest.approx(0.75)


def test_the_verb_reads_a_finished_study_and_prints_json(planted, capsys):
    assert main(["study", "length-bias", "--read", "--run.dir", str(planted), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["seeds"] == [0, 1, 2, 3, 4] and len(result["effects"]) == 18
    assert result == json.loads((planted / "study.json").read_text())
    assert (planted / "report.html").stat().st_size > 1_000_000
    assert [one["factor"] for one in result["effects"][:3]] == list(FACTORS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["study", "length-bais"], "did you mean length-bias"),
        (["study", "length-bias", "--objective.name", "grpo"], "the arms of length-bias decide that"),
        (["study", "length-bias", "--objective.normalizer", "constant"], "the arms of length-bias decide that"),
        (["study", "length-bias", "--seeds", "0"], "--seeds 0"),
        (["study", "length-bias", "--leraner.lr", "1"], "did you mean --learner.lr"),
        (["study"], "usage: r1zero study NAME"),
    ],
)
def test_wrong_usage_names_the_remedy(words, message, capsys):
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_every_study_has_a_recipe_and_arms_of_the_objective_table():
    from r1zero.cli.recipes import load_recipe

    for name, study in STUDIES.items():
        assert name == study.name and set(study.starts) == set(study.preparations)
        build(TrainConfig, load_recipe(study.recipe, "train"))
    for arm, (by_length, by_std) in CELLS.items():
        row = OBJECTIVES[LENGTH_BIAS.arms[arm].settings["objective.name"]]
        assert (row.normalizer == "response_length", row.divide_by_std) == (by_length, by_std)
