import json
import os
from pathlib import Path

import pytest

from r1zero.config import TaskConfig
from r1zero.grading import grade
from r1zero.grading.mathematics import read_gold
from r1zero.tasks import build_task
from r1zero.tasks.benchmarks import BENCHMARKS, load_benchmark, olympiad_gold, rounded_gold, rounding

DATA = Path(os.environ.get("R1ZERO_DATA") or Path(__file__).parents[3] / "shared" / "data")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no benchmark data: set R1ZERO_DATA to its directory")


def correct(answer, gold):
    return grade(f"so \\boxed{{{answer}}}.", gold, "boxed", task="math").correct


def test_a_rounded_value_of_physics_takes_what_rounds_to_it():
    gold = rounded_gold(["9.6"], {})
    assert json.loads(gold) == {"answers": ["9.6"], "tolerance": 0.05}
    assert correct("9.63", gold) and correct("9.6", gold)
    assert not correct("9.7", gold) and not correct("10", gold)
    assert rounded_gold(["16"], {}) == "16" and not correct("16.2", "16")
    assert rounding("2.75 \\times 10^{11}") == pytest.approx(0.005e11)
    assert rounding("3.3e12") == pytest.approx(0.05e12)
    assert rounding("7 \\times 10^{37}") == pytest.approx(0.05 * 7e37)  # half a unit would be 7 %
    assert json.loads(rounded_gold(["6630.65", "6630"], {}))["tolerance"] == 0.005


def test_olympiad_golds_state_order_unit_and_error():
    several = olympiad_gold(["$69$,$84$"], {"is_multiple_answer": True, "answer_type": "Numerical"})
    assert json.loads(several) == {"answers": ["$69$,$84$"], "ordered": False, "type": "Numerical"}
    assert correct("84, 69", several) and not correct("84", several)
    inexact = olympiad_gold(["4.2"], {"unit": "%", "error": "1e-1", "is_multiple_answer": False})
    assert json.loads(inexact) == {"answers": ["4.2"], "tolerance": 0.1, "unit": "%"}
    assert correct("4.25", inexact) and not correct("4.4", inexact)
    assert olympiad_gold(["$2$"], {"error": None}) == "$2$"


def test_a_file_of_the_data_directory_is_read_before_the_hub_is_thought_of(tmp_path, monkeypatch):
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "aime24.jsonl").write_text(json.dumps({"id": "a", "problem": "p", "answer": "025"}) + "\n")
    (problem,) = load_benchmark("aime24", str(tmp_path))
    assert (problem.id, problem.gold) == ("aime24/a", "25")
    assert correct("025", problem.gold) and correct("25", problem.gold)
    monkeypatch.setenv("R1ZERO_DATA", str(tmp_path))
    assert load_benchmark("aime24") == [problem]
    with pytest.raises(ValueError, match="no data directory"):
        load_benchmark("aime24", str(tmp_path / "gone"))
    with pytest.raises(ValueError, match="did you mean math500"):
        load_benchmark("math50", str(tmp_path))


@needs_data
@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_gold_of_a_benchmark_is_right_itself_and_spoiled_is_wrong(name):
    problems = load_benchmark(name, str(DATA))
    assert len(problems) == BENCHMARKS[name].size
    assert len({problem.id for problem in problems}) == len(problems)
    wrong, right = [], []
    for problem in problems:
        answers = read_gold(problem.gold).answers
        wrong += [(problem.id, answer) for answer in answers if not correct(answer, problem.gold)]
        if answers[0].strip("$").replace(".", "").lstrip("-").isdigit():
            spoiled = str(float(answers[0].strip("$")) * 3 + 1)
            right += [(problem.id, spoiled)] if correct(spoiled, problem.gold) else []
    assert not wrong
    assert not right


@needs_data
def test_gsm8k_trains_on_its_training_set_alone(monkeypatch):
    monkeypatch.setenv("R1ZERO_DATA", str(DATA))
    task = build_task(TaskConfig(name="gsm8k"), 0)
    train, held_out = task.rows["train"], task.rows["eval"]
    assert len(train) + len(held_out) == 7473
    asked = {problem.text for problem in load_benchmark("gsm8k")}
    assert not asked & {problem.text for problem in (*train, *held_out)}
