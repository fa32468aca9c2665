"""Accuracy beside what is reached without looking."""

from __future__ import annotations

from dataclasses import replace

import pytest

from r1zero.evaluation.visual_controls import control_lines, control_row, without_objects
from r1zero.grading.choices import choice_gold
from r1zero.records import Grade, Problem, Prompt, Response, Rollout


def problem(name: str, subtask: str, answer: str, choices: list[str]) -> Problem:
    gold = choice_gold(answer, choices, letters=False)
    return Problem(name, "choices", "?", gold, {"subtask": subtask}, images=("scene:deep/n.redcircle/4",))


PROBLEMS = [
    problem("a", "Count", "one", ["one", "two", "three", "four"]),
    problem("b", "Count", "two", ["one", "two", "three", "four"]),
    problem("c", "Relation", "left", ["left", "right"]),
    problem("d", "Relation", "above", ["above", "below"]),
]


def asked(right: str, answered: str = "abcd", samples: int = 1) -> list[Rollout]:
    return [
        Rollout(
            0,
            sample,
            Prompt(p, "visual_think", "?", (1,)),
            Response("", (1,), (0.0,), "stop"),
            Grade(p.id in right, p.id in answered, None, ""),
            0.0,
        )
        for p in PROBLEMS
        for sample in range(samples)
    ]


def test_chance_and_prior_are_those_of_the_choices():
    rows = {"think": asked("ad", "abd"), "direct": asked("a"), "blank": asked("")}
    count, relation, both = (control_row(name, PROBLEMS, rows) for name in ("Count", "Relation", "all"))
    assert (count.chance, relation.chance, both.chance) == (0.25, 0.5, 0.375)
    assert (count.prior, relation.prior, both.prior) == (0.5, 1.0, 0.75)  # one of two; the first place; 3 of 4
    assert (count.think.estimate, relation.think.estimate, both.think.estimate) == (0.5, 0.5, 0.5)
    assert (count.direct.estimate, both.direct.estimate, both.blank.estimate) == (0.5, 0.25, 0.0)
    assert both.think_answered == 0.75


def test_more_samples_of_the_same_problems_do_not_narrow_the_interval():
    once = control_row("all", PROBLEMS, dict.fromkeys(("think", "direct", "blank"), asked("ab")))
    often = control_row("all", PROBLEMS, dict.fromkeys(("think", "direct", "blank"), asked("ab", samples=50)))
    assert often.think.estimate == once.think.estimate == 0.5
    assert often.think.high - often.think.low > 0.9 * (once.think.high - once.think.low)


def test_an_emptied_picture_keeps_its_kind_and_the_question():
    emptied = without_objects(PROBLEMS[0])
    assert emptied.images == ("scene:deep//0",)
    assert replace(emptied, images=PROBLEMS[0].images) == PROBLEMS[0]
    with pytest.raises(ValueError, match="emptied"):
        without_objects(replace(PROBLEMS[0], images=("a.png",)))


def test_the_table_has_a_line_for_each_row():
    rows = {arm: asked("abcd") for arm in ("think", "direct", "blank")}
    lines = control_lines([control_row(name, PROBLEMS, rows) for name in ("Count", "all")])
    assert lines[2].startswith("| Count | 2 | 0.25 | 0.50 | 1.000 [")
    assert len(lines) == 4
