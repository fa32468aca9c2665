"""How long a probe's analysis takes, and how much memory, as the stored responses grow from ten thousand to a million.

    python -m benchmarks.scale [--sizes 10000 100000 1000000] [--workers 2] [--logprobs] [--rounds 1] [--json FILE]

Responses are made up: about 300 tokens of mathematical prose, a tenth cut off, some that reconsider, some that give
several answers, eight to a problem.  They are written as parquet parts to a temporary folder, which is removed again.
Measured is a process of its own that reads them into facts (cues of three pools, stated answers and transitions,
attempts, votes) and counts from them pass@k and maj@k by temperature, outcomes and lengths by difficulty, and
transitions, all with intervals; memory is that of the process and its workers together, looked up every 50 ms.  Making
the responses up is not measured.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from r1zero.analysis.difficulty import difficulty
from r1zero.analysis.exploration import exploration
from r1zero.analysis.transitions import transition_rates
from r1zero.facts.read import read_facts
from r1zero.store import SCHEMA, write_frame

SIZES = (10_000, 100_000, 1_000_000)
SAMPLES = 8  # responses to a problem
PART_ROWS = 16_384
TARGET_SECONDS, TARGET_BYTES = 120.0, 2 << 30  # for a million responses on two cores
TOKEN_CHARACTERS = 3.7
TEMPERATURES = (0.1, 0.4, 0.7, 1.0)
REFLECTS, TRUNCATED, UNFORMATTED = 0.25, 0.10, 0.12

SECTIONS: dict[str, Callable[[pl.DataFrame], Any]] = {
    "exploration": exploration,
    "difficulty": difficulty,
    "transitions": transition_rates,
}

SENTENCES = (
    "We are given that $x_{a} = {b}$ and that the sum of the first {a} terms equals ${c}$.",
    "Substituting, we obtain \\({a}x + {b} = {c}\\), so that \\(x = \\frac{{{c} - {b}}}{{{a}}}\\).",
    "To find the number of ways, multiply ${a} \\times {b}$ and then divide by ${c}$.",
    "Each of the {a} boxes holds {b} apples, which makes {c} apples before any are sold.",
    "By the Pythagorean theorem, the hypotenuse is $\\sqrt{{{a}^2 + {b}^2}}$, which is close to {c}.",
    "Now consider the case in which $n$ is even; there $n = 2k$ and $k \\leq {a}$.",
    "The remaining {b} students each pay ${a} more than before, so the total grows by {c} dollars.",
    "Combining both equations gives $${a}y - {b} = {c}$$ which can be simplified further.",
    "In [1]: sum(range({a}, {b})) returns {c}, as expected from the formula.",
    "Since the triangle is isosceles, both angles at its base measure {a} degrees.",
)
SECOND_LOOKS = (
    "Wait, that does not add up: {a} + {b} is not {c}.",
    "Let me check this again with $n = {a}$.",
    "Hmm, I should re-examine the step where {b} was divided by {a}.",
    "Let's verify: {a} times {b} gives {c}, so the sign must be wrong. Let me recheck.",
    "Let me re-evaluate the second case.",
)
ANSWERS = ("Therefore, the answer is \\boxed{{{x}}}.", "So the final result is $\\boxed{{{x}}}$.", "The answer is {x}.")


# ---------------------------------------------------------------------------------------------------------------------
# Made-up responses


def write_responses(folder: Path, size: int, *, logprobs: bool, seed: int = 0) -> int:
    """Parquet parts with so many responses, one part in memory at a time; the bytes they take."""
    for part, start in enumerate(range(0, size, PART_ROWS)):
        frame = made_up(start, min(PART_ROWS, size - start), logprobs=logprobs, seed=seed)
        write_frame(folder / f"part-{part:06d}.parquet", frame)
    return sum(file.stat().st_size for file in folder.glob("*.parquet"))


def made_up(start: int, count: int, *, logprobs: bool, seed: int) -> pl.DataFrame:
    """Rows `start` to `start + count` of the table of all responses."""
    rng = random.Random(f"{seed}/{start}")
    rows = [made_up_row(index, rng, seed) for index in range(start, start + count)]
    frame = pl.DataFrame(rows, schema_overrides={name: SCHEMA[name] for name in rows[0]})
    if logprobs:
        lengths = frame["num_tokens"].to_numpy()
        drawn = -np.random.default_rng((seed, start)).exponential(0.3, int(lengths.sum())).astype(np.float32)
        tokens = pl.DataFrame({"at": np.repeat(np.arange(count), lengths), "logprobs": drawn})
        frame = frame.with_columns(tokens.group_by("at", maintain_order=True).agg("logprobs")["logprobs"])
    absent = [pl.lit(None, kind).alias(name) for name, kind in SCHEMA.items() if name not in frame.columns]
    return frame.with_columns(absent)


def made_up_row(index: int, rng: random.Random, seed: int) -> dict[str, Any]:
    problem, sample = divmod(index, SAMPLES)
    own = random.Random(f"{seed}/problem {problem}")
    gold, ease, level = own.choice((made_up_value(own), str(own.randint(2, 500)))), own.random(), own.randint(1, 5)
    wrong = [made_up_value(own) for _ in range(4)]
    right = rng.random() < ease
    text, answer = made_up_text(rng, gold if right else rng.choice(wrong), (*wrong, gold))
    cut = rng.random() < TRUNCATED
    if cut:
        text, answer = text[: int(len(text) * 0.8)], None
    return {
        "run": "scale",
        "step": 0,
        "checkpoint": "made-up",
        "task": "math",
        "problem_id": f"made-up/{problem:07d}",
        "sample": sample,
        "template": ("qwen_boxed", "no_template")[problem % 2],
        "temperature": TEMPERATURES[problem % len(TEMPERATURES)],
        "problem": f"{SENTENCES[problem % len(SENTENCES)].format(a=problem, b=level, c=3)} What is the value?",
        "gold": gold,
        "response": text,
        "num_tokens": int(len(text) / TOKEN_CHARACTERS),
        "finish_reason": "length" if cut else "stop",
        "correct": right and answer is not None,
        "formatted": answer is not None,
        "extracted": answer,
        "level": float(level),
    }


def made_up_text(rng: random.Random, answer: str, others: Sequence[str]) -> tuple[str, str | None]:
    """A response, and the answer that it comes to."""
    parts = [sentence(rng, SENTENCES) for _ in range(rng.randint(7, 19))]
    if rng.random() < REFLECTS:
        for _ in range(rng.randint(1, 3)):
            parts.insert(rng.randint(3, len(parts)), sentence(rng, SECOND_LOOKS))
    if rng.random() < 0.3:  # an answer on the way, often another one
        first = answer if rng.random() < 0.5 else rng.choice(others)
        parts.insert(rng.randint(4, len(parts)), rng.choice(ANSWERS).format(x=first))
    if rng.random() < UNFORMATTED:
        return " ".join(parts), None
    return " ".join([*parts, ANSWERS[0].format(x=answer)]), answer


def sentence(rng: random.Random, sentences: Sequence[str]) -> str:
    chosen = sentences[int(rng.random() * len(sentences))]
    a, b, c = int(rng.random() * 40), int(rng.random() * 90), int(rng.random() * 2000)
    return chosen.format(a=a, b=b, c=c)


def made_up_value(rng: random.Random) -> str:
    n, m = rng.randint(1, 60), rng.randint(2, 9)
    return rng.choice((f"{n}", f"{n}.{m}", f"\\frac{{{n}}}{{{m}}}", f"{n}\\sqrt{{{m}}}", f"({n}, {m})", f"{n}x + {m}"))


# ---------------------------------------------------------------------------------------------------------------------
# What is measured


def analyse(folder: Path, workers: int) -> dict[str, Any]:
    """Facts and what is counted from them, timed; run in a process of its own."""
    begin = time.perf_counter()
    facts = read_facts(folder, workers=workers)
    read = time.perf_counter()
    found = {name: section(facts) for name, section in SECTIONS.items()}
    done = time.perf_counter()
    cells = found["exploration"].cells
    assert sum(cell.num_responses for cell in cells) == facts.height  # everything was there to be counted
    return {"rows": facts.height, "facts_s": read - begin, "sections_s": done - read}


def measure(folder: Path, workers: int) -> dict[str, Any]:
    """`analyse` in a fresh process, with the seconds of that process and the peak memory of it and its children."""
    command = [sys.executable, "-m", "benchmarks.scale", "--analyse", str(folder), "--workers", str(workers)]
    begin, before = time.perf_counter(), processor_seconds()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = [0]
    watch = threading.Thread(target=_watch, args=(process, peak))
    watch.start()
    said, _ = process.communicate()
    seconds = time.perf_counter() - begin
    watch.join()
    if process.returncode:
        raise SystemExit(f"the analysis of {folder} failed; see above")
    return {
        **json.loads(said),
        "seconds": seconds,
        "cpu_seconds": processor_seconds() - before,
        "peak_bytes": peak[0],
    }


def processor_seconds() -> float:
    """What all processes that have ended took; other work on the machine disturbs it less than the clock."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _watch(process: subprocess.Popen[str], peak: list[int]) -> None:
    while process.poll() is None:
        peak[0] = max(peak[0], sum(map(resident_bytes, family(process.pid))))
        time.sleep(0.05)


def family(pid: int) -> Iterator[int]:
    """A process and its descendants, as far as they are still there."""
    yield pid
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = listing.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from family(int(child))


def resident_bytes(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):  # it has ended
        return 0
    return pages * 4096


def rows_of(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row a measurement, smallest size first."""
    before: dict[str, Any] | None = None
    for size in sorted(options.sizes):
        folder = Path(tempfile.mkdtemp(prefix="r1zero-scale-"))
        try:
            stored = write_responses(folder, size, logprobs=options.logprobs)
            rounds = [measure(folder, options.workers) for _ in range(options.rounds)]
        finally:
            shutil.rmtree(folder)
        best = min(rounds, key=lambda row: row["seconds"])
        row = {
            "responses": size,
            "seconds": round(best["seconds"], 2),
            "all rounds": ", ".join(f"{row['seconds']:.1f}" for row in rounds),
            "processor s": round(best["cpu_seconds"], 1),
            "facts s": round(best["facts_s"], 2),
            "sections s": round(best["sections_s"], 2),
            "responses/s": round(size / best["seconds"]),
            "µs for one more": round(1e6 * _slope(before, best), 1) if before else "",
            "peak MB": round(max(row["peak_bytes"] for row in rounds) / 1e6),
            "stored MB": round(stored / 1e6),
        }
        if size == SIZES[-1]:
            kept = best["seconds"] < TARGET_SECONDS and row["peak MB"] * 1e6 < TARGET_BYTES
            row |= {"target": f"{TARGET_SECONDS:.0f} s, {TARGET_BYTES / 1e6:.0f} MB", "kept": "yes" if kept else "NO"}
        before = best
        yield row


def _slope(before: dict[str, Any], now: dict[str, Any]) -> float:
    """Seconds for one more response: the same at every size where cost grows linearly."""
    return (now["seconds"] - before["seconds"]) / (now["rows"] - before["rows"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="responses")
    parser.add_argument("--workers", type=int, default=2, help="processes that read facts")
    parser.add_argument("--rounds", type=int, default=1, help="measurements of each size; the quickest is shown")
    parser.add_argument("--logprobs", action="store_true", help="with a log-probability for each token")
    parser.add_argument("--json", type=Path, help="where the numbers are written")
    parser.add_argument("--analyse", type=Path, help=argparse.SUPPRESS)  # the process that is measured
    options = parser.parse_args()
    if options.analyse:
        print(json.dumps(analyse(options.analyse, options.workers)))
        return 0
    from benchmarks.machine import (
        describe,
        print_rows,
        write_json,
    )  # imports torch, which the measured process does not

    rows = list(rows_of(options))
    facts = describe(options.workers) | {"samples": SAMPLES, "logprobs": options.logprobs}
    print_rows("stored responses analysed", rows, facts)
    write_json(options.json, rows, facts)
    return 1 if any(row.get("kept") == "NO" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
