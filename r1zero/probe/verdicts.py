"""What people and a judge say of a subject's responses, joined to its facts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from r1zero.config import JudgeConfig
from r1zero.facts.read import digest, with_verdicts
from r1zero.probe.subject import Subject

log = logging.getLogger("r1zero")

ROWS = 4096  # texts that are in memory at once


def with_labels(subject: Subject, labels: str) -> Subject:
    """The subject with labels by people.  Raises ValueError for a file that holds none."""
    from r1zero.analysis.labels import read_labels

    return replace(subject, facts=with_verdicts(subject.facts, read_labels(Path(labels))))


def with_judge(subject: Subject, config: JudgeConfig, home: Path) -> Subject:
    """The subject with a judge's verdicts; replies are kept in `home`, so that nothing is asked twice."""
    from r1zero.judging.judge import judge

    verdicts = judge(questions(subject), config=config, directory=home)
    counts = verdicts.total
    log.warning(
        "%s: the judge replied to %d requests (%d kept before), %d failed, %d replies hold no verdict; %d tokens read, "
        "%d written%s",
        subject.name,
        counts.asked,
        counts.cached,
        counts.failed,
        counts.unparseable,
        counts.tokens_in,
        counts.tokens_out,
        f", cost {verdicts.cost:,.2f}" if verdicts.cost == verdicts.cost else "",
    )
    return replace(subject, facts=with_verdicts(subject.facts, verdicts.frame))


def questions(subject: Subject) -> Iterator[tuple[int, str, str]]:
    """(digest, problem, response) of every response, a few at a time."""
    rows = subject.rollouts().select("problem", "response")
    for batch in rows.collect_batches(chunk_size=ROWS, maintain_order=True):
        for problem, response in batch.iter_rows():
            if response is not None:
                yield digest(problem or "", response), problem or "", response
