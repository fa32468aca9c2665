"""What a terminal shows, and what a file gets instead."""

from __future__ import annotations

import io
import json
import math
import re

import pytest
from rich.console import Console

from r1zero.reports.console import TrainingProgress, print_table, show_time
from r1zero.statistics.intervals import Interval

ROW = {"reward/mean": 0.314, "response/tokens_mean": 143.2, "speed/rollout_tokens_per_s": 5203.0, "speed/step_s": 2.0}
EVALUATED = {"eval/countdown/accuracy": 0.41, "eval/countdown/accuracy_low": 0.37, "eval/countdown/accuracy_high": 0.45}


def shown(terminal: bool, total: int, rows: dict[int, dict[str, float]], width: int = 80) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width, color_system=None)
    with TrainingProgress(total, "run [a]", console) as progress:
        progress.note("a note [with brackets]")
        for step, row in rows.items():
            progress.step(step, row)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_file_gets_one_plain_line_a_step_without_control_codes():
    lines = shown(False, 3, {1: ROW, 2: ROW | EVALUATED, 3: ROW}).splitlines()
    assert lines[0] == "a note [with brackets]"
    assert lines[1] == "step 1/3  reward .31  length 143  tokens/s 5,203  left 0:04"
    assert "held-out .41 [.37, .45]" in lines[2] and "held-out" not in lines[3] and len(lines) == 4
    assert not any("\x1b" in line for line in lines)


def test_a_long_run_in_a_file_gets_about_a_hundred_lines_and_every_evaluation():
    rows = {step: ROW | (EVALUATED if step == 507 else {}) for step in range(1, 1001)}
    lines = shown(False, 1000, rows).splitlines()
    assert len(lines) == 1 + 100 + 1 and any(line.startswith("step  507/1000") for line in lines)


def test_undefined_and_missing_numbers_are_left_out():
    text = shown(False, 2, {1: {"reward/mean": math.nan, "response/tokens_mean": 10.0}})
    assert text.splitlines()[-1] == "step 1/2  length 10"


def test_a_terminal_of_80_columns_shows_bar_and_facts_unbroken():
    text = shown(True, 3, {1: ROW | EVALUATED, 2: ROW})
    lines = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", text.replace("\r", "\n")).splitlines()
    assert lines[-2].startswith("run [a] ━") and lines[-2].endswith(" 2/3")
    assert lines[-1].startswith("  reward .31 · held-out .41 [.37, .45] · length 143 · tokens/s 5,203 · left")
    assert max(map(len, lines)) <= 80


def test_a_continued_run_estimates_from_its_own_steps_only():
    progress = TrainingProgress(100, console=Console(file=io.StringIO()))
    assert math.isnan(progress.seconds_left)
    progress.step(90, {"speed/step_s": 3.0})
    assert progress.seconds_left == pytest.approx(30)


def test_times_are_shown_as_on_a_clock():
    assert (show_time(59.7), show_time(3600)) == ("1:00", "1:00:00")


def test_a_table_shows_intervals_and_takes_text_literally():
    console = Console(file=io.StringIO(), width=80, color_system=None)
    rows = [["a [bold]", Interval(0.3, 0.2, 0.4), Interval(143.4, 130, 150), math.nan], ["b", None, None, 12.0]]
    print_table(["run", "accuracy", "tokens", "x"], rows, title="Runs", console=console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "a [bold]" in text and ".30 [.20, .40]" in text and "143 [130, 150]" in text and "–" in text


def test_json_has_objects_with_bounds_and_null_for_undefined(capsys):
    print_table(["run", "accuracy"], [["a", Interval(0.3, 0.2, math.nan)], ["b", math.nan]], json=True)
    assert json.loads(capsys.readouterr().out) == [
        {"run": "a", "accuracy": {"estimate": 0.3, "low": 0.2, "high": None}},
        {"run": "b", "accuracy": None},
    ]
