"""How a step is shared out, without processes: which rank learns what, and what is refused."""

import pytest
import torch

from r1zero.config import TrainConfig, build, nested
from r1zero.training import ranks, replay, shares
from r1zero.training.batching import Group
from r1zero.training.replay import Draw, Memory, shared_out
from r1zero.training.shares import balanced, check_shares


def on_every_rank(monkeypatch, number, compute):
    found = []
    for rank in range(number):
        for module in (shares, replay):
            monkeypatch.setattr(module, "num_ranks", lambda: number)
            monkeypatch.setattr(module, "rank", lambda rank=rank: rank)
        found.append(compute())
    return found


def test_the_largest_group_goes_first_and_each_to_the_rank_that_has_least(monkeypatch):
    sizes = [10, 70, 20, 50, 30]  # 70 | 50, then 30 beside 50, then 20 beside 70, then 10 beside 80
    assert on_every_rank(monkeypatch, 2, lambda: balanced(sizes)) == [[1, 2], [0, 3, 4]]


@pytest.mark.parametrize("number", [1, 2, 3, 7])
def test_every_group_is_learned_by_one_rank(monkeypatch, number):
    places = on_every_rank(monkeypatch, number, lambda: balanced([5, 5, 9, 1, 4]))
    assert sorted(place for own in places for place in own) == [0, 1, 2, 3, 4]


def test_every_draw_from_memory_is_learned_by_one_rank_in_the_optimizer_step_it_would_have_alone(monkeypatch):
    def draws_of(parts):
        return [[group.problem_id for group in part] for part in parts]

    groups = [Group(f"p{i}", (1,), ((2,),), (0.5,)) for i in range(7)]
    draws = [Draw(Memory(group, 0), 1.0) for group in groups]
    [alone] = on_every_rank(monkeypatch, 1, lambda: draws_of(shared_out(draws, [[], []])))
    of_ranks = on_every_rank(monkeypatch, 3, lambda: draws_of(shared_out(draws, [[], []])))
    for step in range(2):
        assert sorted(name for own in of_ranks for name in own[step]) == sorted(alone[step])


def test_more_ranks_than_gpus_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    ranks.check_devices("auto", 2)
    ranks.check_devices("cpu", 3)
    with pytest.raises(ValueError, match=r"3 ranks on this machine, which has 2 GPUs: .* or use learner.device=cpu"):
        ranks.check_devices("auto", 3)
    with pytest.raises(ValueError, match=r"learner.device=cuda:1 with several ranks"):
        ranks.check_devices("cuda:1", 2)


def test_a_rank_takes_the_gpu_of_its_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert ranks.device_of_rank("auto") == "auto"  # alone
    told = {"RANK": "11", "WORLD_SIZE": "16", "LOCAL_RANK": "3", "LOCAL_WORLD_SIZE": "8"}
    for name, value in (told | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}).items():
        monkeypatch.setenv(name, value)
    assert (ranks.device_of_rank("auto"), ranks.device_of_rank("cpu")) == ("cuda:3", "cpu")
    assert (ranks.rank(), ranks.is_first()) == (11, False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"problems_per_step": 2}, "problems_per_step=2 is less than 3 ranks"),
        ({"cluster.name": "ray"}, "cluster.name=ray starts its own processes"),
        ({"objective.shadow": ["grpo"]}, "objective.shadow needs whole gradients"),
    ],
)
def test_runs_that_ranks_cannot_share_are_refused(settings, message):
    config = build(TrainConfig, nested(settings))
    check_shares(config, 1)
    with pytest.raises(ValueError, match=message):
        check_shares(config, 3)


def test_a_model_that_sees_is_trained_with_whole_weights_on_every_rank():
    with pytest.raises(ValueError, match=r"a model that sees needs sharding.weights=none"):
        check_shares(TrainConfig(), 2, sees=True)
    check_shares(build(TrainConfig, {"sharding": {"weights": "none"}}), 2, sees=True)
