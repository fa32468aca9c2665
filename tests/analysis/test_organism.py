import math

import pytest

from r1zero.analysis.organism import Tally, measure, organism_rows, trace_facts
from r1zero.grading import grade
from r1zero.records import Prompt, Response, Rollout
from r1zero.tasks.countdown import make_problem

SOLVED = "25+4=29, 29*7=203 vs 93, no.\nWait, let me try again: 25*4=100, 100-7=93 vs 93, yes.\nAnswer: 25*4-7"
PROBLEM = make_problem([25, 4, 7], 93)


def rollout(text, sample=0, finish="stop", problem=PROBLEM):
    verdict = grade(text, problem.gold, "native", task="countdown")
    prompt = Prompt(problem, "native", "", (1,))
    return Rollout(
        0, sample, prompt, Response(text, tuple(range(len(text))), (), finish), verdict, float(verdict.correct)
    )


def test_calculations_are_held_to_the_truth():
    facts = trace_facts("2+3=5, 5*4=21, 7-9=2, 8/2=4, 9/2=4, 6/0=0 and 3*3=9", target=1)
    assert facts.calculations == Tally(3, 7)  # 2+3, 8/2 and 3*3


def test_an_expression_of_several_operators_is_no_calculation():
    assert trace_facts("2+3+4=9 and Answer: 25*4-7", target=9).calculations == Tally(0, 0)


def test_calculations_with_spaces_count_too():
    assert trace_facts("25 * 4 = 100, 100 - 7 = 93", target=93).calculations == Tally(2, 2)


@pytest.mark.parametrize(
    ("check", "hits", "misses"),
    [
        ("93 vs 93, yes", Tally(1, 1), Tally()),
        ("93 vs 93, no", Tally(0, 1), Tally()),
        ("90 vs 93, no", Tally(), Tally(1, 1)),
        ("90 vs 93, yes", Tally(), Tally(0, 1)),
        ("90 vs 90, yes", Tally(), Tally(0, 1)),  # compares with something that is not the target
        ("93 vs 39, no", Tally(0, 1), Tally()),
    ],
)
def test_a_check_is_right_when_it_quotes_the_target_and_says_what_is_so(check, hits, misses):
    facts = trace_facts(f"1+1=2 {check}.", target=93)
    assert (facts.checks_of_hits, facts.checks_of_misses) == (hits, misses)


def test_attempts_that_differ_only_in_order_count_as_repeated():
    text = "25*4=100, 100-7=93 vs 90, no.\n4*25=100, 100-7=93 vs 90, no.\n25-4=21, 21+7=28 vs 90, no."
    facts = trace_facts(text, target=90)
    assert (facts.attempts, facts.repeated) == (2, 1)


def test_the_measures_of_four_known_responses():
    other = make_problem([1, 2, 3], 6)
    rollouts = [
        rollout(SOLVED),
        rollout("Answer: 25+4+7", 1),
        rollout("25+4=29, 29+7=36 vs 93, no.", 0, "length", other),
        rollout("1+2=3, 3+3=6 vs 6, yes.\nI give up.", 1, "stop", other),
    ]
    organism = measure(rollouts, ks=(1, 2))
    assert (organism.num_problems, organism.num_responses) == (2, 4)
    assert organism.calculations_right.estimate == 1.0  # 4 + 2 + 2 of them
    assert organism.checks_of_hits_right.estimate == 1.0
    assert organism.checks_of_misses_right.estimate == 0.5  # the third quotes 93 where the target is 6
    assert organism.checks_right.estimate == 0.75
    assert organism.answers_after_yes_right.estimate == 0.5
    assert organism.pass_at[1].estimate == 0.25
    assert organism.pass_at[2].estimate == 0.5
    assert organism.outcomes == {"correct": 0.25, "wrong": 0.25, "unformatted": 0.25, "truncated": 0.25}
    assert organism.cue_share.estimate == 0.25
    assert organism.attempts_mean == 1.0 and organism.repeated_share == 0.0
    assert dict(organism_rows(organism))["pass@2"].startswith("0.500 [")


def test_without_checks_their_shares_are_undefined_and_not_zero():
    organism = measure([rollout("Answer: 25*4-7")], ks=(1,))
    assert math.isnan(organism.checks_right.estimate) and math.isnan(organism.repeated_share)
    assert dict(organism_rows(organism))["checks against the target right"].startswith("–")


def test_nothing_to_measure_is_an_error():
    with pytest.raises(ValueError, match="no rollouts"):
        measure([])
