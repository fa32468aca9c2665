"""What `r1zero analyze` prints: a table for each origin, and all of them at a glance."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from r1zero.analysis.regrade import OriginReport, RuleReport, precision, recall, together
from r1zero.grading.agreement import Agreement
from r1zero.statistics.intervals import short
from r1zero.store import jsonable

NAME, ANSWER = 30, 44  # characters of a name or an answer that are shown
OUTCOME_WORDS = {"correct": "right", "wrong": "wrong", "unformatted": "no answer", "truncated": "truncated"}


def text(reports: Sequence[OriginReport]) -> str:
    """Everything, for a terminal of 80 to 100 columns."""
    names = source_names(reports)
    parts = [of_origin(one, names[one.origin.source]) for one in reports]
    if len(reports) > 1:
        parts.append(at_a_glance(reports, names))
        if any(one.origin.judged_by == "labels" and one.unlabelled < one.responses for one in reports):
            parts.append(labels_together(reports))
    return "\n\n".join(parts)


def source_names(reports: Sequence[OriginReport]) -> dict[str, str]:
    """The last part of each source's path, where that says which it is; else the path."""
    sources = {one.origin.source for one in reports}
    last = Counter(Path(source).name for source in sources)
    return {source: name if last[name := Path(source).name] == 1 else source for source in sources}


def of_origin(one: OriginReport, source: str) -> str:
    """One origin: its rules, how its responses ended, and the disagreements to read."""
    lines = [title(one, source), facts(one), "", *rule_lines(one), "", *ledger_lines(one)]
    if broken := trouble(one):
        lines += ["", *broken]
    if one.disagreements:
        lines += ["", *disagreement_lines(one)]
    return "\n".join(lines)


def title(one: OriginReport, source: str) -> str:
    o = one.origin
    return " · ".join(shown(name, 48) for name in (source, o.model, o.dataset, o.template) if name)


def facts(one: OriginReport) -> str:
    """How much there is, and how much of it is labelled."""
    parts = [f"{_count(one.responses, 'response')} to {_count(one.questions, 'question')}"]
    labelled = one.responses - one.unlabelled
    if labelled:
        a = one.rules[0].agreement
        right = a.both + a.only_second
        parts.append(f"{one.origin.judged_by}: {right} right, {labelled - right} wrong, {one.unlabelled} unknown")
    if math.isfinite(one.truncated.estimate):
        parts.append(f"{short(one.truncated.estimate)} truncated")
    return "; ".join(parts)


def rule_lines(one: OriginReport) -> list[str]:
    """A line a rule; the template's own has a star.  Rules that find no answer anywhere share a line."""
    labelled, several = one.unlabelled < one.responses, one.k > 1
    head = ["rule", "accuracy", "no answer"] + [f"pass@{one.k}", f"maj@{one.k}"] * several
    head += ["agrees", "precision", "recall"] * labelled
    rows = [head]
    idle = [rule.rule for rule in one.rules if rule.no_answer.estimate == 1 and not rule.is_own]
    for rule in one.rules:
        if rule.rule in idle:
            continue
        row = [rule.rule + " *" * rule.is_own, str(rule.accuracy), short(rule.no_answer.estimate)]
        row += [short(rule.pass_at_k.estimate), short(rule.majority_at_k.estimate)] * several
        rows.append(row + verdict_cells(rule.agreement) * labelled)
    return aligned(rows) * (len(rows) > 1) + [f"  no answer in any response: {', '.join(idle)}"] * bool(idle)


def verdict_cells(a: Agreement) -> list[str]:
    """Agreement, precision and recall with their counts."""
    taken, right = a.both + a.only_first, a.both + a.only_second
    return [
        f"{thousandths(a.share)}",
        f"{thousandths(precision(a))} {a.both}/{taken}",
        f"{thousandths(recall(a))} {a.both}/{right}",
    ]


def ledger_lines(one: OriginReport) -> list[str]:
    """Where responses end and how long they are, under one rule."""
    rows = [[f"under {one.read_under}", "responses", "share", f"mean {one.length_unit}"]]
    for row in one.ledger:
        if row.outcome != "truncated" or math.isfinite(one.truncated.estimate):
            rows.append([OUTCOME_WORDS[row.outcome], str(row.count), str(row.share), f"{row.tokens_mean:.0f}"])
    return aligned(rows)


def trouble(one: OriginReport) -> list[str]:
    """Answers that could not be compared: they count as wrong."""
    words = {"timeouts": "ran out of time", "failures": "could not be compared"}
    found = ((rule, name, getattr(rule, name)) for rule in one.rules for name in words)
    return [f"  {_count(count, 'answer')} under {rule.rule} {words[name]}" for rule, name, count in found if count]


def disagreement_lines(one: OriginReport) -> list[str]:
    """What to read: nothing of it is more than text."""
    words = "labels" if one.origin.judged_by == "labels" else "stored grades"
    lines = [f"  against the {words}, under {one.read_under}: {one.only_we} taken for right, {one.only_label} refused"]
    for d in one.disagreements:
        lines.append(f"  {'refused' if d.label else 'taken  '}  {shown(d.id, NAME)}, row {d.row}")
        reason = f": {shown(d.reason, ANSWER)}" if d.reason else ""
        lines.append(f"           {_quoted(d.extracted)} for {_quoted(d.gold)}{reason}")
    if left := one.only_we + one.only_label - len(one.disagreements):
        lines.append(f"  and {left} more: --disagreements N shows more, --out writes all verdicts")
    return lines


# ---------------------------------------------------------------------------------------------------------------------
# All together


def at_a_glance(reports: Sequence[OriginReport], names: Mapping[str, str]) -> str:
    """Accuracies, a line an origin, a column a rule that finds an answer somewhere."""
    found = {rule.rule for one in reports for rule in one.rules if rule.is_own or rule.no_answer.estimate < 1}
    rules = [rule for rule in dict.fromkeys(rule.rule for one in reports for rule in one.rules) if rule in found]
    rows = [["accuracy", *rules]]
    for one in reports:
        by_rule = {rule.rule: rule for rule in one.rules}
        rows.append([_name(one, reports, names[one.origin.source])] + [_accuracy(by_rule.get(rule)) for rule in rules])
    return "\n".join(aligned(rows))


def _accuracy(rule: RuleReport | None) -> str:
    return "" if rule is None else short(rule.accuracy.estimate) + "*" * rule.is_own


def _name(one: OriginReport, reports: Sequence[OriginReport], source: str) -> str:
    """The source and whatever else differs among the origins of that source."""
    same = [other.origin for other in reports if other.origin.source == one.origin.source]
    extra = [
        shown(getattr(one.origin, key), 24)
        for key in ("model", "dataset", "template", "task")
        if len({getattr(o, key) for o in same}) > 1
    ]
    return " ".join([shown(source.removesuffix(".jsonl"), 40 if not extra else 24), *extra])


def labels_together(reports: Sequence[OriginReport]) -> str:
    """Agreement with labels over all origins."""
    rows = [["all labels", "responses", "agrees", "precision", "recall"]]
    for rule, a in together(reports).items():
        rows.append([rule, str(a.rows), *verdict_cells(a)])
    return "\n".join(aligned(rows))


def as_dict(reports: Sequence[OriginReport]) -> dict[str, Any]:
    """The same as JSON; undefined numbers are null."""
    return {
        "origins": [_origin_dict(one) for one in reports],
        "labels": {rule: _agreement_dict(a) for rule, a in together(reports).items()},
    }


def _origin_dict(one: OriginReport) -> dict[str, Any]:
    rules = {}
    for rule in one.rules:
        numbers = {key: value for key, value in vars(rule).items() if key not in ("rule", "agreement")}
        rules[rule.rule] = numbers | {"agreement": _agreement_dict(rule.agreement)}
    own = {key: value for key, value in vars(one).items() if key not in ("rules", "disagreements")}
    plain: dict[str, Any] = jsonable(own | {"rules": rules})
    return plain | {"disagreements": [asdict(d) for d in one.disagreements]}


def _agreement_dict(a: Agreement) -> dict[str, Any]:
    numbers = {**vars(a), "agrees": a.share, "precision": precision(a), "recall": recall(a), "kappa": a.kappa}
    plain: dict[str, Any] = jsonable(numbers)
    return plain


# ---------------------------------------------------------------------------------------------------------------------
# Cells


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns under each other, the first to the left, two spaces between.

    >>> aligned([["a", "n"], ["bcd", "10"]])
    ['  a     n', '  bcd  10']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return lines


def thousandths(share: float) -> str:
    """A share to three digits, which is what graders differ by.

    >>> thousandths(0.9964), thousandths(1.0), thousandths(float("nan"))
    ('.996', '1.000', '–')
    """
    return f"{share:.3f}".removeprefix("0") if math.isfinite(share) else "–"


def shown(value: str, width: int) -> str:
    """At most so many characters of any text, on one line, with what a terminal might obey written out.

    >>> shown("a\\x1b[2Jb\\n\\ud800", 40), shown("abcdef", 4)
    ('a\\\\x1b[2Jb\\\\n\\\\ud800', 'abc…')
    """
    cut = value if len(value) <= width else value[: width - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def _quoted(value: str) -> str:
    return f"'{shown(value, ANSWER)}'"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
