"""A scene: up to nine objects at nine places, written as a reference that always gives the same picture.

Places are named as on a map, row by row:

    nw n  ne       far    a "flat" scene is a board seen from above; a "deep" one is ground before a camera, whose
    w  c  e               rows are near (bottom) and far (top), and far objects are smaller
    sw s  se       near

A scene is *held out* when a hash of its kind and objects says so, whatever the seed: layouts that a model is evaluated
on are in no training stream and in no pretraining corpus.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, cast, get_args

from r1zero.config import nearest

Kind = Literal["flat", "deep"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PLACES = ("nw", "n", "ne", "w", "c", "e", "sw", "s", "se")
COLOURS = ("red", "green", "blue")
SHAPES = ("circle", "square", "triangle")
NAMES = tuple(colour + shape for colour in COLOURS for shape in SHAPES)  # one word each, so one token each
PREFIX = "scene:"
HELD_OUT = 10  # one layout in ten is held out


@dataclass(frozen=True)
class Scene:
    """What is where.

    Example: Scene("flat", (("nw", "redcircle"), ("e", "bluesquare")), shake=7)
    """

    kind: Kind
    objects: tuple[tuple[str, str], ...]  # (place, name), in the order of PLACES
    shake: int = 0  # seed of the small shifts with which objects are drawn

    @property
    def layout(self) -> str:
        """The scene without its shake: what is held out."""
        return f"{self.kind}/" + ",".join(f"{place}.{name}" for place, name in self.objects)

    @property
    def reference(self) -> str:
        """The picture's name, which `parse_scene` reads.

        >>> Scene("flat", (("nw", "redcircle"), ("e", "bluesquare")), shake=7).reference
        'scene:flat/nw.redcircle,e.bluesquare/7'
        """
        return f"{PREFIX}{self.layout}/{self.shake}"


def make_scene(kind: Kind, objects: dict[str, str], shake: int = 0) -> Scene:
    """A scene from name by place, in any order."""
    return Scene(kind, tuple((place, objects[place]) for place in PLACES if place in objects), shake)


def parse_scene(reference: str) -> Scene:
    """The scene of a reference.  Raises ValueError naming what is wrong with it.

    >>> parse_scene("scene:deep/se.greentriangle/3")
    Scene(kind='deep', objects=(('se', 'greentriangle'),), shake=3)
    """
    parts = reference.removeprefix(PREFIX).split("/")
    if not reference.startswith(PREFIX) or len(parts) != 3:
        raise ValueError(f"{reference!r} is no scene: write scene:KIND/PLACE.NAME,PLACE.NAME/SHAKE")
    kind, objects, shake = parts
    if kind not in KINDS:
        raise ValueError(f"{reference!r}: no kind of scene {kind!r}: {nearest(kind, KINDS)}")
    found: dict[str, str] = {}
    for one in objects.split(",") if objects else ():
        place, _, name = one.partition(".")
        if place not in PLACES or name not in NAMES:
            wrong, choices = (place, PLACES) if place not in PLACES else (name, NAMES)
            raise ValueError(f"{reference!r}: {one!r} has no place and object: {nearest(wrong, choices)}")
        if place in found:
            raise ValueError(f"{reference!r}: two objects at {place}")
        found[place] = name
    if not (shake.isascii() and shake.isdigit()):
        raise ValueError(f"{reference!r}: the shake must be a whole number, at least 0, and is {shake!r}")
    return make_scene(cast(Kind, kind), found, int(shake))


def is_held_out(scene: Scene) -> bool:
    """Whether the scene belongs to evaluation; depends on nothing but its kind and objects."""
    return hashlib.sha256(scene.layout.encode()).digest()[0] % HELD_OUT == 0


def column(place: str) -> int:
    """0 at the left, 2 at the right."""
    return PLACES.index(place) % 3


def row(place: str) -> int:
    """0 at the top or far away, 2 at the bottom or near."""
    return PLACES.index(place) // 3


def steps_between(first: str, second: str) -> int:
    """Steps from place to place along rows and columns.

    >>> steps_between("nw", "se"), steps_between("c", "e")
    (4, 1)
    """
    return abs(row(first) - row(second)) + abs(column(first) - column(second))
