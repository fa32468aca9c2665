"""`r1zero analyze`: stored responses graded anew under several rules, without the model that wrote them."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from r1zero.cli.verb import Arguments, Option, Verb
from r1zero.config import nearest
from r1zero.grading import EXTRACTORS, VERIFIERS

if TYPE_CHECKING:
    from r1zero.analysis.regrade import Origin, StoredResponse, Tally
    from r1zero.records import Grade

T = TypeVar("T")
DISAGREEMENTS = 3


def run(arguments: Arguments) -> int:
    """Read, grade and print everything; nothing is printed when a file is not what it should be."""
    from r1zero.analysis.regrade import report
    from r1zero.cli.analyze_rows import sources
    from r1zero.cli.analyze_tables import as_dict, text
    from r1zero.cli.grade import written
    from r1zero.grading.pool import num_cores

    rules, split = chosen_rules(arguments.options.get("rule")), arguments.options.get("split")
    kept = 0 if arguments.options.get("disagreements") == "0" else arguments.count("disagreements", DISAGREEMENTS)
    workers, out = arguments.count("workers", num_cores()), arguments.options.get("out")
    readers: dict[Path, Any] = {}  # a file that is named twice counts once
    for path in arguments.positionals:
        readers |= sources(path, split, arguments.options.get("task"))  # type: ignore[arg-type]  # a choice
    with contextlib.ExitStack() as stack:
        rows = stack.enter_context(written(out)) if out else None
        responses = stack.enter_context(counted(response for reader in readers.values() for response in reader()))
        tallies = tally_all(responses, rules, kept, workers, rows)
    if not tallies:
        raise ValueError(f"{', '.join(arguments.positionals)}: no responses")
    reports = [report(tally) for tally in tallies]
    if arguments.has("json"):
        print(json.dumps(as_dict(reports), indent=2, allow_nan=False))
    else:
        print(text(reports))
    return 0


def chosen_rules(names: str | None) -> tuple[str, ...]:
    """The rules of --rule; none when it is not given.  Raises ValueError for an unknown one."""
    chosen = tuple(dict.fromkeys(name.strip() for name in (names or "").split(",") if name.strip()))
    for name in chosen:
        if name not in EXTRACTORS:
            raise ValueError(f"--rule {name}: {nearest(name, EXTRACTORS)}")
    if names is not None and not chosen:
        raise ValueError(f"--rule {names!r}: give one or more of {', '.join(EXTRACTORS)}")
    return chosen


def tally_all(
    responses: Iterable[StoredResponse], rules: tuple[str, ...], kept: int, workers: int, rows: TextIO | None
) -> list[Tally]:
    """One tally an origin, in the order of their first responses; verdicts go to `rows` as they are found."""
    from r1zero.analysis.regrade import Tally, default_rules, regrade

    def rules_of(origin: Origin) -> tuple[str, ...]:
        return rules or default_rules(origin)

    tallies: dict[Origin, Tally] = {}
    for response, grades in regrade(responses, rules_of, workers=workers):
        origin = response.origin
        if origin not in tallies:
            tallies[origin] = Tally(origin, rules_of(origin), kept=kept)
        tallies[origin].add(response, grades)
        if rows is not None:
            rows.write(json.dumps(verdict_row(response, grades)) + "\n")
    return list(tallies.values())


def verdict_row(response: StoredResponse, grades: dict[str, Grade]) -> dict[str, Any]:
    """A line of --out: who and what, and the grade under every rule; the response itself stays where it is."""
    origin = {key: value for key, value in asdict(response.origin).items() if value}
    own = {"row": response.row, "id": response.id, "gold": list(response.golds), "label": response.label}
    return origin | own | {"grades": {rule: asdict(grade) for rule, grade in grades.items()}}


@contextlib.contextmanager
def counted(rows: Iterable[T]) -> Iterator[Iterable[T]]:
    """The same rows; on a terminal a line on stderr says how many have been read."""
    if not sys.stderr.isatty():
        yield rows
        return
    from rich.console import Console

    with Console(stderr=True).status("reading") as status:

        def watched() -> Iterator[T]:
            for number, row in enumerate(rows, start=1):
                if number % 50 == 0:
                    status.update(f"{number:,} responses")
                yield row

        yield watched()


VERB = Verb(
    name="analyze",
    summary="stored or imported responses graded anew under any rule, without the model",
    usage="PATH [...] [--rule NAME,...] [--disagreements N] [--out FILE.jsonl] [--json]",
    run=run,
    positionals=(1, 256),
    options=(
        Option(
            "rule",
            "NAME,...",
            "where the answer stands in a response (default: the template's own and the usual ones of the task, from "
            f"strict to lenient); of {', '.join(EXTRACTORS)}",
        ),
        Option(
            "disagreements", "N", f"rows to read of each kind where we and a label differ (default: {DISAGREEMENTS})"
        ),
        Option(
            "task",
            "NAME",
            "how answers in jsonl files are checked (default: as their golds look)",
            choices=tuple(VERIFIERS),
        ),
        Option(
            "split", "NAME", "which rollouts of a run (default: eval where there are any)", choices=("train", "eval")
        ),
        Option("out", "FILE", "write every verdict under every rule, one JSON object a response", short="o"),
        Option("workers", "N", "processes that grade at once, for more than 256 rows (default: the cores)"),
        Option("json", "", "print all numbers as JSON"),
    ),
    details="""
PATH is the directory of a run or an evaluation, a parquet part, a jsonl file (- for stdin) or a folder of them. A jsonl
file has one object a line with `gold` and `response`; id, model, dataset, template, question, label (true, false or
null), finish_reason and num_tokens are used where they are there. A file that is something else is refused with its
first wrong line.

Responses of the same file, model, dataset and template are counted together. Intervals are 95 % and count questions,
not responses. A star is the rule that the template itself asks for; `no answer` is the share of responses in which a
rule finds none. Labels that are null are left out. For rollouts of a run, the grades they were stored with stand for
labels. docs/analyze.md explains every column.

  r1zero analyze runs/quickstart-dr_grpo-seed0
  r1zero analyze responses.jsonl --rule r1,boxed,any --disagreements 20
""",
)
