"""`r1zero grade`: a jsonl file of answers gains their grades, row by row, whatever its size."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from r1zero.cli.grade_summary import Tally, show
from r1zero.cli.verb import Arguments, Option, Verb
from r1zero.grading import EXTRACTORS, VERIFIERS, task_of
from r1zero.grading.batch import Submission, grade_many
from r1zero.grading.mathematics import read_gold
from r1zero.grading.pool import num_cores
from r1zero.grading.second_opinion import GRADERS, second_opinions
from r1zero.records import Grade

Submit = Callable[["Line"], Submission]


@dataclass(frozen=True)
class Line:
    """One line of the file: a row, or what is wrong with it.

    Example: Line(number=7, row={"gold": "4", "response": "..."})
    """

    number: int  # from 1
    row: dict[str, Any]
    fault: str = ""


def run(arguments: Arguments) -> int:
    """Grade every line; 1 when some line could not be graded (it is named on stderr and left out)."""
    source, out, also = arguments.positionals[0], arguments.options.get("out"), arguments.options.get("also")
    rule = arguments.options.get("rule")
    workers = arguments.count("workers", num_cores())
    submission_of = partial(submit, rule=rule, task=arguments.options.get("task"))
    tally = Tally()
    with opened(source) as texts, written(out) as rows, watched(texts, source, out) as seen:
        verdicts = grade_many(read_lines(seen), submission_of, workers=workers)
        for line, verdict, second in with_second(verdicts, submission_of, also, workers):
            if isinstance(verdict, ValueError):
                tally.add_fault(line.number)
                print(f"r1zero: {source}, line {line.number}: {verdict}", file=sys.stderr)
                continue
            tally.add(verdict, "" if rule else foreign_template(line.row))
            graded = {**line.row, **asdict(verdict)}
            if also:
                graded[also.replace("-", "_")] = second
            if second is not None:
                tally.add_second(line.number, " or ".join(golds_of(line.row)), verdict, second)
            rows.write(json.dumps(graded) + "\n")
    if not tally.rows and not tally.faulty_lines:
        raise ValueError(f"{source} holds no rows: give one JSON object a line, with `gold` and `response`")
    show(tally, sys.stdout if out else sys.stderr, also=also, as_json=arguments.has("json"))
    return 1 if tally.faulty_lines else 0


# ---------------------------------------------------------------------------------------------------------------------
# Rows


def read_lines(texts: Iterable[bytes | str]) -> Iterator[Line]:
    """The rows of a jsonl file; blank lines are skipped."""
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:  # ValueError: no JSON, or no UTF-8
            yield Line(number, {}, f"not JSON ({error})")
            continue
        yield Line(number, row) if isinstance(row, dict) else Line(number, {}, "not a JSON object")


def submit(line: Line, *, rule: str | None = None, task: str | None = None) -> Submission:
    """What of a line is to be graded.  Raises ValueError saying what the row lacks."""
    if line.fault:
        raise ValueError(line.fault)
    row = line.row
    golds = golds_of(row)
    task = task or row.get("task") or task_of(golds[0])
    if not isinstance(task, str):
        raise ValueError(f"`task` is {task!r}, not one of {', '.join(VERIFIERS)}")
    if task == "math":
        for gold in golds:  # also those after one that the answer satisfies
            read_gold(gold)
    if row.get("response") is not None:
        return Submission(_text(row, "response"), golds, rule or format_of(row), task)
    if "prediction" not in row:
        raise ValueError("neither `response` nor `prediction`")
    return Submission(None if row["prediction"] is None else _text(row, "prediction"), golds, None, task)


def golds_of(row: dict[str, Any]) -> tuple[str, ...]:
    """The accepted answers of a row as text; those with parts stay JSON.  Raises ValueError when there is none."""
    if "gold" not in row:
        raise ValueError("no `gold`")
    golds = row["gold"] if isinstance(row["gold"], list) else [row["gold"]]
    if not golds or any(gold is None or gold == "" for gold in golds):
        raise ValueError("`gold` is empty")
    return tuple(gold if isinstance(gold, str) else json.dumps(gold) for gold in golds)


def format_of(row: dict[str, Any]) -> str:
    """The answer format a row states, else that of its template where that is one of ours, else `any`."""
    from r1zero.tasks.templates import TEMPLATES

    if row.get("answer_format"):
        return str(row["answer_format"])
    template = TEMPLATES.get(str(row.get("template")))
    return template.answer_format if template else "any"


def foreign_template(row: dict[str, Any]) -> str:
    """The template a row names where that says nothing to us about its answer format; "" where there is none."""
    from r1zero.tasks.templates import TEMPLATES

    name = "" if row.get("answer_format") or row.get("response") is None else str(row.get("template") or "")
    return "" if name in TEMPLATES else name


def _text(row: dict[str, Any], key: str) -> str:
    value = row[key]
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"`{key}` is not text")


# ---------------------------------------------------------------------------------------------------------------------
# Another grader


def with_second(
    verdicts: Iterable[tuple[Line, Grade | ValueError]], submission_of: Submit, also: str | None, workers: int
) -> Iterator[tuple[Line, Grade | ValueError, bool | None]]:
    """Each verdict beside that of the other grader; None where it has no answer to judge, or is not asked."""
    if also is None:
        yield from ((line, verdict, None) for line, verdict in verdicts)
        return
    asked = (((line, verdict), *question(line, verdict, submission_of)) for line, verdict in verdicts)
    for (line, verdict), second in second_opinions(asked, workers=workers):
        yield line, verdict, second


def question(line: Line, verdict: Grade | ValueError, submission_of: Submit) -> tuple[str | None, tuple[str, ...]]:
    """The answer and the golds another grader is asked about: mathematical ones, gold by gold without tolerances."""
    if isinstance(verdict, ValueError) or submission_of(line).task == "countdown":
        return None, ()
    return verdict.extracted, tuple(answer for gold in golds_of(line.row) for answer in read_gold(gold).answers)


# ---------------------------------------------------------------------------------------------------------------------
# Files


@contextlib.contextmanager
def opened(source: str) -> Iterator[Iterable[bytes | str]]:
    """The lines of a file, or of stdin for "-"."""
    if source == "-":
        yield getattr(sys.stdin, "buffer", sys.stdin)
        return
    if not Path(source).exists():
        raise ValueError(f"no file {source}")
    if Path(source).is_dir():
        raise ValueError(f"{source} is a directory: give a jsonl file")
    with open(source, "rb") as handle:
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


@contextlib.contextmanager
def watched(texts: Iterable[bytes | str], source: str, out: str | None) -> Iterator[Iterable[bytes | str]]:
    """The same lines, and a progress bar on stderr where that is a terminal and the rows go elsewhere."""
    if not sys.stderr.isatty() or (out is None and sys.stdout.isatty()):
        yield texts
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("grade"), BarColumn(), TextColumn("{task.fields[rows]:,} rows"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as progress:
        total = None if source == "-" else Path(source).stat().st_size
        bar = progress.add_task("grade", total=total, rows=0)

        def counted() -> Iterator[bytes | str]:
            for number, text in enumerate(texts, start=1):
                progress.update(bar, advance=len(text), rows=number)
                yield text

        yield counted()


VERB = Verb(
    name="grade",
    summary="grades answers in a jsonl file: rows gain correct, formatted, extracted and reason",
    usage="FILE.jsonl [-o OUT.jsonl] [--rule NAME] [--task NAME] [--workers N] [--also math-verify]",
    run=run,
    positionals=(1, 1),
    options=(
        Option("out", "FILE", "where the graded rows go (default: stdout, the counts then on stderr)", short="o"),
        Option(
            "rule",
            "NAME",
            "where the answer stands in a response, for all rows (default: the row's `answer_format`, else that of its "
            "`template`, else `any`: every place where an answer may stand)",
            choices=tuple(EXTRACTORS),
        ),
        Option(
            "task",
            "NAME",
            "how an answer is checked, for all rows (default: the row's `task`, else `countdown` where the gold has "
            "`nums`, else `math`)",
            choices=tuple(VERIFIERS),
        ),
        Option("workers", "N", "processes that may grade at once, where rows are slow (default: the cores)"),
        Option(
            "also",
            "NAME",
            "ask another grader, too, in processes of its own: rows gain its verdict, and agreement, Cohen's kappa and "
            "the rows that differ are printed",
            choices=GRADERS,
        ),
        Option("json", "", "print the counts as JSON"),
    ),
    details="""
Each line is a JSON object with `gold` and either `response` (the whole text a model wrote) or `prediction` (an answer
alone). A gold is an answer, a list of alternatives of which the best counts, or an object: {"nums": [3, 8, 5],
"target": 29} for Countdown. FILE may be - for stdin.

Rows keep their order. A line that cannot be graded is named on stderr and left out, and the exit code is then 1. An
answer that is too much for a comparison's time (2 s) or memory is wrong, with the reason, and counted.
""",
)
