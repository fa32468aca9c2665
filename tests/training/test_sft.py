import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from r1zero.config import LearnerConfig, ModelConfig, SFTConfig, TextDataConfig
from r1zero.models.load import save_policy
from r1zero.training.sft import read_examples, sft


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"question": f"{a} * {b} = ", "answer": str(a * b)} for a in range(3) for b in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config_for(tmp_path, rows, policy, **data):
    save_policy(policy, tmp_path / "base")
    return SFTConfig(
        out=str(tmp_path / "out"), epochs=300, tokens_per_step=200, model=ModelConfig(path=str(tmp_path / "base")),
        data=TextDataConfig(path=str(rows), prompt_column="question", text_column="answer", **data),
        learner=LearnerConfig(lr=1e-2, dtype="float32"),
    )  # fmt: skip


def test_fine_tuning_learns_the_answers_and_the_end(tmp_path, rows, policy):
    fitted = sft(config_for(tmp_path, rows, policy))
    assert fitted.losses[-1] < 0.3 * fitted.losses[0]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    prompt = policy.tokenizer("2 * 2 = ", return_tensors="pt").input_ids
    answer = model.generate(prompt, max_new_tokens=2, do_sample=False)[0, prompt.shape[1] :]
    assert policy.tokenizer.decode(answer, skip_special_tokens=False) == "4<|endoftext|>"
    assert len((tmp_path / "out" / "training_log.jsonl").read_text().splitlines()) == len(fitted.losses)


def test_the_same_seed_gives_the_same_losses(tmp_path, rows, policy):
    config = config_for(tmp_path, rows, policy)
    first = sft(config).losses
    (tmp_path / "out").rename(tmp_path / "earlier")
    torch.manual_seed(1)  # the result must not depend on global state
    assert sft(config).losses == first


def test_only_answers_are_learned_unless_all_is_asked_for(rows, policy):
    def learned(loss_on):
        data = TextDataConfig(path=str(rows), prompt_column="question", text_column="answer", loss_on=loss_on)
        (first, *_), left_out = read_examples(data, policy)
        assert left_out == 0
        return policy.tokenizer.decode(first.prompt_ids), policy.tokenizer.decode(first.responses[0])

    assert learned("answer") == ("0 * 0 = ", "0<|endoftext|>")
    assert learned("all") == ("0", " * 0 = 0<|endoftext|>")


def test_long_rows_are_left_out_and_counted(tmp_path, rows, policy):
    with open(rows, "a") as handle:
        handle.write(json.dumps({"question": "1 * " * 500, "answer": "1"}) + "\n")
    data = TextDataConfig(path=str(rows), prompt_column="question", text_column="answer", max_tokens=50)
    examples, left_out = read_examples(data, policy)
    assert (len(examples), left_out) == (9, 1)
    with pytest.raises(ValueError, match=r"raise data\.max_tokens"):
        read_examples(TextDataConfig(path=str(rows), text_column="answer", max_tokens=1), policy)


def test_a_missing_column_is_named(rows, policy):
    with pytest.raises(ValueError, match="no column solution"):
        read_examples(TextDataConfig(path=str(rows), text_column="solution"), policy)


def test_a_directory_that_holds_something_is_left_alone(tmp_path, rows, policy):
    config = config_for(tmp_path, rows, policy)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(ValueError, match="not empty"):
        sft(config)
