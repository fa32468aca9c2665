"""`r1zero grade`: rows gain grades; faulty lines are named and left out."""

import io
import json

import pytest

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
        {"gold": "3", "prediction": "3", "task": ["math"]},
        {"gold": ["3", {"answers": []}], "prediction": "3"},  # faulty whatever the answer is
        {"gold": ["3", ""], "prediction": "3"},
    )
    done = r1zero("grade", source, "-o", tmp_path / "out.jsonl", "--json")
    assert done.code == 1
    numbers = [int(line.split(", line ")[1].split(":")[0]) for line in done.err.splitlines()]
    assert numbers == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
    assert done.json["rows"] == 1
    assert done.json["faulty_lines"] == 11
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


def test_mathematical_golds_may_be_text_numbers_alternatives_or_have_parts(r1zero, tmp_path):
    source = write_rows(
        tmp_path / "in.jsonl",
        {"gold": "\\frac{1}{2}", "response": "so it is \\boxed{0.5}"},
        {"gold": 12, "prediction": "12.0"},
        {"gold": ["7", "seven"], "prediction": "seven"},
        {"gold": {"answers": ["6.28"], "tolerance": 0.01}, "prediction": "6.285"},
        {"gold": ["7", "8"], "prediction": "9"},
    )
    rows = [json.loads(line) for line in r1zero("grade", source).out.splitlines()]
    assert [row["correct"] for row in rows] == [True, True, True, True, False]


def test_a_template_of_another_system_is_graded_under_any_and_named(r1zero, tmp_path):
    source = write_rows(tmp_path / "in.jsonl", {"gold": "4", "response": "\\boxed{4}", "template": "theirs"})
    done = r1zero("grade", source, "-o", tmp_path / "out.jsonl")
    assert done.code == 0
    assert "1 name the template 'theirs', which is not ours: graded under the rule `any`" in done.out
    assert "theirs" not in r1zero("grade", source, "-o", tmp_path / "out.jsonl", "--rule", "boxed").out


def test_bytes_that_are_no_text_spoil_their_own_line_only(r1zero, tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_bytes(b'{"gold": "4", "prediction": "\xff"}\n{"gold": "4", "prediction": "4"}\r\n\xef\xbb\xbf{}\n')
    done = r1zero("grade", source, "-o", tmp_path / "out.jsonl")
    assert done.code == 1
    assert ", line 1: not JSON" in done.err and ", line 3: no `gold`" in done.err
    assert done.out.startswith("1 rows: 1 correct")
    assert done.out.endswith("2 lines could not be graded and are left out: 1, 3\n")


def test_another_grader_is_compared_on_the_answers_that_were_found(r1zero, tmp_path):
    pytest.importorskip("math_verify")
    source = write_rows(
        tmp_path / "in.jsonl",
        {"gold": "\\frac{1}{2}", "response": "\\boxed{0.5}"},
        {"gold": "3", "response": "\\boxed{4}"},
        {"gold": "\\text{4:30 p.m.}", "response": "\\boxed{4:30 \\text{ p.m.}}"},
        {"gold": "3", "response": "no idea"},
        {"gold": GOLD, "prediction": "3 * 8 + 5"},
    )
    done = r1zero("grade", source, "--also", "math-verify", "--rule", "boxed", "-o", tmp_path / "out.jsonl")
    assert "math-verify agrees on 2 of 3 answers: 0.667" in done.out
    # right and wrong: ours 2 of 3, theirs 1 of 3; e = 2/3 * 1/3 + 1/3 * 2/3 = 4/9; kappa = (2/3 - 4/9) / (5/9) = 0.4
    assert "kappa 0.400" in done.out
    assert "line 3: only r1zero takes '4:30 \\\\text{ p.m.}' for '\\\\text{4:30 p.m.}'" in done.out
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["math_verify"] for row in rows] == [True, False, False, None, None]
