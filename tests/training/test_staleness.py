"""How stale a response is, and what a run that allows stale ones must have."""

import pytest

from r1zero.config import TrainConfig, build
from r1zero.objectives import OBJECTIVES
from r1zero.records import Grade, Problem, Prompt, Response, Rollout
from r1zero.training.staleness import StaleError, check_staleness, corrected, staleness, stamped


def rollout(version):
    prompt = Prompt(Problem("p", "t", "?", "!"), "native", "?", (1,))
    response = Response("", (7,), (-1.0,), "stop", version)
    return Rollout(1, 0, prompt, response, Grade(False, False, None, ""), 0.0)


def test_staleness_is_the_updates_in_between_over_those_of_a_step():
    assert staleness([rollout(6), rollout(4), rollout(None)], updates_done=6, updates_per_step=2) == [0.0, 1.0, 0.0]


def test_responses_staler_than_allowed_are_refused_and_others_measured():
    assert check_staleness([0.0, 1.0, 1.0], 1) == {"policy/staleness_mean": 2 / 3, "policy/staleness_max": 1.0}
    assert check_staleness([0.0, 0.0], 0) == check_staleness([], 3) == {}
    with pytest.raises(StaleError, match=r"2 steps behind the learner, and engine.max_staleness allows 1"):
        check_staleness([0.0, 2.0], 1)


def test_a_response_that_does_not_say_was_sampled_with_the_learners_own_weights():
    [group] = stamped([[rollout(None), rollout(3)]], 5)
    assert [one.response.weights_version for one in group] == [5, 3]


def test_stale_responses_get_importance_weights_unless_the_objective_has_its_own():
    synchronous = build(TrainConfig, {})
    one_ahead = build(TrainConfig, {"cluster": {"asynchronous": True}})
    assert synchronous.max_staleness == 0 and one_ahead.max_staleness == 1
    plain = OBJECTIVES["dr_grpo"]
    assert corrected(plain, synchronous) is plain and plain.correction == "none"
    assert corrected(plain, one_ahead).correction == "token_truncate"
    masked = build(TrainConfig, {"engine": {"max_staleness": 2}, "objective": {"correction": "token_mask"}})
    assert masked.max_staleness == 2
    own = OBJECTIVES["dr_grpo"].__class__(**{**vars(plain), "correction": "token_mask"})
    assert corrected(own, masked) is own


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"choice": {"by": "curriculum"}}, "choice.by=curriculum"),
        ({"groups": {"degenerate": "refill"}}, "groups.degenerate=refill"),
    ],
)
def test_what_cannot_be_asked_ahead_is_refused_by_name(settings, said):
    config = build(TrainConfig, {"engine": {"max_staleness": 1}} | settings)
    with pytest.raises(ValueError, match=said):
        corrected(OBJECTIVES["dr_grpo"], config)
    with pytest.raises(ValueError, match=r"engine\.max_staleness=-1"):
        build(TrainConfig, {"engine": {"max_staleness": -1}})
