"""Benchmarks by name: where each is found (a file of a data directory, or the Hub) and how its golds are to be read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1zero.config import nearest
from r1zero.records import Problem
from r1zero.tasks.mathematics import Row, gold_text, plain_gold, read_problems

DATA = "R1ZERO_DATA"  # environment variable: the data directory
FOLDERS = ("", "eval", "train")  # of the data directory, in which files are looked for
# what oat-zero asked base models: 100 training questions of MATH a level; no Hub data set but a file of its repository
OAT_ZERO_500 = (
    "https://raw.githubusercontent.com/sail-sg/oat-zero/41ed65995eebad149e94d5c3d235ed1d1b15f76a/"
    "data/math_train_500.json"
)
SUFFIXES = (".parquet", ".jsonl", ".json")


def integer_gold(answers: Sequence[str], row: Row) -> str:
    """AIME and AMC: whole numbers without leading zeros, so that 025 is 25.

    >>> integer_gold(["025"], {}), integer_gold(["142.0"], {})
    ('25', '142')
    """
    return gold_text([_integer(answer) for answer in answers])


def _integer(text: str) -> str:
    found = re.fullmatch(r"\$?\s*(-?\d+)(?:\.0*)?\s*\$?", text)
    return str(int(found[1])) if found else text


_POWER = re.compile(r"(?:\\times\s*10\s*\^\s*\{?|[eE])\s*(?P<power>[+-]?\d+)")
_NUMBER = re.compile(r"\$?(?P<mantissa>-?\d*\.?\d+)\s*(?P<scale>\\times\s*10\s*\^\s*\{?-?\d+\}?|[eE][+-]?\d+)?\$?")


def rounding(answer: str) -> float | None:
    """Half a unit of the last digit of a decimal or a number in scientific notation, and at most 5 % of it.

    None of anything else.  Minerva's golds are rounded values of physics and its origin states no tolerance: an answer
    that rounds to the gold is right.  A whole number written plainly is exact.

    >>> rounding("9.6"), rounding("4.5e33"), rounding("7 \\\\times 10^{37}"), rounding("16"), rounding("-3/2")
    (0.05, 5e+31, 3.5e+36, None, None)
    """
    found = _NUMBER.fullmatch(answer.strip())
    if found is None:
        return None
    decimals = len(found["mantissa"].partition(".")[2])
    power = _POWER.search(found["scale"] or "")
    if not decimals and power is None:
        return None
    scale = int(power["power"]) if power else 0
    last_digit, share = f"5e{scale - decimals - 1}", f"{5 * abs(float(found['mantissa'])):g}e{scale - 2}"
    return min(float(last_digit), float(share)) or None


def rounded_gold(answers: Sequence[str], row: Row) -> str:
    """Minerva: alternatives, with the tolerance of the most precise one that is a rounded number."""
    tolerances = [value for value in map(rounding, answers) if value is not None]
    return gold_text(answers, tolerance=min(tolerances) if tolerances else None)


def olympiad_gold(answers: Sequence[str], row: Row) -> str:
    """OlympiadBench: its `error` is an absolute tolerance, its lists of several values come in any order, and a unit
    that the question asks for may stand behind the value."""
    several = bool(row.get("is_multiple_answer"))
    return gold_text(
        answers,
        ordered=False if several else None,
        tolerance=_tolerance(row.get("error")),
        unit=row.get("unit") or None,
        type=row.get("answer_type") if several or row.get("unit") or row.get("error") else None,
    )


def _tolerance(error: Any) -> float | None:
    """The largest of OlympiadBench's comma-separated tolerances."""
    try:
        return max(float(part) for part in str(error).split(",") if part.strip()) if error else None
    except ValueError:
        return None


@dataclass(frozen=True)
class Benchmark:
    """One set of questions that papers report.

    Example: Benchmark("aime24", "AIME 2024", 30, "aime24", "HuggingFaceH4/aime_2024", "train", integer_gold)
    """

    name: str
    title: str
    size: int  # questions of the set that the papers use
    file: str  # without suffix, in the data directory
    hub: str  # OWNER/NAME[:CONFIG], or the address of a file
    split: str  # on the Hub
    make_gold: Callable[[Sequence[str], Row], str] = plain_gold


BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("aime24", "AIME 2024", 30, "aime24", "HuggingFaceH4/aime_2024", "train", integer_gold),
        Benchmark("amc", "AMC 2022-23", 83, "amc", "AI-MO/aimo-validation-amc", "train", integer_gold),
        Benchmark("amc23", "AMC 2023", 40, "amc23", "math-ai/amc23", "test", integer_gold),
        Benchmark("math500", "MATH-500", 500, "math500", "HuggingFaceH4/MATH-500", "test"),
        Benchmark("minerva", "Minerva", 272, "minerva", "math-ai/minervamath", "test", rounded_gold),
        Benchmark(
            "olympiad_bench",
            "OlympiadBench",
            675,
            "olympiad_bench",
            "Hothan/OlympiadBench:OE_TO_maths_en_COMP",
            "train",
            olympiad_gold,
        ),
        Benchmark("gsm8k", "GSM8K", 1319, "gsm8k_test", "openai/gsm8k:main", "test"),
        Benchmark("svamp", "SVAMP", 1000, "svamp_test", "ChilleD/SVAMP", "test"),
        Benchmark("math_train_500", "oat-zero's 500 of MATH", 500, "math_train_500", OAT_ZERO_500, "train"),
    )
}
# the suites over which a macro average is taken; "math" is that of understand-r1-zero
SUITES: dict[str, tuple[str, ...]] = {"math": ("aime24", "amc", "math500", "minerva", "olympiad_bench")}


def find_file(name: str, data: str = "") -> Path | None:
    """NAME with a suffix in `data`, else in the directory that R1ZERO_DATA names; None where it is not."""
    directory = data or os.environ.get(DATA, "")
    if not directory:
        return None
    if not Path(directory).is_dir():
        raise ValueError(f"no data directory {directory}: {'give another --data' if data else f'correct {DATA}'}")
    places = (Path(directory) / folder / (name + suffix) for folder in FOLDERS for suffix in SUFFIXES)
    return next((place for place in places if place.is_file()), None)


def find_folder(name: str, data: str = "") -> Path | None:
    """The folder NAME in `data`, else in the directory that R1ZERO_DATA names; None where it is not."""
    directory = data or os.environ.get(DATA, "")
    places = (Path(directory) / folder / name for folder in FOLDERS) if directory else ()
    return next((place for place in places if place.is_dir()), None)


def load_benchmark(name: str, data: str = "") -> list[Problem]:
    """Every problem of a benchmark.  Raises ValueError naming what is missing and the remedy."""
    if name not in BENCHMARKS:
        raise ValueError(f"unknown benchmark {name!r}: {nearest(name, BENCHMARKS)}")
    benchmark = BENCHMARKS[name]
    file = find_file(benchmark.file, data)
    where = str(file) if file else benchmark.hub
    try:
        return read_problems(where, benchmark.split, prefix=name, make_gold=benchmark.make_gold)
    except ValueError as error:
        if file:
            raise
        raise ValueError(
            f"benchmark {name} ({benchmark.title}): {error}; or give a directory with {benchmark.file}.parquet as "
            f"--data or {DATA}"
        ) from None
