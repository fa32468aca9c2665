"""Pictures are found by reference, kept once, and refused by name where they are broken."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from r1zero.records import Grade, Problem, Prompt, Response, Rollout
from r1zero.store import read_rollouts, write_rollouts
from r1zero.tasks.pictures import FORMATS, decode_picture, keep_picture, open_picture


def png(width: int = 3, height: int = 2, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def test_kept_bytes_are_written_once_and_opened_by_what_they_are(tmp_path: Path) -> None:
    first, again = keep_picture(png(), tmp_path / "images"), keep_picture(png(), tmp_path / "images")
    assert first == again and first.startswith("sha256:")
    assert [path.name for path in (tmp_path / "images").iterdir()] == [first.removeprefix("sha256:")]
    picture = open_picture(first, tmp_path / "images")
    assert picture.size == (3, 2) and picture.mode == "RGB"


def test_a_path_is_opened_without_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(4, 5, "L"))
    assert open_picture(str(path)).size == (4, 5)


def test_a_picture_is_turned_as_its_camera_was_held() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    buffer = io.BytesIO()
    Image.new("RGB", (30, 10)).save(buffer, "JPEG", exif=exif)
    assert decode_picture(buffer.getvalue(), "a").size == (10, 30)


def test_what_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"picture '/nowhere/a\.png' cannot be read \(No such file"):
        open_picture("/nowhere/a.png")
    reference = f"sha256:{'ab' * 32}"
    with pytest.raises(ValueError, match="abab': no folder"):
        open_picture(reference)
    with pytest.raises(ValueError, match="abab' cannot be read"):
        open_picture(reference, tmp_path)
    (tmp_path / ("ab" * 32)).write_bytes(png())
    with pytest.raises(ValueError, match="abab' is corrupt"):
        open_picture(reference, tmp_path)
    noise = Image.frombytes("RGB", (20, 20), random.Random(0).randbytes(1200))
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")
    for content in (b"", b"hello", png()[:40], buffer.getvalue()[:600]):
        with pytest.raises(ValueError, match="picture 'row 7' is corrupt"):
            decode_picture(content, "row 7")


def test_a_reference_does_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(png())
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match="not the 64 hexadecimal digits"):
        open_picture("sha256:../secret", tmp_path / "images")


def test_a_picture_above_the_limit_is_refused_before_it_is_unpacked() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(ValueError, match="'bomb'"):
        decode_picture(bomb, "bomb")
    with pytest.raises(ValueError, match="3 x 2 pixels, more than 5"):
        decode_picture(png(), "small", max_pixels=5)
    assert decode_picture(png(), "small", max_pixels=6).size == (3, 2)


def test_references_are_stored_with_rollouts_and_text_has_none(tmp_path: Path) -> None:
    def rollout(sample: int, images: tuple[str, ...]) -> Rollout:
        prompt = Prompt(Problem("p", "test", "t", "g", images=images), "none", "t", (1,), images)
        response = Response("r", (2,), (-0.5,), "stop")
        return Rollout(1, sample, prompt, response, Grade(True, True, "g", ""), 1.0)

    path = tmp_path / "step-000001.parquet"
    write_rollouts(path, [rollout(0, ("sha256:ab", "scene:x")), rollout(1, ())], run="r")
    table = read_rollouts(path).collect()
    assert table["images"].to_list() == [["sha256:ab", "scene:x"], None]


def test_damaged_files_are_refused_by_name_or_opened(tmp_path: Path) -> None:
    """Two thousand files with random damage, of all formats: nothing but a named ValueError comes out."""
    rng = random.Random(0)
    picture = Image.frombytes("RGB", (24, 20), rng.randbytes(24 * 20 * 3))
    files = []
    for kind in FORMATS:
        buffer = io.BytesIO()
        picture.save(buffer, kind)
        assert decode_picture(buffer.getvalue(), "whole").size == (24, 20)
        files.append(buffer.getvalue())
    refused = 0
    for _ in range(2000):
        damaged = bytearray(rng.choice(files))
        for _ in range(rng.choice((1, 2, 5, 20))):
            damaged[rng.randrange(min(len(damaged), rng.choice((40, 200, len(damaged)))))] = rng.randrange(256)
        try:
            decode_picture(bytes(damaged), "row 7")
        except ValueError as error:
            assert str(error).startswith("picture 'row 7'")
            refused += 1
    assert 200 < refused < 2000


def test_a_format_that_runs_a_program_is_not_opened() -> None:
    with pytest.raises(ValueError, match="not one of PNG"):
        decode_picture(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n", "a.eps")
