"""What a grade is worth, under the default and under the recipes of others."""

import pytest

from r1zero.config import RewardConfig
from r1zero.grading.reward import reward
from r1zero.records import Grade

RIGHT = Grade(correct=True, formatted=True, extracted="3 * 8", reason="")
WRONG = Grade(correct=False, formatted=True, extracted="3 + 8", reason="value 11 instead of 24")
UNFORMATTED = Grade(correct=False, formatted=False, extracted=None, reason="no complete \\boxed{}")


@pytest.mark.parametrize(
    ("config", "right", "wrong", "unformatted"),
    [
        (RewardConfig(), 1.0, 0.0, 0.0),
        (RewardConfig(wrong_answer=0.1), 1.0, 0.1, 0.0),
        (RewardConfig(correct=2.0, wrong_answer=-0.5, unformatted=-1.0), 2.0, -0.5, -1.0),
    ],
)
def test_each_outcome_has_its_own_reward(config, right, wrong, unformatted):
    rewards = [reward(grade, "stop", config) for grade in (RIGHT, WRONG, UNFORMATTED)]
    assert rewards == [right, wrong, unformatted]


def test_a_cut_response_is_graded_as_it_stands_unless_truncation_has_a_price():
    assert reward(RIGHT, "length", RewardConfig()) == 1.0
    assert reward(RIGHT, "length", RewardConfig(truncated=0.0)) == 0.0  # understand-r1-zero
    assert reward(RIGHT, "stop", RewardConfig(truncated=0.0)) == 1.0
