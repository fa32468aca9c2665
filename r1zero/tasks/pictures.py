"""Pictures behind their references: opened, checked and kept.

A problem names its pictures by text, so that rollouts can be stored and sent anywhere:

    /data/a.jpg, images/a.png     a file
    sha256:HEX                    the file HEX in a folder of kept pictures, named by what is in it
    scene:...                     rendered on the spot, the same everywhere (r1zero.tasks.visual)
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import struct
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from r1zero.store import write_atomically

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 64 << 20  # a file with more is refused before it is unpacked
KEPT = "sha256:"
SCENE = "scene:"
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # none of them runs a program, as EPS would
# What pillow raises for broken files, which are found by whichever line of it stumbles first.
BROKEN = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, struct.error)
DIGEST = re.compile(KEPT + "[0-9a-f]{64}")


def open_picture(reference: str, folder: Path | None = None, max_pixels: int = MAX_PIXELS) -> Image:
    """The picture of a reference, in RGB.  `folder` holds what `keep_picture` kept.

    Raises ValueError naming the reference where it is missing, corrupt, or has more than `max_pixels` pixels.
    """
    if reference.startswith(SCENE):
        from r1zero.tasks.visual.render import render_reference  # draws with pillow

        picture: Image = render_reference(reference)
        return picture
    if reference.startswith(KEPT):
        if not DIGEST.fullmatch(reference):
            raise ValueError(f"picture {reference!r}: not the 64 hexadecimal digits of a SHA-256")
        if folder is None:
            raise ValueError(f"picture {reference!r}: no folder of kept pictures was given to look it up in")
        path = Path(folder) / reference.removeprefix(KEPT)
    else:
        path = Path(reference)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"picture {reference!r} cannot be read ({error.strerror or error})") from error
    if reference.startswith(KEPT) and hashlib.sha256(content).hexdigest() != path.name:
        raise ValueError(f"picture {reference!r} is corrupt: {path} does not hold what its name says")
    return decode_picture(content, reference, max_pixels)


def decode_picture(content: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Image:
    """The picture in a file's bytes, in RGB, turned as its camera was held.  Raises ValueError naming `name`."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise ValueError("pictures need pillow: pip install r1zero[vision]") from None
    broken = (*BROKEN, Image.DecompressionBombError)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # our own limit is checked below, and broken metadata does no harm
        try:
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
        except broken as error:
            raise ValueError(f"picture {name!r} is corrupt or not one of {', '.join(FORMATS)} ({error})") from error
        width, height = picture.size
        if width * height > max_pixels:
            raise ValueError(f"picture {name!r} has {width} x {height} pixels, more than {max_pixels}: make it smaller")
        try:
            return ImageOps.exif_transpose(picture).convert("RGB")
        except broken as error:
            raise ValueError(f"picture {name!r} is corrupt ({error})") from error


def keep_picture(content: bytes, folder: Path) -> str:
    """Write a picture's bytes into `folder` once, and return its reference `sha256:HEX`."""
    digest = hashlib.sha256(content).hexdigest()
    path = Path(folder) / digest
    if not path.exists():
        write_atomically(path, content)
    return KEPT + digest


def bring_pictures(references: Iterable[str], source: Path, folder: Path) -> None:
    """Have the kept pictures of `source` in `folder` too, each once: a link where the disk allows it, else a copy."""
    for reference in references:
        name = reference.removeprefix(KEPT)
        here = Path(folder) / name
        if here.exists():
            continue
        here.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(Path(source) / name, here)
        except OSError:  # another disk, or one without links
            shutil.copyfile(Path(source) / name, here)
