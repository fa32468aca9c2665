import json

import polars as pl
import pytest

from r1zero.config import TaskConfig
from r1zero.tasks import build_task
from r1zero.tasks.mathematics import is_held_out, read_problems


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_columns_are_found_under_the_names_that_data_sets_use(tmp_path):
    gsm = {"question": "How many?", "answer": "3 + 4 = <<3+4=7>>7\n#### 1,007"}
    competition = {"problem": "Find x.", "level": "Level 5", "type": "Algebra", "solution": "So $x=\\boxed{\\frac12}$."}
    svamp = {"question_concat": "All of it", "Question": "Half of it", "Answer": 145.0, "ID": "chal-1"}
    golds = []
    for row in (gsm, competition, svamp):
        (problem,) = read_problems(write(tmp_path / "a.jsonl", [row]), "train", prefix="a")
        golds.append((problem.text, problem.gold, problem.level, problem.id))
    assert golds == [
        ("How many?", "1007", None, "a/00000"),
        ("Find x.", "\\frac12", 5.0, "a/00000"),
        ("All of it", "145", None, "a/chal-1"),
    ]


def test_alternatives_become_a_gold_of_which_any_will_do(tmp_path):
    row = {"problem": "p", "answer": "0.5", "answers": ["0.5", "1/2", "0.5"]}
    (problem,) = read_problems(write(tmp_path / "a.jsonl", [row]), "train", prefix="a")
    assert json.loads(problem.gold) == {"answers": ["0.5", "1/2"]}
    assert problem.task == "math"


def test_names_that_repeat_stay_apart(tmp_path):
    rows = [{"problem": str(n), "answer": "1", "id": "same"} for n in range(3)]
    ids = [p.id for p in read_problems(write(tmp_path / "a.jsonl", rows), "train", prefix="a")]
    assert ids == ["a/same", "a/same#1", "a/same#2"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "p", "answer": "1"}], "no column with the question: it has text, answer; name one of them problem"),
        ([{"problem": "p", "reply": "1"}], "no column with the answer: it has problem, reply"),
        ([{"problem": "p", "answer": "1"}, {"problem": "p", "answer": " "}], "row 1: answer=' ' holds no answer"),
        ([{"problem": "p", "answers": []}], "row 0: answers=.* holds no answer"),
        ([{"problem": None, "answer": "1"}], "row 0: problem=None is no question"),
        ([{"problem": "p", "solution": "so \\boxed{"}], "row 0: solution=.* holds no answer"),
    ],
)
def test_a_table_that_cannot_be_asked_is_named(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        read_problems(write(tmp_path / "bad.jsonl", rows), "train", prefix="a")


def test_training_and_held_out_problems_of_a_file_are_disjoint_by_text(tmp_path):
    rows = [{"problem": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(200)]
    pl.DataFrame(rows).write_parquet(tmp_path / "a.parquet")
    task = build_task(TaskConfig(name="math", path=str(tmp_path / "a.parquet")), 3)
    held_out = [row["problem"] for row in rows if is_held_out(row["problem"])]
    assert 5 < len(held_out) < 40
    assert [p.text for p in task.problems("eval", 0, len(held_out))] == held_out
    epoch = [p.text for p in task.problems("train", 0, 200 - len(held_out))]
    assert sorted(epoch + held_out) == sorted(row["problem"] for row in rows)
    again = [p.text for p in task.problems("train", 200 - len(held_out), 200 - len(held_out))]
    assert sorted(again) == sorted(epoch) and again != epoch
    assert [p.text for p in task.problems("train", 7, 3)] == epoch[7:10]
    with pytest.raises(ValueError, match="lower evaluation"):
        task.problems("eval", 0, 100)


def test_held_out_does_not_depend_on_spaces_or_case():
    assert [is_held_out(f"What is {n}?") for n in range(50)] == [is_held_out(f"what  IS {n}") for n in range(50)]


def test_task_math_needs_a_file():
    with pytest.raises(ValueError, match=r"task math needs task\.path"):
        build_task(TaskConfig(name="math"), 0)
