"""`r1zero label` on stdin that is no terminal: a line a key."""

from __future__ import annotations

import io
import json

import pytest

from r1zero.cli.arguments import parse
from r1zero.cli.label import VERB, harmless


@pytest.fixture
def label(fake_run, tmp_path, monkeypatch, capsys):
    """label(keys, *words) -> what was printed; labels go to tmp_path/labels.jsonl"""
    run_dir = fake_run(problems=12, steps=1, every=1)

    def go(keys: str, *words: str) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{key}\n" for key in keys)))
        out = ["-o", str(tmp_path / "labels.jsonl")]
        assert VERB.run(parse(VERB, [str(run_dir), *out, "--labeller", "ann", *words])) == 0
        return capsys.readouterr().out

    return go


def lines(tmp_path) -> list[dict]:
    path = tmp_path / "labels.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_keys_become_labels_one_line_each(label, tmp_path):
    printed = label("yns", "--n", "6")
    assert [line["label"] for line in lines(tmp_path)] == [True, False, None]
    first = lines(tmp_path)[0]
    assert first.keys() == {"digest", "question", "label", "labeller", "stratum", "stratum_size", "seed", "pool"}
    assert (first["labeller"], first["question"], first["pool"]) == ("ann", "reflects", "extended")
    assert "4 of 6" in printed and "3 of 6 labelled" in printed


def test_the_same_command_goes_on_where_it_was_and_asks_nothing_twice(label, tmp_path):
    label("yy", "--n", "6")
    label("nnnnnnnn", "--n", "6")
    found = lines(tmp_path)
    assert [line["label"] for line in found] == [True, True, False, False, False, False]
    assert len({line["digest"] for line in found}) == 6
    assert "6 of 6 labelled" in label("y", "--n", "6") and len(lines(tmp_path)) == 6


def test_undo_takes_the_last_label_back_and_asks_again(label, tmp_path):
    label("yunq", "--n", "6")
    found = lines(tmp_path)
    assert [(line["label"], line.get("undone", False)) for line in found] == [
        (True, False),
        (None, True),
        (False, False),
    ]
    assert len({line["digest"] for line in found}) == 1


def test_other_keys_are_answered_with_the_keys_there_are(label, tmp_path):
    assert label("?xy", "--n", "6").count("y yes") > 2 and len(lines(tmp_path)) == 1


def test_blind_shows_nothing_of_the_detector(label):
    assert "detector:" in label("q", "--n", "4")
    assert "detector:" not in label("q", "--n", "4", "--blind")


def test_the_gold_is_shown_only_where_rightness_is_asked(label):
    assert "gold:" in label("q", "--question", "correct") and "gold:" not in label("q", "--question", "answers")


def test_model_text_is_neither_markup_nor_control_codes():
    wild = "[bold]x[/bold]\x1b[2J\r\x07\u202eabc\x9b31m\x00"
    shown = harmless(wild)
    assert shown == "[bold]x[/bold]·[2J··\u00b7abc·31m·" and len(shown) == len(wild)


def test_markup_in_responses_is_printed_as_it_stands(label):
    printed = label("s" * 60, "--n", "60")  # some of the run's responses hold "<script>" and "[bold]"
    assert "[bold]" in printed and "\x1b" not in printed


def test_labels_drawn_by_other_cues_are_not_continued(label, tmp_path):
    label("y", "--n", "4")
    with pytest.raises(ValueError, match="sampled with the pool extended"):
        label("y", "--n", "4", "--pool", "oat-zero")


@pytest.mark.parametrize(
    ("words", "why"),
    [(("--question", "reflect"), "reflects"), (("--seed", "x"), "whole number"), (("--n", "0"), "at least 1")],
)
def test_wrong_options_name_what_is_right(label, words, why):
    with pytest.raises(ValueError, match=why):
        label("q", *words)


def test_a_pool_is_printed_for_editing(capsys):
    assert VERB.run(parse(VERB, ["--print-pool", "oat-zero"])) == 0
    assert "*recheck*" in capsys.readouterr().out.splitlines()
    with pytest.raises(ValueError, match="usage"):
        VERB.run(parse(VERB, []))
