"""Dynamic sampling, with an asker that answers by rule instead of a model."""

import logging

import pytest

from r1zero.config import GroupsConfig, TrainConfig
from r1zero.evaluation.ask import Asked
from r1zero.records import Grade, Problem, Prompt, Response, Rollout
from r1zero.training.dynamic import gather, is_mixed


def group(name, rewards, correct=None, tokens=3):
    prompt = Prompt(Problem(name, "t", "?", "!"), "native", "?", (1,))
    response = Response("", (7,) * tokens, (-1.0,) * tokens, "stop")
    correct = [reward > 0 for reward in rewards] if correct is None else correct
    return [
        Rollout(1, i, prompt, response, Grade(c, True, None, ""), float(r))
        for i, (r, c) in enumerate(zip(rewards, correct, strict=True))
    ]


MIXED, RIGHT, WRONG = [1, 0], [1, 1], [0, 0]


class Asker:
    """A stream of groups, taken from in order; what each round asked for is kept."""

    def __init__(self, stream):
        self.stream, self.asked = list(stream), []

    def __call__(self, round_, count):
        assert round_ == len(self.asked)
        start = sum(self.asked)
        self.asked.append(count)
        groups = [group(f"p{start + i}", rewards) for i, rewards in enumerate(self.stream[start : start + count])]
        return Asked(groups, (), 1.0, 0.5)


def names(groups):
    return [rollouts[0].prompt.problem.id for rollouts in groups]


def test_keep_learns_from_every_group_of_one_round():
    ask = Asker([MIXED, RIGHT, WRONG])
    gathered = gather(ask, 3, GroupsConfig(), step=1)
    assert ask.asked == [3]
    assert names(gathered.learned_PG) == ["p0", "p1", "p2"]
    assert gathered.metrics == {"group/rounds": 1, "group/asked": 3, "group/dropped": 0, "group/dropped_tokens": 0}


def test_drop_sets_groups_that_agree_aside_and_asks_no_more():
    ask = Asker([WRONG, MIXED, RIGHT, MIXED])
    gathered = gather(ask, 3, GroupsConfig(degenerate="drop"), step=1)
    assert ask.asked == [3]
    assert names(gathered.learned_PG) == ["p1"]
    assert names(gathered.set_aside_PG) == ["p0", "p2"]
    assert gathered.metrics["group/dropped_tokens"] == 2 * 2 * 3  # two groups of two responses of three tokens


def test_refill_asks_for_what_is_missing_at_the_rate_so_far_until_all_groups_are_mixed():
    # round 1: 4 asked, 2 mixed -> 2 missing at a rate of a half -> 4 more, of which only the first is mixed;
    # 3 of 8 mixed, 1 missing -> ceil(8/3) = 3 more, the first and the third mixed: one more than needed
    stream = [MIXED, WRONG, MIXED, RIGHT, MIXED, WRONG, WRONG, WRONG, MIXED, RIGHT, MIXED]
    ask = Asker(stream)
    gathered = gather(ask, 4, GroupsConfig(degenerate="refill"), step=1)
    assert ask.asked == [4, 4, 3]
    assert names(gathered.learned_PG) == ["p0", "p2", "p4", "p8"]
    assert "p10" in names(gathered.set_aside_PG)
    assert gathered.metrics == {
        "group/rounds": 3, "group/asked": 11, "group/dropped": 7, "group/dropped_tokens": 7 * 6,
    }  # fmt: skip
    assert gathered.asked.sampling_seconds == 3.0


def test_refill_stops_at_the_bound_and_says_what_it_cost(caplog):
    ask = Asker([MIXED] + [WRONG] * 100)
    with caplog.at_level(logging.WARNING, "r1zero"):
        gathered = gather(ask, 4, GroupsConfig(degenerate="refill", max_rounds=3), step=7)
    assert len(ask.asked) == 3
    assert names(gathered.learned_PG) == ["p0"]
    assert "step 7: 1 of 4 groups are mixed after 3 rounds (12 groups, 72 tokens)" in caplog.text


def test_refill_with_nothing_mixed_gives_no_group():
    gathered = gather(Asker([WRONG] * 100), 4, GroupsConfig(degenerate="refill", max_rounds=2), step=1)
    assert gathered.learned_PG == []
    assert gathered.metrics["group/asked"] == 8


def test_refill_of_an_empty_round_goes_on():
    class Dry(Asker):
        def __call__(self, round_, count):
            asked = super().__call__(round_, count)
            return Asked([], ("too long",), 0.0, 0.0) if round_ == 1 else asked

    gathered = gather(Dry([WRONG, MIXED, WRONG, MIXED, MIXED]), 2, GroupsConfig(degenerate="refill"), step=1)
    assert len(gathered.learned_PG) == 2
    assert gathered.asked.dropped == ("too long",)


@pytest.mark.parametrize(
    ("rewards", "correct", "by_reward", "by_correctness"),
    [
        ([1, 0.5], [True, True], True, False),  # one of two right answers pays for its length
        ([0, 0], [False, False], False, False),
        ([0, 0], [True, False], False, True),  # a right answer that was cut and is worth nothing
        ([1, 0], [True, False], True, True),
    ],
)
def test_groups_can_agree_in_reward_or_in_correctness(rewards, correct, by_reward, by_correctness):
    rollouts = group("p", rewards, correct)
    assert is_mixed(rollouts, "reward") is by_reward
    assert is_mixed(rollouts, "correct") is by_correctness


def test_settings_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match="a group of one always agrees"):
        TrainConfig(responses_per_problem=1, groups=GroupsConfig(degenerate="refill"))
    with pytest.raises(ValueError, match="max_rounds=0"):
        GroupsConfig(max_rounds=0)


def test_what_the_choice_of_groups_cost_is_logged_even_where_it_found_enough(caplog):
    """Four groups of two responses of three tokens, two of them learned: 12 of 24 tokens set aside."""
    with caplog.at_level(logging.INFO, logger="r1zero"):
        gather(Asker([MIXED, WRONG, MIXED, RIGHT]), 2, GroupsConfig(degenerate="refill"), step=5)
    assert caplog.messages == ["step 5: learning from 2 of 4 groups asked in 2 rounds; 12 of 24 tokens set aside"]
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="r1zero"):
        gather(Asker([MIXED, MIXED]), 2, GroupsConfig(degenerate="refill"), step=5)
    assert caplog.messages == []
