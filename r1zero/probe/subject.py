"""One model as probed: what all sections of a report are counted from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from r1zero.facts.cues import CuePool, load_pool
from r1zero.facts.read import FACT_POOLS, read_facts
from r1zero.store import Split, read_rollouts

if TYPE_CHECKING:
    from r1zero.probe.interventions import CausalResult
    from r1zero.probe.thinking import ThinkingResult
    from r1zero.probe.verdicts import Judged


@dataclass(frozen=True)
class Subject:
    """One model, its responses, and what intervening in them did.

    Example: Subject("tiny-search", facts, ("runs/probe-tiny-search",))
    """

    name: str
    facts: pl.DataFrame  # see r1zero.facts.columns
    sources: tuple[str, ...]  # where its rollouts lie, for `rollouts`
    split: Split = "eval"
    step: int | None = None  # only the rollouts of this step
    model: str | None = None  # and only those of this model
    causal: CausalResult | None = None  # None where the model was not there to be asked, or is not to be
    thinking: ThinkingResult | None = None
    judged: Mapping[str, Judged] | None = None  # by what a judge was asked, where there is one
    facts_of_asking: Mapping[str, Any] | None = None  # for the report's foot: config, versions, commit, machine

    def rollouts(self) -> pl.LazyFrame:
        """Its stored rollouts, texts included."""
        rows = read_rollouts(self.sources, split=self.split)
        if self.model is not None:
            rows = rows.filter(pl.coalesce(pl.col("checkpoint").replace("", None), pl.col("run")) == self.model)
        return rows if self.step is None else rows.filter(pl.col("step") == self.step)


def pools_of(chosen: str) -> tuple[CuePool, ...]:
    """The chosen pool and the shipped ones, the chosen first.  Raises ValueError naming the nearest."""
    pool = load_pool(chosen)
    return (pool, *(other for other in FACT_POOLS if other.name != pool.name))


def read_subject(name: str, sources: Sequence[str], pool: str, *, split: Split = "eval") -> Subject:
    """A subject from stored rollouts, nothing asked."""
    facts = read_facts(list(sources), pools=pools_of(pool), split=split)
    if facts.is_empty():
        raise ValueError(f"{', '.join(sources)}: no responses")
    return Subject(name, facts, tuple(sources), split)


def focus(facts: pl.DataFrame) -> tuple[str | None, float | None]:
    """The template and the temperature whose responses are intervened in.

    The template with the most right answers over all temperatures, and the highest temperature up to 1: there a model
    writes as it learned to, and there RL would ask it.  Above 1 only where nothing else was asked; None where unknown.
    """
    by_template = (
        facts.group_by("template", maintain_order=True)
        .agg(pl.col("correct").cast(pl.Float64).mean().fill_null(0.0).alias("right"))
        .sort("right", descending=True, maintain_order=True)
    )
    if by_template.is_empty():
        return None, None
    template = by_template["template"][0]
    own = facts.filter(pl.col("template").eq_missing(pl.lit(template)))["temperature"].drop_nulls().unique().to_list()
    usual = [temperature for temperature in own if temperature <= 1]
    return template, max(usual) if usual else min(own, default=None)
