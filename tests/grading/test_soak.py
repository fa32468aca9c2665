"""A hundred thousand answers, hostile ones among them: every verdict as expected, and memory stays flat."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from r1zero.grading import batch
from r1zero.grading.batch import Submission, grade_many
from r1zero.records import Grade

ROWS = 100_000
HOSTILE_EVERY = 1_000
HOSTILE = (
    lambda n: f"9**9**9**{n}",
    lambda n: f"{n}^{{9^{{9^{{9}}}}}}",
    lambda n: f"(({n}!)!)!",
    lambda n: f"(10^{n})!",
    lambda n: "7" * (1_000_000 + n),
    lambda n: "{" * 10_000 + str(n) + "}" * 10_000,
    lambda n: "\\sqrt{" * 5_000 + str(n) + "}" * 5_000,
    lambda n: f"(x+y+z)^{{{n}}}-(x+y)^{{{n - 1}}}",
    lambda n: f"\\sum_{{n=1}}^{{10^{n}}} \\frac{{1}}{{n^n}}",
    lambda n: f"\\prod_{{k=1}}^{{{n}}} (x+k)",
    lambda n: f"__import__('os').system('touch r1zero-soak-{n}')",
    lambda n: f"\\input{{/etc/passwd}} {n}",
    lambda n: f"\ud800\\frac{{1}}{{{n}}}",
    lambda n: f"\x00\x1b[2J\x07 {n}",
)
HOSTILE_GOLD = "\\frac{\\sqrt{3}+x}{2}"


def row(number: int) -> tuple[str, Submission, bool | None]:
    """What kind the row is, the row, and whether it is right."""
    if number % HOSTILE_EVERY == 0:
        make = HOSTILE[number // HOSTILE_EVERY % len(HOSTILE)]
        return "hostile", submission(f"so \\boxed{{{make(number + 2)}}}", HOSTILE_GOLD), False
    kind = number % 10
    if kind < 5:
        return "integer", submission(f"Adding up, \\boxed{{{number}}}.", str(number)), True
    if kind == 5:
        return "fraction", submission(f"\\boxed{{\\frac{{{2 * number}}}{{6}}}}", f"{number}/3"), True
    if kind == 6:
        return "wrong fraction", submission(f"\\boxed{{\\frac{{{2 * number}}}{{7}}}}", f"{number}/3"), False
    if kind == 7:
        n = number // 80  # the eight samples of a group
        return "radical", submission(f"\\boxed{{\\sqrt{{{4 * n + 8}}}}}", f"2\\sqrt{{{n + 2}}}"), True
    if kind == 8:
        return "rambling", submission("and then we see that " * 100, str(number)), False
    return "unclosed box", submission("\\boxed{" * 200 + str(number), str(number)), False


def submission(response: str, gold: str) -> Submission:
    return Submission(response, (gold,), "boxed", "math")


def resident_bytes() -> int:
    """Memory of this process and all that descend from it."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue  # it has just ended
    family, before = {os.getpid()}, 0
    while len(family) > before:
        before = len(family)
        family |= {child for child, parent in parents.items() if parent in family}
    total = 0
    for member in family:
        try:
            total += int(Path(f"/proc/{member}/statm").read_text().split()[1])
        except OSError:
            continue
    return total * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_hundred_thousand_rows_are_graded_right_in_bounded_memory(workers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if workers > 1:  # at once, however fast the rows are
        monkeypatch.setattr(batch, "WINDOW", 0)
        monkeypatch.setattr(batch, "SLOW", 0)
    memory: list[int] = []
    wrong: Counter[str] = Counter()

    def rows() -> Iterator[tuple[str, Submission, bool | None]]:
        for number in range(ROWS):
            if number % 10_000 == 0:
                memory.append(resident_bytes())
            yield row(number)

    graded = 0
    for (kind, _, expected), verdict in grade_many(rows(), lambda item: item[1], workers=workers):
        graded += 1
        assert isinstance(verdict, Grade)
        wrong[kind] += verdict.correct != expected
    assert graded == ROWS
    assert +wrong == Counter()
    assert os.listdir(tmp_path) == []  # nothing was executed
    print("resident MB, every 10,000 rows:", [size >> 20 for size in memory])
    assert memory[-1] - memory[3] < 200 << 20  # caches of verdicts fill up to 10^5 each
