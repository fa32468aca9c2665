"""Few training problems: the first ones, again and again, evaluation as ever."""

import json

import pytest

from r1zero.config import TaskConfig
from r1zero.tasks import build_task

VISUAL = TaskConfig(name="visual", num_train=6)


def ids(task, split, start, count):
    return [problem.id for problem in task.problems(split, start, count)]


def test_the_first_problems_of_the_stream_are_each_asked_once_a_pass():
    whole = build_task(TaskConfig(name="visual"), 3)
    few = build_task(VISUAL, 3)
    first = ids(whole, "train", 0, 6)
    for epoch in range(3):
        assert sorted(ids(few, "train", 6 * epoch, 6)) == sorted(first)
    assert len({tuple(ids(few, "train", 6 * epoch, 6)) for epoch in range(5)}) > 1  # in another order each time


def test_any_slice_is_the_same_stream():
    few = build_task(VISUAL, 0)
    assert ids(few, "train", 0, 20) == ids(few, "train", 0, 7) + ids(few, "train", 7, 13)


def test_evaluation_is_the_same_however_few_are_trained_on():
    assert ids(build_task(VISUAL, 0), "eval", 0, 9) == ids(build_task(TaskConfig(name="visual"), 5), "eval", 0, 9)


def test_another_seed_has_other_problems_and_the_same_seed_the_same():
    assert ids(build_task(VISUAL, 0), "train", 0, 6) == ids(build_task(VISUAL, 0), "train", 0, 6)
    assert set(ids(build_task(VISUAL, 0), "train", 0, 6)).isdisjoint(ids(build_task(VISUAL, 1), "train", 0, 6))


def test_of_a_file_the_first_are_drawn_by_the_seed_and_more_than_it_has_are_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"nums": [n, 2], "target": n + 2}) + "\n" for n in range(3, 23)))
    config = TaskConfig(path=str(path), num_train=5)
    few = build_task(config, 0, whole_file=True)
    assert len(set(ids(few, "train", 0, 50))) == 5
    assert set(ids(few, "train", 0, 5)) != set(ids(build_task(config, 1, whole_file=True), "train", 0, 5))
    with pytest.raises(ValueError, match=r"task\.num_train=21.*has 20 training problems"):
        build_task(TaskConfig(path=str(path), num_train=21), 0, whole_file=True)
    with pytest.raises(ValueError, match=r"task\.num_train=-1"):
        TaskConfig(num_train=-1)
