import json

import polars as pl
import pytest

from r1zero.config import TaskConfig
from r1zero.tasks import build_task
from r1zero.tasks.countdown import is_held_out

ROWS = [{"nums": [n, 2, 1], "target": n + 2} for n in range(3, 103)]  # n * 1 + 2


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_parquet_and_jsonl_give_the_same_problems(tmp_path):
    pl.DataFrame(ROWS).write_parquet(tmp_path / "a.parquet")
    jsonl = build_task(TaskConfig(path=write(tmp_path / "a.jsonl", ROWS)), 0).problems("train", 0, 30)
    parquet = build_task(TaskConfig(path=str(tmp_path / "a.parquet")), 0).problems("train", 0, 30)
    assert [p.gold for p in jsonl] == [p.gold for p in parquet]


def test_an_epoch_visits_every_row_once_and_the_next_in_another_order(tmp_path):
    task = build_task(TaskConfig(path=write(tmp_path / "a.jsonl", ROWS)), 5, whole_file=True)
    twice = [p.id for p in task.problems("train", 0, 200)]
    assert sorted(twice[:100]) == sorted(twice[100:]) and len(set(twice)) == 100
    assert twice[:100] != twice[100:]
    assert [p.id for p in task.problems("train", 90, 20)] == twice[90:110]


def test_a_file_is_split_by_the_hash_that_splits_generated_problems(tmp_path):
    path = write(tmp_path / "a.jsonl", ROWS)
    task = build_task(TaskConfig(path=path), 0)
    held_out = [r for r in ROWS if is_held_out(r["nums"], r["target"])]
    assert 0 < len(held_out) < 30
    assert [p.fields for p in task.problems("eval", 0, len(held_out))] == held_out
    assert all(not is_held_out(p.fields["nums"], p.fields["target"]) for p in task.problems("train", 0, 150))
    with pytest.raises(ValueError, match=f"has {len(held_out)} held-out problems and 100 are asked for"):
        task.problems("eval", 0, 100)


def test_a_file_for_evaluation_alone_keeps_all_its_rows_in_order(tmp_path):
    task = build_task(TaskConfig(path=write(tmp_path / "a.jsonl", ROWS)), 0, whole_file=True)
    assert [p.fields for p in task.problems("eval", 0, 100)] == ROWS


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"numbers": [1, 2], "target": 3}], "has no column nums: it has numbers, target"),
        ([{"nums": [1, 2], "answer": 3}], "has no column target"),
        ([{"nums": [4, 2], "target": 6}, {"nums": [1, 1], "target": 3}], "row 1: 3 cannot be made from"),
        ([{"nums": [1, 2], "target": 3.5}], "row 0: target=3.5 is not a whole number"),
        ([{"nums": [1.5, 2], "target": 3}], "row 0: nums=.* is not a list of whole numbers"),
        ([{"nums": "1 2", "target": 3}], "row 0: nums='1 2' is not a list"),
        ([{"nums": [], "target": 3}], "row 0: nums=.* is not a list of whole numbers"),
    ],
)
def test_a_row_that_cannot_be_asked_is_named(tmp_path, rows, message):
    path = write(tmp_path / "bad.jsonl", rows)
    with pytest.raises(ValueError, match=message):
        build_task(TaskConfig(path=path), 0, whole_file=True).problems("train", 0, 2)


def test_files_that_are_missing_empty_or_no_data_are_named(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "junk.parquet").write_text("not parquet")
    (tmp_path / "table.csv").write_text("nums,target\n")
    pl.DataFrame({"nums": [[1]], "target": [1]}).clear().write_parquet(tmp_path / "none.parquet")
    for name, message in [
        ("gone.jsonl", "no data file"),
        ("empty.jsonl", "is empty"),
        ("junk.parquet", "not a readable parquet file"),
        ("table.csv", "give a .parquet"),
        ("none.parquet", "holds no rows"),
    ]:
        with pytest.raises(ValueError, match=message):
            build_task(TaskConfig(path=str(tmp_path / name)), 0)
