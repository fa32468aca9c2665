"""The loop on random models.  They never solve Countdown, so reward goes to ending before the limit instead."""

import json
import math
from dataclasses import replace

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GenerationConfig,
    LlamaConfig,
    Qwen3Config,
)

from r1zero.config import TrainConfig, build, nested
from r1zero.models.load import load_policy, save_policy
from r1zero.records import OUTCOMES
from r1zero.store import read_metrics, read_rollouts
from r1zero.training import TrainingError, train
from r1zero.training.checkpoint import checkpoint_steps

ALWAYS = {
    "reward/mean",
    "response/tokens_mean",
    "group/degenerate_share",
    "policy/entropy",
    "policy/clip_share",
    "policy/kl_sampler_learner",
    "grad/norm",
    "speed/rollout_tokens_per_s",
    "speed/learner_tokens_per_s",
    "speed/step_s",
    *(f"outcome/{outcome}/{what}" for outcome in OUTCOMES for what in ("share", "tokens_mean")),
}


def config_for(tmp_path, base, **overrides):
    return build(TrainConfig, nested({
        "steps": 3, "problems_per_step": 4, "responses_per_problem": 8, "model.path": str(base),
        "run.dir": str(tmp_path / "run"), "reward.unformatted": 1.0, "reward.truncated": 0.0,
        "sampling.max_tokens": 64, "evaluation.num_problems": 6, "evaluation.max_tokens": 24, "evaluation.every": 2,
        "checkpoint.every": 2, "learner.lr": 1e-2, "learner.dtype": "float32",
    } | overrides))  # fmt: skip


def timeless(metrics):
    return [json.dumps({k: v for k, v in row.items() if not k.startswith("speed/")}) for row in metrics]


def largest_gap(run):
    gaps = [row["policy/kl_sampler_learner"] for row in run.metrics[1:]]
    return max(gap for gap in gaps if not math.isnan(gap))  # NaN where every group was degenerate


def test_a_run_leaves_what_the_contract_promises(tmp_path, base):
    run = train(config_for(tmp_path, base))
    assert run.finished and run.steps_done == 3
    metrics = read_metrics(run.dir)
    assert [row["step"] for row in metrics] == [0, 1, 2, 3]
    assert all(row.keys() >= ALWAYS for row in metrics[1:])
    evaluated = [row["step"] for row in metrics if "eval/countdown/accuracy" in row]
    assert evaluated == [0, 2, 3]  # the first, every second, the last
    rollouts = read_rollouts(run.dir).collect()
    assert len(rollouts) == 3 * 4 * 8
    assert (
        rollouts.group_by("step", "problem_id").agg(pl.col("advantage").sum()).get_column("advantage").abs().max()
        < 1e-9
    )
    assert len(read_rollouts(run.dir, split="eval").collect()) == 3 * 6
    assert checkpoint_steps(run.dir) == [2, 3]
    saved = json.loads((run.dir / "config.json").read_text())
    assert build(TrainConfig, saved["config"]) == config_for(tmp_path, base)
    assert saved["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("objective", ["dr_grpo", "grpo"])
def test_training_raises_the_reward(tmp_path, base, objective, seed):
    settings = {"problems_per_step": 8, "responses_per_problem": 8, "evaluation.every": 0, "learner.lr": 2e-2}
    config = config_for(tmp_path, base, steps=15, seed=seed, **settings, **{"objective.name": objective})
    rewards = [row["reward/mean"] for row in train(config).metrics[1:]]
    assert sum(rewards[:3]) / 3 < 0.4
    assert sum(rewards[-3:]) / 3 > 0.7


def test_the_sampler_and_the_learner_agree_on_every_log_probability(tmp_path, base):
    assert largest_gap(train(config_for(tmp_path, base))) < 1e-9  # k3 of gaps below 1e-4


def test_the_saved_model_is_the_last_policy_and_opens_with_transformers(tmp_path, base):
    run = train(config_for(tmp_path, base))
    model = AutoModelForCausalLM.from_pretrained(run.dir / "model")
    again = load_policy(str(run.dir / "model"), "cpu")
    last = load_file(run.dir / "checkpoints" / "step-000003" / "model" / "model.safetensors")
    state = model.state_dict()
    assert all(torch.equal(state[name], weight) for name, weight in last.items())
    ids = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(model(ids).logits, again.model(ids).logits)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path, base):
    first = train(config_for(tmp_path, base)).metrics
    again = train(config_for(tmp_path, base, **{"run.dir": str(tmp_path / "again")})).metrics
    other = train(config_for(tmp_path, base, **{"run.dir": str(tmp_path / "other"), "seed": 1})).metrics
    assert timeless(first) == timeless(again)
    assert timeless(first) != timeless(other)


def test_stopping_and_continuing_changes_nothing(tmp_path, base):
    config = config_for(tmp_path, base, **{"steps": 5, "learner.updates_per_rollout": 2})
    whole = train(config)
    cut = replace(config, run=replace(config.run, dir=str(tmp_path / "cut")))

    class StopAfter:
        def step(self, step, metrics):
            if step == 3:  # between the checkpoints of steps 2 and 4
                raise KeyboardInterrupt

        def note(self, message):
            pass

        def tokens(self, count):
            pass

    with pytest.raises(KeyboardInterrupt):
        train(cut, StopAfter())
    resumed = train(cut)
    assert timeless(resumed.metrics) == timeless(whole.metrics)
    columns = ["problem_id", "sample", "token_ids", "logprobs", "advantage"]
    assert (
        read_rollouts(resumed.dir).select(columns).collect().equals(read_rollouts(whole.dir).select(columns).collect())
    )
    weights = [load_file(run.dir / "model" / "model.safetensors") for run in (whole, resumed)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_finished_run_is_left_as_it_is_and_can_be_lengthened(tmp_path, base):
    config = config_for(tmp_path, base)
    before = train(config).metrics
    assert train(config).metrics == before
    longer = train(replace(config, steps=4))
    assert [row["step"] for row in longer.metrics] == [0, 1, 2, 3, 4]
    assert longer.metrics[:4] == before


def test_a_directory_that_holds_a_different_run_is_refused(tmp_path, base):
    train(config_for(tmp_path, base))
    with pytest.raises(ValueError, match=r"learner\.lr was 0\.01, is 0\.5.*choose another"):
        train(config_for(tmp_path, base, **{"learner.lr": 0.5}))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(ValueError, match="not empty"):
        train(config_for(tmp_path, base, **{"run.dir": str(tmp_path / "mine")}))


def test_a_group_of_one_is_refused_before_anything_is_written(tmp_path, base):
    with pytest.raises(ValueError, match="responses_per_problem=1"):
        train(config_for(tmp_path, base, responses_per_problem=1))
    assert not (tmp_path / "run").exists()


def test_truncated_sampling_is_refused_because_it_would_be_off_policy(tmp_path, base):
    with pytest.raises(ValueError, match=r"top_p=0\.9.*off-policy"):
        config_for(tmp_path, base, **{"sampling.top_p": 0.9})


def test_prompts_that_fill_the_context_stop_the_run_when_none_fits(tmp_path, policy):
    policy.model.config.max_position_embeddings = 8
    save_policy(policy, tmp_path / "short")
    with pytest.raises(ValueError, match="no prompt fits the model's context of 8 tokens"):
        train(config_for(tmp_path, tmp_path / "short"))


def test_a_non_finite_update_stops_the_run_and_keeps_the_batch(tmp_path, base, monkeypatch):
    from r1zero.objectives import Objective

    plain = Objective.loss

    def broken(self, tokens):
        loss, sums = plain(self, tokens)
        return loss * float("inf"), sums

    monkeypatch.setattr(Objective, "loss", broken)
    with pytest.raises(TrainingError, match=r"step \d: the loss is .* on problem countdown-.*the batch is in"):
        train(config_for(tmp_path, base))
    (kept,) = (tmp_path / "run" / "failed").iterdir()
    batch = json.loads(kept.read_text())
    assert batch[0]["problem_id"].startswith("countdown-")
    assert batch[0]["responses"] and batch[0]["advantages"]


def test_a_full_disk_stops_the_run_with_what_was_written_whole(tmp_path, base, monkeypatch):
    import errno

    from r1zero.training import loop

    def full(path, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    train(config_for(tmp_path, base, steps=2))
    monkeypatch.setattr(loop, "write_rollouts", full)
    with pytest.raises(TrainingError, match=r"No space left on device.*make room and run the same command"):
        train(config_for(tmp_path, base, steps=4))
    monkeypatch.undo()
    assert [row["step"] for row in train(config_for(tmp_path, base, steps=4)).metrics] == [0, 1, 2, 3, 4]


ARCHITECTURES = {
    "llama": LlamaConfig,
    "qwen3": Qwen3Config,
    "gemma": GemmaConfig,
    "gemma2": Gemma2Config,
    "gemma3": Gemma3TextConfig,
}


@pytest.mark.parametrize("engine", ["fast", "huggingface"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_random_models_of_other_architectures_train(tmp_path, policy, name, engine):
    shape = dict(  # noqa: C408
        vocab_size=policy.vocab_size, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, max_position_embeddings=128,
        eos_token_id=policy.end_ids[0], pad_token_id=policy.end_ids[0], bos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(ARCHITECTURES[name](**shape))
    model.generation_config = GenerationConfig(eos_token_id=policy.end_ids[0], pad_token_id=policy.end_ids[0])
    save_policy(replace(policy, model=model), tmp_path / name)
    run = train(config_for(tmp_path, tmp_path / name, **{"steps": 2, "engine.name": engine}))
    assert run.finished
    assert largest_gap(run) < 1e-9
    assert max(row["grad/norm"] for row in run.metrics[1:]) > 0
    AutoModelForCausalLM.from_pretrained(run.dir / "model")
