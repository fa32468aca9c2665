"""The causal section says what the numbers say, also when they say nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from r1zero.probe.effects import Arm, Effect
from r1zero.probe.interventions import ARMS, CONTRASTS, Balance, CausalResult
from r1zero.reports.probe.causal import section
from r1zero.reports.probe.page import render_page
from r1zero.statistics.intervals import NOTHING, Interval

HELPS = Interval(0.14, 0.09, 0.19)
UNSURE = Interval(0.02, -0.07, 0.11)


def result(accuracy: Interval = HELPS, placebo: Interval = UNSURE, corrected: Interval = HELPS) -> CausalResult:
    def of(contrast: object) -> Effect:
        kind, less = contrast.kind, contrast.placebo  # type: ignore[attr-defined]
        value = corrected if less else placebo if kind == "placebo" else accuracy
        holm = 0.004 if contrast.in_family else math.nan  # type: ignore[attr-defined]
        return Effect(contrast, value, 0.001, holm, Interval(58, 49, 67), 64, 60, 0.08)  # type: ignore[arg-type]

    share = Interval(0.25, 0.19, 0.32)
    arms = tuple(Arm(kind, name, share, Interval(97, 89, 106), share, Interval(0, 0, 0), 512) for kind, name in ARMS)
    balance = tuple(Balance(kind, Interval(23.3, 19, 28), Interval(1.4, 1.3, 1.5), 64) for kind in ("cue", "placebo"))
    effects = tuple(of(contrast) for contrast in CONTRASTS)
    return CausalResult("extended", "native", 512, 121, 8, effects, arms, balance, "Wait", 455_000, ())


def empty() -> CausalResult:
    nothing = [Effect(c, NOTHING, math.nan, math.nan, NOTHING, 0, 0, math.nan) for c in CONTRASTS]
    balance = tuple(Balance(kind, NOTHING, NOTHING, 0) for kind in ("cue", "placebo"))
    return CausalResult("extended", "native", 512, 0, 8, tuple(nothing), (), balance, "Wait", 0, (("no room", 3),))


def test_the_first_sentence_holds_the_effect_its_test_and_its_price() -> None:
    first, second, *_ = section({"tiny": result()}).findings
    for part in (
        "helps",
        ".14 [.09, .19]",
        "p = .004 after Holm",
        "64 prefixes of 60 problems",
        "+58 [+49, +67] tokens",
    ):
        assert part in first
    assert "−.02 [−.11, .07]" in second  # what banning does, not what keeping does
    assert ".14 [.09, .19] is left for the cue" in second


def test_an_effect_that_cannot_be_told_is_not_told() -> None:
    first = section({"tiny": result(accuracy=UNSURE)}).findings[0]
    assert "no effect that can be told" in first
    assert "difference of .08 would be missed" in first
    second = section({"tiny": result(corrected=UNSURE)}).findings[1]
    assert ".02 [−.07, .11] is left for the cue itself (p = .004 after Holm), which cannot be told from none" in second
    harms = section({"tiny": result(accuracy=Interval(-0.2, -0.3, -0.1))}).findings[0]
    assert "harms" in harms


@pytest.mark.parametrize(
    ("corrected", "said"), [(UNSURE, "says nothing of the cue"), (HELPS, "is left for the cue (p")]
)
def test_a_filler_that_harms_anywhere_says_nothing_of_the_cue(corrected: Interval, said: str) -> None:
    [sentence] = [s for s in section({"tiny": result(corrected=corrected)}).findings if s.startswith("Neutral")]
    assert said in sentence


def test_without_reflection_there_is_nothing_to_ban() -> None:
    drawn = section({"tiny": empty()})
    assert drawn.findings == ("None of 512 responses holds a cue of the pool extended: there is none to ban.",)
    assert "3 left out: no room." in drawn.notes
    assert "nan" not in render_page([drawn]).split("<script")[0].lower().replace("nano", "")


def test_models_stand_side_by_side_on_one_scale() -> None:
    drawn = section({"base": result(), "tuned": result(UNSURE)})
    assert all(finding.startswith(("base: ", "tuned: ")) for finding in drawn.findings)
    assert {table.columns[0] for table in drawn.tables} == {"model"}
    assert [panel.title.rsplit(", ", 1)[1] for panel in drawn.panels] == ["base", "tuned"] * 2
    ranges = [tuple(panel.figure["layout"]["xaxis"]["range"]) for panel in drawn.panels]
    assert ranges[0] == ranges[1] != ranges[2] == ranges[3]
    assert all(trace["mode"] == "markers" for panel in drawn.panels for trace in panel.figure["data"])
    for table in drawn.tables:
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_leaks_and_few_problems_are_noted() -> None:
    few = tuple(replace(effect, problems=4) for effect in result().effects)
    leaking = replace(result(), effects=few)
    arms = tuple(replace(arm, cues=Interval(0.03, 0.01, 0.06)) if arm.name == "banned" else arm for arm in leaking.arms)
    notes = section({"tiny": replace(leaking, arms=arms)}).notes
    assert any("4 problems reflect" in note for note in notes)
    assert any("although banned" in note for note in notes)
