"""How right, how fast and how hard to stall the mathematical grader is, beside math-verify in the same run.

    R1ZERO_DATA=DIR python -m benchmarks.grading [--only labels speed hostile] [--json FILE]

labels   whole responses of real models against labels that are sure: accuracy, precision and recall of each file, under
         the rule `any`; math-verify reads the same responses with its own extraction
speed    answers a second: distinct pairs of gold and answer in one process, nothing cached, in turns with math-verify;
         and whole responses in groups of eight through `grade_many` with two workers
hostile  answers made to stall or crash a grader: how long each takes, and whether the next twenty are graded right

DIR holds responses/*.jsonl, rows with `gold`, `response` and `label` (true, false or null); without it ../shared/data
beside the repository is tried.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import describe, print_rows, write_json
from r1zero.grading import equivalent, extract, grade
from r1zero.grading.batch import Submission, grade_many
from r1zero.grading.pool import SECONDS, Counts, is_failure, is_timeout, shared_pool
from r1zero.grading.process import PATIENCE

RULE = "any"
MIN_ACCURACY, MIN_PRECISION = 0.99, 0.995
COLD_RATE, COLD_RATIO, CACHED_RATE = 1_000, 10, 5_000  # answers a second; times math-verify
GROUP, WORKERS = 8, 2
LONGEST = SECONDS * PATIENCE + 1  # on the clock of a busy machine; about SECONDS on an idle one
PARTS = ("labels", "speed", "hostile")

HOSTILE = {
    "tower of powers": "9**9**9**9",
    "tower in LaTeX": "9^{9^{9^{9}}}",
    "factorial of a factorial": "((10!)!)!",
    "factorial of 10^9": "(10^9)!",
    "1 MB of digits": "7" * 1_000_000,
    "1 MB of letters": "a" * 1_000_000,
    "10,000 braces": "{" * 10_000 + "1" + "}" * 10_000,
    "10,000 nested roots": "\\sqrt{" * 10_000 + "2" + "}" * 10_000,
    "10,000 fractions": "\\frac{1}{" * 10_000 + "2" + "}" * 10_000,
    "expansion": "(x+y+z)^{300}-(x+y)^{299}",
    "integral": "\\int_0^\\infty e^{-x^{x^{x}}} \\sin(x^{10}) dx",
    "sum": "\\sum_{n=1}^{10^{10}} \\frac{1}{n^n}",
    "product": "\\prod_{k=1}^{100000} (x+k)",
    "nested sines": "\\sin(" * 60 + "x" + ")" * 60,
    "code": "__import__('os').system('true')",
    "input": "\\input{/etc/passwd}",
    "surrogate half": "\ud800\\frac{1}{2}",
    "control characters": "\x00\x1b[2J\x07 1/2",
}
HOSTILE_GOLD = "\\frac{\\sqrt{3}+x}{2}"


@dataclass(frozen=True)
class Row:
    """A stored response with a sure label."""

    file: str
    gold: str
    response: str
    label: bool | None


def load(data: Path) -> list[Row]:
    """Every stored response, labelled or not."""
    rows = []
    for path in sorted((data / "responses").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            rows.append(Row(path.stem, row["gold"], row["response"], row["label"]))
    return rows


# ---------------------------------------------------------------------------------------------------------------------
# Agreement with labels


def agreement(rows: Sequence[Row]) -> Iterator[dict[str, object]]:
    """Accuracy, precision and recall on the rows with a label, file by file and in all."""
    labelled = [row for row in rows if row.label is not None]
    verdicts = [grade(row.response, row.gold, RULE, task="math") for row in labelled]
    theirs = [math_verify_reads(row.gold, row.response) for row in labelled]
    for file in (*dict.fromkeys(row.file for row in labelled), "all"):
        chosen = [i for i, row in enumerate(labelled) if file in (row.file, "all")]
        labels = [bool(labelled[i].label) for i in chosen]
        ours = rates([verdicts[i].correct for i in chosen], labels)
        other = rates([theirs[i] for i in chosen], labels)
        late = sum(is_timeout(verdicts[i].reason) or is_failure(verdicts[i].reason) for i in chosen)
        yield {
            "file": file,
            "labelled": len(chosen),
            "accuracy": f"{ours[0]:.4f}",
            "precision": f"{ours[1]:.4f}",
            "recall": f"{ours[2]:.4f}",
            "undecided": late,
            "math-verify's": f"{other[0]:.4f}",
            "its precision": f"{other[1]:.4f}",
            "target": f"{MIN_ACCURACY}, {MIN_PRECISION}" if file == "all" else "",
            "kept": kept(ours[0] >= MIN_ACCURACY and ours[1] >= MIN_PRECISION) if file == "all" else "",
        }


def disagreements(rows: Sequence[Row]) -> Iterator[str]:
    """One line for each labelled response that the grader judges otherwise."""
    for row in rows:
        if row.label is not None:
            verdict = grade(row.response, row.gold, RULE, task="math")
            if verdict.correct != row.label:
                answer = repr(verdict.extracted)[:80]
                yield f"{row.file}: label {row.label}, gold {row.gold!r}, answer {answer} ({verdict.reason})"


def rates(verdicts: Sequence[bool], labels: Sequence[bool]) -> tuple[float, float, float]:
    """Accuracy, precision and recall; NaN where nothing is called, or is, right."""
    hits = sum(v and label for v, label in zip(verdicts, labels, strict=True))
    right = sum(v == label for v, label in zip(verdicts, labels, strict=True))
    called, true = sum(verdicts), sum(labels)
    return right / len(labels), hits / called if called else float("nan"), hits / true if true else float("nan")


# ---------------------------------------------------------------------------------------------------------------------
# Speed


def cold(rows: Sequence[Row], limit: int, rounds: int = 4) -> Iterator[dict[str, object]]:
    """Distinct pairs, so that nothing is ever cached, in turns with math-verify on the very same ones."""
    pairs = list(dict.fromkeys((row.gold, a) for row in rows if (a := extract(row.response, RULE)) is not None))
    pairs = pairs[:: max(1, len(pairs) // limit)][:limit]
    equivalent("x^{2}", "x \\cdot x + \\sin{0}"), math_verify_compares("1", "1")  # start processes, import libraries
    ours, theirs = [], []
    for part in (pairs[i::rounds] for i in range(rounds)):
        ours.append(timed(lambda: [equivalent(answer, gold) for gold, answer in part]))  # noqa: B023 - called at once
        theirs.append(timed(lambda: [math_verify_compares(gold, answer) for gold, answer in part]))  # noqa: B023
    rate, other = len(pairs) / sum(ours), len(pairs) / sum(theirs)
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    yield {
        "what": f"answers/s, one process, nothing cached ({len(pairs)} pairs)",
        "ours": f"{rate:,.0f}",
        "math-verify": f"{other:,.0f}",
        "target": f"{COLD_RATE:,}",
        "kept": kept(rate >= COLD_RATE),
    }
    yield {"what": "times as fast", "ours": ratio, "target": f"{COLD_RATIO}", "kept": kept(ratio >= COLD_RATIO)}


def grouped(rows: Sequence[Row], limit: int) -> Iterator[dict[str, object]]:
    """Whole responses, each GROUP times in a row: seven of eight are in the cache, about as with real samples."""
    chosen = rows[:: max(1, len(rows) // limit)][:limit]
    submissions = [Submission(row.response, (row.gold,), RULE, "math") for row in chosen for _ in range(GROUP)]
    seconds = timed(lambda: deque(grade_many(submissions, lambda s: s, workers=WORKERS), maxlen=0))
    rate = len(submissions) / seconds
    yield {
        "what": f"responses/s in groups of {GROUP}, up to {WORKERS} processes",
        "ours": f"{rate:,.0f}",
        "target": f"{CACHED_RATE:,}",
        "kept": kept(rate >= CACHED_RATE),
        "note": f"{len(submissions):,} responses",
    }


# ---------------------------------------------------------------------------------------------------------------------
# Hostile answers


def hostile() -> Iterator[dict[str, object]]:
    """Each against a gold that cannot be decided exactly; then twenty right answers."""
    equivalent("x^{2}", "x \\cdot x + \\sin{0}")
    before, seconds, fooled = shared_pool().counts, {}, []
    for name, answer in HOSTILE.items():
        begin = time.perf_counter()
        if equivalent(answer, HOSTILE_GOLD):
            fooled.append(name)
        seconds[name] = time.perf_counter() - begin
    right = [equivalent(f"\\frac{{x+\\sqrt{{3}}+{n}}}{{2}}", f"\\frac{{\\sqrt{{3}}+x+{n}}}{{2}}") for n in range(20)]
    counts = since(before, shared_pool().counts)
    slowest = max(seconds, key=lambda name: seconds[name])
    yield {
        "what": f"{len(HOSTILE)} hostile answers: the slowest",
        "ours": f"{seconds[slowest]:.2f} s",
        "target": f"{LONGEST:.0f} s",
        "kept": kept(seconds[slowest] < LONGEST and not fooled),
        "note": f"{slowest}; {counts.timeouts} timed out, {counts.failures} failed, {len(fooled)} called right",
    }
    yield {
        "what": "right answers after them that are graded right",
        "ours": f"{sum(right)} of 20",
        "target": "20",
        "kept": kept(all(right)),
    }


def since(before: Counts, now: Counts) -> Counts:
    return Counts(now.requests - before.requests, now.timeouts - before.timeouts, now.failures - before.failures)


# ---------------------------------------------------------------------------------------------------------------------


def math_verify_compares(gold: str, answer: str) -> bool:
    """math-verify with its own settings and time-outs, given the answer in a box."""
    from math_verify import parse, verify

    return bool(verify(parse(f"${gold}$"), parse(f"\\boxed{{{answer}}}")))


def math_verify_reads(gold: str, response: str) -> bool:
    """The same, given the whole response."""
    from math_verify import parse, verify

    return bool(verify(parse(f"${gold}$"), parse(response)))


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def kept(condition: bool) -> str:
    return "yes" if condition else "NO"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="the parts to measure")
    parser.add_argument("--limit", type=int, default=1500, help="pairs for the cold speed")
    parser.add_argument("--show", action="store_true", help="print every labelled response judged otherwise")
    parser.add_argument("--data", type=Path, help="data directory (default: R1ZERO_DATA, else ../shared/data)")
    parser.add_argument("--json", type=Path, help="where the numbers are written")
    args = parser.parse_args()
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    data = args.data or Path(os.environ.get("R1ZERO_DATA", beside))
    rows = load(data)
    if not rows:
        print(f"no responses/*.jsonl in {data}: labels and speed are left out; give --data DIR", file=sys.stderr)
    facts = describe(1) | {"rule": RULE, "group": GROUP}
    labelled = list(agreement(rows)) if "labels" in args.only and rows else []
    if labelled:
        print_rows("whole responses against sure labels", labelled, facts)
        if args.show:
            print(*disagreements(rows), sep="\n")
    measured: list[dict[str, object]] = []
    if "speed" in args.only and rows:
        measured += [*cold(rows, args.limit), *grouped(rows, args.limit)]
    if "hostile" in args.only:
        measured += hostile()
    if measured:
        print_rows("speed, and hostile answers", measured, facts)
    write_json(args.json, labelled + measured, facts)
    return 1 if any(row.get("kept") == "NO" for row in labelled + measured) else 0


if __name__ == "__main__":
    sys.exit(main())
