"""`r1zero import`: what other trainers and evaluators wrote, as rollouts that every other verb reads."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from r1zero.cli.verb import Arguments, Option, Verb
from r1zero.grading import EXTRACTORS, VERIFIERS

if TYPE_CHECKING:
    from r1zero.importing import Choices
    from r1zero.importing.collect import Counts

NAMES = ("auto", "oat", "trl", "verl", "simplerl", "lm-eval", "jsonl", "csv")


def run(arguments: Arguments) -> int:
    """Import everything, or nothing when a file is not what it should be."""
    from r1zero.importing import import_rollouts
    from r1zero.store import jsonable

    paths = [Path(path) for path in arguments.positionals]
    out = Path(arguments.options.get("out") or default_directory(paths))
    with watched() as on_rows:
        counts = import_rollouts(paths, out, choices_of(arguments), on_rows)
    print(
        json.dumps({"directory": str(out)} | jsonable(counts), indent=2) if arguments.has("json") else text(out, counts)
    )
    return 0


def default_directory(paths: list[Path]) -> Path:
    """Where an import goes when nobody says."""
    return Path("runs") / f"import-{paths[0].resolve().stem}"


def choices_of(arguments: Arguments) -> Choices:
    """Raises ValueError for options that are none, or contradict each other."""
    from r1zero.grading.pool import num_cores
    from r1zero.importing import Choices

    options = arguments.options
    if arguments.has("grade") and arguments.has("no-grade"):
        raise ValueError("--grade and --no-grade: give one of them")
    return Choices(
        format=options.get("from", "auto"),
        map=places(options.get("map", "")),
        model=options.get("model"),
        grade="all" if arguments.has("grade") else "none" if arguments.has("no-grade") else "missing",
        rule=options.get("rule"),
        task=options.get("task"),
        right_from=threshold(options.get("right-from")),
        filter=options.get("filter"),
        workers=arguments.count("workers", num_cores()),
    )


def places(value: str) -> dict[str, str]:
    """`column=field,...` as a dict.  Raises ValueError for what has another form."""
    found = {}
    for pair in filter(None, (pair.strip() for pair in value.split(","))):
        column, equals, key = pair.partition("=")
        if not equals or not column.strip() or not key.strip():
            raise ValueError(f"--map {pair}: give COLUMN=FIELD, as in --map gold=solution,correct=is_right")
        found[column.strip()] = key.strip()
    return found


def threshold(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"--right-from {value}: give a number, the lowest score of a right answer")
    return found


# ---------------------------------------------------------------------------------------------------------------------
# What is shown


def text(out: Path, counts: Counts) -> str:
    """Where everything went, and who judged it."""
    lines = [f"{counts.responses:,} responses to {counts.problems:,} problems in {out}", ""]
    for what, verdicts in (("came with a verdict", counts.imported), ("graded here", counts.graded)):
        if verdicts:
            shares = f"{verdicts['right']:,} right, {verdicts['wrong']:,} wrong"
            lines.append(f"  {sum(verdicts.values()):>9,}  {what}: {shares}")
    lines += [f"  {number:>9,}  without a verdict: {why}" for why, number in sorted(counts.ungraded.items())]
    lines += [f"  {number:>9,}  rows left out: filter {name}" for name, number in sorted(counts.others.items())]
    if not counts.scores:
        lines += ["", "Scores are not only 0 and 1, so none is taken for a verdict: say --right-from SCORE."]
    return "\n".join([*lines, "", f"r1zero analyze {out}", f"r1zero probe {out}"])


@contextlib.contextmanager
def watched() -> Iterator[Callable[[int], None]]:
    """On a terminal a line on stderr says how many responses have been read."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console

    with Console(stderr=True).status("reading") as status:
        yield lambda count: status.update(f"{count:,} responses")


VERB = Verb(
    name="import",
    summary="rollouts and evaluations of other systems into our store",
    usage="PATH [...] --from NAME [-o DIR] [--map COLUMN=FIELD,...] [--grade] [--rule NAME]",
    run=run,
    positionals=(1, 256),
    options=(
        Option("from", "NAME", "the format of the files (default: auto, as their first rows look)", choices=NAMES),
        Option("out", "DIR", "the directory to write (default: runs/import-NAME, after the first path)", short="o"),
        Option(
            "map",
            "COLUMN=FIELD,...",
            "where columns of our store stand in a row, over what the format says: gold, problem, problem_id, correct, "
            "response (jsonl and csv only), model, dataset, template, level, step, ...",
        ),
        Option("model", "NAME", "what to call the model, over what files and rows say"),
        Option("grade", "", "grade everything that has a gold anew (default: only what came without a verdict)"),
        Option("no-grade", "", "grade nothing: what came without a verdict stays without"),
        Option(
            "rule",
            "NAME",
            "where the answer stands in a response (default: as its template asks where that is one of ours, else "
            "`any`: every place where an answer may stand)",
            choices=tuple(EXTRACTORS),
        ),
        Option("task", "NAME", "how an answer is checked (default: as its gold looks)", choices=tuple(VERIFIERS)),
        Option(
            "right-from",
            "SCORE",
            "the lowest score of a right answer (default: a score of 1 is right and 0 wrong, where all are 0 or 1)",
        ),
        Option("filter", "NAME", "which filter's rows of the lm-evaluation-harness (default: the first of a file)"),
        Option("workers", "N", "processes that grade at once, where rows are slow (default: the cores)"),
        Option("json", "", "print the counts as JSON"),
    ),
    details="""
PATH is a file or a folder of files. The formats:

  oat       evaluations of oat-zero, understand-r1-zero and oat (JSON)
  trl       completions of TRL's GRPO trainer (completions_*.parquet)
  verl      rollout_data_dir and validation_data_dir of verl (STEP.jsonl)
  simplerl  evaluations of simpleRL-reason and Qwen2.5-Math (jsonl)
  lm-eval   samples_*.jsonl of the lm-evaluation-harness
  jsonl     one object a line, by usual names or --map; also parquet
  csv       the same with a header

DIR reads like an evaluation's directory: `r1zero analyze DIR`. It is written whole or not at all, never over anything
but an import of the same files. A file of another format is refused with its first bad row and what was expected.
docs/import.md says what each format fills.

  r1zero import eval_results/ --from oat -o runs/oat-zero-7b
  r1zero import outputs/completions/ --from trl --map correct=accuracy
  r1zero import base.csv --map response=text,gold=answer,problem=prompt
""",
)
