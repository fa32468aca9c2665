"""Cases that public graders are known to misjudge: r1zero's and math-verify's verdicts, and what is recorded of others.

    python -m benchmarks.grading_cases [--wrong] [--json FILE]

Each line of grading_cases.jsonl is a gold, an answer, and whether the answer is right.  r1zero and math-verify are run.
The other graders are not, and their code is not here: `recorded` says what was once seen of them elsewhere.  A grader
that it leaves out judged the case rightly or was not looked at.  Where `named` is false the string is ours, for a
failure that the record describes without one.  `repeat` is how often `prediction` is written, 1 unless given.

math-verify works in a process of its own that is ended after 5 s of processor time, which counts as "not equal".
Its own alarms, 5 s for reading and 5 s for comparing, are off.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import describe, print_rows, write_json
from r1zero.grading import equivalent
from r1zero.grading.pool import Pool, is_timeout
from r1zero.grading.second_opinion import SECONDS

CASES = Path(__file__).with_suffix(".jsonl")
PEERS = ("understand-r1-zero", "prm800k", "Qwen/simpleRL", "verl prime_math", "inspect_ai", "MARIO")
SHOWN = 40  # letters of an answer


@dataclass(frozen=True)
class Case:
    """One answer to judge.

    Example: Case(kind="loose tolerance", gold="3600", prediction="36", right=False, recorded={})
    """

    kind: str
    gold: str
    prediction: str
    right: bool
    recorded: dict[str, str]
    named: bool = True


@dataclass(frozen=True)
class Judged:
    """A case and two verdicts, and why math-verify came to no end, "" where it did."""

    case: Case
    ours: bool
    math_verify: bool
    trouble: str = ""

    def row(self) -> dict[str, object]:
        case = self.case
        found = self.trouble or verdict(self.math_verify)
        return {
            "class": case.kind,
            "gold": short(case.gold),
            "answer": short(case.prediction),
            "should be": verdict(case.right),
            "r1zero": marked(verdict(self.ours), self.ours == case.right),
            "math-verify": marked(found, self.math_verify == case.right and not self.trouble),
            "recorded, not run": "; ".join(
                f"{what}: {', '.join(peer for peer, seen in case.recorded.items() if seen == what)}"
                for what in dict.fromkeys(case.recorded.values())
            ),
        }


def load(path: Path = CASES) -> list[Case]:
    """Every case.  Raises ValueError for one that names a grader not among PEERS."""
    cases = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for peer in row["recorded"]:
            if not peer.startswith(PEERS):
                raise ValueError(f"{path.name}: {peer!r} is none of {', '.join(PEERS)}")
        answer = row["prediction"] * row.get("repeat", 1)
        cases.append(Case(row["class"], row["gold"], answer, row["right"], row["recorded"], row["named"]))
    return cases


def judge(cases: Sequence[Case]) -> list[Judged]:
    """Both graders on every case, in order."""
    pool = Pool("r1zero.grading.second_opinion:math_verify_equal", seconds=SECONDS)
    try:
        judged = []
        for case in cases:
            reply = pool.call(case.prediction, case.gold)
            why = "stalled" if is_timeout(reply.fault) else reply.fault
            judged.append(Judged(case, equivalent(case.prediction, case.gold), reply.value is True, why))
        return judged
    finally:
        pool.close()


def by_class(judged: Sequence[Judged]) -> list[dict[str, object]]:
    """For each class how many cases each grader misjudges; a stall or a crash is told apart, whatever it counts as."""
    rows: list[dict[str, object]] = []
    for kind in (*dict.fromkeys(j.case.kind for j in judged), "all"):
        chosen = [j for j in judged if kind in (j.case.kind, "all")]
        stalls = sum(bool(j.trouble) for j in chosen)
        wrong = sum(j.math_verify != j.case.right for j in chosen if not j.trouble)
        rows.append(
            {
                "class": kind,
                "cases": len(chosen),
                "equal": sum(j.case.right for j in chosen),
                "r1zero misjudges": sum(j.ours != j.case.right for j in chosen),
                "math-verify misjudges": f"{wrong}, and comes to no end in {stalls}" if stalls else str(wrong),
                "recorded as misjudging or stalling (not run)": recorded(chosen),
            }
        )
    return rows


def recorded(judged: Sequence[Judged]) -> str:
    """Each peer with the number of these cases it is recorded for."""
    seen = {peer: sum(any(name.startswith(peer) for name in j.case.recorded) for j in judged) for peer in PEERS}
    return ", ".join(f"{peer} {count}" for peer, count in seen.items() if count)


def verdict(equal: bool) -> str:
    return "equal" if equal else "not equal"


def marked(text: str, right: bool) -> str:
    """Capitals stand out in a terminal, a log and a file alike."""
    return text if right else text.upper()


def short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:8]}… ({len(text):,} letters)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wrong", action="store_true", help="list only what r1zero or math-verify misjudges")
    parser.add_argument("--json", type=Path, help="where the verdicts are written")
    args = parser.parse_args()
    if importlib.util.find_spec("math_verify") is None:
        print('math-verify is not installed: pip install "r1zero[math]"', file=sys.stderr)
        return 2
    judged = judge(load())
    facts = describe(1)
    listed = [
        j for j in judged if not args.wrong or j.ours != j.case.right or j.math_verify != j.case.right or j.trouble
    ]
    print_rows("cases that public graders misjudge (capitals: wrong)", [j.row() for j in listed], facts)
    print_rows("by class", by_class(judged), facts)
    write_json(args.json, [j.row() for j in judged], facts)
    return 1 if any(j.ours != j.case.right for j in judged) else 0


if __name__ == "__main__":
    sys.exit(main())
