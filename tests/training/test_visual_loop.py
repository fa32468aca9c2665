"""Training on pictures: sub-tasks apart, beside what is reached without looking; a run keeps its pictures."""

import io
import json

import polars as pl
import pytest

pytest.importorskip("PIL")
from PIL import Image

from r1zero.cli.main import main
from r1zero.cli.own_world import evaluation_of, world_of
from r1zero.cli.probe import default_recipe
from r1zero.cli.recipes import find_recipe, load_recipe
from r1zero.config import ArchitectureConfig, ProbeConfig, TrainConfig, build
from r1zero.evaluation.held_out import subtask_metrics
from r1zero.grading.choices import choice_gold
from r1zero.models.load import make_policy, save_policy
from r1zero.models.tiny_visual import PICTURE_SETTINGS, fresh_visual_model, train_visual_tokenizer
from r1zero.models.vision_qwen import qwen_vision
from r1zero.records import Grade, Problem, Prompt, Response, Rollout
from r1zero.reports.html import write_report
from r1zero.store import read_metrics, read_rollouts
from r1zero.tasks.templates import load_template
from r1zero.training import train

ONE = {"num_problems": 1, "max_tokens": 6}


@pytest.fixture(scope="module")
def seeing(tmp_path_factory):
    """The directory of a random model of tiny-visual's kind, with the recipe that a pretraining leaves."""
    texts = ["User: How many redcircle: one, two, three or four?\nAssistant:<think> nw redcircle one", "left above"]
    tokenizer = train_visual_tokenizer(texts, 400)
    shape = ArchitectureConfig(
        hidden_size=32, num_layers=2, num_heads=2, num_kv_heads=2, intermediate_size=48, vocab_size=400
    )
    model = fresh_visual_model(shape, tokenizer, seed=0)
    directory = tmp_path_factory.mktemp("models") / "seeing"
    save_policy(make_policy(model.eval(), tokenizer, qwen_vision(model.config, PICTURE_SETTINGS)), directory)
    (directory / "recipe.json").write_text(json.dumps({"config": {"world": "visual"}}))
    return directory


def settings(model, run, **sections):
    small = {
        "steps": 1,
        "problems_per_step": 4,
        "responses_per_problem": 2,
        "model": {"path": str(model)},
        "sampling": {"max_tokens": 6},
        "reward": {"per_token": 0.1},  # so that the groups of a random model differ
        "learner": {"lr": 1e-3, "device": "cpu", "dtype": "float32"},
        "evaluation": {"num_problems": 8, "max_tokens": 6},
        "run": {"dir": str(run), "threads": 1},
    }
    return build(TrainConfig, small | sections)


def answered(kind, number, gold, said):
    choices = ["left", "right"]
    fields = {"subtask": kind, "choices": choices}
    problem = Problem(f"visual/{kind}-{number}", "choices", "?", choice_gold(gold, choices, letters=False), fields)
    response = Response(f"<answer> {said}</answer>", (1, 2), (-1.0, -1.0), "stop")
    grade = Grade(said == gold, True, said, "")
    return Rollout(0, 0, Prompt(problem, "visual_think", "?", (1,)), response, grade, float(said == gold))


def test_sub_tasks_are_metrics_beside_what_is_reached_without_looking():
    seen = [
        answered("Depth", 1, "left", "left"),
        answered("Depth", 2, "left", "left"),
        answered("Depth", 3, "right", "up"),  # cannot be read
        answered("Relation", 1, "right", "left"),
    ]
    blank = [answered("Depth", n, "left", "right") for n in (1, 2, 3)]
    metrics = subtask_metrics(seen, blank, "visual")
    assert metrics["eval/visual/subtask/depth"] == pytest.approx(2 / 3)
    assert metrics["eval/visual/prior/depth"] == pytest.approx(2 / 3)  # always the first choice
    assert metrics["eval/visual/read/depth"] == pytest.approx(2 / 3)
    assert metrics["eval/visual/chance/depth"] == metrics["eval/visual/chance/total"] == 0.5
    assert metrics["eval/visual/subtask/relation"] == 0 and metrics["eval/visual/prior/relation"] == 1
    assert metrics["eval/visual/subtask/total"] == 0.5 and metrics["eval/visual/prior/total"] == pytest.approx(3 / 4)
    assert metrics["eval/visual/subtask/depth_low"] < 2 / 3 < metrics["eval/visual/subtask/depth_high"]
    assert metrics["eval/visual/blank/depth"] == 0 and "eval/visual/blank/relation" not in metrics


def test_problems_without_sub_tasks_have_no_such_metrics():
    problem = Problem("countdown-1", "countdown", "?", "{}")
    rollout = Rollout(
        0, 0, Prompt(problem, "native", "?", (1,)), Response("", (), (), "stop"), Grade(False, False, None, ""), 0.0
    )
    assert subtask_metrics([rollout], [], "countdown") == {}


def test_a_run_tells_its_sub_tasks_and_what_blank_pictures_give(seeing, tmp_path, capsys):
    overrides = ["--steps=1", "--problems_per_step=4", "--responses_per_problem=2", "--sampling.max_tokens=6"]
    overrides += ["--reward.per_token=0.1", "--evaluation.num_problems=8", "--evaluation.max_tokens=6"]
    overrides += [f"--run.dir={tmp_path / 'run'}", "--run.threads=1", "--learner.device=cpu", "--learner.dtype=float32"]
    assert main(["train", "tiny-visual", f"--model.path={seeing}", *overrides]) == 0
    table = capsys.readouterr().out
    assert all(word in table for word in ("visual", "count", "relation", "depth", "distance", "prior", "blank"))
    first, last = read_metrics(tmp_path / "run")
    for row in (first, last):
        names = ("count", "relation", "depth", "distance", "total")
        assert all(f"eval/visual/{kind}/{name}" in row for kind in ("subtask", "blank", "chance") for name in names)
        assert row["eval/visual/subtask/total"] == row["eval/visual/accuracy"]
    assert last["eval/visual/chance/count"] == 0.25 and last["eval/visual/chance/depth"] == 0.5
    assert not (tmp_path / "run" / "images").exists()  # scenes are drawn on the spot


def test_a_run_keeps_its_pictures_once_and_can_be_moved(seeing, tmp_path):
    kept = tmp_path / "kept"
    rows = []
    for number in range(80):
        buffer = io.BytesIO()
        Image.new("RGB", (56, 56), (number // 2, 0, 0)).save(buffer, "PNG")  # 40 different pictures, each twice
        rows.append(
            {"problem": "left or right?", "answer": "left", "choices": ["left", "right"], "images": [buffer.getvalue()]}
        )
    pl.DataFrame(rows).write_parquet(tmp_path / "mine.parquet")
    task = {"name": "visual_file", "path": str(tmp_path / "mine.parquet"), "kept_images": str(kept)}
    config = settings(seeing, tmp_path / "run", task=task, template={"name": "visual_direct"}, evaluation=ONE)
    run = train(config)
    stored = [read_rollouts(run.dir, split=split).collect()["images"] for split in ("train", "eval")]
    named = {name for images in stored for name in images.explode()}
    here = {path.name for path in (run.dir / "images").iterdir()}
    assert here == {name.removeprefix("sha256:") for name in named} and 2 <= len(here) <= 5
    for path in kept.iterdir():
        path.unlink()
    page = write_report([run.dir.rename(tmp_path / "moved")]).read_text()
    assert page.count("data:image/png;base64,") >= 1 and "cannot be read" not in page


def test_a_tiny_model_that_sees_is_asked_what_it_knows(seeing, tmp_path, capsys):
    assert world_of(str(seeing)) == "visual" and world_of("tiny-search") == "countdown"
    assert world_of(str(tmp_path / "none")) is None and evaluation_of("tiny-search") == {}
    recipe = build(ProbeConfig, load_recipe(default_recipe(str(seeing)), "probe"))
    assert recipe.task.name == "visual" and recipe.templates == ("visual_think", "visual_direct")
    assert main(["eval", str(seeing), "--num_problems", "8", "--device", "cpu", "--threads", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in found["subtasks"]["visual"]}
    assert found["template"] == "visual_think" and found["max_tokens"] == 64
    assert list(rows) == ["Count", "Relation", "Depth", "Distance", "total"] and rows["Count"]["chance"] == 0.25


def test_it_is_asked_cv_bench_from_a_file(seeing, tmp_path, capsys):
    buffer = io.BytesIO()
    Image.new("RGB", (84, 84)).save(buffer, "PNG")
    rows = [
        {
            "idx": number,
            "type": "2D" if number < 2 else "3D",
            "task": ["Count", "Relation", "Depth", "Distance"][number],
            "image": {"bytes": buffer.getvalue(), "path": None},
            "question": "Which?",
            "choices": ["one", "two", "three"],
            "answer": "(B)",
            "prompt": "Which? Select from the following choices.\n(A) one\n(B) two\n(C) three",
            "source": ["ADE20K", "COCO", "Omni3D", "Omni3D"][number],
        }
        for number in range(4)
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "cvbench.parquet")
    command = ["eval", str(seeing), "--suite", "cvbench", "--data", str(tmp_path), "--device", "cpu", "--threads", "1"]
    assert main([*command, "--task.kept_images", str(tmp_path / "kept"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in found["subtasks"]["cvbench"]}
    assert [rows[name]["problems"] for name in ("Count", "Distance", "total", "official")] == [1, 1, 4, 4]
    assert rows["total"]["chance"] == pytest.approx(1 / 3)


def test_the_recipes_name_the_shipped_model_and_a_template_that_thinks():
    config = build(TrainConfig, load_recipe("tiny-visual", "train"))
    assert find_recipe("tiny-visual") == find_recipe("tiny_visual")
    assert (config.model.path, config.task.name, config.objective.name) == ("tiny-visual", "visual", "dr_grpo")
    assert load_template(config.template.name).source.endswith("<think>")
    assert config.evaluation.num_problems % 4 == 0  # as many of each kind
