"""What a grade is worth, under the default and under the recipes of others."""

import pytest

from r1zero.config import ObjectiveConfig, RewardConfig, TrainConfig
from r1zero.grading.reward import length_penalty, reward
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


@pytest.mark.parametrize(("overlong", "worth"), [("keep", 1.0), ("mask", 1.0), ("zero", 0.0), ("soft", 0.0)])
def test_a_correct_response_cut_at_the_limit_is_worth_what_overlong_says(overlong, worth):
    assert reward(RIGHT, "length", RewardConfig(), overlong=overlong, num_tokens=100, max_tokens=100) == worth


def test_overlong_says_nothing_of_a_short_response():
    for overlong in ("keep", "mask", "zero", "soft"):
        assert reward(RIGHT, "stop", RewardConfig(), overlong=overlong, num_tokens=80, max_tokens=100) == 1.0


def test_the_soft_penalty_grows_over_the_last_fifth_or_over_the_buffer():
    # max 100: from 80 on, a twentieth a token; with a buffer of 50 from 50 on, a fiftieth a token
    by_fifth = [length_penalty(tokens, 100) for tokens in (0, 80, 81, 95, 100)]
    assert by_fifth == pytest.approx([0, 0, -0.05, -0.75, -1])
    assert [length_penalty(tokens, 100, 50) for tokens in (50, 60, 99)] == pytest.approx([0, -0.2, -0.98])
    settings = {"overlong": "soft", "num_tokens": 95, "max_tokens": 100}
    assert reward(WRONG, "stop", RewardConfig(wrong_answer=0.1), **settings) == pytest.approx(0.1 - 0.75)


def test_a_response_cut_by_the_context_before_max_tokens_pays_the_whole_penalty():
    assert reward(RIGHT, "length", RewardConfig(), overlong="soft", num_tokens=40, max_tokens=100) == 0.0


def test_the_soft_penalty_without_lengths_is_refused():
    with pytest.raises(ValueError, match="needs num_tokens and max_tokens"):
        reward(RIGHT, "stop", RewardConfig(), overlong="soft")


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match=r"overlong=zero and reward\.truncated=-1"):
        TrainConfig(objective=ObjectiveConfig(overlong="zero"), reward=RewardConfig(truncated=-1.0))
    with pytest.raises(ValueError, match=r"overlong_buffer=300 is more than sampling\.max_tokens=256"):
        TrainConfig(reward=RewardConfig(overlong_buffer=300))
    with pytest.raises(ValueError, match="overlong_buffer=-1"):
        RewardConfig(overlong_buffer=-1)
