"""What stored responses of real models say about answering and reflecting: the tables of docs/epoch0.md.

    python -m benchmarks.epoch0 DATA/responses [--only NAME ...]

DATA/responses holds jsonl files with `question`, `response`, `gold`, `model` and `template`.  Each is imported twice:

    r1zero import FILE --grade                 # right: the answer stands where the template wants it
    r1zero import FILE --grade --rule any      # right: the answer stands anywhere

into a directory that is thrown away.  Answering and "where wanted" are of the first; reflection does not depend on the
grade; all the rest is of the second.  The numbers are those of `r1zero probe` on the same imports, cut into one row for
each model under each template.  Markdown goes to stdout.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from r1zero.analysis.answering import answering
from r1zero.analysis.clustered import share
from r1zero.analysis.detectors import DetectorRow, reflection
from r1zero.analysis.difficulty import difficulty
from r1zero.analysis.helping import HelpingResult, helping
from r1zero.analysis.transitions import TransitionRates
from r1zero.facts.read import read_facts
from r1zero.facts.trajectory import Transition
from r1zero.importing import Choices, import_rollouts
from r1zero.statistics.intervals import Interval, show_p

POOLS = ("extended", "oat-zero", "understand-r1-zero")
WAYS: tuple[tuple[Transition, ...], ...] = (("TT",), ("FT",), ("TF",), ("FF_same", "FF_other"), ("none",))


@dataclass(frozen=True)
class Origin:
    """The responses of one model under one template, graded in two ways."""

    name: str
    wanted: pl.DataFrame  # facts: right where the answer stands where the template wants it
    anywhere: pl.DataFrame  # facts: right where it stands anywhere


def read(files: Iterable[Path], place: Path) -> Iterator[Origin]:
    """Origins in the order of the files and of their first responses."""
    for file in files:
        tables = []
        for rule in (None, "any"):
            out = place / f"{file.stem}-{rule or 'own'}"
            import_rollouts([file], out, Choices(grade="all", rule=rule))
            tables.append(read_facts(out))
        for model, template in tables[0].select("model", "template").unique(maintain_order=True).rows():
            own = pl.col("model").eq_missing(model) & pl.col("template").eq_missing(template)
            several = [name for name in ("model", "template") if tables[0][name].n_unique() > 1]
            name = " · ".join([file.stem, *({"model": str(model), "template": str(template)}[key] for key in several)])
            yield Origin(name, tables[0].filter(own), tables[1].filter(own))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table under a heading."""
    lines = [f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows)]
    return "\n".join([f"### {title}", "", *lines, ""])


# ---------------------------------------------------------------------------------------------------------------------
# Rows


def answers(one: Origin) -> list[str]:
    """How many answer, how many answer where they should, and how many are right by either reading."""
    row = answering(one.wanted).templates[0]
    wanted, correct = (share(one.wanted, pl.col(name)) for name in ("formatted", "correct"))
    anywhere = share(one.anywhere, pl.col("correct"))
    counts = [f"{row.responses:,}", f"{row.problems:,}"]
    return [one.name, *counts, *map(str, (row.rule, row.empty, wanted, correct, anywhere))]


def reflects(one: Origin) -> list[str]:
    """Responses with a cue of each pool; questions with one, by the widest pool."""
    found = {row.detector.removeprefix("keywords "): row for row in reflection(one.wanted).detectors}
    widest = found["extended"]
    at = f"{widest.by_question_at} at n = {widest.at}" if widest.samples[1] > 1 else "as by response"
    return [one.name, f"{widest.responses:,}", *(by_response(found[pool]) for pool in POOLS), at]


def by_response(row: DetectorRow) -> str:
    return f"{row.found} ({percent(row.by_response)})"


def percent(interval: Interval) -> str:
    """ "2.0 % [1.2, 3.4]" """
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.estimate:.1f} % [{low:.1f}, {high:.1f}]"


def keywords(one: Origin) -> list[str]:
    return [one.name, ", ".join(f"{row.cue} {row.count}" for row in reflection(one.wanted).keywords) or "none"]


def becomes(one: Origin) -> list[str]:
    """First answers against last ones, all and with a cue."""
    found = helping(one.anywhere)
    rates = found.all
    several = f"{round(rates.several.estimate * rates.responses):,} of {rates.responses:,}" if rates.responses else "–"
    shares = (rates.correction_of_several, rates.damage_of_several)
    return [one.name, several, ways(rates), *map(str, shares), ways(found.with_cue)]


def ways(rates: TransitionRates) -> str:
    """Counts of TT, FT, TF, FF and none."""
    return " / ".join(f"{sum(rates.counts[name] for name in names):,}" for names in WAYS)


def helps(one: Origin) -> list[str]:
    """Reflecting and being right: pooled over questions, and within them where they have several responses."""
    found = helping(one.anywhere)
    return [one.name, f"{found.reflecting} of {found.responses:,}", str(found.naive), *within(found), *by_length(found)]


def within(found: HelpingResult) -> list[str]:
    """Questions with both kinds of responses, the contrast there and its p-value."""
    loosest = found.contrasts[-1]
    if not loosest.num_questions:
        return ["0", "–", "–"]
    return [f"{loosest.num_questions}", str(loosest.effect), show_p(loosest.p_permutation)]


def by_length(found: HelpingResult) -> list[str]:
    """Cues in a thousand characters of right and of wrong responses."""
    last = found.occurrences[-1]
    return [f"{one.cues} in {one.responses} ({one.per_thousand:.3f})" for one in (last.right, last.wrong)]


def lengths(one: Origin) -> list[str]:
    """Characters of right and wrong responses, and how much longer wrong ones are."""
    found = difficulty(one.anywhere)
    mean = {row.outcome: row.mean["characters"] for row in found.lengths}
    contrast = next(row for row in found.contrasts if (row.outcome, row.unit) == ("wrong", "characters"))
    same = f"{contrast.within} ({contrast.num_problems} problems)" if contrast.num_problems else "–"
    return [one.name, f"{mean['correct']:.0f}", f"{mean['wrong']:.0f}", str(contrast.raw), same]


TABLES = {
    "Answering": (
        ("responses", "problems", "tries to answer", "ends at once", "answer where wanted", "right there", "right"),
        answers,
    ),
    "Reflection by keywords": (("responses", *POOLS, "questions (extended)"), reflects),
    "Cues (extended)": (("occurrences",), keywords),
    "First and last answers": (
        ("several answers", "TT / FT / TF / FF / none", "corrected of several", "damaged of several", "with a cue"),
        becomes,
    ),
    "Reflecting and being right": (
        ("with a cue", "pooled", "questions", "same question", "p", "cues in right", "cues in wrong"),
        helps,
    ),
    "Length in characters": (("right", "wrong", "wrong ÷ right", "same question"), lengths),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("responses", type=Path, help="a folder of jsonl files")
    parser.add_argument("--only", nargs="*", default=[], help="names of files, without .jsonl")
    arguments = parser.parse_args()
    files = [file for file in sorted(arguments.responses.glob("*.jsonl")) if file.stem in (arguments.only or file.stem)]
    if not files:
        raise SystemExit(f"no jsonl file in {arguments.responses} by the names given")
    with tempfile.TemporaryDirectory(prefix="r1zero-epoch0-") as place:
        origins = list(read(files, Path(place)))
    for title, (columns, row) in TABLES.items():
        print(table(title, ("file", *columns), (row(one) for one in origins)), flush=True)


if __name__ == "__main__":
    main()
