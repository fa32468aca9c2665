"""Questions about scenes, and the task that asks them."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from r1zero.config import TaskConfig
from r1zero.grading import grade
from r1zero.tasks import build_task
from r1zero.tasks.templates import TEMPLATES
from r1zero.tasks.visual.questions import NUMBERS, QUESTIONS, draw_question, places
from r1zero.tasks.visual.scene import PLACES, is_held_out, parse_scene


def drawn(kind: str, count: int = 300):
    rng = random.Random(7)
    return [draw_question(rng, kind, held_out=False) for _ in range(count)]


def test_counts_are_the_number_of_such_objects():
    for question in drawn("count"):
        number = sum(name == question.about[0] for _, name in question.scene.objects)
        assert question.answer == NUMBERS[number]
        assert question.about[0] in question.text


def test_relations_hold_in_the_scene():
    for question in drawn("relation"):
        first, second = (PLACES.index(places(question.scene)[name]) for name in question.about)
        truth = {
            "left": first % 3 < second % 3,
            "right": first % 3 > second % 3,
            "above": first // 3 < second // 3,
            "below": first // 3 > second // 3,
        }
        assert truth[question.answer]


def test_the_nearer_object_stands_in_a_lower_row():
    for question in drawn("depth"):
        near = {name: PLACES.index(place) // 3 for place, name in question.scene.objects}
        assert near[question.answer] == max(near[name] for name in question.about)
        assert len({near[name] for name in question.about}) == 2


def test_the_closer_object_is_fewer_steps_away():
    for question in drawn("distance"):
        at = {name: divmod(PLACES.index(place), 3) for place, name in question.scene.objects}
        third = at[question.about[2]]
        steps = {n: abs(at[n][0] - third[0]) + abs(at[n][1] - third[1]) for n in question.choices}
        assert steps[question.answer] < max(steps.values())


@pytest.mark.parametrize("kind", QUESTIONS)
def test_no_choice_is_right_more_often_by_its_place(kind):
    questions = drawn(kind, 1200)
    share = Counter(question.choices.index(question.answer) for question in questions)
    expected = 1 / len(questions[0].choices)
    # five standard errors of a share of 1,200
    assert all(abs(n / 1200 - expected) < 5 * (expected * (1 - expected) / 1200) ** 0.5 for n in share.values())
    assert len(share) == len(questions[0].choices)


def test_problems_are_a_function_of_seed_split_and_index():
    task = build_task(TaskConfig(name="visual"), 3)
    assert task.problems("train", 0, 6)[2:] == task.problems("train", 2, 4)
    assert task.problems("train", 0, 4) != build_task(TaskConfig(name="visual"), 4).problems("train", 0, 4)
    assert task.problems("eval", 0, 4) == build_task(TaskConfig(name="visual"), 4).problems("eval", 0, 4)
    assert [p.fields["subtask"] for p in task.problems("train", 0, 5)] == [
        "Count", "Relation", "Depth", "Distance", "Count",
    ]  # fmt: skip
    assert len({problem.id for problem in task.problems("train", 0, 400)}) == 400


def test_evaluation_meets_only_layouts_that_training_never_meets():
    task = build_task(TaskConfig(name="visual"), 0)
    held, seen = (
        [parse_scene(problem.images[0]) for problem in task.problems(split, 0, 200)] for split in ("eval", "train")
    )
    assert all(map(is_held_out, held))
    assert not any(map(is_held_out, seen))


def test_golds_are_right_and_other_choices_wrong():
    for problem in build_task(TaskConfig(name="visual"), 0).problems("eval", 0, 40):
        right = [
            grade(f"so</think> <answer> {choice}</answer>", problem.gold, "r1", task=problem.task).correct
            for choice in problem.fields["choices"]
        ]
        assert right.count(True) == 1
        assert TEMPLATES["visual_think"].render(problem) == f"User: {problem.text}\nAssistant:<think>"


def test_an_unknown_kind_of_question_is_an_error_that_names_the_nearest():
    with pytest.raises(ValueError, match="relation"):
        build_task(TaskConfig(name="visual", questions=("relations",)), 0)
    with pytest.raises(ValueError, match="empty"):
        build_task(TaskConfig(name="visual", questions=()), 0)
