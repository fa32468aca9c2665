"""Studies on pictures: which runs they are made of, models made for them, and effects that were planted."""

from __future__ import annotations

import io
import json
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

pytest.importorskip("PIL")

from r1zero.analysis.redundancy import set_bar
from r1zero.cli.recipes import load_recipe
from r1zero.config import SFTConfig, TrainConfig, build, flatten, to_dict
from r1zero.experiments.recorded import RecordedRun
from r1zero.experiments.studies import STUDIES
from r1zero.experiments.studies.design import (
    BASE,
    Gathered,
    arm_configs,
    check_fixed,
    check_overrides,
    gather,
    models_given,
    settings_of,
    with_settings,
)
from r1zero.experiments.studies.preparing import prepare
from r1zero.experiments.studies.visual import FREEZE, RL_VS_SFT, VISUAL_STUDIES
from r1zero.experiments.studies.visual_curves import CURVES, OverTraining, RepetitionAlarm
from r1zero.experiments.studies.visual_measures import MeasuredRun, SubtaskCell
from r1zero.experiments.studies.visual_result import ACCURACY, SUBTASKS, PictureStudy
from r1zero.experiments.studies.visual_starts import AT_ONCE, INSTRUCT, MANNERS, SFT, examples
from r1zero.experiments.studies.visual_thinking import Triviality
from r1zero.reports.study import render, render_study
from r1zero.statistics.intervals import NOTHING, Interval
from r1zero.store import append_metrics, write_config
from r1zero.tasks import build_task

KINDS = ("count", "relation", "depth", "distance")
STEPS = 20


def tiny() -> TrainConfig:
    return build(TrainConfig, load_recipe("visual_study", "train"))


# ---------------------------------------------------------------------------------------------------------------------
# Which runs


@pytest.mark.parametrize("study", VISUAL_STUDIES, ids=lambda study: study.name)
@pytest.mark.parametrize("template", [manner.think for manner in MANNERS])
def test_settings_of_an_arm_change_nothing_in_the_arms_own_config(study, template):
    config = with_settings(tiny(), {"template.name": template})
    for arm in study.arms.values():
        own = with_settings(config, settings_of(arm, config))
        assert with_settings(own, settings_of(arm, own)) == own
    assert set(study.starts) == set(study.preparations)
    for one in study.analyse.keywords["comparisons"]:
        assert {one.arm, one.against} <= {*study.arms, ""} and one.arm != one.against


def test_arms_differ_in_their_settings_and_begin_from_their_models(tmp_path):
    configs = {Path(c.run.dir).parent.name: c for c in arm_configs(RL_VS_SFT, tiny(), tmp_path, 1)}
    assert [c.steps for c in configs.values()] == [0, 0, 40, 40]
    asked = {name: config.template.name for name, config in configs.items()}
    assert asked == {"base": "visual_think", "sft": "visual_direct", "rl": "visual_think", "rl_direct": "visual_direct"}
    assert configs["rl"].model.path == "tiny-visual"
    assert configs["sft"].model.path == str(tmp_path / "models" / "sft" / "seed-0")
    differing = {key for key, value in flatten(configs["rl"]).items() if value != flatten(configs["rl_direct"])[key]}
    assert differing == {"template.name", "run.dir"}


@pytest.mark.parametrize(
    ("template", "asked"),
    [
        ("visualthinker", ["visualthinker", "qwen2_vl", "visualthinker", "visualthinker_direct"]),
        ("visualthinker_instruct", ["visualthinker_instruct", "qwen2_vl", "visualthinker_instruct", "qwen2_vl"]),
        ("visualthinker_llava", ["visualthinker_llava", "llava", "visualthinker_llava", "llava"]),
    ],
)
def test_a_real_model_is_asked_as_its_recipe_asks(template, asked, tmp_path):
    config = with_settings(build(TrainConfig, load_recipe("visualthinker", "train")), {"template.name": template})
    assert [one.template.name for one in arm_configs(RL_VS_SFT, config, tmp_path, 1)] == asked


def test_a_named_model_stands_in_the_place_of_the_one_that_would_be_made(tmp_path):
    study = STUDIES["visual-base-vs-instruct"]
    thinker = build(TrainConfig, load_recipe("visualthinker", "train"))
    given = models_given(study, thinker, {"instruct": "some/instructed"})
    configs = arm_configs(study, thinker, tmp_path, 1, given)
    assert [c.model.path for c in configs] == ["Qwen/Qwen2-VL-2B", "some/instructed"]
    instructed = build(TrainConfig, load_recipe("visualthinker_instruct", "train"))
    assert models_given(FREEZE, instructed, {}) == {"instruct": "Qwen/Qwen2-VL-2B-Instruct"}
    assert models_given(FREEZE, tiny(), {}) == {}
    with pytest.raises(ValueError, match="take the base model's recipe, and name the other with --instruct MODEL"):
        models_given(study, instructed, {})
    with pytest.raises(ValueError, match="no arm of visual-rl-vs-sft begins from such a model"):
        models_given(RL_VS_SFT, tiny(), {"instruct": "x"})


def test_knobs_that_arms_decide_and_templates_that_are_unknown_are_refused(tmp_path):
    with pytest.raises(ValueError, match="the arms of visual-freeze decide that"):
        check_overrides(FREEZE, {"learner.freeze": "vision"})
    config = tiny()
    check_fixed(FREEZE, replace(config, learner=replace(config.learner, freeze="vision")))  # every arm sets it
    with pytest.raises(ValueError, match=r"template\.name=native: the studies of pictures know visual_think"):
        arm_configs(FREEZE, TrainConfig(), tmp_path, 1)


def plant_run(config: TrainConfig, steps: int | None = None) -> None:
    run_dir, last = Path(config.run.dir), config.steps if steps is None else steps
    write_config(run_dir, {"config": to_dict(config), "commit": "0123", "versions": {}, "verb": "train"})
    for step in range(last + 1):
        append_metrics(run_dir, {"step": step, "eval/visual/accuracy": 0.5, "eval/visual/tokens_mean": 9.0})


def test_only_what_the_arms_vary_may_differ(tmp_path):
    configs = arm_configs(RL_VS_SFT, replace(tiny(), steps=2), tmp_path, 2)
    for config in configs:
        plant_run(config)
    gathered = gather(RL_VS_SFT, tmp_path)
    assert gathered.seeds == (0, 1) and [len(runs) for runs in gathered.runs.values()] == [2, 2, 2, 2]
    path = tmp_path / "rl" / "seed-1" / "config.json"
    whole = path.read_text()
    for key, value, said in (
        ("learner", {"lr": 0.5}, r"differ in learner\.lr"),
        ("template", {"name": "visual_direct"}, "holds runs of visual_direct, not of visual_think"),
        ("model", {"path": "elsewhere"}, r"differ in model\.path"),
    ):
        saved = json.loads(whole)
        saved["config"][key] |= value
        path.write_text(json.dumps(saved))
        with pytest.raises(ValueError, match=said):
            gather(RL_VS_SFT, tmp_path)
    path.write_text(whole)
    other = tmp_path / "sft" / "seed-1" / "config.json"
    saved = json.loads(other.read_text())
    saved["config"]["model"]["path"] = str(tmp_path / "models" / "sft" / "seed-0")  # another seed's
    other.write_text(json.dumps(saved))
    with pytest.raises(ValueError, match=r"differ in model\.path"):
        gather(RL_VS_SFT, tmp_path)


def test_a_study_that_was_moved_is_read_where_it_is(tmp_path):
    for config in arm_configs(FREEZE, replace(tiny(), steps=1), tmp_path / "here", 2):
        plant_run(config)
    assert gather(FREEZE, (tmp_path / "here").rename(tmp_path / "there")).seeds == (0, 1)


# ---------------------------------------------------------------------------------------------------------------------
# Models that are made


def test_the_instructed_model_learns_right_answers_to_questions_that_nobody_asks():
    config = tiny()
    rows = list(examples(config))
    at_once = [row["text"].startswith("</think>") for row in rows]
    assert abs(np.mean(at_once) - AT_ONCE) < 4 * math.sqrt(0.25 / len(rows))
    assert all(row["prompt"].endswith("<think>") and row["text"].endswith("</answer>") for row in rows)
    scenes = {row["images"][0] for row in rows}
    task = build_task(config.task, config.seed)
    assert scenes.isdisjoint({problem.images[0] for problem in task.problems("eval", 0, 400)})
    assert rows == list(examples(config)) and rows != list(examples(replace(config, seed=1)))


def test_fine_tuning_learns_the_problems_that_rl_is_asked(tmp_path):
    config = replace(tiny(), steps=3, seed=4)
    made = SFT.make(config, tmp_path / "sft")
    assert (made.source, made.num_problems, made.seed) == ("task", 48, 4)
    assert made.template.name == "visual_direct" and made.task == config.task


def test_an_instructed_model_of_another_world_has_to_be_named(tmp_path):
    config = build(TrainConfig, load_recipe("visualthinker", "train"))
    with pytest.raises(ValueError, match="name a published one with --instruct MODEL"):
        INSTRUCT.make(config, tmp_path)


@pytest.fixture
def made(monkeypatch):
    """What fine-tuning was asked to make; it writes what marks a model as finished."""
    calls: list[SFTConfig] = []

    def fake(recipe, on_step=None):
        calls.append(recipe)
        out = Path(recipe.out)
        assert not out.exists()
        out.mkdir(parents=True)
        (out / "recipe.json").write_text(json.dumps({"config": to_dict(recipe)}))

    monkeypatch.setattr("r1zero.experiments.studies.preparing.sft", fake)
    return calls


def test_models_are_made_once_a_seed_and_begun_ones_anew(made, tmp_path):
    config = replace(tiny(), steps=1)
    assert len(prepare(RL_VS_SFT, config, tmp_path, 2, {})) == 2
    assert [Path(recipe.out).name for recipe in made] == ["seed-0", "seed-1"] and made[1].seed == 1
    assert prepare(RL_VS_SFT, config, tmp_path, 2, {}) == [] and len(made) == 2
    (tmp_path / "models" / "sft" / "seed-1" / "recipe.json").unlink()  # as if it had been interrupted
    assert len(prepare(RL_VS_SFT, config, tmp_path, 3, {})) == 2  # that, and the new seed
    with pytest.raises(ValueError, match=r"was made otherwise \(num_problems was 16, is 32"):
        prepare(RL_VS_SFT, replace(config, steps=2), tmp_path, 1, {})
    assert prepare(FREEZE, config, tmp_path / "other", 1, {"instruct": "some/model"}) == []


# ---------------------------------------------------------------------------------------------------------------------
# What is found


def cell(value: float) -> SubtaskCell:
    return SubtaskCell(Interval(value, value - 0.05, value + 0.05), 100, 0.5, 0.53, 0.44, 0.98)


def cells(values: dict[str, float]) -> dict[str, SubtaskCell]:
    total = float(np.mean(list(values.values())))
    return {kind: cell(value) for kind, value in (values | {"total": total}).items()}


def measured_run(config: TrainConfig, rng: np.random.Generator, gain: dict[str, float], luck: float) -> MeasuredRun:
    """A run whose sub-tasks begin at .6 and gain what is planted, with noise and the luck of its seed."""
    run = RecordedRun(Path(config.run.dir), {"config": to_dict(config)}, ({"step": 0}, {"step": config.steps}))
    before = dict.fromkeys(KINDS, 0.6 + luck)
    after = {kind: before[kind] + (gain[kind] + rng.normal(0, 0.01) if config.steps else 0) for kind in KINDS}
    steps = tuple(range(1, config.steps + 1))
    curves = {name: tuple(np.linspace(20, 30, len(steps))) for name in CURVES}
    alarm = RepetitionAlarm(set_bar(()), NOTHING, NOTHING)
    values = (0.1, 0.8, 0.4, 0.3, 0.4, 0.5)  # none, own, deleted, swapped, and the two differences
    intervals = [Interval(x, x - 0.1, x + 0.1) for x in values]
    thinking = Triviality(0, 50, 50, *intervals, 0.01, 0.01, NOTHING, NOTHING)
    training = OverTraining(steps, curves, alarm)
    return MeasuredRun(run, cells(before), cells(after), (20.0, 20.0), (0.0, 0.0), training, thinking)


def planted(study, home, gains: dict[str, dict[str, float]], seeds: int = 5):
    rng = np.random.default_rng(0)
    config = replace(tiny(), steps=STEPS)
    measured: dict[str, list[MeasuredRun]] = {name: [] for name in study.arms}
    lucks = [random.Random(seed).gauss(0, 0.05) for seed in range(seeds)]
    for one in arm_configs(study, config, home, seeds):
        name = Path(one.run.dir).parent.name
        measured[name].append(measured_run(one, rng, gains[name], lucks[one.seed]))
    runs = {name: tuple(one.run for one in found) for name, found in measured.items()}
    gathered = Gathered(study, home, tuple(range(seeds)), runs)
    return gathered, measured, study.analyse(gathered, measured)


def gain(value: float, **others: float) -> dict[str, float]:
    return dict.fromkeys(KINDS, value) | others


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    gains = {"none": gain(0.2), "vision": gain(0.2), "language": gain(0.0, depth=0.1)}
    return planted(FREEZE, tmp_path_factory.mktemp("frozen"), gains)


def difference(result: PictureStudy, says: str, outcome: str = "total"):
    return next(one for one in result.differences if (one.comparison.says, one.outcome) == (says, outcome))


def test_a_planted_difference_is_found_with_its_size_and_none_where_none_was_planted(frozen):
    _, _, result = frozen
    language = difference(result, "frozen language, less nothing frozen")
    truth = 0.025 - 0.2  # the mean over sub-tasks
    assert language.found and language.interval.low < truth < language.interval.high
    vision = difference(result, "frozen vision, less nothing frozen")
    assert not vision.found and abs(vision.interval.estimate) < 0.02 and 0 < vision.detectable < 0.05
    assert difference(result, "frozen language, less nothing frozen", "relation").found
    said = {sentence.split(":")[0]: sentence for sentence in result.verdicts}
    assert "accuracy −.1" in said["Frozen language, less nothing frozen"]
    assert "no difference in accuracy found" in said["Frozen vision, less nothing frozen"]
    assert "it could have seen" in said["Frozen vision, less nothing frozen"]


def test_each_family_is_corrected_by_itself(frozen):
    _, _, result = frozen
    for family, tests in ((ACCURACY, 5), (SUBTASKS, 20)):
        found = [one for one in result.differences if one.family == family]
        assert len(found) == tests
        smallest = min(found, key=lambda one: one.p_value)
        assert smallest.holm_p == pytest.approx(tests * smallest.p_value)


def test_an_arm_of_no_steps_has_accuracy_and_no_curves(tmp_path):
    arms = dict.fromkeys(RL_VS_SFT.arms, gain(0.1))
    gathered, measured, result = planted(RL_VS_SFT, tmp_path, arms)
    assert result.steps["base"] == 0 and [one.arm for one in result.repetition] == ["rl", "rl_direct"]
    assert result.subtask("base", "total").change.estimate == 0
    gained = difference(result, "RL with thinking, less the base model")
    assert gained.found and gained.interval.estimate == pytest.approx(0.1, abs=0.02)
    outcomes = {one.outcome for one in result.differences if one.comparison == gained.comparison}
    assert "think_tokens" not in outcomes and "held-out tokens" in outcomes  # what only one of the two has
    assert render_study(gathered, measured, result).count('class="figure"') == 7


def test_terminal_and_page_show_the_controls_beside_every_accuracy(frozen):
    gathered, measured, result = frozen
    console = Console(file=io.StringIO(), width=140, color_system=None)
    console.print(render(result))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for word in ("chance", "prior", "blank", "read", "own − deleted", "could see"):
        assert word in shown
    assert "tiny-visual fine-tuned on 800 other questions" in shown  # what is built into the start
    page = render_study(gathered, measured, result)
    assert page.count("<th") > 30 and "Differences by sub-task" in page
    assert BASE not in result.starts


def changed(measured, arm: str, name: str, values):
    """The measured runs with one field of an arm's, a value a seed."""
    runs = [replace(one, **{name: value}) for one, value in zip(measured[arm], values, strict=True)]
    return measured | {arm: runs}


def lost_without_thinking(by_seed) -> list[Triviality]:
    """Right answers lost when the thinking is deleted; NaN where a seed's responses have none."""

    def one(lost: float) -> Triviality:
        sure = Interval(0.5, 0.4, 0.6)
        less = Interval(lost, lost - 0.1, lost + 0.1)
        return Triviality(0, 50, 50, sure, sure, sure, sure, less, less, 0.5, 0.5, NOTHING, NOTHING)

    return [one(lost) for lost in by_seed]


def test_that_thinking_matters_is_said_where_the_corrected_p_carries_it(frozen):
    gathered, measured, _ = frozen
    planted_losses = {
        "none": (0.3, 0.31, 0.29, 0.3, 0.32),
        "vision": (0.01, -0.02, 0.02, 0.0, -0.01),
        "language": (0.3, 0.04, 0.15, 0.02, 0.2),  # p = .05 by itself
    }
    for arm, losses in planted_losses.items():
        measured = changed(measured, arm, "thinking", lost_without_thinking(losses))
    result = FREEZE.analyse(gathered, measured)
    found = {one.arm: one for one in result.thinking}
    by_itself = float(stats.ttest_1samp(planted_losses["none"], 0).pvalue)
    assert found["none"].deleted_p == pytest.approx(3 * by_itself)
    assert stats.ttest_1samp(planted_losses["language"], 0).pvalue < 0.06 < found["language"].deleted_p
    said = [sentence for sentence in result.verdicts if "thinking of" in sentence]
    assert said[0].startswith("The thinking of none's final model matters: without it accuracy changes by −.30 [")
    assert said[1].startswith("Whether the thinking of vision's final model matters cannot be told")
    assert said[2].startswith("Whether the thinking of language's final model matters cannot be told")


def test_seeds_without_thinking_are_left_out_and_counted(frozen):
    gathered, measured, _ = frozen
    nan = math.nan
    measured = changed(measured, "none", "thinking", lost_without_thinking((0.7, nan, nan, -0.3, nan)))
    result = FREEZE.analyse(gathered, measured)
    none = result.thinking[0]
    assert none.seeds == 2 and none.own_minus_deleted.estimate == pytest.approx(0.2)
    assert (none.own_minus_deleted.low, none.own_minus_deleted.high) == (-1, 1)  # nothing beyond is possible
    assert any("thinking of none: in 2 of 5 seeds" in note for note in result.notes)
    assert not any("thinking of vision" in note for note in result.notes)


def test_an_alarm_that_could_not_sound_is_not_called_quiet(frozen):
    gathered, measured, result = frozen
    assert [one.seeds for one in result.repetition] == [0, 0, 0]
    said = [sentence for sentence in result.verdicts if "repe" in sentence]
    assert said == [
        "Whether responses of none, vision, language repeat themselves cannot be told: the first ones are too few to "
        "set a bar."
    ]
    bar = set_bar([f"word {number} " * 9 for number in range(40)])
    loud = RepetitionAlarm(bar, Interval(0.0, 0.0, 0.1), Interval(0.9, 0.8, 1.0))
    quiet = replace(loud, last=loud.first)
    for arm, alarms in (("none", [loud, loud, quiet, quiet, quiet]), ("vision", [quiet] * 5)):
        training = [replace(one.training, alarm=alarm) for one, alarm in zip(measured[arm], alarms, strict=True)]
        measured = changed(measured, arm, "training", training)
    result = FREEZE.analyse(gathered, measured)
    assert [(one.sounded, one.seeds) for one in result.repetition] == [(2, 5), (0, 5), (0, 0)]
    assert [sentence.split(" repeat")[0] for sentence in result.verdicts[-3:]] == [
        "Responses of none",
        "The alarm for repetition sounds in no other arm.",
        "Whether responses of language",
    ]


def test_no_interval_of_a_share_leaves_what_is_possible(tmp_path):
    gains = {"none": gain(0.39), "vision": gain(0.39), "language": gain(0.0)}
    gathered, measured, _ = planted(FREEZE, tmp_path, gains)
    finals = [cells(dict.fromkeys(KINDS, value)) for value in (1.0, 0.99, 1.0, 0.7, 1.0)]
    result = FREEZE.analyse(gathered, changed(measured, "none", "after", finals))
    total = result.subtask("none", "total")
    assert total.after.high == 1.0 and total.after.estimate == pytest.approx(0.938) and 0.7 < total.after.low < 0.8


def test_one_seed_gives_numbers_and_no_finding(tmp_path):
    gains = {"none": gain(0.2), "vision": gain(0.2), "language": gain(0.0)}
    _, _, result = planted(FREEZE, tmp_path, gains, seeds=1)
    assert not any(one.found or one.hinted for one in result.differences)
    assert any("one seed" in note for note in result.notes)
    assert "nothing can be said of the spread over seeds" in result.verdicts[0]
