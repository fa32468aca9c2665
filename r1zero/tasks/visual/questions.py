"""Four kinds of questions about a scene, after CV-Bench's: count, relation, depth and distance.

    count      How many redcircle: one, two, three or four?
    relation   Is redcircle left or right of bluesquare?     (or: above or below bluesquare)
    depth      Which is closer to the camera: redcircle or bluesquare?
    distance   Which is closer to greensquare: redcircle or bluesquare?

Both answers of a two-way question are equally likely over scenes, as its objects are asked about in random order, and
so are the four numbers: one who does not look is right by chance.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

from r1zero.grading.choices import choice_gold
from r1zero.records import Problem
from r1zero.tasks.visual.scene import NAMES, PLACES, Kind, Scene, column, is_held_out, make_scene, row, steps_between

QUESTIONS = ("count", "relation", "depth", "distance")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SHAKES = 1 << 16  # different shifts of a layout's objects


@dataclass(frozen=True)
class Question:
    """A question about a scene.

    Example: Question("relation", Scene(...), "Is redcircle left or right of bluesquare?", ("left", "right"), "left",
                      about=("redcircle", "bluesquare"))
    """

    kind: str  # one of QUESTIONS
    scene: Scene
    text: str
    choices: tuple[str, ...]
    answer: str  # one of the choices
    about: tuple[str, ...]  # the objects named, in the order in which a solution looks them up


def draw_question(rng: random.Random, kind: str, held_out: bool) -> Question:
    """A random question on a scene that is held out, or on one that is not."""
    while True:
        question = _DRAW[kind](rng)
        if question is not None and is_held_out(question.scene) == held_out:
            return question


def make_problem(question: Question, suffix: str = "") -> Problem:
    """The record of a question: a multiple choice without letters, its sub-task named as in CV-Bench."""
    reference = question.scene.reference
    digest = hashlib.sha256(f"{reference} {question.text}".encode()).hexdigest()[:12]
    return Problem(
        id=f"visual/{question.kind}-{digest}{suffix}",
        task="choices",  # how it is graded
        text=question.text,
        gold=choice_gold(question.answer, question.choices, letters=False),
        fields={"subtask": question.kind.capitalize(), "choices": list(question.choices)},
        images=(reference,),
    )


def _count(rng: random.Random) -> Question:
    number, others = rng.randint(1, 4), rng.randint(1, 4)
    asked = rng.choice(NAMES)
    rest = [name for name in NAMES if name != asked]
    objects = [asked] * number + [rng.choice(rest) for _ in range(others)]
    scene = make_scene("flat", dict(zip(rng.sample(PLACES, len(objects)), objects, strict=True)), rng.randrange(SHAKES))
    choices = NUMBERS[1:5]
    return Question(
        "count", scene, f"How many {asked}: one, two, three or four?", choices, NUMBERS[number], about=(asked,)
    )


def _relation(rng: random.Random) -> Question | None:
    scene, (a, b) = _draw_scene(rng, "flat", 2)
    at = places(scene)
    axis, choices = (column, ("left", "right")) if rng.random() < 0.5 else (row, ("above", "below"))
    first, second = axis(at[a]), axis(at[b])
    if first == second:
        return None
    text = f"Is {a} {' or '.join(choices)}{' of' if axis is column else ''} {b}?"
    return Question("relation", scene, text, choices, choices[first > second], about=(a, b))


def _depth(rng: random.Random) -> Question | None:
    scene, (a, b) = _draw_scene(rng, "deep", 2)
    at = places(scene)
    if row(at[a]) == row(at[b]):
        return None
    text = f"Which is closer to the camera: {a} or {b}?"
    return Question("depth", scene, text, (a, b), a if row(at[a]) > row(at[b]) else b, about=(a, b))


def _distance(rng: random.Random) -> Question | None:
    scene, (a, b, c) = _draw_scene(rng, "deep", 3)
    at = places(scene)
    first, second = steps_between(at[a], at[c]), steps_between(at[b], at[c])
    if first == second:
        return None
    text = f"Which is closer to {c}: {a} or {b}?"
    return Question("distance", scene, text, (a, b), a if first < second else b, about=(a, b, c))


_DRAW = {"count": _count, "relation": _relation, "depth": _depth, "distance": _distance}


def _draw_scene(rng: random.Random, kind: Kind, fewest: int) -> tuple[Scene, list[str]]:
    """A scene of up to five different objects, and `fewest` of them to ask about."""
    names = rng.sample(NAMES, rng.randint(fewest, 5))
    scene = make_scene(kind, dict(zip(rng.sample(PLACES, len(names)), names, strict=True)), rng.randrange(SHAKES))
    return scene, rng.sample(names, fewest)


def places(scene: Scene) -> dict[str, str]:
    """Where each name stands, where names are not repeated."""
    return {name: place for place, name in scene.objects}
