"""What people and a judge say of a subject's responses, joined to its facts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from r1zero.config import JudgeConfig
from r1zero.facts.read import digest, with_verdicts
from r1zero.probe.subject import Subject

if TYPE_CHECKING:
    from r1zero.judging.judge import Verdicts

log = logging.getLogger("r1zero")

ROWS = 4096  # texts that are in memory at once
REASONS = 3  # why requests failed, the most frequent ones


@dataclass(frozen=True)
class Judged:
    """What became of one instruction's questions to a judge, by replies old and new: the same at every repetition."""

    model: str
    instruction: str  # with its version
    responses: int  # distinct ones
    replies: int
    verdicts: int  # replies that hold one
    unparseable: int  # and those that hold none
    failed: int  # responses without a reply
    fault: str  # why most requests failed; "" where none did
    shortened: int  # of these the judge saw only beginning and end
    tokens_in: int  # of all replies, as the endpoint counts them
    tokens_out: int
    unmetered: int  # replies without token counts
    cost: float  # of all replies, in the currency of the prices; NaN without prices


def with_labels(subject: Subject, labels: str) -> Subject:
    """The subject with labels by people.  Raises ValueError for a file that holds none."""
    from r1zero.analysis.labels import read_labels

    return replace(subject, facts=with_verdicts(subject.facts, read_labels(Path(labels))))


def with_judge(subject: Subject, config: JudgeConfig, home: Path) -> Subject:
    """The subject with a judge's verdicts; replies are kept in `home`, so that nothing is asked twice.

    Raises ValueError where the judge answered nothing at all.
    """
    from r1zero.judging.judge import judge

    verdicts = judge(questions(subject), config=config, directory=home)
    counts = verdicts.total
    reasons = "; ".join(f"{number} × {reason}" for reason, number in list(verdicts.faults.items())[:REASONS])
    if counts.failed and not counts.asked + counts.cached:
        raise ValueError(
            f"judge.url={config.url}: none of {counts.failed} requests was answered ({reasons}); mend it, or leave it "
            "out: responses that were asked for are kept"
        )
    log.warning(
        "%s: the judge replied to %d requests (%d more kept from before), %d failed%s, %d replies hold no verdict; "
        "%d tokens read, %d written%s",
        subject.name,
        counts.asked,
        counts.cached,
        counts.failed,
        f" ({reasons})" if reasons else "",
        counts.unparseable,
        counts.tokens_in,
        counts.tokens_out,
        f", cost {verdicts.cost:,.2f}" if verdicts.cost == verdicts.cost else "",
    )
    return replace(subject, facts=with_verdicts(subject.facts, verdicts.frame), judged=judged_of(verdicts, config))


def judged_of(verdicts: Verdicts, config: JudgeConfig) -> dict[str, Judged]:
    """What became of the questions, by instruction: "answering", "reflection"."""
    from r1zero.judging.judge import UNASKED, cost_of

    fault = next((reason for reason in verdicts.faults if not reason.startswith(UNASKED)), "")
    found = {}
    for label, counts in verdicts.counts.items():
        replies = counts.asked + counts.cached
        whole = replace(
            counts, tokens_in=counts.tokens_in + counts.cached_in, tokens_out=counts.tokens_out + counts.cached_out
        )
        found[label.rsplit("-", 1)[0]] = Judged(
            model=str(config.model),
            instruction=label,
            responses=replies + counts.failed,
            replies=replies,
            verdicts=replies - counts.unparseable,
            unparseable=counts.unparseable,
            failed=counts.failed,
            fault=fault if counts.failed else "",
            shortened=counts.shortened,
            tokens_in=whole.tokens_in,
            tokens_out=whole.tokens_out,
            unmetered=counts.unmetered,
            cost=cost_of(whole, config),
        )
    return found


def questions(subject: Subject) -> Iterator[tuple[int, str, str]]:
    """(digest, problem, response) of every response, a few at a time."""
    rows = subject.rollouts().select("problem", "response")
    for batch in rows.collect_batches(chunk_size=ROWS, maintain_order=True):
        for problem, response in batch.iter_rows():
            if response is not None:
                yield digest(problem or "", response), problem or "", response
