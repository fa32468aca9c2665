"""`r1zero analyze`: jsonl files and runs graded anew, refused when they are something else."""

import json
import os
from pathlib import Path

import pytest

from r1zero.cli.analyze_tables import aligned, shown, thousandths
from r1zero.store import read_rollouts

DATA = Path(os.environ.get("R1ZERO_DATA") or Path(__file__).parents[3] / "shared" / "data")


def write_rows(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


ROWS = (
    {"gold": "1/2", "response": r"so \boxed{0.5}", "label": True, "model": "m", "question": "a"},
    {"gold": "1/2", "response": "</think> <answer> 1/3 </answer>", "label": False, "model": "m", "question": "b"},
    {"gold": 7, "response": "Nothing to say", "label": None, "model": "n", "question": "a"},
)


def test_models_are_counted_apart_under_every_rule(r1zero, tmp_path):
    done = r1zero("analyze", write_rows(tmp_path / "a.jsonl", *ROWS), "--rule", "r1,boxed", "--json")
    assert done.code == 0
    m, n = done.json["origins"]
    assert (m["origin"]["model"], m["responses"], m["questions"], m["unlabelled"]) == ("m", 2, 2, 0)
    assert (n["origin"]["model"], n["responses"], n["unlabelled"]) == ("n", 1, 1)
    assert list(m["rules"]) == ["r1", "boxed"]
    assert [m["rules"][rule]["accuracy"]["estimate"] for rule in ("r1", "boxed")] == [0.0, 0.5]
    assert m["rules"]["boxed"]["agreement"]["agrees"] == 1.0
    assert m["rules"]["r1"]["agreement"]["recall"] == 0.0
    assert m["rules"]["r1"]["agreement"]["precision"] is None
    assert n["rules"]["boxed"]["no_answer"]["estimate"] == 1.0


def test_the_tables_fit_a_terminal_and_write_control_characters_out(r1zero, tmp_path):
    hostile = {"gold": "1", "response": "\\boxed{\x1b[2J\u202e\ud800 1}", "label": True, "id": "a\nb", "model": "[red]"}
    done = r1zero("analyze", write_rows(tmp_path / "a.jsonl", hostile, *ROWS))
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= 100
    assert not any(c in done.out for c in "\x1b\u202e\ud800")
    assert "\\x1b[2J\\u202e\\ud800" in done.out and "a\\nb" in done.out and "[red]" in done.out


def test_the_templates_own_rule_has_a_star_and_idle_rules_share_a_line(r1zero, tmp_path):
    rows = [{"gold": "1", "response": r"\boxed{1}", "template": "r1"}] * 2
    lines = r1zero("analyze", write_rows(tmp_path / "a.jsonl", *rows)).out.splitlines()
    assert any(line.startswith("  r1 *  ") for line in lines)
    assert "  no answer in any response: r1_loose, gsm8k, answer_is" in lines
    assert not any("agrees" in line for line in lines)  # nothing is labelled


def test_every_verdict_is_written_and_the_response_is_not(r1zero, tmp_path):
    out = tmp_path / "out.jsonl"
    assert r1zero("analyze", write_rows(tmp_path / "a.jsonl", *ROWS), "--rule", "boxed", "-o", out).code == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["grades"]["boxed"]["correct"] for row in rows] == [True, False, False]
    assert [row["row"] for row in rows] == [1, 2, 3]
    assert rows[0]["grades"]["boxed"]["extracted"] == "0.5" and "response" not in rows[0]


def test_a_wrong_file_is_refused_with_its_first_wrong_line_and_nothing_is_written(r1zero, tmp_path):
    good, out = ROWS[0], tmp_path / "out.jsonl"
    for wrong, why in (
        ({"answer": "4", "completion": "4"}, "line 2: no `response`; the line has 'answer', 'completion'. Expected"),
        ({"response": "4"}, "line 2: no `gold`"),
        ({"gold": "4", "response": ["4"]}, "line 2: `response` is not text"),
        ({"gold": "4", "response": "4", "label": "yes"}, "line 2: `label` is 'yes'"),
        ({"gold": "4", "response": "4", "num_tokens": -1}, "line 2: `num_tokens` is -1"),
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: not a JSON object"),
        ({"gold": "", "response": r"\boxed{4}"}, "line 2: `gold` is empty"),
    ):
        done = r1zero("analyze", write_rows(tmp_path / "a.jsonl", good, wrong), "-o", out)
        assert (done.code, done.out, out.exists()) == (2, "", False)
        assert why in done.err
    assert "no responses" in r1zero("analyze", write_rows(tmp_path / "a.jsonl")).err
    (tmp_path / "empty").mkdir()
    assert "neither rollouts nor jsonl" in r1zero("analyze", tmp_path / "empty").err
    assert "no rollouts at" in r1zero("analyze", tmp_path / "absent").err
    assert "did you mean boxed" in r1zero("analyze", tmp_path / "a.jsonl", "--rule", "boxd").err


def test_a_folder_holds_its_files_and_a_file_named_twice_counts_once(r1zero, tmp_path):
    folder = tmp_path / "answers"
    folder.mkdir()
    one, _ = write_rows(folder / "a.jsonl", *ROWS), write_rows(folder / "b.jsonl", ROWS[0])
    done = r1zero("analyze", folder, one, "--json")
    assert [(o["origin"]["model"], o["responses"]) for o in done.json["origins"]] == [("m", 2), ("n", 1), ("m", 1)]
    assert done.json["labels"]["boxed"]["both"] == 2
    assert "all labels" in r1zero("analyze", folder).out


def test_countdown_rows_are_checked_as_such(r1zero, tmp_path):
    gold = {"nums": [3, 8, 5], "target": 29}
    source = write_rows(
        tmp_path / "a.jsonl",
        {"gold": gold, "response": "Answer: 3 * 8 + 5", "template": "native"},
        {"gold": gold, "response": "Answer: 29", "template": "native"},
    )
    [origin] = r1zero("analyze", source, "--json").json["origins"]
    assert origin["origin"]["task"] == "countdown"
    assert origin["rules"]["native"]["accuracy"]["estimate"] == 0.5
    assert origin["rules"]["native"]["is_own"] is True


def test_a_runs_evaluations_are_graded_anew_and_agree_with_what_was_stored(r1zero, fake_run):
    run_dir = fake_run(steps=10, every=10, problems=12, samples=2)
    done = r1zero("analyze", run_dir, "--json")
    steps = done.json["origins"]
    assert [o["origin"]["model"] for o in steps] == ["run step 0", "run step 10"]
    stored = read_rollouts(run_dir, split="eval").collect()
    assert sum(o["responses"] for o in steps) == stored.height == 48
    for one in steps:
        native = one["rules"]["native"]
        a = native["agreement"]
        assert (a["only_first"], a["only_second"]) == (0, 0)
        assert one["length_unit"] == "tokens" and one["k"] == 2
    assert sum(o["rules"]["native"]["agreement"]["both"] for o in steps) == stored["correct"].sum()
    assert done.json["labels"] == {}


def test_training_rollouts_of_all_steps_are_one_row_and_a_part_can_be_named(r1zero, fake_run):
    run_dir = fake_run(steps=3, evaluates=False)
    [origin] = r1zero("analyze", run_dir, "--split", "train", "--rule", "native", "--json").json["origins"]
    assert origin["responses"] == 3 * 6 * 4
    part = run_dir / "rollouts" / "step-000002.parquet"
    [origin] = r1zero("analyze", part, "--rule", "native", "--json").json["origins"]
    assert origin["responses"] == 6 * 4


def test_cells_are_aligned_and_short():
    assert aligned([["rule", "n"], ["any", "10"]]) == ["  rule   n", "  any   10"]
    assert (thousandths(0.99649), thousandths(1.0)) == (".996", "1.000")
    assert shown("x" * 1_000_000, 10) == "x" * 9 + "…"


@pytest.mark.skipif(not (DATA / "responses").is_dir(), reason="no stored responses: set R1ZERO_DATA to their directory")
def test_real_responses_agree_with_their_sure_labels(r1zero):
    done = r1zero("analyze", DATA / "responses", "--rule", "any,boxed", "--workers", 1, "--json")
    labels = done.json["labels"]
    assert labels["any"]["agrees"] >= 0.99
    assert labels["any"]["precision"] >= 0.995
    assert labels["boxed"]["precision"] >= 0.995
    assert sum(origin["responses"] for origin in done.json["origins"]) == 4996
