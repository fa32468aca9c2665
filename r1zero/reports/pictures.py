"""Pictures beside responses: small, in the page itself, so that it opens offline and asks no server for anything."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

SHOWN = 4  # pictures beside one response; of more the number is said
SIDE = 160  # pixels; larger pictures are scaled down
COLOURS = 64  # in a picture whose file would be larger than LARGE
LARGE = 16_384  # bytes


@dataclass(frozen=True)
class Shown:
    """One picture as the page shows it: its data, or why there is none."""

    reference: str
    data: str = ""  # data:image/png;base64,...
    missing: str = ""


def shown_pictures(references: Sequence[str], folders: tuple[Path, ...] = ()) -> tuple[Shown, ...]:
    """The first SHOWN pictures.  One that cannot be opened, or a missing pillow, is said where it would stand.

    A picture named sha256:HEX is taken from the first of `folders` that has it.
    """
    return tuple(_shown(reference, folders) for reference in references[:SHOWN])


@lru_cache(maxsize=1024)
def _shown(reference: str, folders: tuple[Path, ...]) -> Shown:
    from r1zero.tasks.pictures import KEPT, open_picture

    has = (folder for folder in folders if (folder / reference.removeprefix(KEPT)).exists())
    try:
        picture = open_picture(reference, next(has, None) if reference.startswith(KEPT) else None)
    except ValueError as error:
        return Shown(reference, missing=str(error))
    if max(picture.size) > SIDE:
        picture.thumbnail((SIDE, SIDE))
    content = _png(picture)
    if len(content) > LARGE:
        content = _png(picture.quantize(COLOURS))
    return Shown(reference, data="data:image/png;base64," + base64.b64encode(content).decode())


def _png(picture: Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()
