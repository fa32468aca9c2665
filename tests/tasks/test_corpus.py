import random
import re
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest

from r1zero.analysis.organism import trace_facts
from r1zero.config import CorpusConfig
from r1zero.facts.cues import has_cue
from r1zero.grading import grade
from r1zero.tasks.corpus import Puzzle, corpus_hash, documents, search, try_once
from r1zero.tasks.countdown import is_held_out, make_problem
from r1zero.tasks.templates import TEMPLATES

DIALS = CorpusConfig(num_documents=3000)
PLAIN = replace(
    DIALS, arithmetic=0.0, question_answer=0.0, r1_markup=0.0, guesses=0.0, second_thoughts=0.0, reflection=0.0,
    noise=0.0, malformed=0.0, unfinished=0.0, verified=1.0, impatient=0.0,
)  # fmt: skip
NATIVE = re.compile(r"Numbers: ([\d, ]+)\nTarget: (\d+)\n(.*)", re.DOTALL)
WORDS = re.compile(r"Using the numbers ([\d, ]+), make (\d+)\.")


def puzzles_of(texts):
    """(nums, target, response) of each document that poses a Countdown problem."""
    for text in texts:
        if found := NATIVE.fullmatch(text):
            yield [int(n) for n in found[1].split(", ")], int(found[2]), found[3]
        elif found := WORDS.search(text):
            yield [int(n) for n in found[1].split(", ")], int(found[2]), text[found.end() :]


def test_the_same_seed_gives_the_same_corpus_and_another_seed_another():
    few = replace(DIALS, num_documents=200)
    first = list(documents(few, 0))
    assert corpus_hash(first) == corpus_hash(list(documents(few, 0)))
    assert corpus_hash(first) != corpus_hash(list(documents(few, 1)))
    assert corpus_hash(["ab", "c"]) != corpus_hash(["a", "bc"])


def test_no_held_out_problem_is_in_the_corpus():
    posed = list(puzzles_of(documents(DIALS, 0)))
    assert len(posed) > 2000
    assert not any(is_held_out(nums, target) for nums, target, _ in posed)


def test_without_noise_every_calculation_and_every_check_is_right():
    calculations = checks = 0
    for _, target, response in puzzles_of(documents(replace(PLAIN, num_documents=500), 0)):
        facts = trace_facts(response, target)
        assert facts.calculations.right == facts.calculations.total
        for tally in (facts.checks_of_hits, facts.checks_of_misses):
            assert tally.right == tally.total
            checks += tally.total
        calculations += facts.calculations.total
    assert calculations > 2000 and checks > 1000


def test_a_check_that_says_yes_is_followed_by_an_answer_that_grades_as_right():
    solved = 0
    for nums, target, response in puzzles_of(documents(replace(PLAIN, num_documents=400), 0)):
        if "yes." in response:
            assert grade(response, make_problem(nums, target).gold, "native", task="countdown").correct
            solved += 1
    assert solved > 100


def test_noise_puts_wrong_calculations_into_searches():
    noisy = replace(PLAIN, num_documents=200, noise=1.0)
    wrong = sum(
        facts.calculations.total - facts.calculations.right
        for _, target, response in puzzles_of(documents(noisy, 0))
        for facts in [trace_facts(response, target)]
    )
    assert 50 < wrong <= 200  # at most one a document; none where the search ended before its turn came


def test_reflection_cues_appear_exactly_where_the_dial_allows_them():
    without = [r for _, _, r in puzzles_of(documents(replace(PLAIN, num_documents=300), 0))]
    always = [r for _, _, r in puzzles_of(documents(replace(PLAIN, num_documents=300, reflection=1.0), 0))]
    assert not any(map(has_cue, without))
    assert sum(map(has_cue, always)) > 180


@pytest.mark.parametrize(("share", "kind"), [("arithmetic", "sums"), ("question_answer", "words"), ("r1_markup", "r1")])
def test_a_share_dial_at_one_makes_every_document_of_that_kind(share, kind):
    texts = list(documents(replace(PLAIN, num_documents=100, **{share: 1.0}), 0))
    belongs = {
        "sums": lambda t: re.fullmatch(r"(\d+[-+*/]\d+=\d+( vs \d+, (yes|no)\.)?\n?)+", t),
        "words": lambda t: t.startswith(("Question: What is", "Using the numbers")),
        "r1": lambda t: t.startswith("A conversation between User") and t.endswith("</answer>"),
    }[kind]
    assert all(map(belongs, texts))


def test_r1_markup_is_the_prompt_of_the_r1_template_and_an_answer_its_grader_accepts():
    texts = list(documents(replace(PLAIN, num_documents=60, r1_markup=1.0), 0))
    right = 0
    for text, (nums, target, _) in zip(texts, puzzles_of(texts), strict=True):
        problem = make_problem(nums, target)
        prompt = TEMPLATES["r1"].render(problem)
        assert text.startswith(prompt)
        verdict = grade(text.removeprefix(prompt), problem.gold, TEMPLATES["r1"].answer_format, task="countdown")
        assert verdict.formatted
        right += verdict.correct
    assert right > 10


def test_guesses_answer_at_once_and_are_mostly_wrong():
    texts = list(documents(replace(PLAIN, num_documents=300, guesses=1.0), 0))
    outcomes = Counter(
        grade(response, make_problem(nums, target).gold, "native", task="countdown").correct
        for nums, target, response in puzzles_of(texts)
    )
    assert all(response.startswith("Answer: ") for _, _, response in puzzles_of(texts))
    assert 0 < outcomes[True] < outcomes[False]


def test_an_impatient_search_is_shorter_than_a_patient_one():
    def attempts(**dials):
        puzzle = Puzzle([7, 11, 23], 99, replace(PLAIN, **dials))
        traces = [search(random.Random(i), puzzle)[0] for i in range(200)]
        return sum(trace.count("\n") for trace in traces) / len(traces)

    assert attempts(impatient=1.0, give_up_soon=1.0) <= 2.0  # the attempt, and perhaps "I give up."
    assert attempts(impatient=1.0) < attempts(impatient=0.0)


def test_aim_makes_last_steps_land_nearer():
    puzzle = Puzzle([25, 4, 7], 93, PLAIN)

    def distance(aim):
        return sum(abs(try_once(random.Random(i), puzzle, aim).value - 93) for i in range(300))

    assert distance(1.0) < distance(0.0)


def test_four_numbers_are_searched_through_three_steps():
    attempt = try_once(random.Random(0), Puzzle([3, 5, 7, 9], 24, replace(PLAIN, num_numbers=(4,))), 0.5)
    assert len(attempt.steps) == 3
    problem = make_problem([3, 5, 7, 9], attempt.value)
    assert grade(f"Answer: {attempt.expression}", problem.gold, "native", task="countdown").correct


def test_a_dial_out_of_its_range_is_refused():
    with pytest.raises(ValueError, match=r"corpus.noise=1.5: must be between 0 and 1"):
        replace(DIALS, noise=1.5)


def test_values_on_the_way_stay_within_the_dial():
    texts = documents(replace(PLAIN, num_documents=200, value_max=120), 0)
    values = [int(v) for _, _, r in puzzles_of(texts) for v in re.findall(r"=(\d+)", r)]
    assert max(values) <= 120
    assert Fraction(sum(values), len(values)) > 1


def test_drill_checks_are_right_and_both_verdicts_are_common():
    text = "\n".join(documents(replace(PLAIN, num_documents=200, arithmetic=1.0), 0))
    checks = re.findall(r"=(\d+) vs (\d+), (yes|no)\.", text)
    assert len(checks) > 500
    assert all((value == goal) == (verdict == "yes") for value, goal, verdict in checks)
    assert 0.4 < sum(verdict == "yes" for _, _, verdict in checks) / len(checks) < 0.6


def test_a_search_that_surrenders_gives_no_answer():
    texts = list(documents(replace(PLAIN, num_documents=200, surrender=1.0, give_up_late=1.0), 0))
    for _, _, response in puzzles_of(texts):
        assert response.endswith("I give up.") != ("Answer: " in response)
