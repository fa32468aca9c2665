"""`r1zero grade`: rows gain grades; faulty lines are named and left out."""

import io
import json

GOLD = {"nums": [3, 8, 5], "target": 29}


def write_rows(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_rows_keep_what_they_had_and_gain_their_grade(r1zero, tmp_path):
    source = write_rows(
        tmp_path / "in.jsonl",
        {"id": 7, "gold": GOLD, "response": "so\nAnswer: 3 * 8 + 5"},
        {"gold": json.dumps(GOLD), "response": "</think> <answer> 3 * 8 </answer>"},
        {"gold": GOLD, "prediction": "9**9**9"},
        {"gold": GOLD, "prediction": None},
    )
    done = r1zero("grade", source, "-o", tmp_path / "out.jsonl")
    assert done.code == 0
    assert done.out.startswith("4 rows: 1 correct, 2 wrong, 1 unformatted\n")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert rows[0] == {
        "id": 7, "gold": GOLD, "response": "so\nAnswer: 3 * 8 + 5",
        "correct": True, "formatted": True, "extracted": "3 * 8 + 5", "reason": "",
    }  # fmt: skip
    assert [row["reason"] for row in rows[1:]] == ["number 5 is not used", "'**' is not allowed", "no prediction"]


def test_without_an_output_file_rows_go_to_stdout_and_counts_to_stderr(r1zero, tmp_path):
    source = write_rows(tmp_path / "in.jsonl", {"gold": GOLD, "prediction": "3 * 8 + 5"})
    done = r1zero("grade", source)
    assert json.loads(done.out)["correct"] is True
    assert done.err == "1 rows: 1 correct, 0 wrong, 0 unformatted\n"


def test_the_format_is_the_flags_then_the_rows_then_its_templates(r1zero, tmp_path):
    both = "Answer: 1\n" + r"\boxed{3 * 8 + 5}"
    source = write_rows(
        tmp_path / "in.jsonl",
        {"gold": GOLD, "response": both},
        {"gold": GOLD, "response": both, "template": "native"},
        {"gold": GOLD, "response": both, "template": "native", "answer_format": "boxed"},
    )
    extracted = [json.loads(line)["extracted"] for line in r1zero("grade", source).out.splitlines()]
    assert extracted == ["3 * 8 + 5", "1", "3 * 8 + 5"]
    extracted = [json.loads(line)["extracted"] for line in r1zero("grade", source, "--rule", "r1").out.splitlines()]
    assert extracted == [None, None, None]


def test_faulty_lines_are_named_by_number_left_out_and_exit_with_1(r1zero, tmp_path):
    source = write_rows(
        tmp_path / "in.jsonl",
        {"gold": GOLD, "prediction": "3 * 8 + 5"},
        "",
        "not json",
        "[1]",
        "[" * 100_000,
        {"response": "Answer: 3"},
        {"gold": GOLD},
        {"gold": GOLD, "response": ["x"]},
        {"gold": {"nums": []}, "response": "Answer: 3"},
        {"gold": GOLD, "response": "Answer: 3", "task": "maths"},
    )
    done = r1zero("grade", source, "-o", tmp_path / "out.jsonl", "--json")
    assert done.code == 1
    numbers = [int(line.split(", line ")[1].split(":")[0]) for line in done.err.splitlines()]
    assert numbers == [3, 4, 5, 6, 7, 8, 9, 10]
    assert done.json["rows"] == 1
    assert done.json["faulty_lines"] == 8
    assert done.json["first_faulty_lines"] == numbers
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 1


def test_an_empty_file_is_an_error_and_leaves_no_output(r1zero, tmp_path):
    source = write_rows(tmp_path / "in.jsonl")
    done = r1zero("grade", source, "-o", tmp_path / "out.jsonl")
    assert done.code == 2
    assert "holds no rows" in done.err
    assert "there is no folder" in r1zero("grade", source, "-o", tmp_path / "no" / "out.jsonl").err


def test_rows_come_from_stdin_too(r1zero, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"gold": GOLD, "prediction": 29})))
    done = r1zero("grade", "-")
    assert json.loads(done.out)["reason"] == "29 is not among the numbers"
