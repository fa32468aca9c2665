"""Rows that cannot be asked, through the verbs: an error that names file and row, or a counted skip."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sat_files import noise, write_cvbench
from vision_models import fresh, save_noise

from r1zero.cli.main import main
from r1zero.models.load import save_policy
from r1zero.store import read_rollouts

GOOD = 14
BAD = 5  # the number of the bad row


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_policy(fresh("qwen2_vl"), folder)
    return folder


def row(folder: Path, number: int) -> dict[str, Any]:
    """A row of a user's file, in EasyR1's shape, with choices.  A tenth is held out, by the pictures' names."""
    save_noise(folder / f"{number}.png", 56, 56)
    return {
        "id": f"q{number}",
        "images": [f"{number}.png"],
        "problem": "<image> which object is closer ?",
        "choices": ["red circle", "blue square"],
        "answer": "red circle",
    }


def broken(folder: Path) -> dict[str, Any]:
    (folder / "broken.png").write_bytes(noise(1)[:200])
    return {"images": [str(folder / "broken.png")]}


def no_picture(folder: Path) -> dict[str, Any]:
    (folder / "words.png").write_text("not a picture")
    return {"images": [str(folder / "words.png")]}


def large(folder: Path) -> dict[str, Any]:
    return {"images": [save_noise(folder / "large.png", 300, 200)]}


FAULTS: dict[str, tuple[Callable[[Path], dict[str, Any]], str, str]] = {
    "cut off": (broken, "broken.png", "picture cannot be used"),
    "no picture at all": (no_picture, "words.png", "picture cannot be used"),
    "missing": (lambda _: {"images": ["nowhere.png"]}, "nowhere.png cannot be read", "picture is missing"),
    "nothing in its place": (lambda _: {"images": [None]}, "images holds None", "picture is missing"),
    "too many marks": (
        lambda _: {"problem": "<image> and <image> : which is closer ?"},
        "the text has 2 and the row 1 pictures",
        "number of <image> marks",
    ),
    "a mark without a picture": (lambda _: {"images": []}, "the text has 1 and the row 0", "number of <image> marks"),
    "beyond the limit": (large, "300 x 200", "picture cannot be used"),
    "answer not among the choices": (lambda _: {"answer": "green dot"}, "green dot", "choices"),
    "no choices": (lambda _: {"choices": []}, "choices", "choices"),
    "an empty choice": (lambda _: {"choices": ["red circle", ""]}, "choices", "choices"),
    "two choices alike": (lambda _: {"choices": ["red circle", "red circle"]}, "choices", "choices"),
    "no answer": (lambda _: {"answer": ""}, "answer", "no answer"),
    "no question": (lambda _: {"problem": " "}, "question", "no question"),
}


def write_rows(folder: Path, change: dict[str, Any]) -> Path:
    rows = [row(folder, number) for number in range(GOOD)]
    rows[BAD] |= change
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def command(verb: str, folder: Path, path: Path) -> list[str]:
    task = ["--task.name", "visual_file", "--task.path", str(path), "--task.max_picture_pixels", "50000"]
    task += ["--task.kept_images", str(folder / "kept"), "--template.name", "visualthinker_direct"]
    model = ["--model.path", str(folder / "model"), "--learner.device", "cpu"]
    small = {
        "train": "--steps 1 --problems_per_step 2 --responses_per_problem 2 --run.threads 1 --sampling.max_tokens 3 "
        f"--evaluation.num_problems 1 --evaluation.max_tokens 3 --run.dir {folder / 'run'}",
        "sft": f"--source task --json --out {folder / 'out'}",
    }
    return [verb, *model, *task, *small[verb].split()]


@pytest.mark.parametrize(
    ("verb", "fault"), [*(("train", fault) for fault in FAULTS), ("sft", "cut off"), ("sft", "an empty choice")]
)
def test_a_row_that_cannot_be_asked_stops_the_verb_by_name(
    verb: str, fault: str, seeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, said, _ = FAULTS[fault]
    path = write_rows(tmp_path, change(tmp_path))
    (tmp_path / "model").symlink_to(seeing)
    assert main(command(verb, tmp_path, path)) == 2
    error = capsys.readouterr().err
    assert f"rows.jsonl, row {BAD}: " in error and said in error and "--task.bad_rows skip" in error
    assert "Traceback" not in error and not (tmp_path / "run").exists() and not (tmp_path / "out").exists()


SKIPPED = [fault for fault in FAULTS if not fault.startswith(("no picture", "nothing", "a mark", "two choices"))]


@pytest.mark.parametrize("fault", SKIPPED)
def test_where_the_recipe_allows_it_the_row_is_left_out_and_counted(
    fault: str, seeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    change, said, counted = FAULTS[fault]
    path = write_rows(tmp_path, change(tmp_path))
    (tmp_path / "model").symlink_to(seeing)
    assert main([*command("train", tmp_path, path), "--task.bad_rows", "skip"]) == 0
    told = caplog.text + capsys.readouterr().err
    assert f"1 rows left out (1 {counted})" in told and f"row {BAD}" in told and said in told
    assert f"1 rows of the file are left out: {counted}" in (tmp_path / "run" / "log.txt").read_text()
    asked = read_rollouts(tmp_path / "run").collect()["problem_id"]
    assert not asked.str.ends_with(f"-q{BAD}").any()


@pytest.mark.parametrize("verb", ["train", "sft"])
def test_a_model_of_text_given_pictures_is_refused_with_the_problem(
    verb: str, model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path, {})
    (tmp_path / "model").symlink_to(model_dir)
    assert main(command(verb, tmp_path, path)) == 2
    error = capsys.readouterr().err
    assert "problem 'visual_file/0000" in error and "pictures for Qwen2ForCausalLM, a model of text" in error


def test_words_that_the_model_reads_as_pictures_are_refused_with_the_problem(
    seeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path, {"problem": "<image> which <|image_pad|> is closer ?"})
    (tmp_path / "model").symlink_to(seeing)
    assert main(command("sft", tmp_path, path)) == 2
    error = capsys.readouterr().err
    assert f"problem 'visual_file/{BAD:06d}-q{BAD}'" in error and "tokens that stand for pictures" in error


CVBENCH: dict[str, tuple[dict[str, Any], str]] = {
    "answer": ({"answer": "(C)"}, "the answer '(C)' is not among the 2 choices"),
    "choices": ({"choices": []}, "must be a list with at least one"),
    "picture": ({"image": {"bytes": b"no picture", "path": None}}, "picture cannot be used"),
    "no picture": ({"image": None}, "picture is missing"),
    "marks": ({"prompt": "<image><image> which ?"}, "the text has 2 and the row 1 pictures"),
}


@pytest.mark.parametrize("fault", CVBENCH)
def test_evaluation_stops_at_such_a_row_or_counts_it(
    fault: str, seeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    change, said = CVBENCH[fault]
    path = tmp_path / "cvbench.parquet"
    write_cvbench(path)
    rows = pl.read_parquet(path).to_dicts()
    rows[2] |= change
    pl.DataFrame(rows).write_parquet(path)
    (tmp_path / "model").symlink_to(seeing)
    asked = ["eval", str(tmp_path / "model"), "--baseline", "visualthinker", "--data", str(tmp_path), "--device", "cpu"]
    asked += ["--sampling.max_tokens", "3", "--task.kept_images", str(tmp_path / "kept"), "--threads", "1", "--json"]
    assert main(asked) == 2
    error = capsys.readouterr().err
    assert "cvbench.parquet, row 2: " in error and said in error and "--task.bad_rows skip" in error
    assert main([*asked, "--task.bad_rows", "skip"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["benchmarks"][0]["problems"] == 5
    assert "1 rows left out" in caplog.text + captured.err
