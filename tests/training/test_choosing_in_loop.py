"""Dynamic sampling, choice of problems, replay and overlong rewards in whole runs of a random model."""

import json
import math

import polars as pl
import pytest
from safetensors.torch import load_file

from r1zero.config import TrainConfig, build, nested
from r1zero.store import read_rollouts
from r1zero.training import train
from r1zero.training.checkpoint import load_memories


@pytest.fixture
def problem_file(tmp_path):
    path = tmp_path / "problems.jsonl"
    rows = [{"nums": [a, a + 2, 3], "target": 2 * a + 5} for a in range(2, 14)]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def run(tmp_path, base, name="run", progress=None, **overrides):
    """The reward is for ending before the limit, which a random model does now and then."""
    return train(build(TrainConfig, nested({
        "steps": 4, "problems_per_step": 4, "responses_per_problem": 2, "model.path": str(base),
        "run.dir": str(tmp_path / name), "reward.unformatted": 1.0, "reward.truncated": 0.0,
        "sampling.max_tokens": 48, "evaluation.num_problems": 2, "evaluation.max_tokens": 8, "evaluation.every": 0,
        "checkpoint.every": 2, "learner.lr": 1e-2, "learner.dtype": "float32",
    } | overrides)), progress)  # fmt: skip


def timeless(metrics):
    return [json.dumps({k: v for k, v in row.items() if not k.startswith("speed/")}) for row in metrics]


class StopAfter:
    """Kills a run after a step."""

    def __init__(self, step):
        self.last = step

    def step(self, step, metrics):
        if step == self.last:
            raise KeyboardInterrupt

    def note(self, message):
        pass

    def tokens(self, count):
        pass


SETTINGS = {
    "refill": {"groups.degenerate": "refill", "groups.max_rounds": 4},
    "accuracy": {"choice.by": "target_accuracy", "choice.width": 0.1},
    "curriculum": {"choice.by": "curriculum", "choice.threshold": 0.0, "choice.horizon": 6, "task.num_numbers": [2, 3]},
    "replay": {"replay.share": 0.5, "replay.tau": 2.0, "responses_per_problem": 6, "learner.updates_per_rollout": 2},
    "soft": {"objective.name": "dapo", "reward.overlong_buffer": 20},
    "all": {
        "groups.degenerate": "refill", "groups.max_rounds": 3, "choice.by": "target_accuracy", "choice.width": 0.1,
        "replay.share": 0.34, "objective.name": "dapo", "objective.kl_coef": 0.01,
    },
}  # fmt: skip


ACTS = {
    "refill": lambda row: row["group/rounds"] > 1,
    "accuracy": lambda row: row["choice/known_share"] > 0,
    "curriculum": lambda row: row["choice/level"] == 3.0,
    "replay": lambda row: row["replay/share"] > 0,
    "soft": lambda row: row["reward/mean"] < 0,
    "all": lambda row: row["replay/share"] > 0 and row["choice/known_share"] > 0,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_stopping_and_continuing_changes_nothing(tmp_path, base, problem_file, name):
    settings = SETTINGS[name] | {"steps": 5}
    if name in ("accuracy", "all"):
        settings |= {"task.path": str(problem_file), "evaluation.path": str(problem_file)}
    whole = run(tmp_path, base, "whole", **settings)
    assert any(ACTS[name](row) for row in whole.metrics[3:])  # else there would be nothing to forget
    with pytest.raises(KeyboardInterrupt):  # between the checkpoints of steps 2 and 4
        run(tmp_path, base, "cut", StopAfter(3), **settings)
    resumed = run(tmp_path, base, "cut", **settings)
    assert timeless(resumed.metrics) == timeless(whole.metrics)
    columns = ["problem_id", "sample", "token_ids", "reward", "advantage"]
    assert (
        read_rollouts(resumed.dir).select(columns).collect().equals(read_rollouts(whole.dir).select(columns).collect())
    )
    weights = [load_file(r.dir / "model" / "model.safetensors") for r in (whole, resumed)]
    assert all(weights[0][key].equal(weights[1][key]) for key in weights[0])
    assert load_memories(resumed.dir, 5) == load_memories(whole.dir, 5)


def test_refill_learns_from_as_many_mixed_groups_as_problems_and_stores_all(tmp_path, base):
    done = run(tmp_path, base, **{"groups.degenerate": "refill", "groups.max_rounds": 20, "steps": 2})
    for row in done.metrics[1:]:
        rollouts = read_rollouts(done.dir).collect().filter(pl.col("step") == row["step"])
        groups = rollouts.group_by("problem_id").agg(
            mixed=pl.col("reward").n_unique() > 1, learned=pl.col("advantage").is_not_null().all(), n=pl.len()
        )
        assert row["group/asked"] == len(groups) == row["group/dropped"] + 4
        assert groups["learned"].sum() == groups.filter(pl.col("learned") & pl.col("mixed")).height == 4
        assert (groups["n"] == 2).all()
        assert row["group/rounds"] > 1
        assert row["reward/mean"] == pytest.approx(rollouts["reward"].mean())  # over all that was asked
        set_aside = rollouts.filter(pl.col("advantage").is_null())
        assert row["group/dropped_tokens"] == set_aside["num_tokens"].sum()
    places = [json.loads((done.dir / "checkpoints" / f"step-{2:06d}" / "state.json").read_text())["choices"]["place"]]
    assert places == [sum(row["group/asked"] for row in done.metrics[1:])]  # no problem is asked twice


def test_dropping_agreeing_groups_raises_the_gradient_by_what_they_counted(tmp_path, base):
    """Constant normaliser 1 / (B M): B falls from all responses to those of mixed groups."""
    settings = {"steps": 1, "problems_per_step": 8, "learner.max_grad_norm": 0}
    kept = run(tmp_path, base, "kept", **settings).metrics[1]
    dropped = run(tmp_path, base, "dropped", **settings, **{"groups.degenerate": "drop"}).metrics[1]
    mixed = 8 - dropped["group/dropped"]
    assert 0 < mixed < 8
    assert dropped["grad/norm"] == pytest.approx(kept["grad/norm"] * 8 / mixed, rel=1e-4)
    assert dropped["reward/mean"] == kept["reward/mean"]


def test_a_step_without_a_mixed_group_updates_nothing_and_goes_on(tmp_path, base):
    nothing = {"reward.unformatted": 0.0, "groups.degenerate": "refill", "groups.max_rounds": 2, "steps": 2}
    done = run(tmp_path, base, **nothing)
    assert [row["grad/norm"] for row in done.metrics[1:]] == [0.0, 0.0]
    assert [row["group/dropped"] for row in done.metrics[1:]] == [8, 8]
    assert read_rollouts(done.dir).collect()["advantage"].null_count() == 2 * 8 * 2


def test_replayed_groups_are_clipped_against_the_policy_that_sampled_them(tmp_path, base):
    done = run(tmp_path, base, **{"replay.share": 0.5, "responses_per_problem": 8, "learner.lr": 5e-2})
    first, *later = done.metrics[1:]
    assert first["replay/share"] == 0
    assert first["policy/clip_share"] == 0  # one update, on policy
    replaying = [row for row in later if row["replay/share"] > 0]
    assert replaying
    assert all(row["replay/age_mean"] >= 1 for row in replaying)
    assert max(row["policy/clip_share"] for row in replaying) > 0


def test_replay_with_a_value_head_or_a_moving_reference_is_refused(tmp_path, base):
    with pytest.raises(ValueError, match=r"replay\.share=0\.5: objective ppo trains a value head"):
        run(tmp_path, base, **{"replay.share": 0.5, "objective.name": "ppo"})
    moving = {"objective.kl_coef": 0.1, "objective.reference_every": 2}
    with pytest.raises(ValueError, match=r"replay\.share=0\.5 with objective\.reference_every=2"):
        run(tmp_path, base, **{"replay.share": 0.5}, **moving)


def test_the_soft_penalty_reaches_the_rewards(tmp_path, base):
    done = run(tmp_path, base, **{"steps": 1, "objective.overlong": "soft", "reward.overlong_buffer": 48})
    rollouts = read_rollouts(done.dir).collect()
    for row in rollouts.iter_rows(named=True):
        cut = row["finish_reason"] == "length"
        assert row["reward"] == pytest.approx(-1.0 if cut else 1.0 - row["num_tokens"] / 48)


def test_known_problems_come_back_by_their_accuracy(tmp_path, base, problem_file):
    by_accuracy = {"choice.by": "target_accuracy", "task.path": str(problem_file)}
    done = run(tmp_path, base, **by_accuracy, **{"evaluation.path": str(problem_file)})
    first, *_, last = done.metrics[1:]
    assert first["choice/known_share"] == 0
    assert first["choice/expected_accuracy"] == 0.5
    assert last["choice/known_share"] > 0
    assert not math.isnan(last["choice/expected_accuracy"])


def test_a_curriculum_opens_level_after_level(tmp_path, base):
    settings = SETTINGS["curriculum"] | {"choice.candidates": 8}
    done = run(tmp_path, base, **settings)
    levels = [row["choice/level"] for row in done.metrics[1:]]
    assert levels == [2.0, 2.0, 3.0, 3.0]  # six problems of the first level are answered in the second step
    asked = read_rollouts(done.dir).collect()
    assert set(asked.filter(pl.col("step") <= 2)["problem"].str.count_matches(",")) == {2}  # "numbers 3, 5, make 8"
