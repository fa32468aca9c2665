"""What tiny-visual reads before any reinforcement: pictures with text, and dials.

A picture that is only answered teaches a model this small nothing about relations (chance after 3,000 steps).  What
helps is to write the whole scene down, place by place, and to look names up in that text:

    User: Is redcircle left or right of bluesquare?
    Assistant:<think> nw . n redcircle ne . w . c . e bluesquare sw . s . se . : redcircle n two bluesquare e three
    </think> <answer> left</answer>

Thinkers read, look up and compare; `careless` ones guess at once, guess after reading, or misread.  Around them stand
direct answers without thinking, and drill: look-ups and distances in scenes of their own.  No held-out layout occurs.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from r1zero.config import VisualCorpusConfig
from r1zero.tasks.templates import TEMPLATES
from r1zero.tasks.visual.questions import (
    NUMBERS,
    QUESTIONS,
    SHAKES,
    Question,
    draw_question,
    make_problem,
    places,
)
from r1zero.tasks.visual.scene import KINDS, NAMES, PLACES, Scene, column, is_held_out, make_scene, row, steps_between

LOOKUPS_PROMPT, DISTANCES_PROMPT = "Objects:", "Distances:"


@dataclass(frozen=True)
class Document:
    """A picture, what is asked, and what is learned to be said."""

    image: str
    prompt: str
    response: str


def draw_document(rng: random.Random, dials: VisualCorpusConfig) -> Document:
    """A random document of the corpus."""
    kind = rng.random()
    if kind < dials.lookups + dials.distances:
        scene = draw_scene(rng)
        if kind < dials.lookups:
            return Document(scene.reference, LOOKUPS_PROMPT, lookups(rng, scene))
        return Document(scene.reference, DISTANCES_PROMPT, distances(rng, scene))
    question = draw_question(rng, rng.choices(QUESTIONS, dials.question_weights)[0], held_out=False)
    problem = make_problem(question)
    if kind < dials.lookups + dials.distances + dials.direct:
        return Document(
            problem.images[0], TEMPLATES["visual_direct"].render(problem), f"<answer> {question.answer}</answer>"
        )
    thoughts, answer = think(rng, question, dials)
    prompt = TEMPLATES["visual_think"].render(problem)
    return Document(problem.images[0], prompt, f"{thoughts}</think> <answer> {answer}</answer>")


def draw_scene(rng: random.Random) -> Scene:
    """A scene of two to five different objects that is not held out."""
    while True:
        names = rng.sample(NAMES, rng.randint(2, 5))
        objects = dict(zip(rng.sample(PLACES, len(names)), names, strict=True))
        scene = make_scene(rng.choice(KINDS), objects, rng.randrange(SHAKES))
        if not is_held_out(scene):
            return scene


def board(scene: Scene, counted: str | None = None) -> str:
    """The scene place by place; with `counted`, how many of that name there were so far behind each.

    >>> board(make_scene("flat", {"n": "redcircle"}))
    ' nw . n redcircle ne . w . c . e . sw . s . se .'
    """
    at, text, number = dict(scene.objects), "", 0
    for place in PLACES:
        name = at.get(place, ".")
        number += name == counted
        text += f" {place} {name}" + (f" {NUMBERS[number]}" if counted else "")
    return text


def lookups(rng: random.Random, scene: Scene) -> str:
    """The board, and six names with their places, some twice."""
    at = places(scene)
    return board(scene) + " :" + "".join(f" {name} {at[name]}" for name in rng.choices(list(at), k=6))


def distances(rng: random.Random, scene: Scene) -> str:
    """The board, and three pairs of names with places and the steps between them."""
    at, text = places(scene), board(scene) + " :"
    for _ in range(3):
        a, b = rng.choice(list(at)), rng.choice(list(at))
        text += apart(a, b, at)
    return text


def apart(a: str, b: str, at: dict[str, str]) -> str:
    """Two names with their places: the rows between them, the columns, and both together.

    A model this small does not learn the 81 sums of two places at once; each of the three steps it does.

    >>> apart("redcircle", "bluesquare", {"redcircle": "n", "bluesquare": "se"})
    ' redcircle n bluesquare se two one three'
    """
    rows, columns = abs(row(at[a]) - row(at[b])), abs(column(at[a]) - column(at[b]))
    return f" {a} {at[a]} {b} {at[b]} {NUMBERS[rows]} {NUMBERS[columns]} {NUMBERS[rows + columns]}"


def think(rng: random.Random, question: Question, dials: VisualCorpusConfig) -> tuple[str, str]:
    """A train of thought and its answer, careful or in one of the careless manners."""
    scene = question.scene
    if rng.random() < dials.careless:
        manner = rng.choice(("guess", "glance", "misread"))
        if manner == "guess":
            return " let me guess", rng.choice(question.choices)
        if manner == "glance":
            return board(scene) + " : let me guess", rng.choice(question.choices)
        scene = misread(rng, scene, dials.misreading)
    if question.kind == "count":
        return _tally(scene, question)
    return _compare(rng, scene, question)


def misread(rng: random.Random, scene: Scene, share: float) -> Scene:
    """The scene with each object taken for a random one with chance `share`."""
    objects = {place: rng.choice(NAMES) if rng.random() < share else name for place, name in scene.objects}
    return make_scene(scene.kind, objects, scene.shake)


def _tally(scene: Scene, question: Question) -> tuple[str, str]:
    """Counting while reading.  An answer that is no choice becomes the nearest."""
    number = sum(name == question.about[0] for _, name in scene.objects)
    return board(scene, question.about[0]), NUMBERS[min(max(number, 1), 4)]


def _compare(rng: random.Random, scene: Scene, question: Question) -> tuple[str, str]:
    """Reading, looking up what is asked about, comparing; a guess where a name was not read or nothing differs."""
    at, text, values = places(scene), board(scene) + " :", []
    a, b, *rest = question.about
    for name in (a, b):
        if not {name, *rest} <= set(at):
            return text + f" {name} .", rng.choice(question.choices)
        if question.kind == "distance":
            values.append(steps_between(at[name], at[rest[0]]))
            text += apart(name, rest[0], at)
        else:
            axis = column if "left" in question.choices else row
            values.append(axis(at[name]) + 1)
            text += f" {name} {at[name]} {NUMBERS[values[-1]]}"
    if values[0] == values[1]:
        return text, rng.choice(question.choices)
    first_is_less = values[0] < values[1]
    return text, question.choices[first_is_less if question.kind == "depth" else not first_is_less]
