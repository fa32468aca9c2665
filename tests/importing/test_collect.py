"""Imports as directories: whole or not at all, readable as evaluations, and faithful to what came in."""

import json
import os
from pathlib import Path

import polars as pl
import pytest

from r1zero.importing import Choices, collect, import_rollouts
from r1zero.store import SCHEMA, read_config, read_rollouts

DATA = Path(os.environ.get("R1ZERO_DATA") or Path(__file__).parents[3] / "shared" / "data")
LABELS = {  # file -> rows, then its labels: right, wrong, none
    "qwen2.5-math-1.5b_base_math_r1": (480, 62, 99, 319),
    "qwen2.5-math-1.5b_base_gsm8k_r1": (650, 137, 114, 399),
    "qwen2.5-math-1.5b_instruct_math500_r1": (254, 119, 96, 39),
    "olmo2-1b_base_gsm8k": (1326, 144, 471, 711),
    "qwen_math_cot_100": (464, 427, 37, 0),
    "nemo_skills_math_150": (72, 51, 6, 15),
    "gpt3_finetuned_gsm8k": (1308, 515, 793, 0),
    "gpt3_zero_shot_cot_gsm8k": (442, 197, 228, 17),
}
SAMPLES = {"qwen_math_cot_100": 8, "nemo_skills_math_150": 3}  # responses to each question

ROWS = (
    {"question": "2 + 2?", "gold": 4, "response": "\\boxed{4}", "label": True, "model": "m", "level": "Level 1"},
    {"question": "2 + 2?", "gold": 4, "response": "\\boxed{5}", "label": False, "model": "m"},
    {"question": "3 + 3?", "gold": 6, "response": "\\boxed{6}", "label": None, "model": "m"},
    {"question": "2 + 2?", "gold": 4, "response": "four", "model": "n", "finish_reason": "length"},
)


def write_rows(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def stored(out: Path) -> pl.DataFrame:
    return read_rollouts(out, split="eval").collect()


def test_a_table_comes_back_with_the_columns_of_the_store(tmp_path):
    counts = import_rollouts([write_rows(tmp_path / "a.jsonl", *ROWS)], tmp_path / "out", Choices())
    frame = stored(tmp_path / "out")
    assert frame.schema == SCHEMA
    assert frame["problem"].to_list() == [row["question"] for row in ROWS]
    assert frame["response"].to_list() == [row["response"] for row in ROWS]
    assert frame["checkpoint"].to_list() == ["m", "m", "m", "n"]
    assert frame["sample"].to_list() == [0, 1, 0, 0]  # the third response to `2 + 2?` is another model's first
    assert frame["problem_id"].n_unique() == 2
    assert frame["correct"].to_list() == [True, False, True, False]
    assert frame["reason"].to_list()[:3] == ["imported", "imported", ""]
    assert frame["level"].to_list() == [1.0, None, None, None]
    assert frame["finish_reason"].to_list() == [None, None, None, "length"]
    assert (counts.responses, counts.problems) == (4, 2)
    assert (counts.imported, counts.graded) == ({"right": 1, "wrong": 1}, {"right": 1, "wrong": 1})


def test_the_config_says_where_everything_came_from(tmp_path):
    file = write_rows(tmp_path / "a.jsonl", *ROWS)
    import_rollouts([file, file], tmp_path / "out", Choices(format="jsonl"))  # named twice, counted once
    saved = read_config(tmp_path / "out")
    (source,) = saved["sources"]
    assert saved["verb"] == "import"
    assert (source["path"], source["bytes"], source["format"]) == (str(file), file.stat().st_size, "jsonl")
    assert len(source["sha256"]) == 64
    assert saved["counts"]["responses"] == 4
    assert saved["config"]["grade"] == "missing"


def test_grading_may_be_off_or_for_everything(tmp_path):
    lying = {"question": "q", "gold": "4", "response": "\\boxed{5}", "label": True}
    file = write_rows(tmp_path / "a.jsonl", lying, *ROWS)
    import_rollouts([file], tmp_path / "off", Choices(grade="none"))
    assert stored(tmp_path / "off")["correct"].to_list() == [True, True, False, None, None]
    assert stored(tmp_path / "off")["reason"].to_list()[3:] == ["ungraded: grading is off"] * 2
    counts = import_rollouts([file], tmp_path / "all", Choices(grade="all"))
    assert stored(tmp_path / "all")["correct"].to_list() == [False, True, False, True, False]
    assert not counts.imported


def test_the_rule_decides_what_counts_as_an_answer(tmp_path):
    file = write_rows(tmp_path / "a.jsonl", {"gold": "4", "response": "\\boxed{4}", "template": "r1"})
    import_rollouts([file], tmp_path / "own", Choices())
    import_rollouts([file], tmp_path / "boxed", Choices(rule="boxed"))
    assert stored(tmp_path / "own").select("correct", "formatted").row(0) == (False, False)  # r1 wants its tags
    assert stored(tmp_path / "boxed").select("correct", "formatted").row(0) == (True, True)


def test_a_gold_that_nothing_can_be_compared_with_is_counted_not_raised(tmp_path):
    file = write_rows(tmp_path / "a.jsonl", {"gold": {"strange": 1}, "response": "4"}, *ROWS)
    counts = import_rollouts([file], tmp_path / "out", Choices())
    assert counts.ungraded == {"a gold that no answer can be compared with": 1}
    assert stored(tmp_path / "out")["reason"][0].startswith("ungraded: gold with the unknown key 'strange'")


def test_a_map_names_the_fields_that_hold_columns(tmp_path):
    (tmp_path / "a.csv").write_text("id,text,right,solution,label\n1,\\boxed{4},no,4,yes\n2,\\boxed{4},yes,4,yes\n")
    places = {"response": "text", "correct": "right", "gold": "solution", "problem_id": "id"}
    import_rollouts([tmp_path / "a.csv"], tmp_path / "out", Choices(format="csv", map=places))
    assert stored(tmp_path / "out")["correct"].to_list() == [False, True]
    assert stored(tmp_path / "out")["problem_id"].to_list() == ["1", "2"]
    with pytest.raises(ValueError, match=r"a\.csv, line 2: no `txt` \(from --map response=txt\); the row has 'id'"):
        import_rollouts([tmp_path / "a.csv"], tmp_path / "b", Choices(format="csv", map={"response": "txt"}))
    with pytest.raises(ValueError, match=r"--map golf: did you mean gold"):
        import_rollouts([tmp_path / "a.csv"], tmp_path / "b", Choices(format="csv", map={"golf": "solution"}))


def test_several_responses_may_stand_in_a_row(tmp_path):
    row = {"question": "q", "gold": "4", "response": ["\\boxed{4}", "\\boxed{5}"], "num_tokens": [9, 8], "level": 2}
    import_rollouts([write_rows(tmp_path / "a.jsonl", row)], tmp_path / "out", Choices())
    frame = stored(tmp_path / "out").select("sample", "correct", "num_tokens", "level")
    assert frame.rows() == [(0, True, 9, 2.0), (1, False, 8, 2.0)]


def test_text_and_numbers_that_no_file_can_hold_are_replaced(tmp_path):
    text = '{"response": "a\\ud800\\u0000b", "gold": "1", "level": NaN, "score": Infinity, "model": "\\udc80"}\n'
    (tmp_path / "a.jsonl").write_text(text)
    import_rollouts([tmp_path / "a.jsonl"], tmp_path / "out", Choices())
    assert stored(tmp_path / "out").select("response", "level", "reward", "checkpoint").row(0) == (
        "a?\x00b", None, None, "?",
    )  # fmt: skip


def test_tokens_and_log_probabilities_are_kept(tmp_path):
    row = {"response": "a", "token_ids": [1, 2, 3], "logprobs": [-0.5, -1, -0.25], "temperature": 0.7}
    import_rollouts([write_rows(tmp_path / "a.jsonl", row)], tmp_path / "out", Choices())
    kept = stored(tmp_path / "out").select("token_ids", "logprobs", "num_tokens", "temperature").row(0)
    assert kept == ([1, 2, 3], [-0.5, -1.0, -0.25], 3, 0.7)


# ---------------------------------------------------------------------------------------------------------------------
# Whole or not at all


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        ({"gold": "4"}, r"line 4: no `response`; the row has 'gold'\. Expected rows with `response`"),
        ({"response": "a", "label": "perhaps"}, "line 4: `label` is 'perhaps', not true, false or null"),
        ({"response": "a", "num_tokens": -1}, "line 4: `num_tokens` is -1, not a count"),
        ({"response": {"text": "a"}}, "line 4: `response` is {'text': 'a'}, not a response's text"),
        ({"response": "a", "template": ["r1"]}, "line 4: `template` is .'r1'., not text"),
        ({}, r"line 4: no `response`; the row has nothing\."),
        ([1], "line 4: list, not an object"),
    ],
)
def test_a_bad_row_leaves_nothing_behind(bad, fault, tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "PART_ROWS", 1)  # parts have been written by then
    file = write_rows(tmp_path / "a.jsonl", *ROWS[:3], bad)
    with pytest.raises(ValueError, match=fault):
        import_rollouts([file], tmp_path / "runs" / "out", Choices(format="jsonl"))
    assert [path.name for path in tmp_path.rglob("*") if path.name not in ("a.jsonl", "runs")] == []


def test_an_import_is_written_anew_over_one_of_the_same_files_only(tmp_path):
    file, out = write_rows(tmp_path / "a.jsonl", *ROWS), tmp_path / "out"
    import_rollouts([file], out, Choices())
    (out / "notes.txt").write_text("mine")
    import_rollouts([file], out, Choices(grade="none"))
    assert stored(out)["correct"].null_count() == 2
    assert (out / "notes.txt").read_text() == "mine"
    assert read_config(out)["config"]["grade"] == "none"
    other = write_rows(tmp_path / "b.jsonl", *ROWS[:1])
    with pytest.raises(ValueError, match="holds an import of other files: choose another directory with -o"):
        import_rollouts([other], out, Choices())
    assert stored(out).height == 4


def test_a_bad_file_leaves_an_earlier_import_as_it_was(tmp_path):
    file, out = write_rows(tmp_path / "a.jsonl", *ROWS), tmp_path / "out"
    import_rollouts([file], out, Choices())
    with pytest.raises(ValueError, match="no `nothing`"):
        import_rollouts([file], out, Choices(map={"gold": "nothing"}))
    assert stored(out).height == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "out"]


def test_directories_of_something_else_are_left_alone(tmp_path, fake_run):
    file = write_rows(tmp_path / "a.jsonl", *ROWS)
    with pytest.raises(ValueError, match="holds a train run, not an import"):
        import_rollouts([file], fake_run("run"), Choices())
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("")
    with pytest.raises(ValueError, match="is not empty and holds no import"):
        import_rollouts([file], tmp_path / "docs", Choices())


def test_files_that_hold_nothing_are_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text("")
    (tmp_path / "b.jsonl").write_text("\n\n")
    (tmp_path / "c.json").write_text("[]")
    for name in ("a.jsonl", "b.jsonl", "c.json", "missing.jsonl"):
        with pytest.raises(ValueError, match=r"is empty|holds no rows|no responses|no file or folder"):
            import_rollouts([tmp_path / name], tmp_path / "out", Choices(format="jsonl"))
        assert not (tmp_path / "out").exists()


def test_what_a_killed_import_left_is_swept_up(tmp_path):
    leftover = tmp_path / ".out.part" / "eval"
    leftover.mkdir(parents=True)
    (leftover / "part-000009.parquet").write_text("half")
    import_rollouts([write_rows(tmp_path / "a.jsonl", *ROWS)], tmp_path / "out", Choices())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "out"]
    assert [path.name for path in (tmp_path / "out" / "eval").iterdir()] == ["part-000000.parquet"]


def test_parts_hold_no_more_than_their_rows_and_keep_the_order(tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "PART_ROWS", 4)
    seen = []
    rows = [{"response": f"{i}", "question": f"{i % 3}"} for i in range(10)]
    import_rollouts([write_rows(tmp_path / "a.jsonl", *rows)], tmp_path / "out", Choices(), seen.append)
    parts = sorted((tmp_path / "out" / "eval").iterdir())
    assert [pl.read_parquet(part).height for part in parts] == [4, 4, 2]
    assert stored(tmp_path / "out")["response"].to_list() == [str(i) for i in range(10)]
    assert stored(tmp_path / "out")["sample"].to_list() == [i // 3 for i in range(10)]
    assert seen == [4, 8, 10]


def test_samples_are_counted_by_model_step_template_and_temperature(tmp_path):
    rows = [{"response": "a", "question": "q", "temperature": t, "step": s} for t in (0.5, 1.0) for s in (1, 2)]
    import_rollouts([write_rows(tmp_path / "a.jsonl", *rows, *rows)], tmp_path / "out", Choices())
    assert stored(tmp_path / "out")["sample"].to_list() == [0] * 4 + [1] * 4


# ---------------------------------------------------------------------------------------------------------------------
# Real responses


@pytest.mark.skipif(not (DATA / "responses").is_dir(), reason="no stored responses: set R1ZERO_DATA to their directory")
@pytest.mark.parametrize("name", LABELS)
def test_real_responses_keep_their_labels(name, tmp_path):
    counts = import_rollouts([DATA / "responses" / f"{name}.jsonl"], tmp_path / "out", Choices(grade="none"))
    frame = stored(tmp_path / "out")
    labels = frame["correct"]
    assert (frame.height, labels.sum(), (~labels).sum(), labels.null_count()) == LABELS[name]
    assert counts.responses == LABELS[name][0]
    per_question = frame.group_by("checkpoint", "template", "problem_id").len()["len"]
    assert per_question.max() == SAMPLES.get(name, per_question.max())
    assert frame["sample"].max() == per_question.max() - 1
    assert frame.select("problem", "gold", "response", "checkpoint", "template").null_count().row(0) == (0,) * 5
    if name in SAMPLES:
        assert per_question.unique().to_list() == [SAMPLES[name]]


@pytest.mark.skipif(not (DATA / "responses").is_dir(), reason="no stored responses: set R1ZERO_DATA to their directory")
def test_our_grader_agrees_with_the_labels_of_real_responses(tmp_path):
    name = "qwen_math_cot_100"
    file = DATA / "responses" / f"{name}.jsonl"
    counts = import_rollouts([file], tmp_path / "out", Choices(grade="all", rule="boxed"))
    assert (counts.graded["right"], counts.graded["wrong"]) == (427, 37)
