"""What the page and probe.json say of a judge."""

import math

import polars as pl

from r1zero.config import JudgeConfig
from r1zero.judging.judge import SCHEMA, Counts, Verdicts
from r1zero.probe.verdicts import judged_of
from r1zero.reports.probe.judging import notes

PRICED = JudgeConfig(url="http://judge.test/v1", model="m", price_in=1.0, price_out=2.0)


def verdicts(faults: dict[str, int] | None = None, **counts: int) -> Verdicts:
    return Verdicts(pl.DataFrame(schema=SCHEMA), {"reflection-1": Counts(**counts)}, 0.0, faults or {}, 0, True)


def test_what_was_asked_now_and_before_is_told_alike():
    now = verdicts(asked=10, unparseable=2, tokens_in=1000, tokens_out=200)
    later = verdicts(cached=10, unparseable=2, cached_in=1000, cached_out=200)
    assert judged_of(now, PRICED) == judged_of(later, PRICED)
    assert math.isclose(judged_of(now, PRICED)["reflection"].cost, (1000 * 1 + 200 * 2) / 1e6)


def test_counts_share_tokens_and_cost_are_said():
    asked = verdicts(asked=6, cached=4, unparseable=2, tokens_in=600, tokens_out=120, cached_in=400, cached_out=80)
    (said,) = notes({"a model": judged_of(asked, PRICED)["reflection"]})
    assert "on 8 of 10 distinct responses; 2 of 10 (20.0 %) of its replies held none" in said
    assert "1,000 tokens to read and 200 to write, and cost 0.0014." in said


def test_failures_are_said_with_their_reason_and_not_with_what_was_never_asked():
    faults = {"not asked, after 10 failures in a row": 7, "429: busy": 3}
    (said,) = notes({"m": judged_of(verdicts(faults, asked=5, failed=10), PRICED)["reflection"]})
    assert "10 of 15 (66.7 %) requests failed (429: busy)" in said


def test_without_prices_or_token_counts_nothing_is_made_up():
    unpriced = JudgeConfig(url="http://judge.test/v1", model="m")
    (said,) = notes({"m": judged_of(verdicts(asked=3, tokens_in=30, tokens_out=3), unpriced)["reflection"]})
    assert "cost" not in said
    (said,) = notes({"m": judged_of(verdicts(asked=3, unmetered=3), PRICED)["reflection"]})
    assert "the endpoint does not say" in said and "cost" not in said


def test_of_several_models_each_note_names_its_own():
    one = judged_of(verdicts(asked=3), PRICED)["reflection"]
    assert [note.split(":")[0] for note in notes({"a": one, "b": one})] == ["a", "b"]
