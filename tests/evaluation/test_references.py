import math

import pytest

from r1zero.evaluation.baselines import BASELINES, find_baseline
from r1zero.evaluation.references import Protocol, match, references
from r1zero.evaluation.tables import paper_table
from r1zero.grading import EXTRACTORS
from r1zero.statistics.intervals import Interval
from r1zero.tasks.benchmarks import BENCHMARKS, SUITES
from r1zero.tasks.templates import TEMPLATES

BASE_7B = Protocol("Qwen/Qwen2.5-Math-7B", "none", samples=1, temperature=0.0, max_tokens=3000)


def rows():
    """The values of each published row of the five benchmarks, by (model, template, budget)."""
    found = {}
    for reference in references():
        if "tables" in reference.source:
            key = (reference.model, reference.template, reference.max_tokens)
            found.setdefault(key, {})[reference.benchmark] = reference
    return found


def test_every_published_row_averages_to_its_own_macro_average():
    """Within rounding; the one misprint, AIME 0.2, is the row that would not."""
    for key, row in rows().items():
        assert set(row) == {*SUITES["math"], "math"}, key
        mean = sum(row[name].value for name in SUITES["math"]) / 5
        assert mean == pytest.approx(row["math"].value, abs=0.00101), key
    misprint = rows()["Qwen2.5-Math-7B", "none", 3000]
    as_printed = sum(misprint[n].printed or misprint[n].value for n in SUITES["math"]) / 5
    assert as_printed == pytest.approx(misprint["math"].value - 0.0396, abs=0.001)
    assert [r.model for r in references() if r.status == "misprint"] == ["Qwen2.5-Math-7B"]


def test_values_that_are_no_count_of_right_answers_are_told():
    odd = {(r.model, r.template, r.max_tokens, r.benchmark) for r in references() if not r.is_count}
    assert ("R1-Distill-Qwen-1.5B", "chat", 3000, "aime24") in odd  # 2.5 % of 30 questions is three quarters of one
    assert ("Qwen2.5-Math-1.5B", "4-shot", 3000, "amc") in odd  # 20.0 % is 8 of the 40 questions of AMC23, not of 83
    assert ("Oat-Zero-7B", "qwen_math", 3000, "aime24") not in odd  # 43.3 % is 13 of 30
    greedy = {model for model, *_ in odd} - {"R1-Distill-Qwen-1.5B", "R1-Distill-Qwen-7B"}
    assert greedy == {
        "Qwen2.5-Math-1.5B",
        "Qwen2.5-Math-7B",
        "Qwen2.5-Math-1.5B-Instruct",
        "Qwen2.5-Math-7B-SimpleRL-Zoo",
    }


def test_an_evaluation_as_the_papers_is_compared_with_the_implied_value():
    ours = {
        "aime24": Interval(6 / 30, 0.095, 0.373),
        "math500": Interval(0.60, 0.556, 0.642),
        "gsm8k": Interval(0.5, 0.4, 0.6),
    }
    aime, math500 = match(BASE_7B, ours)
    assert (aime.reference.value, aime.reference.printed, aime.compatible) == (0.2, pytest.approx(0.002), True)
    assert "printed as 0.2" in aime.remark
    assert (math500.reference.value, math500.compatible, math500.verdict) == (0.69, False, "differs")
    _, shown = paper_table([aime, math500])
    assert shown[0] == ["aime24", "20.0", "20.0 [9.5, 37.3]", "compatible", "misprint, printed as 0.2"]


def test_what_was_asked_otherwise_is_said_and_not_called_compatible():
    ours = {"math": Interval(0.38, 0.35, 0.41)}
    sampled = Protocol("Qwen2.5-Math-7B", "none", samples=8, temperature=1.0, max_tokens=3000)
    (found,) = match(sampled, ours)
    assert found.compatible is None
    assert found.verdict == "not comparable: samples 8, theirs 1; temperature 1.0, theirs 0.0"
    (partial,) = match(BASE_7B, ours, {"math": "not all questions"})
    assert partial.verdict == "not comparable: not all questions"
    lenient = Protocol("Qwen2.5-Math-7B", "none", 1, 0.0, 3000, answer_format="any")
    assert match(lenient, ours)[0].verdict == "not comparable: answers found by any, theirs by boxed_strict"
    distilled = Protocol("DeepSeek-R1-Distill-Qwen-7B", "chat", 1, 0.0, 8000, answer_format="boxed")
    assert {m.differs[-1] for m in match(distilled, ours)} == {"answers found by boxed, theirs by r1_distill"}
    own = {"aime24": Interval(0.3, 0.2, 0.5)}  # simpleRL grades itself by Qwen's rule, its critics by a stricter one
    found = match(Protocol("SimpleRL-Zero-7B", "qwen_math", 1, 0.0, 3000, answer_format="boxed_strict"), own)
    assert [m.compatible for m in found] == [True, None]
    assert match(Protocol("Qwen2.5-Math-7B", "tinyzero", 1, 0.0, 3000), ours) == []
    assert match(Protocol("Qwen2.5-Math-72B", "none", 1, 0.0, 3000), ours) == []
    (undefined,) = match(BASE_7B, {"math": Interval(math.nan, math.nan, math.nan)})
    assert undefined.compatible is None


def test_a_value_read_off_a_figure_is_held_to_a_percent():
    figure, table = sorted(
        match(Protocol("Qwen2.5-Math-1.5B", "none", 1, 0.0, 3000), {"math": Interval(0.345, 0.334, 0.36)}),
        key=lambda m: m.reference.status,
    )
    assert (figure.reference.status, figure.reference.value, figure.compatible) == ("figure", 0.325, True)
    assert (table.reference.status, table.reference.value, table.compatible) == ("table", 0.331, False)


def test_every_reference_and_baseline_names_what_exists():
    for reference in references():
        assert reference.benchmark in {*BENCHMARKS, *SUITES, "cvbench", "macro"}
        assert 0 <= reference.value <= 1
        assert reference.answer_format in EXTRACTORS or reference.template == "4-shot"
        assert all(name == name.lower() for name in reference.names)
    for baseline in BASELINES.values():
        assert baseline.template in {*TEMPLATES, "chat"}
        assert baseline.answer_format in EXTRACTORS, baseline.name
    published = {r.template for r in references()}
    assert published <= {*TEMPLATES, "chat", "4-shot"}
    with pytest.raises(ValueError, match="did you mean simplerl-zero"):
        find_baseline("simplerl")
