"""From a recipe's name to a config, and the recipes that ship."""

import json

import pytest

from r1zero.cli import pretrain, train
from r1zero.cli.arguments import parse
from r1zero.cli.recipes import RECIPE_OF, find_recipe, load_recipe, recipe_name, resolve, shipped_recipes, verb_of
from r1zero.config import SFTConfig, TrainConfig, build, flatten, read_recipe, to_dict
from r1zero.grading import EXTRACTORS
from r1zero.objectives import OBJECTIVES
from r1zero.tasks.templates import load_template

VISUALTHINKER = ("visualthinker", "visualthinker_instruct")


def test_every_shipped_recipe_is_a_valid_config_of_one_verb():
    assert {"quickstart", "oat_zero_countdown", "understand_r1_zero_countdown"} <= set(shipped_recipes("train"))
    for name, path in shipped_recipes().items():
        values = read_recipe(path)
        verb = verb_of(values)
        assert verb is not None, name
        config = build(RECIPE_OF[verb], values)
        if isinstance(config, TrainConfig):
            assert config.objective.name in OBJECTIVES
            assert load_template(config.template.name).answer_format in EXTRACTORS


def test_the_oat_zero_recipe_has_the_published_numbers():
    config = build(TrainConfig, load_recipe("oat_zero_countdown", "train"))
    assert config.problems_per_step * config.responses_per_problem == 1024
    assert config.learner.updates_per_rollout == 8  # 1,024 responses in batches of 128
    assert (config.learner.lr, config.objective.kl_coef, config.reward.wrong_answer) == (1e-6, 0.001, 0.1)
    assert (config.sampling.max_tokens, config.evaluation.temperature, config.evaluation.every) == (1024, 0.0, 8)


def test_the_visualthinker_recipes_have_the_numbers_of_its_code_and_differ_in_model_and_prompt_alone():
    base, instruct = (build(TrainConfig, load_recipe(name, "train")) for name in VISUALTHINKER)
    assert (base.problems_per_step, base.responses_per_problem, base.sampling.max_tokens) == (8, 8, 700)
    assert base.steps * base.problems_per_step == 2 * base.task.num_rows == 30_000
    assert (base.learner.lr, base.objective.kl_coef, base.model.max_pixels) == (1e-6, 0.04, 512 * 28 * 28)
    assert (base.reward.correct, base.reward.form, base.reward.per_token) == (1.0, 1.0, 0.0)
    changed = {key for key, value in flatten(base).items() if flatten(instruct)[key] != value}
    assert changed == {"model.path", "template.name"}
    supervised = build(SFTConfig, load_recipe("visualthinker_sft", "sft"))
    assert (supervised.task, supervised.model) == (base.task, base.model)  # the same rows and pictures
    assert (supervised.learner.lr, supervised.epochs, supervised.source) == (2e-5, 2, "task")


def test_the_command_line_is_laid_over_the_recipe_and_the_recipe_over_the_defaults(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("steps = 7\n[learner]\nlr = 1e-4\nbeta1 = 0.5\n")
    config = resolve(train.VERB, parse(train.VERB, [str(path), "--learner.lr", "2e-4", "--task.num_numbers", "3,4"]))
    assert (config.steps, config.learner.lr, config.learner.beta1, config.learner.beta2) == (7, 2e-4, 0.5, 0.95)
    assert config.task.num_numbers == (3, 4)


def test_without_a_recipe_train_is_the_quickstart():
    assert resolve(train.VERB, parse(train.VERB, [])) == build(TrainConfig, load_recipe("quickstart", "train"))


def test_what_a_run_saved_gives_the_same_config_again(tmp_path):
    config = build(TrainConfig, {"seed": 5, "task": {"num_numbers": [3, 4]}, "reward": {"truncated": -1.0}})
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "config.json").write_text(json.dumps({"verb": "train", "config": to_dict(config)}))
    for recipe in (run_dir, run_dir / "config.json"):
        assert resolve(train.VERB, parse(train.VERB, [str(recipe)])) == config
        assert recipe_name(str(recipe)) == "run"
    with pytest.raises(ValueError, match="is for `r1zero train`, not for `r1zero pretrain`"):
        resolve(pretrain.VERB, parse(pretrain.VERB, [str(run_dir)]))


def test_a_shipped_recipe_goes_by_its_name_with_either_dash():
    assert find_recipe("oat-zero-countdown") == find_recipe("oat_zero_countdown")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = ", "is not a readable recipe"),
        ("stepz = 3", "unknown key 'stepz': did you mean steps"),
        ("[learner]\nlr = 'fast'", "learner.lr='fast': expected float"),
        ("[learner]\nschedule = 'cosin'", "learner.schedule='cosin': did you mean cosine"),
        ("learner = 3", "learner is a section, not a value"),
    ],
)
def test_a_faulty_recipe_names_the_fault(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        resolve(train.VERB, parse(train.VERB, [str(path)]))
    assert message in str(error.value)


def test_a_recipe_that_is_not_there_gets_the_nearest(tmp_path):
    with pytest.raises(ValueError, match="no recipe 'quikstart': did you mean quickstart"):
        find_recipe("quikstart")
    with pytest.raises(ValueError, match="is a directory without config"):
        find_recipe(str(tmp_path))
    with pytest.raises(ValueError, match=r"no recipe at .*gone\.toml"):
        load_recipe(str(tmp_path / "gone.toml"), "train")
