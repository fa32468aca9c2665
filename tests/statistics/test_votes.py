import math

import pytest

from r1zero.statistics.votes import majority_at_k

A, B = "7", "8"


def test_the_commonest_answer_of_all_responses_decides_and_ties_are_shared():
    assert majority_at_k([A, A, B], [True, True, False], 3) == 1.0
    assert majority_at_k([A, B, B], [True, False, False], 3) == 0.0
    assert majority_at_k([A, B], [True, False], 2) == 0.5
    assert majority_at_k([A, B, "9"], [True, False, False], 3) == pytest.approx(1 / 3)


def test_right_answers_are_one_candidate_however_written_and_silence_does_not_vote():
    assert majority_at_k(["0.5", r"\frac12", B, B], [True, True, False, False], 4) == 0.5
    assert majority_at_k([A, None, None, None], [True, False, False, False], 4) == 1.0
    assert majority_at_k([None, None], [False, False], 2) == 0.0
    assert majority_at_k(["$8$", "8.", A], [False, False, True], 3) == 0.0


def test_one_of_n_is_the_accuracy_and_two_are_the_mean_over_pairs():
    answers, right = [A, A, B, None], [True, True, False, False]
    assert majority_at_k(answers, right, 1) == 0.5
    # pairs: AA 1, AB 1/2 twice, A- 1 twice, B- 0
    assert majority_at_k(answers, right, 2) == pytest.approx((1 + 2 * 0.5 + 2 * 1 + 0) / 6)


def test_three_of_eight_equally_split_win_by_symmetry():
    answers, right = [A] * 4 + [B] * 4, [True] * 4 + [False] * 4
    assert majority_at_k(answers, right, 3) == pytest.approx(0.5)


def test_fewer_responses_than_k_leave_it_undefined():
    assert math.isnan(majority_at_k([A], [True], 2))
    with pytest.raises(ValueError, match="k >= 1"):
        majority_at_k([A], [True], 0)
