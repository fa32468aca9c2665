"""`r1zero import`: from the command line to what other verbs read."""

import json

import pytest

from r1zero.cli import main
from r1zero.cli.import_rollouts import NAMES, VERB, places
from r1zero.importing import FORMATS

ROWS = (
    {"question": "2 + 2?", "gold": "4", "response": "\\boxed{4}", "label": True, "model": "m"},
    {"question": "2 + 2?", "gold": "4", "response": "\\boxed{5}", "label": True, "model": "m"},
    {"question": "3 + 3?", "gold": "6", "response": "\\boxed{6}", "label": None, "model": "m"},
    {"question": "4 + 4?", "response": "\\boxed{8}", "model": "m"},
)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(main.VERBS, VERB.name, VERB)


def write_rows(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_an_import_is_analysed_like_an_evaluation(r1zero, tmp_path):
    file = write_rows(tmp_path / "base.jsonl", *ROWS[:3])
    done = r1zero("import", file, "--from", "jsonl")
    assert done.code == 0
    assert done.out.splitlines()[0] == "3 responses to 2 problems in runs/import-base"
    assert "2  came with a verdict: 2 right, 0 wrong" in done.out
    assert "1  graded here: 1 right, 0 wrong" in done.out
    analysed = r1zero("analyze", "runs/import-base", "--rule", "boxed", "--json")
    assert analysed.code == 0
    (origin,) = analysed.json["origins"]
    assert (origin["origin"]["model"], origin["responses"], origin["questions"]) == ("m", 3, 2)
    assert origin["rules"]["boxed"]["agreement"]["agrees"] == pytest.approx(2 / 3)  # the second label is wrong


def test_counts_are_printed_as_json(r1zero, tmp_path):
    file = write_rows(tmp_path / "base.jsonl", *ROWS)
    done = r1zero("import", file, "-o", "out", "--grade", "--json")
    assert done.json["directory"] == "out"
    assert (done.json["graded"], done.json["ungraded"]) == ({"right": 2, "wrong": 1}, {"no gold": 1})


def test_shaped_scores_are_told(r1zero, tmp_path):
    rows = [{"response": "a", "score": score} for score in (0.0, 1.0, 1.5)]
    file = write_rows(tmp_path / "a.jsonl", *rows)
    assert "say --right-from SCORE" in r1zero("import", file, "-o", "out").out
    done = r1zero("import", file, "-o", "out", "--right-from", "1.5", "--json")
    assert done.json["imported"] == {"wrong": 2, "right": 1}


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("--from", "jsnl"), "jsonl"),
        (("--map", "gold"), "--map gold: give COLUMN=FIELD"),
        (("--map", "gold=", "--from", "jsonl"), "give COLUMN=FIELD"),
        (("--map", "response=x", "--from", "verl"), "only with --from jsonl or --from csv"),
        (("--grade", "--no-grade"), "give one of them"),
        (("--right-from", "high"), "--right-from high: give a number"),
        (("--rule", "bxd"), "boxed"),
    ],
)
def test_wrong_usage_is_named(words, fault, r1zero, tmp_path):
    done = r1zero("import", write_rows(tmp_path / "a.jsonl", *ROWS), "-o", "out", *words)
    assert (done.code, done.out) == (2, "")
    assert fault in done.err
    assert not (tmp_path / "out").exists()


def test_a_wrong_file_is_one_line_on_stderr(r1zero, tmp_path):
    done = r1zero("import", write_rows(tmp_path / "a.jsonl", {"prompt": "x"}), "--from", "verl", "-o", "out")
    assert done.code == 2
    assert done.err.startswith(f"r1zero: error: {tmp_path / 'a.jsonl'}, line 1: no `input`; the row has 'prompt'.")
    assert len(done.err.splitlines()) == 1


def test_the_command_line_knows_every_format():
    assert list(NAMES) == ["auto", *FORMATS]


def test_a_map_is_read_pair_by_pair():
    assert places("gold=solution, correct=is_right,") == {"gold": "solution", "correct": "is_right"}
