"""Does reflecting help?  Everything that stored responses can say about it; the causal test is r1zero.probe's."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from r1zero.analysis.contrast import MIN_SIZE, Contrast, contrast, pooled_difference, usable
from r1zero.analysis.occurrences import OccurrenceRow, occurrence_rows, unit
from r1zero.analysis.transitions import TransitionRates, transition_rates
from r1zero.statistics.intervals import Interval

MIN_SIZES = (MIN_SIZE, 2, 1)  # of the contrasts computed, the strictest first


@dataclass(frozen=True)
class HelpingResult:
    """One model: contrasts within questions, transitions with and without cues, cues of right and wrong responses."""

    responses: int  # whose correctness is known
    reflecting: int  # of them, with a cue
    problems: int
    naive: Interval  # right among reflecting minus right among others, questions ignored
    contrasts: tuple[Contrast, ...]  # one for each of MIN_SIZES
    all: TransitionRates
    with_cue: TransitionRates
    without_cue: TransitionRates
    occurrences: tuple[OccurrenceRow, ...]  # a temperature each where there are several; the last is all together
    per_thousand_of: str  # "tokens" or "characters"

    @property
    def contrast(self) -> Contrast:
        """The one to read: the strictest that has at least ten problems, else the one with the most."""
        for one in self.contrasts:
            if one.num_problems >= 10:
                return one
        return max(self.contrasts, key=lambda one: one.num_problems)


def helping(facts: pl.DataFrame, *, seed: int = 0) -> HelpingResult:
    """What facts of one model say of reflecting and being right.  NaN where nothing can be said."""
    rows = usable(facts)
    return HelpingResult(
        responses=len(rows),
        reflecting=int(rows["reflects"].sum()),
        problems=rows["problem"].n_unique(),
        naive=pooled_difference(rows),
        contrasts=tuple(contrast(rows, min_size=size) for size in MIN_SIZES),
        all=transition_rates(facts, seed=seed),
        with_cue=transition_rates(facts.filter(pl.col("cues") > 0), seed=seed),
        without_cue=transition_rates(facts.filter(pl.col("cues") == 0), seed=seed),
        occurrences=occurrence_rows(rows, seed=seed),
        per_thousand_of=unit(rows),
    )
