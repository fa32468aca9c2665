"""The two-branch policy: its theory against exhaustive enumeration, and the length bias with its controls."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from r1zero.experiments.two_branch import (
    Policy,
    TwoBranch,
    expected_advantages,
    figure,
    mean_push,
    measured_drift,
    predicted_drift,
    simulate,
    step_gradient,
    sweep,
    token_pushes,
)
from r1zero.objectives import OBJECTIVES
from r1zero.objectives.aggregation import BatchSize

STOPS = (0.3, 0.15)  # of the unhinted and the hinted branch
ACCURACY = 0.35


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def policy_of(stops: tuple[float, float], accuracy: float) -> Policy:
    return Policy(np.array([[logit(stops[0]), logit(stops[1])]]), np.array([logit(accuracy)]))


def enumerated_drift(objective, setting: TwoBranch) -> np.ndarray:
    """The expectation over every pair of responses to one problem, with the objective's own code for each."""
    outcomes = []  # probability, reward, length, score of (unhinted stop, hinted stop, right)
    branches = ((1, 0, ACCURACY), (0, 1, (1 - ACCURACY) * setting.hint), (0, 0, (1 - ACCURACY) * (1 - setting.hint)))
    for right, k, mass in branches:
        q = STOPS[k]
        for tokens in range(setting.max_tokens + 1):  # tokens not followed by a stop
            stopped = tokens < setting.max_tokens
            length = tokens + 1 if stopped else tokens
            score = np.zeros(3)
            score[k] = (1 - q) * stopped - tokens * q
            score[2] = right - ACCURACY
            reward = float(right and (stopped or not setting.truncated_is_wrong))
            outcomes.append((mass * (1 - q) ** tokens * (q if stopped else 1.0), reward, float(length), score))
    pairs = list(itertools.product(outcomes, repeat=2))
    rewards_SPG = np.array([[[a[1], b[1]]] for a, b in pairs])
    lengths_SPG = np.array([[[a[2], b[2]]] for a, b in pairs])
    pushes_SPG = token_pushes(objective, setting, rewards_SPG, lengths_SPG)
    total = np.zeros(3)
    for (a, b), pushes_PG in zip(pairs, pushes_SPG, strict=True):
        total += a[0] * b[0] * (pushes_PG[0, 0] * a[3] + pushes_PG[0, 1] * b[3])
    return total


@pytest.mark.parametrize("name", ["grpo", "grpo_no_std", "grpo_no_length", "dr_grpo", "rloo", "reinforce", "sign"])
@pytest.mark.parametrize("changes", [{}, {"hint": 0.4}, {"truncated_is_wrong": True}])
def test_predicted_drift_is_the_expectation_over_every_pair_of_responses(name, changes):
    setting = TwoBranch(num_problems=1, group_size=2, max_tokens=5, accuracy_learns=True, **changes)
    drift = predicted_drift(OBJECTIVES[name], setting, policy_of(STOPS, ACCURACY))
    assert drift == pytest.approx(enumerated_drift(OBJECTIVES[name], setting), abs=1e-12)


def test_the_drift_of_grpo_is_the_slope_of_the_harmonic_length_gap():
    """w_G p (1-p) {E[1/L | right] - E[1/L | wrong]}, differentiated numerically in each stop-logit."""
    setting = TwoBranch(group_size=8, max_tokens=20)
    w = np.subtract(*expected_advantages(OBJECTIVES["grpo"], 8, ACCURACY))

    def gap(logits: np.ndarray) -> float:
        inverse = []
        for q in 1 / (1 + np.exp(-logits)):
            lengths = np.arange(1, 21)
            inverse.append(float((q * (1 - q) ** (lengths - 1) / lengths).sum() + (1 - q) ** 20 / 20))
        return w * ACCURACY * (1 - ACCURACY) * (inverse[0] - inverse[1])

    at, h = np.array([logit(q) for q in STOPS]), 1e-5
    slopes = [(gap(at + h * unit) - gap(at - h * unit)) / (2 * h) for unit in np.eye(2)]
    drift = predicted_drift(OBJECTIVES["grpo"], setting, policy_of(STOPS, ACCURACY))
    assert drift[:2] == pytest.approx(slopes, rel=1e-7)
    assert drift[0] > 0 > drift[1]  # right answers stop sooner, wrong ones later


def test_the_weight_of_a_problem_by_its_difficulty_has_the_known_values():
    """Population std 2.609, 2.026, 1.856 at G = 8 (reference table); Bessel's is sqrt(7/8) of it, and flat at G = 2."""
    for p, expected in ((0.01, 2.609), (0.25, 2.026), (0.5, 1.856)):
        w = np.subtract(*expected_advantages(OBJECTIVES["grpo"], 8, p))
        assert w == pytest.approx(expected * math.sqrt(7 / 8), abs=2e-3)
    for p in (0.01, 0.5):
        assert np.subtract(*expected_advantages(OBJECTIVES["grpo"], 2, p)) == pytest.approx(math.sqrt(0.5), abs=1e-5)
        assert np.subtract(*expected_advantages(OBJECTIVES["dr_grpo"], 8, p)) == pytest.approx(7 / 8)


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "sign"])
@pytest.mark.parametrize("changes", [{}, {"truncated_is_wrong": True, "hint": 0.5, "accuracy": 0.3}])
def test_sampled_gradients_scatter_around_the_prediction(name, changes):
    setting = TwoBranch(accuracy_learns=True, **changes)
    mean, error = measured_drift(OBJECTIVES[name], setting, batches=2000)
    predicted = predicted_drift(OBJECTIVES[name], setting)
    assert (np.abs(mean - predicted) < 4 * error + 1e-12).all()
    assert (error[:2] > 0).all()  # with A = 2R - 1 and p = 1/2 the third is exactly 1/2 in every response


def test_pushes_are_the_objectives_own_weights_and_advantages():
    rng, setting = np.random.default_rng(0), TwoBranch(num_problems=3, group_size=4)
    rewards, lengths = (rng.integers(0, 2, (2, 3, 4)).astype(float), rng.integers(1, 65, (2, 3, 4)).astype(float))
    for name in ("grpo", "dr_grpo", "dapo", "balanced_aggregation", "gpg", "reinforce_pp", "opo"):
        objective = OBJECTIVES[name]
        for r, n, pushes in zip(rewards, lengths, token_pushes(objective, setting, rewards, lengths), strict=True):
            r_PG, n_PG = torch.from_numpy(r), torch.from_numpy(n)
            advantages_PG = objective.advantages(r_PG, n_PG)
            size = BatchSize(12, int(n.sum()), 64)
            expected = (objective.weights(n_PG, advantages_PG, size) * advantages_PG).numpy()
            assert pushes == pytest.approx(expected, abs=1e-12)


def test_a_token_mean_over_parts_divides_each_part_by_its_own_tokens():
    objective = replace(OBJECTIVES["grpo_no_std"], normalizer="batch_tokens")
    setting = TwoBranch(num_problems=2, group_size=2, problems_per_denominator=1)
    pushes = token_pushes(objective, setting, np.array([[[1.0, 0.0], [1.0, 0.0]]]), np.array([[[2.0, 8], [5, 15]]]))
    assert pushes[0] == pytest.approx(np.array([[0.5 / 20, -0.5 / 20], [0.5 / 40, -0.5 / 40]]))


def test_only_length_normalisation_moves_lengths():
    ends = {name: simulate(name, seeds=10) for name in ("grpo", "grpo_no_std", "grpo_no_length", "dr_grpo")}
    for name in ("grpo", "grpo_no_std"):
        assert ends[name].right_ST[:, -1].max() < 1.1 and ends[name].wrong_ST[:, -1].min() > 300
    for name in ("grpo_no_length", "dr_grpo"):
        for lengths_ST in (ends[name].right_ST, ends[name].wrong_ST):
            final = lengths_ST[:, -1]
            assert abs(final.mean() - 10) < 4 * final.std(ddof=1) / math.sqrt(10)


def test_the_simulation_follows_the_predicted_path():
    run = simulate("grpo", steps=100, seeds=40)
    for lengths_ST, predicted_T in (
        (run.right_ST, run.predicted_right_T),
        (run.wrong_ST, run.predicted_wrong_T),
    ):
        assert lengths_ST.mean(0)[::20] == pytest.approx(predicted_T[::20], rel=0.05)


def test_a_policy_blind_to_the_branch_has_no_drift_and_a_half_seeing_one_has_half():
    drifts = {hint: predicted_drift(OBJECTIVES["grpo"], TwoBranch(hint=hint)) for hint in (0.0, 0.5, 1.0)}
    assert np.abs(drifts[0.0]).max() < 1e-15
    assert drifts[0.5] == pytest.approx(drifts[1.0] / 2)
    blind = simulate("grpo", hint=0.0, seeds=20, steps=200)
    assert (blind.right_ST == blind.wrong_ST).all()
    assert 7 < blind.right_ST[:, -1].mean() < 13


def test_the_bias_of_a_token_mean_falls_with_the_problems_that_share_its_denominator():
    objective = replace(OBJECTIVES["grpo_no_std"], normalizer="batch_tokens")
    kwargs = {"seeds": 10, "num_problems": 64}
    ends = [
        float(np.log(run.wrong_ST[:, -1] / run.right_ST[:, -1]).mean())
        for run in (simulate(objective, problems_per_denominator=n, **kwargs) for n in (1, 4, 16, 64))
    ]
    assert ends[0] > 2  # wrong answers e^2 times as long as right ones
    assert all(many < few / 2 for few, many in itertools.pairwise(ends))


def test_zero_reward_for_truncation_shortens_right_answers_under_dr_grpo_too():
    run = simulate("dr_grpo", truncated_is_wrong=True, seeds=40)
    right, wrong = run.right_ST[:, -1], run.wrong_ST[:, -1]
    assert right.mean() + 4 * right.std(ddof=1) / math.sqrt(40) < 10
    assert run.predicted_right_T[-1] < 10 and run.predicted_wrong_T[-1] == pytest.approx(10)
    assert abs(wrong.mean() - 10) < 4 * wrong.std(ddof=1) / math.sqrt(40)


def test_problems_that_are_never_or_always_solved_hardly_move():
    drifts = [predicted_drift(OBJECTIVES["grpo_no_std"], TwoBranch(accuracy=p))[0] for p in (0.001, 0.5, 0.999)]
    assert drifts[1] > 100 * drifts[0] and drifts[1] > 100 * drifts[2] and min(drifts) > 0


def test_accuracy_rises_where_it_learns():
    run = simulate("dr_grpo", accuracy_learns=True, steps=100, seeds=5)
    assert run.accuracy_ST[:, 0] == pytest.approx(0.5) and run.accuracy_ST[:, -1].min() > 0.7


def test_the_learning_rate_makes_the_total_push_of_all_objectives_equal():
    for name in ("grpo", "dr_grpo", "rloo"):
        run = simulate(name, steps=1, seeds=1, push=0.5)
        assert run.lr * mean_push(OBJECTIVES[name], TwoBranch()) == pytest.approx(0.5)


def test_equal_seeds_give_equal_runs_and_others_differ():
    first, again, other = (simulate("grpo", steps=5, seeds=2, seed=s) for s in (3, 3, 4))
    assert (first.right_ST == again.right_ST).all() and (first.right_ST != other.right_ST).any()


def test_what_two_branches_cannot_tell_is_nan_or_refused():
    for name in ("dapo", "opo", "gpg", "balanced_aggregation"):
        assert np.isnan(predicted_drift(OBJECTIVES[name], TwoBranch())).all()
    for name in ("ppo", "sppo"):
        with pytest.raises(ValueError, match="value head"):
            simulate(name, steps=1)
    with pytest.raises(ValueError, match="responses_per_problem=1"):
        simulate("grpo", steps=1, group_size=1)
    with pytest.raises(ValueError, match="must divide num_problems=16"):
        simulate("dapo", problems_per_denominator=5)
    with pytest.raises(ValueError, match="accuracy=0"):
        TwoBranch(accuracy=0)


def test_stopping_at_once_and_never_stopping_stay_finite():
    setting = TwoBranch()
    for logits in (30.0, -30.0):
        policy = Policy(np.full((1, 2), logits), np.zeros(1))
        gradient, _ = step_gradient(OBJECTIVES["grpo"], setting, policy, np.random.default_rng(0))
        assert np.isfinite(gradient.stop_SK).all()


def test_a_sweep_is_the_product_of_its_values():
    runs = sweep("grpo", steps=2, seeds=2, accuracy=(0.2, 0.5), group_size=(2, 8))
    assert [(run.setting.accuracy, run.setting.group_size) for run in runs] == [(0.2, 2), (0.2, 8), (0.5, 2), (0.5, 8)]


def test_the_figure_shares_its_axes_and_dashes_what_is_predicted():
    drawn = figure([simulate(name, steps=10, seeds=3) for name in ("grpo", "dapo")], labels=["a", "b"])
    assert drawn["layout"]["yaxis"]["range"] == drawn["layout"]["yaxis2"]["range"]
    assert [note["text"] for note in drawn["layout"]["annotations"]] == ["<b>a</b>", "<b>b</b>"]
    dashed = [trace for trace in drawn["data"] if trace["line"].get("dash") == "dash"]
    assert len(dashed) == 2 and {trace["xaxis"] for trace in dashed} == {"x"}  # dapo's drift has no closed form
    assert dashed[0]["y"][0] == pytest.approx(10)
