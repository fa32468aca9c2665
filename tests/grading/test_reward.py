"""What a grade is worth, under the default and under the recipes of others."""

import re

import pytest

from r1zero.config import ObjectiveConfig, RewardConfig, TrainConfig
from r1zero.grading.reward import keeps_form, length_penalty, reward, reward_parts
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


def test_visualthinkers_reward_is_the_answer_and_the_form_and_in_an_ablation_the_length():
    config = RewardConfig(form=1.0)
    worth = [reward(grade, "stop", config, in_form=form) for grade in (RIGHT, WRONG) for form in (True, False)]
    assert worth == [2.0, 1.0, 1.0, 0.0]
    longer = RewardConfig(form=1.0, per_token=0.001)
    assert reward(WRONG, "stop", longer, in_form=True, num_tokens=700) == pytest.approx(1.7)
    assert reward_parts(RIGHT, "length", longer, num_tokens=700) == pytest.approx(
        {"answer": 1.0, "form": 0.0, "tokens": 0.7}
    )
    with pytest.raises(ValueError, match=r"per_token=0\.001 needs num_tokens"):
        reward(RIGHT, "stop", longer)


def test_a_price_of_truncation_is_all_that_a_cut_response_is_worth():
    config = RewardConfig(form=1.0, per_token=0.01, truncated=-0.5)
    assert reward(RIGHT, "length", config, num_tokens=100, in_form=True) == -0.5
    assert reward(RIGHT, "length", RewardConfig(form=1.0), overlong="zero", num_tokens=9, in_form=True) == 0.0


def test_parts_add_up_to_the_reward_and_say_nothing_of_what_is_off():
    assert reward_parts(RIGHT, "stop", RewardConfig()) == {"answer": 1.0}
    settings = {"overlong": "soft", "num_tokens": 95, "max_tokens": 100, "in_form": True}
    config = RewardConfig(form=0.5, per_token=0.01)
    parts = reward_parts(RIGHT, "stop", config, **settings)
    assert parts == pytest.approx({"answer": 1.0, "form": 0.5, "tokens": 0.95, "overlong": -0.75})
    assert reward(RIGHT, "stop", config, **settings) == pytest.approx(1.7)


@pytest.mark.parametrize(
    ("response", "prompt", "kept"),
    [
        ("<think>a</think><answer>b</answer>", "", True),
        ("<think>a\nb</think> \n<answer>b\nc</answer>", "", True),
        ("a</think><answer>b</answer>", "step by step.\n<think>", True),
        ("<think></think><answer></answer>", "", True),
        (
            "<think>a</think><answer>b</answer> or </think><answer>c</answer>",
            "",
            True,
        ),  # as the original's pattern has it
        ("a</think><answer>b</answer>", "", False),
        ("<think>a</think><answer>b</answer>\n", "", False),
        (" <think>a</think><answer>b</answer>", "", False),
        ("<think>a</think>so<answer>b</answer>", "", False),
        ("<think>a<answer>b</answer></think>", "", False),
        ("<think>a</think><answer>", "", False),
        ("<answer>b</answer>", "<think>", False),
        ("", "<think>", False),
    ],
)
def test_the_form_is_kept_by_the_whole_response_or_not_at_all(response, prompt, kept):
    """The same verdicts as the original's regular expression, which may go back and forth over a long text."""
    text = "<think>" + response if prompt.endswith("<think>") else response
    original = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)
    assert (original.fullmatch(text) is not None) == kept
    assert keeps_form(response, prompt) == kept
