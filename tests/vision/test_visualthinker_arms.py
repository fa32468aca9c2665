"""VisualThinker-R1-Zero's arms: each documented command resolves, and trains a random model of its architecture."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from sat_files import write_cvbench, write_sat
from test_vision_adapters import plain_inputs
from transformers import AutoModelForImageTextToText
from vision_models import fresh

from r1zero.cli import sft, train
from r1zero.cli.arguments import parse
from r1zero.cli.main import main
from r1zero.cli.recipes import load_recipe, resolve
from r1zero.config import SFTConfig, TrainConfig, build, flatten, merge
from r1zero.models import lora
from r1zero.models.load import load_policy, save_policy
from r1zero.models.vision_prompt import encode_prompt
from r1zero.records import Problem, Prompt
from r1zero.store import read_metrics, read_rollouts
from r1zero.tasks.templates import load_template
from r1zero.training.loop import Trainer
from r1zero.training.run import StopRequest

DOCS = Path(__file__).parents[2] / "docs" / "visual_data.md"
SEES = (".visual.", ".vision_tower.", ".multi_modal_projector.")


def documented() -> list[str]:
    """The commands of the section on arms, without what is said about them."""
    text = DOCS.read_text(encoding="utf-8").partition("## VisualThinker-R1-Zero's arms")[2].partition("\n## ")[0]
    lines = [line for block in text.split("```")[1::2] for line in block.splitlines()]
    return [line.split("  ")[0].strip() for line in lines if line.startswith("r1zero ")]


def resolved(command: str) -> TrainConfig | SFTConfig:
    verb, *words = shlex.split(command)[1:]
    of = {"train": train.VERB, "sft": sft.VERB}[verb]
    return resolve(of, parse(of, words))


def test_every_documented_arm_resolves_and_differs_from_the_others() -> None:
    commands = [command for command in documented() if command.split()[1] in ("train", "sft")]
    configs = [resolved(command) for command in commands]
    assert len(configs) >= 14 and len({json.dumps(flatten(config)) for config in configs}) == len(configs)
    trained = [config for config in configs if isinstance(config, TrainConfig)]
    assert {config.learner.freeze for config in trained} == {"none", "vision", "language"}
    assert {config.reward.per_token for config in trained} == {0.0, 0.001}
    passes = {c.task.num_train: c.steps * c.problems_per_step / c.task.num_train for c in trained if c.task.num_train}
    assert set(passes) == {50, 100, 500, 1000}
    assert all(1.9 <= times <= 2 for times in passes.values())  # two epochs, in whole steps
    whole = [config for config in trained if not config.task.num_train]
    assert all(config.steps * config.problems_per_step == 2 * config.task.num_rows == 30_000 for config in whole)
    for family in ("Qwen2-VL-2B", "Qwen2-VL-2B-Instruct", "Qwen2.5-VL", "llava"):
        assert any(family in config.model.path for config in configs)
    assert all((config.model.max_pixels == 0) == ("llava" in config.model.path) for config in configs)
    assert any(config.lora.rank for config in configs)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_sat(folder / "sat.parquet")
    (folder / "data").mkdir()
    write_cvbench(folder / "data" / "cvbench.parquet")
    return folder


def tiny(folder: Path, files: Path) -> dict[str, Any]:
    """What makes a recipe small; everything else of it stays."""
    return {
        "steps": 2,
        "problems_per_step": 3,
        "responses_per_problem": 4,
        "model": {"path": str(folder / "model")},
        "task": {"path": str(files / "sat.parquet"), "kept_images": str(files / "kept")},
        "sampling": {"max_tokens": 6},
        "learner": {"lr": 1e-2, "device": "cpu", "dtype": "float32"},
        "evaluation": {"num_problems": 1, "max_tokens": 6},
        "run": {"dir": str(folder / "run"), "threads": 1},
    }


MOVES = {"reward": {"per_token": 0.1}}  # a random model is never right, so that its groups differ in length at best
LLAVA = {"model": {"max_pixels": 0}, "template": {"name": "visualthinker_llava"}}
ARMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "base": ("visualthinker", "qwen2_vl", {}),
    "base, few samples": ("visualthinker", "qwen2_vl", {"task": {"num_train": 2}}),
    "instruct": ("visualthinker_instruct", "qwen2_vl", {}),
    "instruct, length": ("visualthinker_instruct", "qwen2_vl", {"reward": {"per_token": 0.001}}),
    "instruct, frozen vision": ("visualthinker_instruct", "qwen2_5_vl", {"learner": {"freeze": "vision"}} | MOVES),
    "instruct, frozen language": ("visualthinker_instruct", "qwen2_5_vl", {"learner": {"freeze": "language"}} | MOVES),
    "LLaVA": ("visualthinker_instruct", "llava", LLAVA),
    "LLaVA, LoRA": ("visualthinker_instruct", "llava", LLAVA | {"lora": {"rank": 4}} | MOVES),
}


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_trains_a_model_of_its_architecture_which_is_saved_and_evaluated(
    arm: str, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, family, own = ARMS[arm]
    save_policy(fresh(family), tmp_path / "model")
    config = build(TrainConfig, merge(merge(load_recipe(recipe, "train"), tiny(tmp_path, files)), own))
    trainer = Trainer(config, tmp_path / "run", None)
    before = {name: weight.clone() for name, weight in plain_weights(trainer).items()}
    (tmp_path / "run").mkdir()
    trainer.open()
    assert trainer.run(StopRequest()).finished
    metrics = read_metrics(tmp_path / "run")
    assert all(row["policy/sampler_gap_max"] < 1e-5 for row in metrics[1:])
    assert metrics[1]["policy/kl_reference"] == pytest.approx(0, abs=1e-9)
    stored = read_rollouts(tmp_path / "run").collect()
    assert len(stored) == 24 and set(stored["images"].list.len()) == {1}  # rows with two pictures are left out
    if own.get("task"):
        assert stored["problem_id"].n_unique() == 2
    assert all(("reward/part/tokens" in row) == (config.reward.per_token > 0) for row in metrics[1:])

    moved = {name for name, weight in plain_weights(trainer).items() if not torch.equal(weight, before[name])}
    of_vision = {name for name in moved if any(word in name for word in SEES)}
    if own.get("reward") == MOVES["reward"]:
        assert bool(of_vision) == (config.learner.freeze != "vision")
        assert bool(moved - of_vision) == (config.learner.freeze != "language")
    assert (tmp_path / "run" / "adapter").exists() == (config.lora.rank > 0)
    opened_again(trainer, files, tmp_path / "run" / "model")

    baseline = {"visualthinker": "visualthinker", "visualthinker_instruct": "visualthinker-instruct"}[recipe]
    asked = ["eval", str(tmp_path / "run" / "model"), "--baseline", baseline, "--data", str(files / "data")]
    asked += ["--template.name", "visualthinker_llava"] if family == "llava" else []
    asked += ["--sampling.max_tokens", "6", "--task.kept_images", str(files / "kept"), "--threads", "1"]
    capsys.readouterr()
    assert main([*asked, "--device", "cpu", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in found["subtasks"]["cvbench"]] == [
        *("Count", "Relation", "Depth", "Distance", "total", "official")
    ]


def plain_weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    model = trainer.policy.model
    return dict(lora.merged(model, model.state_dict())) if lora.is_adapted(model) else model.state_dict()


def opened_again(trainer: Trainer, files: Path, directory: Path) -> None:
    """The saved model says of a question with a picture what the trained one says."""
    reference = read_rollouts(trainer.dir).collect()["images"][0].to_list()
    policy = trainer.policy
    text = "which <image> object is closer ?"
    prompt = Prompt(
        Problem("p", "test", text, ""), "none", text, encode_prompt(policy, text, reference), tuple(reference)
    )
    inputs = plain_inputs(policy, prompt, (5, 6, 7))
    policy.model.eval()
    with torch.no_grad():
        expected = policy.model(**inputs).logits.log_softmax(-1)
        for model in (
            load_policy(str(directory), "cpu").model,
            AutoModelForImageTextToText.from_pretrained(directory, dtype=torch.float32),
        ):
            torch.testing.assert_close(model(**inputs).logits.log_softmax(-1), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", ["qwen2_vl", "llava"])
def test_the_supervised_arm_learns_and_is_evaluated(
    family: str, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_policy(fresh(family), tmp_path / "model")
    out, kept = tmp_path / "out", str(files / "kept")
    learn = ["sft", "visualthinker_sft", "--model.path", str(tmp_path / "model"), "--out", str(out), "--json"]
    learn += ["--task.path", str(files / "sat.parquet"), "--task.kept_images", kept, "--num_problems", "6"]
    learn += ["--learner.device", "cpu", "--learner.dtype", "float32", "--learner.lr", "0.01", "--epochs", "3"]
    llava = ["--model.max_pixels", "0", "--template.name", "llava", "--lora.rank", "4"]
    assert main([*learn, *(llava if family == "llava" else [])]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["last loss"] < row["first loss"]
    assert (out / "adapter").exists() == (family == "llava")
    asked = ["eval", str(out), "--baseline", "visualthinker-sft", "--data", str(files / "data"), "--device", "cpu"]
    asked += ["--sampling.max_tokens", "6", "--task.kept_images", kept, "--threads", "1", "--json"]
    assert main([*asked, *(["--template.name", "llava"] if family == "llava" else [])]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["benchmarks"][0]["problems"] == 6


def test_llava_is_asked_in_its_own_words() -> None:
    problem = Problem("p", "choices", "Which?", "", images=("a.png",))
    tags = "  Output the thinking process in <think> </think> and final answer (option) in <answer> </answer> tags."
    assert load_template("llava").render(problem) == "<s>USER: <image>\nWhich? ASSISTANT:"
    assert load_template("visualthinker_llava").render(problem) == f"<s>USER: <image>\nWhich?{tags} ASSISTANT:"
    marked = Problem("p", "choices", "Is <image> red?", "", images=("a.png",))
    assert load_template("llava").render(marked) == "<s>USER: Is <image> red? ASSISTANT:"


def test_with_a_file_of_its_own_for_evaluation_every_row_is_trained_on(files: Path, tmp_path: Path) -> None:
    save_policy(fresh("qwen2_vl"), tmp_path / "model")
    values = merge(load_recipe("visualthinker", "train"), tiny(tmp_path, files))
    sizes = {}
    for name, path in (("split", None), ("whole", str(files / "sat.parquet"))):
        config = build(TrainConfig, merge(values, {"evaluation": {"path": path}}))
        sizes[name] = len(Trainer(config, tmp_path / name, None).task.rows["train"])
    assert sizes["whole"] == 60 and 45 <= sizes["split"] < 60  # 80 rows, a quarter with two pictures
