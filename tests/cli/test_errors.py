"""What goes wrong is one line on stderr and an exit code: 2 for usage and input, 1 for work that failed."""

import errno
import os
from pathlib import Path

import pytest

from r1zero.cli import main as command
from r1zero.cli.verb import Verb


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("trian", "unknown verb 'trian': did you mean train"),
        ("train --lerner.lr 3", "did you mean --learner.lr"),
        ("train quikstart", "did you mean quickstart"),
        ("train --learner.lr abc", "learner.lr='abc': expected float"),
        ("train --template.name nativ", "did you mean native"),
        ("train --objective.name grop", "did you mean grpo"),
        ("train --engine.name fst", "did you mean fast"),
        ("train --task.name cuntdown", "did you mean countdown"),
        ("train --sampling.top_p 0.9", "train with top_p=1"),
        ("train --responses_per_problem 1", "1"),
        ("train --model.path nowhere", "no model 'nowhere'"),
        ("train --task.path gone.jsonl", "no data file at gone.jsonl"),
        ("train --seeds none", "--seeds none: give a whole number"),
        ("eval", "usage: r1zero eval MODEL"),
        ("eval tiny-search --suite maths", "unknown suite 'maths': did you mean math"),
        ("eval nowhere", "no model 'nowhere'"),
        ("sft", "no data to learn from"),
        ("grade gone.jsonl", "no file gone.jsonl"),
        ("grade .", ". is a directory"),
        ("grade gone.jsonl --rule box", "did you mean boxed"),
        ("compare one", "usage: r1zero compare RUN RUN"),
        ("compare one two", "one"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(r1zero, words, message):
    done = r1zero(*words.split())
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("r1zero: error: ")
    assert message in done.err
    assert done.err.count("\n") == 1


def with_verb(monkeypatch: pytest.MonkeyPatch, run: object) -> None:
    monkeypatch.setitem(command.VERBS, "work", Verb("work", "", "", run, (0, 0)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("two\n  lines"), 2, "two lines"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/a"), 1, "runs/a: No space left on device"),
        (ZeroDivisionError("oh"), 1, "ZeroDivisionError: oh (R1ZERO_TRACEBACK=1 shows where)"),
        (KeyboardInterrupt(), 1, "interrupted"),
    ],
)
def test_what_a_verb_raises_becomes_a_line_and_a_code(r1zero, monkeypatch, error, code, line):
    def run(arguments):
        raise error

    with_verb(monkeypatch, run)
    done = r1zero("work")
    assert (done.code, done.err) == (code, f"r1zero: error: {line}\n")


def test_training_errors_speak_for_themselves():
    from r1zero.training.loop import TrainingError

    assert command.describe(TrainingError("step 3: the loss is NaN")) == "step 3: the loss is NaN"


def test_the_traceback_is_there_for_those_who_ask(r1zero, monkeypatch):
    def run(arguments):
        raise ZeroDivisionError

    with_verb(monkeypatch, run)
    monkeypatch.setenv("R1ZERO_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        r1zero("work")


def test_a_reader_that_leaves_early_is_no_error(tmp_path):
    import subprocess
    import sys

    rows = tmp_path / "many.jsonl"
    rows.write_text('{"gold": {"nums": [3, 8], "target": 24}, "prediction": "3 * 8"}\n' * 5000)
    pipe = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m r1zero grade {rows} | head -1"], capture_output=True, text=True
    )
    assert pipe.stdout.count("\n") == 1
    assert "Traceback" not in pipe.stderr
    assert Path(rows).exists()
