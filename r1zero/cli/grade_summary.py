"""What `r1zero grade` says at the end: how many rows fell where, and where another grader differs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TextIO

from r1zero.grading.agreement import Agreement
from r1zero.grading.pool import is_failure, is_timeout
from r1zero.records import Grade

SHOWN_REASONS, SHOWN_LINES, SHOWN_DIFFERENCES = 5, 20, 20
KEPT_DIFFERENCES = 1000  # in --json
WIDTH = 50  # characters of an answer


@dataclass(frozen=True)
class Difference:
    """A row on which two graders differ.

    Example: Difference(line=12, gold="10", answer="10 weeks", correct=True, second=False)
    """

    line: int
    gold: str
    answer: str
    correct: bool  # by r1zero
    second: bool  # by the other grader


@dataclass
class Tally:
    """What has been graded so far."""

    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)  # correct, wrong, unformatted; timeouts, failures
    reasons: Counter[str] = field(default_factory=Counter)
    foreign: Counter[str] = field(default_factory=Counter)  # templates that are not ours
    faulty_lines: int = 0
    faulty_numbers: list[int] = field(default_factory=list)  # the first of them
    agreement: Agreement = field(default_factory=Agreement)
    differences: list[Difference] = field(default_factory=list)  # the first of them

    def add(self, verdict: Grade, foreign: str = "") -> None:
        """One more grade; `foreign` is a template that says nothing about where its answer stands."""
        self.rows += 1
        self.foreign[foreign] += bool(foreign)
        self.counts["correct" if verdict.correct else "wrong" if verdict.formatted else "unformatted"] += 1
        self.counts["timeouts"] += is_timeout(verdict.reason)
        self.counts["failures"] += is_failure(verdict.reason)
        if verdict.reason:
            self.reasons[verdict.reason] += 1
        if len(self.reasons) > 10_000:  # reasons may quote answers: keep what is common
            self.reasons = Counter(dict(self.reasons.most_common(1000)))

    def add_fault(self, line: int) -> None:
        self.faulty_lines += 1
        if len(self.faulty_numbers) < SHOWN_LINES:
            self.faulty_numbers.append(line)

    def add_second(self, line: int, gold: str, verdict: Grade, second: bool) -> None:
        """Another grader's verdict on the same answer."""
        self.agreement = self.agreement.add(verdict.correct, second)
        if second != verdict.correct and len(self.differences) < KEPT_DIFFERENCES:
            self.differences.append(Difference(line, gold, verdict.extracted or "", verdict.correct, second))


def show(tally: Tally, out: TextIO, *, also: str | None, as_json: bool) -> None:
    """The counts, the commonest reasons, and what the other grader `also` says."""
    if as_json:
        print(json.dumps(as_dict(tally, also), indent=2), file=out)
        return
    names = ("correct", "wrong", "unformatted")
    print(f"{tally.rows} rows: " + ", ".join(f"{tally.counts[name]} {name}" for name in names), file=out)
    for reason, count in tally.reasons.most_common(SHOWN_REASONS):
        print(f"  {count:>6}  {short(reason, 100)}", file=out)
    for name, text in (("timeouts", "ran out of time"), ("failures", "could not be compared")):
        if tally.counts[name]:
            print(f"{tally.counts[name]} {text} ({tally.counts[name] / tally.rows:.2%} of the rows)", file=out)
    for name, count in (+tally.foreign).most_common(SHOWN_REASONS):
        print(f"{count} name the template {short(name)!r}, which is not ours: graded under the rule `any`", file=out)
    if also:
        show_agreement(tally, out, also)
    if tally.faulty_lines:
        print(f"{tally.faulty_lines} lines could not be graded and are left out: {_numbers(tally)}", file=out)


def show_agreement(tally: Tally, out: TextIO, also: str) -> None:
    """Agreement with its interval, kappa, the table of both, and the rows that differ."""
    from r1zero.statistics.intervals import wilson_interval  # slow to import, and seldom needed

    a = tally.agreement
    if not a.rows:
        print(f"\n{also} was asked about no row: it judges mathematical answers where one was found", file=out)
        return
    interval = wilson_interval(a.same, a.rows)
    kappa = f"kappa {a.kappa:.3f}" if a.kappa == a.kappa else "kappa undefined (one verdict only)"
    print(f"\n{also} agrees on {a.same} of {a.rows} answers: {a.share:.3f} ", end="", file=out)
    print(f"[{interval.low:.3f}, {interval.high:.3f}], {kappa}", file=out)
    width = max(len(also), len("r1zero right"))
    print(f"  {'':<{width}}  {also} right  wrong", file=out)
    for name, right, wrong in (("right", a.both, a.only_first), ("wrong", a.only_second, a.neither)):
        print(f"  {'r1zero ' + name:<{width}}  {right:>{len(also) + 6}}  {wrong:>5}", file=out)
    for d in tally.differences[:SHOWN_DIFFERENCES]:
        who = "r1zero" if d.correct else also
        print(f"  line {d.line}: only {who} takes {short(d.answer)!r} for {short(d.gold)!r}", file=out)
    left = a.only_first + a.only_second - min(len(tally.differences), SHOWN_DIFFERENCES)
    if left:
        print(f"  and {left} more: with -o every row says what {also} thinks", file=out)


def as_dict(tally: Tally, also: str | None) -> dict[str, Any]:
    """The same as JSON."""
    numbers: dict[str, Any] = {"rows": tally.rows}
    numbers |= {name: tally.counts[name] for name in ("correct", "wrong", "unformatted", "timeouts", "failures")}
    numbers |= {"faulty_lines": tally.faulty_lines, "first_faulty_lines": tally.faulty_numbers}
    numbers["foreign_templates"] = dict(+tally.foreign)
    numbers["reasons"] = dict(tally.reasons.most_common(SHOWN_REASONS))
    if also:
        from r1zero.statistics.intervals import wilson_interval

        a = tally.agreement
        interval = wilson_interval(a.same, a.rows) if a.rows else None
        numbers["also"] = {
            "grader": also,
            **vars(a),
            "agreement": a.share if a.rows else None,
            "agreement_low": interval.low if interval else None,
            "agreement_high": interval.high if interval else None,
            "kappa": a.kappa if a.kappa == a.kappa else None,
            "differences": [vars(difference) for difference in tally.differences],
        }
    return numbers


def short(text: str, width: int = WIDTH) -> str:
    """One line of at most so many characters, that any terminal can show."""
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    return text if len(text) <= width else text[: width - 1] + "…"


def _numbers(tally: Tally) -> str:
    more = ", ..." if tally.faulty_lines > len(tally.faulty_numbers) else ""
    return ", ".join(map(str, tally.faulty_numbers)) + more
