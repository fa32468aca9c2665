"""Scenes, their references and their pictures."""

from __future__ import annotations

import numpy as np
import pytest

from r1zero.tasks.visual.render import RGB, background, render, render_reference
from r1zero.tasks.visual.scene import PLACES, Scene, is_held_out, make_scene, parse_scene, steps_between

pytest.importorskip("PIL")


def test_a_reference_names_its_scene_and_no_other():
    scene = make_scene("deep", {"se": "bluecircle", "n": "redsquare"}, shake=12)
    assert scene.reference == "scene:deep/n.redsquare,se.bluecircle/12"
    assert parse_scene(scene.reference) == scene
    assert parse_scene("scene:flat//0") == Scene("flat", ())


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("scene:flat/n.redsquare", "scene:KIND"),
        ("picture:flat/n.redsquare/1", "scene:KIND"),
        ("scene:flaat/n.redsquare/1", "flat"),
        ("scene:flat/n.redsqare/1", "redsquare"),
        ("scene:flat/north.redsquare/1", "north"),
        ("scene:flat/n.redsquare,n.redcircle/1", "two objects at n"),
        ("scene:flat/n.redsquare/-1", "whole number"),
        ("scene:flat/n.redsquare/²", "whole number"),
    ],
)
def test_a_reference_that_is_none_says_what_is_wrong(reference, named):
    with pytest.raises(ValueError, match=named):
        parse_scene(reference)


def test_steps_are_counted_along_rows_and_columns():
    assert [[steps_between(a, b) for b in PLACES] for a in ("nw", "c")] == [
        [0, 1, 2, 1, 2, 3, 2, 3, 4],
        [2, 1, 2, 1, 0, 1, 2, 1, 2],
    ]


def test_a_layout_is_held_out_whatever_its_shake():
    layouts = [make_scene("flat", {a: "redsquare", b: "bluecircle"}) for a in PLACES for b in PLACES if a != b]
    held = [scene for scene in layouts if is_held_out(scene)]
    assert all(is_held_out(Scene(s.kind, s.objects, shake)) for s in held for shake in (1, 99))
    assert 0 < len(held) < len(layouts) / 4


def test_a_reference_gives_the_same_picture_each_time():
    reference = "scene:deep/nw.redcircle,c.greensquare,se.bluetriangle/5"
    first, second = (np.asarray(render_reference(reference)) for _ in range(2))
    assert first.shape == (84, 84, 3)
    assert np.array_equal(first, second)
    assert {tuple(first[y, x]) for y, x in ((18, 21), (42, 42), (70, 70))} == set(RGB.values())
    assert np.array_equal(np.asarray(render_reference("scene:flat//3")), background("flat"))


def test_an_object_is_drawn_in_the_square_of_its_place_and_nowhere_else():
    for index, place in enumerate(PLACES):
        pixels = np.asarray(render(make_scene("flat", {place: "greensquare"}, shake=index)))
        changed = (pixels != background("flat")).any(axis=-1)
        top, left = 28 * (index // 3), 28 * (index % 3)
        assert changed[top : top + 28, left : left + 28].sum() == changed.sum() == 21 * 21
        assert (pixels[changed] == RGB["green"]).all()


def test_far_objects_are_smaller_and_shakes_differ():
    size = [
        (np.asarray(render(make_scene("deep", {place: "redsquare"}))) != background("deep")).any(axis=-1).sum()
        for place in ("n", "c", "s")
    ]
    assert size == [11 * 11, 17 * 17, 25 * 25]
    shaken = {np.asarray(render(make_scene("flat", {"c": "redcircle"}, shake))).tobytes() for shake in range(40)}
    assert 5 < len(shaken) <= 15  # five shifts sideways, three up or down
