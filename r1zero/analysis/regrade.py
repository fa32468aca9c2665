"""Responses graded anew, under several extraction rules at once, and what that says about rules and labels.

P questions, N responses.  What is kept of a response is a few numbers and its short answers; the texts stream past.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from r1zero.analysis.ledger import LedgerRow, outcome_ledger
from r1zero.grading import ABSENT, extract
from r1zero.grading.agreement import Agreement
from r1zero.grading.batch import Submission, grade_many
from r1zero.grading.pool import is_failure, is_timeout
from r1zero.records import Grade
from r1zero.statistics.intervals import NOTHING, Interval, accuracy_interval, pass_at_k, share_interval
from r1zero.statistics.votes import majority_at_k
from r1zero.tasks.templates import TEMPLATES

# what is asked by default, from strict to lenient
RULES: dict[str, tuple[str, ...]] = {
    "math": ("r1", "r1_loose", "boxed", "gsm8k", "answer_is", "last_number", "any"),
    "countdown": ("native", "r1", "r1_loose", "answer_tag", "boxed", "any"),
    "choices": ("answer_first", "r1", "answer_tag", "answer_or_all", "boxed", "choice", "any"),
}
KEPT_ANSWER = 80  # characters of an answer that are kept to vote with; of a longer one its digest
UNKNOWN, WRONG, RIGHT = -1, 0, 1  # in arrays: no label or no answer, no, yes


@dataclass(frozen=True)
class Origin:
    """Where responses come from; those of one origin are counted together.

    Example: Origin("base.jsonl", model="Qwen2.5-Math-1.5B", dataset="math500", template="r1", task="math")
    """

    source: str
    model: str
    dataset: str
    template: str
    task: str  # a key of VERIFIERS
    judged_by: str = "labels"  # what `StoredResponse.label` is: "labels", or "stored grades" of a training run


@dataclass(frozen=True)
class StoredResponse:
    """A response as it was stored, by whomever.

    Example: StoredResponse(origin, row=7, id="math-7", question="What is 1/4 + 1/4?", golds=("1/2",), response="...")
    """

    origin: Origin
    row: int  # in its source, from 1
    id: str
    question: str  # the same text is the same question
    golds: tuple[str, ...]  # alternatives
    response: str
    label: bool | None = None  # whether it is right, if somebody says so
    finish_reason: str | None = None
    num_tokens: int | None = None


# ---------------------------------------------------------------------------------------------------------------------
# Grades


def own_rule(template: str) -> str | None:
    """Where a shipped template of that name wants the answer; None for any other name.

    >>> own_rule("r1"), own_rule("somebody's")
    ('r1', None)
    """
    return TEMPLATES[template].answer_format if template in TEMPLATES else None


def default_rules(origin: Origin) -> tuple[str, ...]:
    """The usual rules of the task, and that of the template."""
    usual, own = RULES.get(origin.task, RULES["math"]), own_rule(origin.template)
    return usual if own is None or own in usual else (own, *usual)


@dataclass(frozen=True)
class _Answer:
    """One of the different answers that the rules find in a response."""

    response: StoredResponse
    found: Mapping[str, str | None]  # by every rule
    answer: str | None
    is_last: bool


def regrade(
    responses: Iterable[StoredResponse], rules_of: Callable[[Origin], Sequence[str]], *, workers: int = 1
) -> Iterator[tuple[StoredResponse, dict[str, Grade]]]:
    """Each response with its grade under every rule, in order.  Raises ValueError naming a row that has no gold.

    Rules that find the same answer share its verdict, which is looked for once.
    """
    verdicts: dict[str | None, Grade] = {}
    for asked, grade in grade_many(_answers(responses, rules_of), _submission, workers=workers):
        response = asked.response
        if isinstance(grade, ValueError):
            raise ValueError(f"{response.origin.source}, row {response.row} ({response.id}): {grade}")
        verdicts[asked.answer] = grade
        if asked.is_last:
            yield response, {rule: _grade(rule, answer, verdicts) for rule, answer in asked.found.items()}
            verdicts = {}


def _answers(responses: Iterable[StoredResponse], rules_of: Callable[[Origin], Sequence[str]]) -> Iterator[_Answer]:
    for response in responses:
        found = {rule: extract(response.response, rule) for rule in rules_of(response.origin)}
        different: list[str | None] = [answer for answer in dict.fromkeys(found.values()) if answer is not None]
        for i, answer in enumerate(different or [None]):
            yield _Answer(response, found, answer, i >= len(different) - 1)


def _submission(asked: _Answer) -> Submission:
    return Submission(asked.answer, asked.response.golds, None, asked.response.origin.task)


def _grade(rule: str, answer: str | None, verdicts: Mapping[str | None, Grade]) -> Grade:
    if answer is None:
        return Grade(correct=False, formatted=False, extracted=None, reason=ABSENT[rule])
    return replace(verdicts[answer], formatted=True, extracted=answer)


# ---------------------------------------------------------------------------------------------------------------------
# What is kept of the responses of one origin


@dataclass(frozen=True)
class Disagreement:
    """A response on which we and its label differ.

    Example: Disagreement(row=7, id="math-7", gold="1/2", extracted="1/3", reason="not equal to the gold", label=True)
    """

    row: int
    id: str
    gold: str
    extracted: str
    reason: str
    label: bool  # we say the opposite


@dataclass
class RuleColumns:
    """What one rule says of each response.  [N]"""

    verdicts: array[int] = field(default_factory=lambda: array("b"))  # UNKNOWN where no answer is found
    answers: list[str | None] = field(default_factory=list)
    timeouts: int = 0
    failures: int = 0


class Tally:
    """The responses of one origin, as they stream past; the disagreements under the rule `read_under` are kept.

    That is the template's own rule where stored grades stand for labels, since those were given under it, else `any`.
    """

    def __init__(self, origin: Origin, rules: Sequence[str], *, kept: int):
        self.origin, self.kept = origin, kept
        wanted = own_rule(origin.template) if origin.judged_by == "stored grades" else None
        self.read_under = next((rule for rule in (wanted or "any", "any") if rule in rules), rules[0])
        self.columns = {rule: RuleColumns() for rule in rules}
        self.numbers: dict[bytes, int] = {}  # question -> its number
        self.question_N, self.label_N = array("l"), array("b")
        self.truncated_N, self.length_N = array("b"), array("l")
        self.counts_tokens = True  # False when some response does not say: then characters
        self.characters_N = array("l")
        self.taken: list[Disagreement] = []  # the first of those that only we take for right
        self.refused: list[Disagreement] = []  # and of those that only we take for wrong

    def add(self, response: StoredResponse, grades: Mapping[str, Grade]) -> None:
        key = hashlib.blake2b(response.question.encode("utf-8", "replace"), digest_size=16).digest()
        self.question_N.append(self.numbers.setdefault(key, len(self.numbers)))
        self.label_N.append(UNKNOWN if response.label is None else int(response.label))
        self.truncated_N.append(UNKNOWN if not response.finish_reason else int(response.finish_reason == "length"))
        self.counts_tokens = self.counts_tokens and response.num_tokens is not None
        self.length_N.append(response.num_tokens or 0)
        self.characters_N.append(len(response.response))
        for rule, grade in grades.items():
            column = self.columns[rule]
            column.verdicts.append(int(grade.correct) if grade.formatted else UNKNOWN)
            column.answers.append(ballot(grade.extracted))
            column.timeouts += is_timeout(grade.reason)
            column.failures += is_failure(grade.reason)
        self._keep(response, grades[self.read_under])

    def _keep(self, response: StoredResponse, grade: Grade) -> None:
        if response.label is None or grade.correct == response.label or grade.extracted is None:
            return
        kept = self.taken if grade.correct else self.refused
        if len(kept) < self.kept:
            gold, extracted = " or ".join(response.golds)[:1000], grade.extracted[:1000]
            kept.append(Disagreement(response.row, response.id, gold, extracted, grade.reason, response.label))


def ballot(answer: str | None) -> str | None:
    """An answer short enough to be kept: equal answers have equal ballots."""
    if answer is None or len(answer) <= KEPT_ANSWER:
        return answer
    return hashlib.blake2b(answer.encode("utf-8", "replace"), digest_size=16).hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# What that says


@dataclass(frozen=True)
class RuleReport:
    """One rule on the responses of one origin; undefined numbers are NaN."""

    rule: str
    is_own: bool  # the template asks for it
    accuracy: Interval  # avg@n, clustered by question
    no_answer: Interval  # share of responses in which the rule finds nothing: format failures
    pass_at_k: Interval
    majority_at_k: Interval
    agreement: Agreement  # our verdict first, the label second; responses without a label are left out
    agreement_share: Interval  # clustered by question
    timeouts: int
    failures: int


@dataclass(frozen=True)
class OriginReport:
    """All rules on the responses of one origin."""

    origin: Origin
    responses: int
    questions: int
    k: int  # of pass@k and maj@k: at least half of the questions have so many responses; 1 has neither
    unlabelled: int
    truncated: Interval  # of responses that say how they ended
    rules: tuple[RuleReport, ...]
    read_under: str  # the rule of what follows
    ledger: tuple[LedgerRow, ...]  # lengths in `length_unit`
    length_unit: str  # "tokens" or "characters"
    disagreements: tuple[Disagreement, ...]  # the first of them, those taken for right before those refused
    only_we: int  # take for right where the label says wrong
    only_label: int  # the reverse, where an answer was found


def precision(agreement: Agreement) -> float:
    """Of responses we take for right, the share whose label says so; NaN when we take none."""
    taken = agreement.both + agreement.only_first
    return agreement.both / taken if taken else math.nan


def recall(agreement: Agreement) -> float:
    """Of responses whose label says right, the share we take for right; NaN when there is none."""
    labelled = agreement.both + agreement.only_second
    return agreement.both / labelled if labelled else math.nan


def report(tally: Tally) -> OriginReport:
    """Every statistic of one origin."""
    question_N, label_N = np.asarray(tally.question_N), np.asarray(tally.label_N)
    truncated_N = np.asarray(tally.truncated_N)
    known_N = truncated_N != UNKNOWN
    samples_P = np.bincount(question_N)
    k = group_size(samples_P.tolist())
    own = own_rule(tally.origin.template)
    rules = tuple(_rule_report(tally, rule, k, is_own=rule == own) for rule in tally.columns)
    read = np.asarray(tally.columns[tally.read_under].verdicts)
    unit = "tokens" if tally.counts_tokens else "characters"
    return OriginReport(
        origin=tally.origin,
        responses=len(label_N),
        questions=len(tally.numbers),
        k=k,
        unlabelled=int((label_N == UNKNOWN).sum()),
        truncated=share_by_question((truncated_N == RIGHT)[known_N], question_N[known_N]),
        rules=rules,
        read_under=tally.read_under,
        ledger=tuple(_ledger(tally, read, tally.length_N if tally.counts_tokens else tally.characters_N)),
        length_unit=unit,
        disagreements=(*tally.taken, *tally.refused),
        only_we=int(((read == RIGHT) & (label_N == WRONG)).sum()),
        only_label=int(((read == WRONG) & (label_N == RIGHT)).sum()),
    )


def group_size(samples_P: Sequence[int]) -> int:
    """The largest k such that at least half of the questions have k responses.

    >>> group_size([8, 8, 8, 1]), group_size([4, 2]), group_size([1, 1, 2])
    (8, 4, 1)
    """
    return sorted(samples_P, reverse=True)[(len(samples_P) + 1) // 2 - 1]


def share_by_question(hits_N: np.ndarray, question_N: np.ndarray) -> Interval:
    """The mean over questions of the share of hits, with an interval that counts questions.  [N], [N] -> interval"""
    if hits_N.size == 0:
        return NOTHING
    return accuracy_interval(np.bincount(question_N, weights=hits_N), np.bincount(question_N))


def _rule_report(tally: Tally, rule: str, k: int, *, is_own: bool) -> RuleReport:
    column = tally.columns[rule]
    question_N, label_N = np.asarray(tally.question_N), np.asarray(tally.label_N)
    verdict_N = np.asarray(column.verdicts)
    right_N, labelled_N = verdict_N == RIGHT, label_N != UNKNOWN
    same_N = right_N == (label_N == RIGHT)
    passed, won = _at_k(column.answers, right_N, question_N, k)
    return RuleReport(
        rule=rule,
        is_own=is_own,
        accuracy=share_by_question(right_N, question_N),
        no_answer=share_by_question(verdict_N == UNKNOWN, question_N),
        pass_at_k=passed,
        majority_at_k=won,
        agreement=Agreement(
            int((right_N & (label_N == RIGHT)).sum()),
            int((right_N & (label_N == WRONG)).sum()),
            int((~right_N & (label_N == RIGHT)).sum()),
            int((~right_N & (label_N == WRONG)).sum()),
        ),
        agreement_share=share_by_question(same_N[labelled_N], question_N[labelled_N]),
        timeouts=column.timeouts,
        failures=column.failures,
    )


def _at_k(
    answers: Sequence[str | None], right_N: np.ndarray, question_N: np.ndarray, k: int
) -> tuple[Interval, Interval]:
    """pass@k and maj@k on the mean over questions with at least k responses; undefined for k = 1."""
    if k < 2:
        return NOTHING, NOTHING
    passed: list[float] = []
    won: list[float] = []
    counts: list[int] = []
    order = np.argsort(question_N, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(question_N[order])) + 1):
        if len(members) >= k:
            right = [bool(right_N[i]) for i in members]
            counts.append(len(members))
            passed.append(pass_at_k(len(members), sum(right), k))
            won.append(majority_at_k([answers[i] for i in members], right, k))
    return share_interval(passed, counts), share_interval(won, [1 if n == k else n for n in counts])


def _ledger(tally: Tally, verdict_N: np.ndarray, length_N: Sequence[int]) -> list[LedgerRow]:
    """The outcome ledger; responses that do not say how they ended are never "truncated"."""
    frame = pl.DataFrame(
        {
            "problem_id": np.asarray(tally.question_N),
            "correct": verdict_N == RIGHT,
            "formatted": verdict_N != UNKNOWN,
            "finish_reason": ["length" if cut == RIGHT else "stop" for cut in tally.truncated_N],
            "num_tokens": np.asarray(length_N),
        }
    )
    return outcome_ledger(frame)


def together(reports: Sequence[OriginReport]) -> dict[str, Agreement]:
    """Agreement with labels per rule over all origins that were asked it; stored grades are no labels."""
    total: dict[str, Agreement] = {}
    for one in reports:
        if one.origin.judged_by != "labels":
            continue
        for rule in one.rules:
            a, b = total.get(rule.rule, Agreement()), rule.agreement
            total[rule.rule] = replace(
                a,
                both=a.both + b.both,
                only_first=a.only_first + b.only_first,
                only_second=a.only_second + b.only_second,
                neither=a.neither + b.neither,
            )
    return total
