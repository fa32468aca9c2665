"""The corpus of pictures with text."""

from __future__ import annotations

import random
from collections import Counter

from r1zero.config import VisualCorpusConfig
from r1zero.grading import grade
from r1zero.tasks.visual.corpus import board, distances, draw_document, lookups, misread, think
from r1zero.tasks.visual.questions import QUESTIONS, draw_question, make_problem
from r1zero.tasks.visual.scene import is_held_out, make_scene, parse_scene

SCENE = make_scene("flat", {"n": "redcircle", "e": "bluesquare", "se": "redcircle"})


def test_a_board_counts_as_it_reads():
    assert board(SCENE, "redcircle") == (
        " nw . zero n redcircle one ne . one w . one c . one e bluesquare one sw . one s . one se redcircle two"
    )


def test_careful_thoughts_look_up_compare_and_are_right():
    rng, careful = random.Random(0), VisualCorpusConfig(careless=0.0)
    for kind in QUESTIONS * 50:
        question = draw_question(rng, kind, held_out=False)
        thoughts, answer = think(rng, question, careful)
        assert answer == question.answer
        assert thoughts.startswith(" nw ")
        response = f"{thoughts}</think> <answer> {answer}</answer>"
        assert grade(response, make_problem(question).gold, "r1", task="choices").correct


def test_thoughts_are_written_in_full():
    rng = random.Random(0)
    question = draw_question(rng, "distance", held_out=False)
    a, b, c = question.about
    text, _ = think(rng, question, VisualCorpusConfig(careless=0.0))
    words = text.split(" : ")[1].split()
    assert [words[i] for i in (0, 2, 7, 9)] == [a, c, b, c]
    assert len(words) == 14


def test_careless_thoughts_are_right_less_often_and_never_without_an_answer():
    rng, careless = random.Random(1), VisualCorpusConfig(careless=1.0)
    right: Counter[str] = Counter()
    for kind in QUESTIONS * 200:
        question = draw_question(rng, kind, held_out=False)
        thoughts, answer = think(rng, question, careless)
        assert answer in question.choices
        assert "let me guess" in thoughts or " nw " in thoughts
        right[kind] += answer == question.answer
    assert right["count"] < 0.55 * 200
    assert all(0.35 * 200 < right[kind] < 0.75 * 200 for kind in ("relation", "depth", "distance"))


def test_misreading_changes_names_and_leaves_places():
    read = misread(random.Random(0), SCENE, 1.0)
    assert [place for place, _ in read.objects] == ["n", "e", "se"]
    assert misread(random.Random(0), SCENE, 0.0) == SCENE


def test_drill_names_true_places_and_distances():
    scene = make_scene("deep", {"nw": "redcircle", "s": "bluesquare"})
    words = lookups(random.Random(2), scene).split(" : ")[1].split()
    assert len(words) == 12
    assert set(zip(words[::2], words[1::2], strict=True)) <= {("redcircle", "nw"), ("bluesquare", "s")}
    pairs = distances(random.Random(2), scene).split(" : ")[1].split()
    assert len(pairs) == 21
    for i in range(0, 21, 7):
        assert pairs[i + 4 : i + 7] == (["zero"] * 3 if pairs[i + 1] == pairs[i + 3] else ["two", "one", "three"])


def test_no_document_shows_a_held_out_layout_and_dials_hold():
    rng, dials = random.Random(3), VisualCorpusConfig()
    documents = [draw_document(rng, dials) for _ in range(1000)]
    assert not any(is_held_out(parse_scene(document.image)) for document in documents)
    kinds = Counter(d.prompt if d.prompt in ("Objects:", "Distances:") else d.prompt[-8:] for d in documents)
    assert abs(kinds["Objects:"] / 1000 - dials.lookups) < 0.06
    assert abs(kinds["<think>"[-8:]] + kinds["t:<think>"[-8:]] - 500) < 80
