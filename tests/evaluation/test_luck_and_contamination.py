import numpy as np
import pytest
from scipy import stats

from r1zero.evaluation.contamination import Completion, probe, similarity, summarise_completions, truncate
from r1zero.evaluation.subsets import subset_luck
from r1zero.evaluation.suites import Entry
from r1zero.records import Problem

# ---------------------------------------------------------------------------------------------------------------------
# Luck


def test_subsets_of_one_model_differ_as_two_binomials_do():
    """Half the questions are always right: a subset of 30 is Binomial(30, 1/2), whatever the responses."""
    right = [np.array([n % 2 == 0]) for n in range(200)]
    (luck,) = subset_luck("x", right, draws=20_000, gaps=(5 / 30,))
    counts = np.arange(31)
    chance = stats.binom.pmf(counts, 30, 0.5)
    by_luck = sum(chance[i] * chance[j] for i in counts for j in counts if abs(i - j) >= 5)
    assert luck.by_gap[5 / 30] == pytest.approx(by_luck, abs=0.015)  # about four standard errors
    assert luck.spread == pytest.approx(np.sqrt(2 * 0.25 / 30), rel=0.03)
    assert luck.accuracy.estimate == pytest.approx(0.5, abs=0.005)
    assert (luck.drawn, luck.questions) == ("questions", 200)


def test_the_same_questions_differ_by_their_responses_alone():
    sure = [np.array([n % 2 == 0] * 4) for n in range(60)]
    questions, responses = subset_luck("x", sure)
    assert questions.spread > 0.1
    assert responses.spread == 0 and responses.by_gap[1 / 30] == 0
    unsure = [np.array([True, False]) for _ in range(60)]
    _, responses = subset_luck("x", unsure, draws=20_000)
    assert responses.spread == pytest.approx(np.sqrt(2 * 0.25 / 30), rel=0.03)
    assert subset_luck("x", []) == []


# ---------------------------------------------------------------------------------------------------------------------
# Contamination

TEXT = "A train leaves the station at noon and travels north at 60 miles per hour for three hours."


def test_a_question_is_cut_between_words_and_given_back_whole():
    problem = Problem("p", "math", TEXT, "180")
    given, missing = truncate(problem)
    assert given + missing == TEXT
    assert given == "A train leaves the station at noon and travels north at"  # 10.8 of 18 words
    assert truncate(Problem("p", "math", "What is 1 + 1?", "2")) is None


def test_similarity_counts_words_in_order_and_ignores_what_follows():
    assert similarity("at 60 miles per hour", "at 60 miles per hour. And so on and on") == 1.0
    assert similarity("at 60 miles per hour", " AT 60  miles per  hour") == 1.0
    assert similarity("at 60 miles per hour", "at 45 miles per hour") == pytest.approx(0.8)
    assert similarity("at 60 miles per hour", "") == 0.0


def test_a_model_that_knows_its_questions_by_heart_is_found_out(fake_engine, fake_policy, plain):
    problems = tuple(Problem(f"b/{n}", "math", f"{TEXT} How far is that from mile {n} on?", "1") for n in range(10))
    texts = {f"{p.id}:truncated": truncate(p)[1] for p in problems}

    def by_heart(prompt, sample):
        number = int(prompt.problem.id.split("/")[1].split(":")[0])
        exact = texts[prompt.problem.id]
        return exact if number < 4 else exact.replace("three", "four") if number < 7 else "I do not know."

    engine = fake_engine(by_heart)
    short = Problem("b/short", "math", "What is 1 + 1?", "2")
    found = probe(Entry("b", (*problems, short), plain), engine, fake_policy(), address=(0,))
    assert (found.questions, found.skipped) == (10, 1)
    assert (found.exact.estimate, found.near.estimate) == (0.4, 0.7)
    assert found.exact.low > 0.1
    assert found.closest[0].exact and found.closest[0].problem_id == "b/0"
    assert engine.calls[0]["sampling"].temperature == 0
    assert all(prompt_id.endswith(":truncated") for prompt_id in engine.calls[0]["ids"])


def test_no_question_long_enough_leaves_the_share_undefined():
    assert np.isnan(summarise_completions("b", [], skipped=3).exact.estimate)
    one = Completion("p", "a", "b c d e", "b c x e")
    assert summarise_completions("b", [one]).near.estimate == 1.0 and not one.exact
