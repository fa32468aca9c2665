"""`r1zero pretrain` and `r1zero sft`: a few steps each, and their files fed back."""

import io
import json

from r1zero.cli.progress import StepLine


def test_pretrain_writes_a_model_whose_recipe_gives_the_same_losses(r1zero):
    words = ["--steps", 3, "--tokens_per_step", 500, "--corpus.num_documents", 60, "--card_problems", 0,
             "--architecture.hidden_size", 32, "--architecture.num_layers", 1, "--json"]  # fmt: skip
    first = r1zero("pretrain", *words, "--out", "one")
    assert first.code == 0, first.err
    assert "step 3/3  loss " in first.err
    again = r1zero("pretrain", "one/recipe.json", "--out", "two", "--json")
    assert {**again.json[0], "model": "one"} == first.json[0]
    taken = r1zero("pretrain", *words, "--out", "one")
    assert (taken.code, "one is not empty" in taken.err) == (2, True)


def test_sft_learns_rows_and_counts_those_left_out(r1zero, model_dir, tmp_path):
    rows = [{"question": "Numbers: 1, 2\n", "answer": "Answer: 1+2"}] * 8 + [{"question": "1" * 99, "answer": "1"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    data = ["--data.path", "rows.jsonl", "--data.prompt_column", "question", "--data.text_column", "answer"]
    done = r1zero("sft", "--model.path", model_dir, *data, "--data.max_tokens", 60, "--out", "fitted", "--json")
    assert done.code == 0, done.err
    assert done.json[0]["rows left out"] == 1
    wrong = r1zero("sft", "--model.path", model_dir, "--data.path", "rows.jsonl", "--data.text_column", "anser")
    assert wrong.code == 2
    assert "rows.jsonl has no column anser: it has question, answer" in wrong.err


def test_progress_in_a_file_is_some_twenty_plain_lines():
    out = io.StringIO()
    line = StepLine("sft", out)
    for step in range(1, 201):
        line(step, 200, {"learner/loss": 1.5, "tokens": 300.0, "seconds": 2.0, "policy/clip_share": float("nan")})
    written = out.getvalue().splitlines()
    assert len(written) == 20
    assert written[-1] == "sft  step 200/200  loss 1.500  tokens/s 150  left 0:00"
