"""Files in the shapes of SAT and CV-Bench, with noise for pictures."""

from __future__ import annotations

import io
import random
from pathlib import Path

import polars as pl
from PIL import Image


def noise(number: int, width: int = 56) -> bytes:
    buffer = io.BytesIO()
    content = random.Random(number).randbytes(3 * width * 56)
    Image.frombytes("RGB", (width, 56), content).save(buffer, "PNG")
    return buffer.getvalue()


def write_sat(path: Path) -> None:
    rows = [
        {
            "image_bytes": [noise(n), noise(n, 28)] if n % 4 == 0 else [noise(n)],
            "question": "which object is closer ?",
            "answers": ["red circle", "blue square"],
            "correct_answer": ["red circle", "blue square"][n % 2],
            "question_type": "other",
        }
        for n in range(80)
    ]
    pl.DataFrame(rows).write_parquet(path)


def write_cvbench(path: Path) -> None:
    rows = [
        {
            "idx": n,
            "type": "2D" if n < 4 else "3D",
            "task": ["Count", "Relation", "Count", "Relation", "Depth", "Distance"][n],
            "image": {"bytes": noise(100 + n), "path": None},
            "question": "which object is closer ?",
            "choices": ["red circle", "blue square"],
            "answer": "(A)",
            "prompt": "which object is closer ? Select from the following choices.\n(A) red circle\n(B) blue square",
            "source": ["ADE20K", "COCO", "ADE20K", "COCO", "Omni3D", "Omni3D"][n],
        }
        for n in range(6)
    ]
    pl.DataFrame(rows).write_parquet(path)
