"""Each foreign format by a file of its exact layout, and by a spoiled one."""

import json
from pathlib import Path

import polars as pl
import pytest

from r1zero.importing import FORMATS, Choices, import_rollouts
from r1zero.importing.formats import files_at, guess
from r1zero.store import read_rollouts

QWEN = (
    "<|im_start|>system\nPlease reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n"
    "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant"
)

SWEEP = {  # oat-zero, analysis/eval_self_reflect.py
    "input": QWEN,
    "answer": "4",
    "gt_answer": "4",
    "subject": "Algebra",
    "level": "Level 1",
    "question": "What is 2 + 2?",
    "ground_truth_answer": "4",
    "target": "4",
    "output_0": "It is \\boxed{4}.",
    "End_with_EOS_0": True,
    "output_1": "It is 5. Let me recheck",
    "End_with_EOS_1": False,
}
EVALUATED = {  # understand-r1-zero, evaluate_model.py
    "task_name": "math",
    "prompt": QWEN + "\n",
    "gt": ["4", "4"],
    "model_output": ["\\boxed{4}", "\\boxed{5}"],
    "reward": [1.0, 0.0],
}
LEARNED = {  # oat, eval_results/000100_aime.json
    "problem": "What is 2 + 2?",
    "output": "\\boxed{4}",
    "scores": 1.0,
    "format_problem": QWEN + "\n",
    "reference": "4",
    "generator": "dr-grpo-1.5b",
}
ROLLOUT = {  # verl, trainer.rollout_data_dir
    "input": "system\nBe brief.\nuser\nWhat is 2 + 2?\nassistant\n",
    "output": "\\boxed{4}",
    "gts": "4",
    "score": 1.0,
    "step": 30,
    "request_id": "c0ffee",
}
QUESTION = {  # simpleRL-reason, examples/simplelr_math_eval
    "idx": 7,
    "question": "What is 2 + 2?",
    "gt_cot": "2 + 2 = 4",
    "gt": "4",
    "level": 3,
    "answer": "4",
    "code": ["\\boxed{4}", "on and on"],
    "pred": ["4", ""],
    "report": [None, None],
    "finish_reason": ["stop", "length"],
    "score": [True, False],
}
DOCUMENT = {  # lm-evaluation-harness, samples_gsm8k_*.jsonl
    "doc_id": 3,
    "doc": {"question": "What is 1000 + 234?", "answer": "1000 + 234 = 1234\n#### 1,234"},
    "target": "1000 + 234 = 1234\n#### 1,234",
    "arguments": {
        "gen_args_0": {
            "arg_0": "Question: What is 1000 + 234?\nAnswer:",
            "arg_1": {"until": ["Question:"], "do_sample": False, "temperature": 0.0},
        }
    },
    "resps": [["It is 1,234.\n#### 1234"]],
    "filtered_resps": ["1234"],
    "filter": "strict-match",
    "metrics": ["exact_match"],
    "doc_hash": "a",
    "prompt_hash": "b",
    "target_hash": "c",
    "exact_match": 1.0,
}
COMPLETIONS = {  # TRL, completions_00010.parquet
    "step": [10, 10],
    "prompt": [QWEN + "\n", QWEN + "\n"],
    "completion": ["\\boxed{4}", "four"],
    "accuracy_reward": [1.0, 0.0],
    "format_reward": [1.0, 0.5],
    "advantage": [0.7, -0.7],
}


def imported(tmp_path: Path, *files: Path, **choices) -> list[dict]:
    out = tmp_path / "out"
    import_rollouts(files, out, Choices(**choices))
    return read_rollouts(out, split="eval").collect().to_dicts()


def write_array(path: Path, *elements: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(elements, indent=4))
    return path


def write_lines(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def picked(row: dict, *names: str) -> tuple:
    return tuple(row[name] for name in names)


# ---------------------------------------------------------------------------------------------------------------------
# oat


def test_oat_zeros_sweep_gives_a_row_for_each_output(tmp_path):
    file = write_array(tmp_path / "Qwen_Qwen2.5-7B_500_2_0.6.json", SWEEP)
    first, second = imported(tmp_path, file, format="oat")
    assert picked(first, "checkpoint", "temperature", "top_p", "level") == ("Qwen_Qwen2.5-7B", 0.6, 0.9, 1.0)
    assert picked(first, "problem", "gold", "response") == ("What is 2 + 2?", "4", "It is \\boxed{4}.")
    assert picked(first, "correct", "extracted", "finish_reason", "sample") == (True, "4", "stop", 0)
    assert picked(second, "correct", "finish_reason", "sample") == (False, None, 1)  # no end token is no truncation
    assert first["problem_id"] == second["problem_id"]
    assert first["template"] is None  # oat-zero's prompts lack the last newline of qwen_math
    assert first["prompt"] == QWEN


def test_a_missing_output_of_a_sweep_is_named(tmp_path):
    spoiled = {key: value for key, value in (SWEEP | {"output_2": "x"}).items() if key != "output_1"}
    file = write_array(tmp_path / "a.json", SWEEP, spoiled)
    with pytest.raises(ValueError, match=r"a\.json, element 2: `output_1` is missing; the row has 'input'.*Expected"):
        imported(tmp_path, file, format="oat")


def test_understand_r1_zeros_evaluation_keeps_its_verdicts(tmp_path):
    name = "model_eval_out_Qwen_Qwen2.5-Math-1.5B1742000000_template_no_temp0.7_topp0.9_n2.json"
    right, wrong = imported(tmp_path, write_array(tmp_path / name, EVALUATED), format="oat")
    assert picked(right, "checkpoint", "temperature", "top_p") == ("Qwen_Qwen2.5-Math-1.5B", 0.7, 0.9)
    assert picked(right, "correct", "reason", "reward", "extracted") == (True, "imported", 1.0, "4")
    assert picked(wrong, "correct", "formatted", "reward", "sample") == (False, True, 0.0, 1)
    assert picked(right, "template", "problem", "gold") == ("qwen_math", "What is 2 + 2?", "4")
    assert right["problem_id"].startswith("math/")


def test_oats_own_evaluations_know_step_and_benchmark_by_their_name(tmp_path):
    file = write_array(tmp_path / "eval_results" / "000100_aime.json", LEARNED)
    (row,) = imported(tmp_path, file, format="oat")
    assert picked(row, "run", "step", "checkpoint", "template") == ("dr-grpo-1.5b", 100, None, "qwen_math")
    assert picked(row, "problem", "gold", "correct", "reward") == ("What is 2 + 2?", "4", True, 1.0)
    assert row["problem_id"].startswith("aime/")


def test_answers_of_a_server_have_no_gold(tmp_path):
    file = write_array(tmp_path / "deepseek_v3_base.json", {"input": "2 + 2?", "output": "4"})
    (row,) = imported(tmp_path, file, format="oat")
    assert picked(row, "run", "problem", "response", "gold") == ("deepseek_v3_base", "2 + 2?", "4", None)
    assert picked(row, "correct", "reason") == (None, "ungraded: no gold")


# ---------------------------------------------------------------------------------------------------------------------
# trl


def test_trl_takes_accuracy_for_the_verdict_and_leaves_a_sum_of_rewards_open(tmp_path):
    file = tmp_path / "ppo" / "completions" / "completions_00010.parquet"
    file.parent.mkdir(parents=True)
    pl.DataFrame(COMPLETIONS).write_parquet(file)
    right, wrong = imported(tmp_path, file.parent, format="trl")
    assert picked(right, "run", "step", "template", "problem") == ("ppo", 10, "qwen_math", "What is 2 + 2?")
    assert picked(right, "correct", "reward", "advantage", "gold") == (True, None, 0.7, None)
    assert picked(wrong, "correct", "formatted", "sample") == (False, False, 1)


def test_one_reward_column_of_trl_is_the_reward_and_a_verdict_only_when_binary(tmp_path):
    binary = pl.DataFrame({"step": ["5", "5"], "prompt": ["a", "b"], "completion": ["x", "y"], "checks": [1.0, 0.0]})
    binary.write_parquet(tmp_path / "completions_00005.parquet")
    rows = imported(tmp_path, tmp_path / "completions_00005.parquet", format="trl")
    assert [picked(row, "step", "reward", "correct") for row in rows] == [(5, 1.0, True), (5, 0.0, False)]
    shaped = binary.with_columns(checks=pl.Series([1.0, 0.1]))
    shaped.write_parquet(tmp_path / "completions_00006.parquet")
    import_rollouts([tmp_path / "completions_00006.parquet"], tmp_path / "shaped", Choices(format="trl"))
    assert read_rollouts(tmp_path / "shaped", split="eval").collect()["correct"].to_list() == [None, None]


def test_conversations_of_trl_become_their_texts(tmp_path):
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]
    table = {"prompt": [prompt], "completion": [[{"role": "assistant", "content": "\\boxed{4}"}]], "advantage": [0.0]}
    pl.DataFrame(table | {"solution": ["$4$"]}).write_parquet(tmp_path / "completions_1.parquet")
    (row,) = imported(tmp_path, tmp_path / "completions_1.parquet", format="trl")
    assert picked(row, "problem", "response", "correct", "reason") == ("2 + 2?", "\\boxed{4}", True, "")
    assert json.loads(row["prompt"]) == prompt


def test_parquet_that_is_no_table_of_completions_is_refused(tmp_path):
    pl.DataFrame({"prompt": ["a"], "text": ["b"]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(
        ValueError, match=r"a\.parquet, row 1: no `completion`; the row has 'prompt', 'text'\. Expected"
    ):
        imported(tmp_path, tmp_path / "a.parquet", format="trl")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 not at all")
    with pytest.raises(ValueError, match=r"b\.parquet, not a readable parquet file"):
        imported(tmp_path, tmp_path / "b.parquet", format="trl")


# ---------------------------------------------------------------------------------------------------------------------
# verl


def test_verl_finds_the_question_in_a_prompt_that_lost_its_special_tokens(tmp_path):
    qwen = {"input": QWEN.replace("<|im_start|>", "").replace("<|im_end|>", "") + "\n", "score": 0.0}
    file = write_lines(tmp_path / "ppo" / "30.jsonl", ROLLOUT, ROLLOUT | qwen)
    first, second = imported(tmp_path, file, format="verl")
    assert picked(first, "run", "step", "problem", "template") == ("ppo", 30, "What is 2 + 2?", None)
    assert picked(second, "problem", "template", "correct") == ("What is 2 + 2?", "qwen_math", False)
    assert first["problem_id"] == second["problem_id"]
    assert picked(first, "correct", "reward", "gold", "reason") == (True, 1.0, "4", "imported")


def test_countdown_golds_and_alternatives_become_what_our_graders_read(tmp_path):
    countdown = {"gts": {"target": 24, "numbers": [3, 8]}, "output": "<answer>3 * 8</answer>", "score": 0.1}
    either = {"gts": ["0.5", "1/2"], "output": "\\boxed{\\frac12}", "score": 0.1}
    rows = imported(tmp_path, write_lines(tmp_path / "1.jsonl", ROLLOUT | countdown, ROLLOUT | either), format="verl")
    assert [row["gold"] for row in rows] == ['{"nums": [3, 8], "target": 24}', '["0.5", "1/2"]']
    assert [picked(row, "task", "correct", "reason", "reward") for row in rows] == [
        ("countdown", True, "", 0.1),
        ("math", True, "", 0.1),
    ]


def test_one_shaped_score_means_that_no_score_is_a_verdict(tmp_path):
    wrong = ROLLOUT | {"output": "\\boxed{5}"}  # though its score is 1
    file = write_lines(tmp_path / "1.jsonl", wrong, ROLLOUT | {"score": 2.0})
    rows = imported(tmp_path, file, format="verl")
    assert [row["correct"] for row in rows] == [False, True]
    counts = import_rollouts([file], tmp_path / "b", Choices(format="verl", right_from=1.5))
    assert (counts.imported["right"], counts.imported["wrong"], counts.graded) == (1, 1, {})


def test_verls_acc_is_a_verdict_whatever_the_score(tmp_path):
    file = write_lines(tmp_path / "1.jsonl", ROLLOUT | {"acc": False, "score": -1.0, "pred": "5"})
    (row,) = imported(tmp_path, file, format="verl")
    assert picked(row, "correct", "reward", "extracted") == (False, -1.0, "5")


def test_verl_files_of_a_folder_are_read_in_the_order_of_steps(tmp_path):
    for step in (100, 9, 30):
        write_lines(tmp_path / "ppo" / f"{step}.jsonl", ROLLOUT | {"step": step})
    rows = imported(tmp_path, tmp_path / "ppo", format="verl")
    assert [row["step"] for row in rows] == [9, 30, 100]
    assert [row["sample"] for row in rows] == [0, 0, 0]


def test_a_spoiled_rollout_of_verl_is_named_by_line_and_field(tmp_path):
    file = write_lines(tmp_path / "1.jsonl", ROLLOUT, ROLLOUT | {"output": ["a"]})
    with pytest.raises(ValueError, match=r"1\.jsonl, line 2: `output` is \['a'\], not a response's text; the row has"):
        imported(tmp_path, file, format="verl")
    file = write_lines(tmp_path / "2.jsonl", ROLLOUT | {"score": {"acc": 1}})
    with pytest.raises(ValueError, match=r"line 1: `score` is \{'acc': 1\}, not a number"):
        imported(tmp_path, file, format="verl")


# ---------------------------------------------------------------------------------------------------------------------
# simplerl


def test_simplerl_spreads_lists_over_responses_and_reads_its_file_name(tmp_path):
    file = write_lines(tmp_path / "evals" / "gsm8k" / "test_qwen25-math-cot_-1_seed0_t1.0_s0_e-1.jsonl", QUESTION)
    right, cut = imported(tmp_path, file, format="simplerl")
    assert picked(right, "problem_id", "template", "temperature", "seed") == ("gsm8k/7", "qwen25-math-cot", 1.0, 0)
    assert picked(right, "correct", "extracted", "finish_reason", "level") == (True, "4", "stop", 3.0)
    assert picked(cut, "correct", "finish_reason", "sample", "reason") == (False, "length", 1, "imported")


def test_simplerl_with_a_list_of_another_length_is_refused(tmp_path):
    file = write_lines(tmp_path / "a.jsonl", QUESTION, QUESTION | {"score": [True]})
    with pytest.raises(ValueError, match=r"line 2: `score` has 1 values for 2 responses"):
        imported(tmp_path, file, format="simplerl")
    file = write_lines(tmp_path / "b.jsonl", QUESTION | {"code": "\\boxed{4}"})
    with pytest.raises(ValueError, match=r"line 1: `code` is '.*', not a list of responses"):
        imported(tmp_path, file, format="simplerl")


# ---------------------------------------------------------------------------------------------------------------------
# lm-eval


def test_lm_eval_reads_model_and_task_from_its_names_and_one_filter(tmp_path):
    other = DOCUMENT | {"filter": "flexible-extract", "exact_match": 0.0}
    folder = tmp_path / "Qwen__Qwen2.5-Math-1.5B"
    file = write_lines(folder / "samples_gsm8k_cot_2025-01-31T12-00-00.123456.jsonl", DOCUMENT, other)
    (row,) = imported(tmp_path, file, format="lm-eval")
    assert picked(row, "checkpoint", "problem_id", "temperature") == ("Qwen/Qwen2.5-Math-1.5B", "gsm8k_cot/3", 0.0)
    assert picked(row, "gold", "correct", "formatted", "extracted") == ("1234", True, True, "1234")
    assert row["problem"] == "What is 1000 + 234?"
    counts = import_rollouts([file], tmp_path / "b", Choices(format="lm-eval", filter="flexible-extract"))
    assert (counts.imported["wrong"], counts.others) == (1, {"strict-match": 1})


def test_repeats_of_a_document_are_graded_one_by_one(tmp_path):
    repeats = DOCUMENT | {"resps": [["#### 1234", "#### 5"]], "filtered_resps": [["1234", "5"]]}
    file = write_lines(tmp_path / "samples_gsm8k_2025-01-31T12-00-00.jsonl", repeats)
    rows = imported(tmp_path, file, format="lm-eval")
    assert [picked(row, "sample", "correct") for row in rows] == [(0, True), (1, False)]
    assert rows[0]["reason"] == ""  # ours, not the document's metric


def test_the_gold_of_a_worked_solution_is_its_box(tmp_path):
    minerva = DOCUMENT | {"doc": {"problem": "p"}, "target": "We add: $2+2 = \\boxed{4}$.", "resps": [["\\boxed{4}"]]}
    (row,) = imported(tmp_path, write_lines(tmp_path / "samples_m.jsonl", minerva), format="lm-eval")
    assert row["gold"] == "4"


def test_early_versions_list_their_arguments(tmp_path):
    early = {key: DOCUMENT[key] for key in ("doc_id", "doc", "target", "resps", "filtered_resps", "exact_match")}
    early |= {"arguments": [["Q: 1000 + 234?", {"until": ["Q:"], "temperature": 0.7, "do_sample": True}]]}
    (row,) = imported(tmp_path, write_lines(tmp_path / "samples_gsm8k.jsonl", early), format="lm-eval")
    assert picked(row, "prompt", "temperature", "correct") == ("Q: 1000 + 234?", 0.7, True)


def test_log_likelihoods_are_refused(tmp_path):
    choice = DOCUMENT | {"resps": [[["-1.5", "False"]], [["-2.5", "False"]]]}
    with pytest.raises(ValueError, match=r"line 1: `resps` holds log-likelihoods, not texts: only .*generate_until"):
        imported(tmp_path, write_lines(tmp_path / "samples_a.jsonl", choice), format="lm-eval")


# ---------------------------------------------------------------------------------------------------------------------
# Which format


def test_the_format_of_a_file_is_seen_from_its_first_row(tmp_path):
    pl.DataFrame(COMPLETIONS).write_parquet(tmp_path / "c.parquet")
    (tmp_path / "t.csv").write_text("response,gold\na,b\n")
    files = {
        write_array(tmp_path / "a.json", SWEEP): "oat",
        write_array(tmp_path / "b.json", EVALUATED): "oat",
        write_lines(tmp_path / "v.jsonl", ROLLOUT): "verl",
        write_lines(tmp_path / "s.jsonl", QUESTION): "simplerl",
        write_lines(tmp_path / "l.jsonl", DOCUMENT): "lm-eval",
        write_lines(tmp_path / "j.jsonl", {"response": "a", "gold": "b"}): "jsonl",
        tmp_path / "c.parquet": "trl",
        tmp_path / "t.csv": "csv",
    }
    assert {file: guess(file) for file in files} == files


def test_a_file_of_no_known_format_is_refused_with_what_it_has(tmp_path):
    with pytest.raises(ValueError, match=r"no known format: its first row has 'a', 'b'\. Say which with --from"):
        guess(write_lines(tmp_path / "a.jsonl", {"a": 1, "b": 2}))


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("jsonl", "csv")])
def test_every_format_refuses_the_files_of_every_other(name, tmp_path):
    pl.DataFrame(COMPLETIONS).write_parquet(tmp_path / "c.parquet")
    files = {
        "oat": write_array(tmp_path / "a.json", EVALUATED),
        "trl": tmp_path / "c.parquet",
        "verl": write_lines(tmp_path / "v.jsonl", ROLLOUT),
        "simplerl": write_lines(tmp_path / "s.jsonl", QUESTION),
        "lm-eval": write_lines(tmp_path / "l.jsonl", DOCUMENT),
    }
    for other, file in files.items():
        if other != name:
            with pytest.raises(ValueError, match="Expected"):
                imported(tmp_path, file, format=name)
    assert not (tmp_path / "out").exists()


def test_statistics_beside_the_samples_are_passed_over(tmp_path):
    write_array(tmp_path / "m_1_1_0.6.json", SWEEP)
    write_array(tmp_path / "m_1_1_0.6_stats.json", {"n_prompts": 1})
    assert [file.name for file in files_at(tmp_path, (".json",))] == ["m_1_1_0.6.json"]
