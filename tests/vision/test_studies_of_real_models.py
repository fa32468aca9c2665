"""The studies on pictures, asked of a model of the published architecture and a file of SAT's shape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sat_files import write_sat
from vision_models import fresh

from r1zero.cli.main import main
from r1zero.models.load import save_policy

SMALL = {
    "steps": 2,
    "problems_per_step": 3,
    "responses_per_problem": 2,
    "task.bad_rows": "refuse",
    "task.num_rows": 60,
    "reward.form": 0.0,
    "sampling.max_tokens": 6,
    "evaluation.num_problems": 2,
    "evaluation.max_tokens": 6,
    "learner.lr": 1e-2,
    "learner.device": "cpu",
    "learner.dtype": "float32",
    "model.gradient_checkpointing": "false",
    "run.threads": 1,
}


@pytest.fixture
def asked(tmp_path: Path):
    """A random model, a file, and the words that name both."""
    save_policy(fresh("qwen2_vl"), tmp_path / "model")
    write_sat(tmp_path / "sat.parquet")
    places = {
        "model.path": tmp_path / "model",
        "task.path": tmp_path / "sat.parquet",
        "task.kept_images": tmp_path / "kept",
        "run.dir": tmp_path / "study",
    }
    return [f"--{key}={value}" for key, value in (SMALL | places).items()]


def study(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict:
    capsys.readouterr()
    assert main(["study", *words, "--parallel", "1", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def settings(run: Path) -> dict:
    return json.loads((run / "config.json").read_text())["config"]


def test_freezing_with_a_recipe_for_instructed_models_begins_from_the_models_own_path(asked, tmp_path, capsys):
    result = study(["visual-freeze", "visualthinker_instruct", *asked, "--seeds", "1"], capsys)
    assert set(result["steps"]) == {"none", "vision", "language"} and result["seeds"] == [0]
    for arm in result["steps"]:
        config = settings(tmp_path / "study" / arm / "seed-0")
        assert config["learner"]["freeze"] == arm and config["template"]["name"] == "visualthinker_instruct"
        assert config["model"]["path"] == str(tmp_path / "model")
    assert not (tmp_path / "study" / "models").exists()
    assert result["starts"] == {"instruct": f"the model {tmp_path / 'model'}"}
    assert (tmp_path / "study" / "report.html").stat().st_size > 1_000_000


def test_fine_tuning_of_a_real_model_has_its_own_prompt_and_rows(asked, tmp_path, capsys):
    result = study(["visual-rl-vs-sft", "visualthinker", *asked, "--seeds", "2"], capsys)
    assert result["seeds"] == [0, 1]
    made = json.loads((tmp_path / "study" / "models" / "sft" / "seed-1" / "recipe.json").read_text())["config"]
    assert made["template"]["name"] == "qwen2_vl" and made["num_problems"] == 6 and made["epochs"] == 2
    assert settings(tmp_path / "study" / "sft" / "seed-1")["template"]["name"] == "qwen2_vl"
    assert study(["visual-rl-vs-sft", "--read", f"--run.dir={tmp_path / 'study'}"], capsys) == result


@pytest.mark.parametrize(
    ("name", "recipe", "more"),
    [
        ("visual-base-vs-instruct", "visualthinker", ["--instruct={model}"]),
        ("visual-length-reward", "visualthinker_instruct", []),
        (
            "visual-length-reward",
            "visualthinker",
            ["--template.name=visualthinker_llava", "--model.path={llava}", "--model.max_pixels=0"],
        ),
    ],
)
def test_other_studies_of_a_real_model_run_to_their_end(name, recipe, more, asked, tmp_path, capsys):
    save_policy(fresh("llava"), tmp_path / "llava")
    more = [word.format(model=tmp_path / "model", llava=tmp_path / "llava") for word in more]
    result = study([name, recipe, *asked, *more, "--seeds", "1"], capsys)
    assert result["study"] == name and all(one["by_seed"] for one in result["differences"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["visual-freeze", "--learner.freeze", "vision"], "the arms of visual-freeze decide that"),
        (["visual-samples", "--instruct", "x"], "no arm of visual-samples begins from such a model"),
        (["visual-samples", "quickstart"], "the studies of pictures know visual_think"),
        (["visual-freeze", "visualthinker"], "name a published one with --instruct MODEL"),
        (["visual-freez"], "did you mean visual-freeze"),
    ],
)
def test_what_cannot_be_studied_is_said_before_anything_is_made(words, message, tmp_path, capsys):
    assert main(["study", *words, f"--run.dir={tmp_path / 'study'}"]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("study/*/seed-*"))
