"""The picture of a scene: 84 x 84 pixels, drawn with pillow, the same everywhere.

Each place lies in a square of 28 pixels, so that a tower with patches of 14 pixels merged two by two sees one place in
each of its nine features.  The background changes colour from left to right and from top to bottom: a tower that knows
only differences of positions can read from it where it is.
"""

from __future__ import annotations

import random
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from r1zero.tasks.visual.scene import COLOURS, Kind, Scene, column, parse_scene, row

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = 84  # pixels
RGB = dict(zip(COLOURS, ((220, 50, 47), (60, 160, 70), (50, 90, 210)), strict=True))
# for each row: height of the objects' centres, distance between columns, radius, in pixels
ROWS = {
    "flat": ((14, 28, 10), (42, 28, 10), (70, 28, 10)),
    "deep": ((18, 21, 5), (42, 25, 8), (68, 28, 12)),
}


def render_reference(reference: str) -> Image:
    """The picture of `scene:...`.  Raises ValueError for a reference that is none."""
    return render(parse_scene(reference))


def render(scene: Scene) -> Image:
    """The picture of a scene.  Objects are shifted by up to 2 pixels sideways and 1 up or down, as its shake says."""
    try:
        from PIL import ImageDraw
        from PIL.Image import fromarray
    except ImportError:
        raise ValueError("pictures need pillow: pip install r1zero[vision]") from None
    picture = fromarray(background(scene.kind))
    draw = ImageDraw.Draw(picture)
    rng = random.Random(f"shake {scene.shake}")
    for place, name in scene.objects:  # far ones first: near ones may cover them
        height, width, radius = ROWS[scene.kind][row(place)]
        x, y = SIZE // 2 + (column(place) - 1) * width + rng.randint(-2, 2), height + rng.randint(-1, 1)
        colour = next(colour for colour in COLOURS if name.startswith(colour))
        box = (x - radius, y - radius, x + radius, y + radius)
        if name.endswith("circle"):
            draw.ellipse(box, fill=RGB[colour])
        elif name.endswith("square"):
            draw.rectangle(box, fill=RGB[colour])
        else:
            draw.polygon(((x, y - radius), (x - radius, y + radius), (x + radius, y + radius)), fill=RGB[colour])
    return picture


@lru_cache(maxsize=2)
def background(kind: Kind) -> np.ndarray:
    """The empty picture.  [84, 84, 3] bytes"""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1)
    red = 110 + 145 * x
    green, blue = (190 + 0 * y, 110 + 145 * y) if kind == "flat" else (170 - 20 * y, 255 - 145 * y)
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)
