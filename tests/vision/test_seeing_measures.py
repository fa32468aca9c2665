"""The measures of runs on pictures on a random Qwen2-VL that was asked about files of photographs."""

from __future__ import annotations

import shutil
from dataclasses import replace

import polars as pl
import pytest
from test_sat_to_cvbench import write_sat
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from vision_models import SPECIAL, WORDS, fresh

from r1zero.config import TrainConfig, build
from r1zero.experiments.recorded import RecordedRun, load_run
from r1zero.experiments.studies.visual_curves import over_training
from r1zero.experiments.studies.visual_measures import subtask_accuracies
from r1zero.experiments.studies.visual_thinking import think_triviality
from r1zero.models.load import save_policy
from r1zero.store import SCHEMA, part_path
from r1zero.training import train

TAGS = ["</think>", "<answer>", "</answer>"]
THOUGHTS = ["red circle is closer", "blue square is left", "which is closer ?", "here : red square"]


def with_tags() -> PreTrainedTokenizerFast:
    """The random models' tokenizer with the tags of an answer, in rows of the embedding that were spare."""
    vocabulary = {word: id for id, word in enumerate([*SPECIAL, *WORDS, *TAGS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=SPECIAL[0], additional_special_tokens=SPECIAL[1:]
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RecordedRun:
    """Two steps on rows of SAT's form, some with two pictures; then the folder that the pictures were in is gone."""
    folder = tmp_path_factory.mktemp("qwen")
    save_policy(replace(fresh("qwen2_vl"), tokenizer=with_tags()), folder / "model")
    write_sat(folder / "sat.parquet")
    settings = {
        "steps": 2,
        "problems_per_step": 3,
        "responses_per_problem": 2,
        "model": {"path": str(folder / "model")},
        "task": {"name": "sat", "path": str(folder / "sat.parquet"), "kept_images": str(folder / "kept")},
        "template": {"name": "visualthinker"},
        "sampling": {"max_tokens": 12},
        "learner": {"lr": 1e-2, "device": "cpu", "dtype": "float32"},
        "evaluation": {"num_problems": 6, "max_tokens": 12},
        "run": {"dir": str(folder / "run"), "threads": 1},
    }
    trained = train(build(TrainConfig, settings))
    shutil.rmtree(folder / "kept")
    return load_run(trained.dir)


def let_it_think(run: RecordedRun) -> int:
    """Give the last held-out responses thinking and an answer, which a random model has not; how many there are."""
    part, tokenizer = part_path(run.dir, "eval", run.last_step), with_tags()
    stored = pl.read_parquet(part)
    texts = [f"{THOUGHTS[i % 4]} </think> <answer> red circle </answer>" for i in range(stored.height)]
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    changed = stored.with_columns(
        response=pl.Series(texts), token_ids=pl.Series(ids, dtype=SCHEMA["token_ids"]), formatted=pl.lit(True)
    )
    changed.write_parquet(part)
    return stored.height


def test_a_run_on_photographs_is_read(run: RecordedRun) -> None:
    found = over_training(run)
    assert found.steps == (1, 2) and not found.alarm.sounded
    stored = pl.read_parquet(part_path(run.dir, "train", 1))
    assert found.curves["tokens"][0] == pytest.approx(stored["num_tokens"].mean())
    assert 0 < found.curves["think_tokens"][0] <= found.curves["tokens"][0]
    assert set(subtask_accuracies(run, 2)) >= {"total"}


def test_its_thinking_is_deleted_and_swapped_before_its_own_pictures(run: RecordedRun) -> None:
    nothing = think_triviality(run, 6)
    assert nothing.responses == 0  # a random model does not open an answer
    count = let_it_think(run)
    found = think_triviality(run, count)
    assert found.responses == found.problems == count > 1
    for one in (found.own, found.deleted, found.swapped, found.own_minus_deleted, found.own_minus_swapped):
        assert one.low <= one.estimate <= one.high
