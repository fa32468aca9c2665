"""Replay: hand-worked priorities, draws that follow them, and weights that undo them."""

import math
from collections import Counter

import pytest

from r1zero.config import ReplayConfig
from r1zero.objectives import OBJECTIVES
from r1zero.training.batching import Group
from r1zero.training.checkpoint import load_memories
from r1zero.training.credit import weighed
from r1zero.training.replay import (
    EPS,
    Draw,
    Memory,
    draw,
    log_priority,
    read_memories,
    remember,
    replay_metrics,
    shared_out,
    write_memories,
)


def group(name, *advantages, **fields):
    responses = tuple((5,) * (i + 1) for i in range(len(advantages)))
    logprobs = tuple((-1 / 3,) * len(ids) for ids in responses)
    return Group(name, (1, 2), responses, tuple(advantages), sampler_logprobs=logprobs, **fields)


PLAIN = ReplayConfig(share=0.5, tau=10.0, alpha=1.0, beta=1.0)


def shares(memories, step, config):
    sizes = [math.exp(log_priority(memory, step, config)) for memory in memories]
    return [size / sum(sizes) for size in sizes]


def test_a_priority_is_the_mean_advantage_and_falls_with_age():
    memory = Memory(group("a", 0.5, -0.5, 0.0, 0.0), step=3)
    assert math.exp(log_priority(memory, 3, PLAIN)) == pytest.approx(0.25 + EPS)
    assert math.exp(log_priority(memory, 13, PLAIN)) == pytest.approx((0.25 + EPS) / math.e)
    flat = ReplayConfig(alpha=0.0, tau=10.0)
    assert math.exp(log_priority(memory, 8, flat)) == pytest.approx(math.exp(-0.5))
    root = ReplayConfig(alpha=0.5, tau=10.0)
    assert math.exp(log_priority(memory, 3, root)) == pytest.approx(math.sqrt(0.25 + EPS))


MEMORIES = (
    Memory(group("a", 0.75, -0.75), step=1),
    Memory(group("b", 0.5, -0.5), step=2),
    Memory(group("c", 0.1, -0.1), step=4),
)


def test_draws_follow_the_priorities():
    counts = Counter(d.memory.group.problem_id for i in range(1500) for d in draw(MEMORIES, 5, 3, PLAIN, (0, i)))
    for name, share in zip("abc", shares(MEMORIES, 5, PLAIN), strict=True):
        assert abs(counts[name] / 4500 - share) < 4 * math.sqrt(share * (1 - share) / 4500)


def test_with_beta_one_the_weights_undo_the_preference_exactly():
    expected = shares(MEMORIES, 5, PLAIN)
    weights = {d.memory.group.problem_id: d.weight for i in range(200) for d in draw(MEMORIES, 5, 3, PLAIN, (0, i))}
    contributions = [share * weights[name] for name, share in zip("abc", expected, strict=True)]
    assert contributions == pytest.approx([contributions[0]] * 3)  # E[weight f] is the plain mean of f, but for scale
    assert max(weights.values()) == pytest.approx(1)


def test_beta_is_the_exponent_of_the_weights():
    half = ReplayConfig(share=0.5, tau=10.0, alpha=1.0, beta=0.5)
    whole, root, none = (
        draw(MEMORIES, 5, 3, config, (0, 1))
        for config in (PLAIN, half, ReplayConfig(share=0.5, tau=10.0, alpha=1.0, beta=0.0))
    )
    assert [d.weight**2 for d in root] == pytest.approx([d.weight for d in whole])
    assert [d.weight for d in none] == [1, 1, 1]


def test_a_draw_depends_on_its_address_and_is_never_larger_than_memory():
    def drawn_names(address, count=3):
        return [d.memory.group.problem_id for d in draw(MEMORIES, 5, count, PLAIN, address)]

    assert drawn_names((0, "replay", 1)) == drawn_names((0, "replay", 1))
    assert len({tuple(drawn_names((0, "replay", i))) for i in range(20)}) > 1
    assert len(drawn_names((0,), count=50)) == 3
    assert draw((), 5, 3, PLAIN, (0,)) == []


def test_memories_older_than_a_float_can_tell_are_weighed_without_nan():
    ancient = ReplayConfig(share=0.5, tau=0.001, alpha=1.0, beta=1.0)
    drawn = draw(MEMORIES, 10_000, 3, ancient, (0,))
    assert {d.memory.group.problem_id for d in drawn} == {"c"}  # the freshest
    assert all(0 <= d.weight <= 1 for d in drawn)


def test_memory_keeps_the_newest_groups_that_teach_something():
    config = ReplayConfig(capacity=3)
    memories = remember((), [group("a", 0.5, -0.5), group("flat", 0.0, 0.0), group("b", 0.5, -0.5)], 1, config)
    memories = remember(memories, [group("c", 0.5, -0.5), group("d", 0.5, -0.5)], 2, config)
    assert [(m.group.problem_id, m.step) for m in memories] == [("b", 1), ("c", 2), ("d", 2)]


def test_what_is_remembered_is_bare_and_has_the_sampling_policy_as_its_denominator():
    scored = group("a", 0.5, -0.5, weights=(0.1, 0.1), old_logprobs=((-0.3,), (-0.3, -0.4)))
    plain = group("b", 0.5, -0.5, weights=(0.1, 0.1))
    first, second = (memory.group for memory in remember((), [scored, plain], 1, ReplayConfig()))
    assert first.weights == second.weights == ()
    assert first.old_logprobs == scored.old_logprobs
    assert second.old_logprobs == plain.sampler_logprobs


def test_memory_survives_the_disk_to_the_last_bit(tmp_path):
    rich = group(
        "a", 1 / 3, -2 / 3, rewards=(1.0, 0.0), correct=(True, False), left_out=(False, True),
        old_logprobs=((-0.1,), (-1e-17, -1 / 7)), token_advantages=((0.1,), (0.2, 0.3)),
    )  # fmt: skip
    memories = (Memory(rich, 4), Memory(rich, 5))
    write_memories(tmp_path / "replay.parquet", memories)
    assert read_memories(tmp_path / "replay.parquet") == memories
    write_memories(tmp_path / "none.parquet", ())
    assert read_memories(tmp_path / "none.parquet") == ()


def test_a_damaged_memory_names_the_checkpoint_and_the_remedy(tmp_path):
    path = tmp_path / "checkpoints" / "step-000004" / "replay.parquet"
    path.parent.mkdir(parents=True)
    write_memories(path, MEMORIES)
    assert load_memories(tmp_path, 4) == MEMORIES
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"step-000004 is damaged .*remove it to continue from the one before"):
        load_memories(tmp_path, 4)
    assert load_memories(tmp_path, 2) == ()


def test_replayed_groups_count_in_the_normaliser_and_their_weights_carry_the_factor():
    """Dr. GRPO with M = 10 over two fresh groups and one replayed, two responses each: 1/60, and half of that."""
    fresh = [group("x", 0.5, -0.5), group("y", 0.5, -0.5)]
    (part,) = shared_out([Draw(MEMORIES[0], 0.5)], [fresh])
    weights = [made.weights for made in weighed(part, OBJECTIVES["dr_grpo"], 10)]
    assert weights == [(1 / 60,) * 2, (1 / 60,) * 2, (1 / 120,) * 2]


def test_draws_are_shared_out_over_the_optimizer_steps():
    fresh = [[group("x", 0.5, -0.5)], [group("y", 0.5, -0.5)]]
    parts = shared_out([Draw(memory, 1.0) for memory in MEMORIES], fresh)
    assert [[g.problem_id for g in part] for part in parts] == [["x", "a", "c"], ["y", "b"]]
    assert [[g.problem_id for g in part] for part in shared_out([Draw(MEMORIES[0], 1.0)], [])] == [["a"]]
    assert shared_out([], []) == [[]]


def test_metrics_say_how_much_was_replayed_and_how_old_it_was():
    draws = [d for i in range(10) for d in draw(MEMORIES, 5, 1, PLAIN, (0, i))]
    metrics = replay_metrics(draws, 30, 5)
    assert metrics["replay/share"] == 0.25
    assert metrics["replay/age_mean"] == sum(5 - d.memory.step for d in draws) / 10
    assert replay_metrics([], 16, 1)["replay/share"] == 0
    assert math.isnan(replay_metrics([], 16, 1)["replay/age_mean"])


@pytest.mark.parametrize(("field", "value"), [("share", 1.0), ("capacity", 0), ("tau", 0.0), ("beta", 1.5)])
def test_values_out_of_range_are_refused(field, value):
    with pytest.raises(ValueError, match=rf"replay\.{field}={value}"):
        ReplayConfig(**{field: value})
