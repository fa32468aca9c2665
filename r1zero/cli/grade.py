"""`r1zero grade`: a jsonl file of answers gains their grades, row by row, whatever its size."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from r1zero.cli.verb import Arguments, Option, Verb
from r1zero.grading import EXTRACTORS, fault, grade
from r1zero.records import Grade

SHOWN_REASONS = 5


@dataclass
class Tally:
    """What has been graded so far."""

    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)  # correct, wrong, unformatted
    reasons: Counter[str] = field(default_factory=Counter)
    faulty_lines: int = 0

    def add(self, verdict: Grade) -> None:
        self.rows += 1
        self.counts["correct" if verdict.correct else "wrong" if verdict.formatted else "unformatted"] += 1
        if verdict.reason:
            self.reasons[verdict.reason] += 1


def run(arguments: Arguments) -> int:
    """Grade every line; 2 when some line could not be graded (it is named on stderr and left out)."""
    source, out = arguments.positionals[0], arguments.options.get("out")
    answer_format = arguments.options.get("answer-format")
    tally = Tally()
    with opened(source) as lines, written(out) as rows:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row, verdict = grade_line(line, answer_format)
            except ValueError as error:
                tally.faulty_lines += 1
                print(f"r1zero: {source}, line {number}: {error}", file=sys.stderr)
                continue
            tally.add(verdict)
            rows.write(json.dumps({**row, **asdict(verdict)}) + "\n")
    if not tally.rows and not tally.faulty_lines:
        raise ValueError(f"{source} holds no rows: give one JSON object a line, with `gold` and `response`")
    show(tally, sys.stdout if out else sys.stderr, as_json=arguments.has("json"))
    return 2 if tally.faulty_lines else 0


def grade_line(line: str, answer_format: str | None) -> tuple[dict[str, Any], Grade]:
    """A row and its grade.  Raises ValueError saying what the row lacks."""
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON ({error})") from None
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    if "gold" not in row:
        raise ValueError("no `gold`")
    gold = row["gold"] if isinstance(row["gold"], str) else json.dumps(row["gold"])
    task = row.get("task") or "countdown"
    if row.get("response") is not None:
        return row, grade(_text(row, "response"), gold, answer_format or format_of(row), task=task)
    if "prediction" not in row:
        raise ValueError("neither `response` nor `prediction`")
    if row["prediction"] is None:
        return row, Grade(correct=False, formatted=False, extracted=None, reason="no prediction")
    prediction = _text(row, "prediction")
    reason = fault(prediction, gold, task=task)
    return row, Grade(correct=not reason, formatted=True, extracted=prediction, reason=reason)


def format_of(row: dict[str, Any]) -> str:
    """The answer format a row states, else that of its template, else `any`."""
    if row.get("answer_format"):
        return str(row["answer_format"])
    if row.get("template"):
        from r1zero.tasks.templates import load_template

        return load_template(str(row["template"])).answer_format
    return "any"


def _text(row: dict[str, Any], key: str) -> str:
    value = row[key]
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"`{key}` is not text")


@contextlib.contextmanager
def opened(source: str) -> Iterator[Iterator[str]]:
    """The lines of a file, or of stdin for "-"."""
    if source == "-":
        yield iter(sys.stdin)
        return
    if not Path(source).exists():
        raise ValueError(f"no file {source}")
    if Path(source).is_dir():
        raise ValueError(f"{source} is a directory: give a jsonl file")
    with open(source, encoding="utf-8", errors="replace") as handle:
        yield handle


@contextlib.contextmanager
def written(out: str | None) -> Iterator[TextIO]:
    """Where rows go: stdout, or a file that appears only when it is whole."""
    if out is None:
        yield sys.stdout
        return
    path = Path(out)
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {out}: there is no folder {path.parent}")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "w", encoding="utf-8") as handle:
            yield handle
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def show(tally: Tally, out: TextIO, *, as_json: bool) -> None:
    """How many rows fell where, and the commonest reasons."""
    shares = {name: tally.counts[name] for name in ("correct", "wrong", "unformatted")}
    reasons = tally.reasons.most_common(SHOWN_REASONS)
    if as_json:
        numbers = {"rows": tally.rows, **shares, "faulty_lines": tally.faulty_lines, "reasons": dict(reasons)}
        print(json.dumps(numbers, indent=2), file=out)
        return
    print(f"{tally.rows} rows: " + ", ".join(f"{count} {name}" for name, count in shares.items()), file=out)
    for reason, count in reasons:
        print(f"  {count:>6}  {reason}", file=out)
    if tally.faulty_lines:
        print(f"{tally.faulty_lines} lines could not be graded and are left out", file=out)


VERB = Verb(
    name="grade",
    summary="grades answers in a jsonl file: rows gain correct, formatted, extracted and reason",
    usage="FILE.jsonl [-o OUT.jsonl] [--answer-format NAME]",
    run=run,
    positionals=(1, 1),
    options=(
        Option("out", "FILE", "where the graded rows go (default: stdout, the counts then on stderr)", short="o"),
        Option(
            "answer-format",
            "NAME",
            "where the answer stands in a response, for all rows (default: the row's `answer_format`, else that of its "
            "`template`, else `any`: the last box, <answer> tag or 'Answer: ' line)",
            choices=tuple(EXTRACTORS),
        ),
        Option("json", "", "print the counts as JSON"),
    ),
    details="""
Each line is a JSON object with `gold` and either `response` (the whole text a model wrote) or `prediction` (an answer
alone). A Countdown gold is {"nums": [3, 8, 5], "target": 29}. FILE may be - for stdin. Lines that cannot be graded are
named on stderr and left out, and the exit code is then 2.
""",
)
