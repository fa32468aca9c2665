"""The promise of the first command, with the shipped model: minutes long, so outside the everyday run."""

import pytest
from transformers import AutoModelForCausalLM

from r1zero.cli.main import main
from r1zero.config import TrainConfig, build, read_recipe
from r1zero.engines import build_engine
from r1zero.evaluation.held_out import evaluate
from r1zero.models.load import load_policy
from r1zero.store import read_metrics
from r1zero.tasks import build_task
from r1zero.tasks.templates import load_template


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(5))
def test_dr_grpo_at_least_doubles_held_out_accuracy_beyond_chance(tmp_path, seed):
    assert main(["train", "quickstart", "--seed", str(seed), "--run.dir", str(tmp_path / "run")]) == 0
    evaluated = [row for row in read_metrics(tmp_path / "run") if "eval/countdown/accuracy" in row]
    first, last = evaluated[0], evaluated[-1]
    assert last["eval/countdown/accuracy"] >= 2 * first["eval/countdown/accuracy"]
    assert last["eval/countdown/accuracy_low"] > first["eval/countdown/accuracy_high"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_saved_model_reproduces_its_evaluation(tmp_path):
    run = tmp_path / "run"
    assert main(["train", "quickstart", "--steps", "3", "--run.dir", str(run)]) == 0
    config = build(TrainConfig, read_recipe(run / "config.json"))
    policy = load_policy(str(run / "model"), "cpu")
    plain = AutoModelForCausalLM.from_pretrained(run / "model")
    assert {n: p.shape for n, p in plain.named_parameters()} == {n: p.shape for n, p in policy.model.named_parameters()}
    problems = build_task(config.task, config.seed).problems("eval", 0, config.evaluation.num_problems)
    again = evaluate(
        build_engine(config.engine, policy), policy, load_template("native"), problems, config.evaluation,
        seed=config.seed, step=3, rewards=config.reward,
    )  # fmt: skip
    last = read_metrics(run)[-1]
    for name, value in again.metrics.items():
        assert value == pytest.approx(last[name], nan_ok=True), name
