"""Accuracy beside what is reached without looking."""

from __future__ import annotations

from dataclasses import replace

import pytest

from r1zero.evaluation.visual_controls import control_lines, control_rows, without_objects
from r1zero.grading.choices import choice_gold, read_gold
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
            Grade(p.id in right, p.id in answered, read_gold(p.gold).choices[0] if p.id in answered else None, ""),
            0.0,
        )
        for p in PROBLEMS
        for sample in range(samples)
    ]


def test_the_arms_stand_side_by_side_beside_chance_and_prior():
    count, relation, total = control_rows(
        PROBLEMS, {"think": asked("ad", "abd"), "direct": asked("a"), "blank": asked("")}
    )
    assert [row.think.name for row in (count, relation, total)] == ["Count", "Relation", "total"]
    assert [row.think.chance for row in (count, relation, total)] == [0.25, 0.5, 0.375]
    assert [row.think.prior for row in (count, relation, total)] == [0.5, 1.0, 0.75]  # one of two; the first; 3 of 4
    assert [row.accuracy.estimate for row in (total.think, total.direct, total.blank)] == [0.5, 0.25, 0.0]
    assert total.think.read.estimate == 0.75
    assert total.direct.read.estimate == 1.0


def test_an_emptied_picture_keeps_its_kind_and_the_question():
    emptied = without_objects(PROBLEMS[0])
    assert emptied.images == ("scene:deep//0",)
    assert replace(emptied, images=PROBLEMS[0].images) == PROBLEMS[0]
    with pytest.raises(ValueError, match="emptied"):
        without_objects(replace(PROBLEMS[0], images=("a.png",)))


def test_the_table_has_a_line_for_each_row():
    lines = control_lines(control_rows(PROBLEMS, {arm: asked("abcd") for arm in ("think", "direct", "blank")}))
    assert lines[2].startswith("| Count | 2 | 0.25 | 0.50 | 1.00 [")
    assert len(lines) == 5
