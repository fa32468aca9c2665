"""The recipes of published text models: their commands resolve, and a random model of their architecture trains."""

from __future__ import annotations

import json
import math
import re
import shlex
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from r1zero.cli.arguments import parse
from r1zero.cli.main import VERBS
from r1zero.cli.recipes import load_recipe, resolve, shipped_recipes
from r1zero.config import ArchitectureConfig, TrainConfig, build, merge, nested, to_dict
from r1zero.models import attention
from r1zero.models.load import Policy, load_policy, make_policy, save_policy
from r1zero.models.tiny import fresh_policy, train_tokenizer
from r1zero.store import read_metrics, read_rollouts
from r1zero.training import train

QUESTIONS = ["What is $2 + 3$?", "Find the area of a square of side 4.", "How many primes are below 10?"]
ARCHITECTURE = {
    "understand_r1_zero_1_5b": "qwen2",
    "understand_r1_zero_7b": "qwen2",
    "understand_r1_zero_llama_3b": "llama",
    "simplerl_zero_7b": "qwen2",
    "tinyzero_3b": "qwen2",
    "oat_zero_countdown": "qwen2",
    "understand_r1_zero_countdown": "qwen2",
}


def commands(recipe: str) -> list[list[str]]:
    """The commands in a recipe's header, without the remarks behind them."""
    text = shipped_recipes()[recipe].read_text()
    lines = [line[1:].strip() for line in text.splitlines() if re.match(r"#\s+r1zero \w", line)]
    return [shlex.split(re.split(r"\s{3,}", line)[0]) for line in lines]


ARMS = [(name, words) for name in ARCHITECTURE for _, verb, *words in commands(name) if verb == "train"]


@pytest.mark.parametrize("name", ARCHITECTURE)
def test_every_command_of_a_header_is_one_that_r1zero_takes(name):
    assert len(commands(name)) >= 1
    for _, verb, *words in commands(name):
        arguments = parse(VERBS[verb], words)
        if verb in ("train", "plan"):
            assert arguments.positionals == (name,)
        if verb == "train":
            assert isinstance(resolve(VERBS[verb], arguments), TrainConfig)


@pytest.mark.parametrize(
    ("name", "responses", "updates", "lr", "objective", "max_tokens", "rewards"),
    [
        ("understand_r1_zero_1_5b", 128 * 8, 8, 1e-6, "dr_grpo", 3000, (1.0, 0.0, 0.0, 0.0)),
        ("understand_r1_zero_7b", 128 * 8, 8, 1e-6, "dr_grpo", 3000, (1.0, 0.0, 0.0, 0.0)),
        ("understand_r1_zero_llama_3b", 128 * 8, 8, 1e-6, "dr_grpo", 3000, (1.0, 0.0, 0.0, 0.0)),
        ("simplerl_zero_7b", 1024 * 8, 4, 5e-7, "grpo", 8192, (1.0, 0.0, 0.0, None)),
        ("tinyzero_3b", 256, 4, 1e-6, "ppo", 1024, (1.0, 0.1, 0.0, None)),
        ("oat_zero_countdown", 128 * 8, 8, 1e-6, "grpo", 1024, (1.0, 0.1, 0.0, None)),
    ],
)
def test_the_recipes_have_the_published_numbers(name, responses, updates, lr, objective, max_tokens, rewards):
    config = build(TrainConfig, load_recipe(name, "train"))
    worth = config.reward
    assert config.problems_per_step * config.responses_per_problem == responses
    assert (config.learner.updates_per_rollout, config.learner.lr) == (updates, lr)
    assert (config.objective.name, config.sampling.max_tokens) == (objective, max_tokens)
    assert (worth.correct, worth.wrong_answer, worth.unformatted, worth.truncated) == rewards
    assert (config.sampling.temperature, config.sampling.top_p, config.evaluation.temperature) == (1.0, 1.0, 0.0)


def test_oat_zeros_defects_come_back_by_their_switches_alone():
    command = ["oat_zero_countdown", "--sampling.top_p", "0.9"]
    with pytest.raises(ValueError, match="off-policy"):
        resolve(VERBS["train"], parse(VERBS["train"], command))
    uncorrected = resolve(VERBS["train"], parse(VERBS["train"], [*command, "--objective.uncorrected"]))
    assert (uncorrected.sampling.top_p, uncorrected.objective.correction) == (0.9, None)


# ---------------------------------------------------------------------------------------------------------------------
# Two steps on a random model


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer([*QUESTIONS, "<think> 2 + 3 = 5 </think> <answer> 5 </answer>"], 300)


def random_llama(tokenizer: PreTrainedTokenizerBase) -> Policy:
    """A two-layer Llama of Llama-3.2's kind: tied embeddings, grouped heads, scaled rotary positions."""
    attention.register()
    end = tokenizer.eos_token_id
    config = LlamaConfig(
        vocab_size=len(tokenizer) + 3,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=end,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 512,
        },
        attn_implementation=attention.NAME,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=end)
    return make_policy(model.eval(), tokenizer)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerBase) -> dict[str, Path]:
    shape = ArchitectureConfig(
        hidden_size=32, num_layers=2, num_heads=4, num_kv_heads=2, intermediate_size=48, vocab_size=len(tokenizer) + 3
    )
    policies = {"qwen2": fresh_policy(shape, tokenizer, seed=0), "llama": random_llama(tokenizer)}
    folder = tmp_path_factory.mktemp("models")
    for name, policy in policies.items():
        save_policy(policy, folder / name)
    return {name: folder / name for name in policies}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small files with the columns of the data sets that the recipes name."""
    folder = tmp_path_factory.mktemp("data")
    math_rows: list[dict[str, Any]] = [
        {
            "problem": f"{QUESTIONS[i % 3]} ({i})",
            "solution": f"It is $\\boxed{{{i}}}$.",
            "answer": str(i),
            "subject": "Algebra",
            "level": 1 + i % 5,
            "unique_id": f"test/algebra/{i}.json",
        }
        for i in range(40)
    ]
    simplerl = [
        {
            "input": "<|im_start|>system\n...",
            "answer": row["answer"],
            "gt_answer": row["solution"],
            "subject": row["subject"],
            "level": row["level"],
            "question": row["problem"],
            "ground_truth_answer": row["answer"],
            "target": row["solution"],
        }
        for row in math_rows
    ]
    gsm8k = [{"question": row["problem"], "answer": f"So.\n#### {row['answer']}"} for row in math_rows]
    countdown = [{"target": 3 * i + 2, "nums": [i, 2 * i, 2]} for i in range(1, 200)]
    pl.DataFrame(math_rows).write_parquet(folder / "math.parquet")
    pl.DataFrame(gsm8k).write_parquet(folder / "gsm8k.parquet")
    pl.DataFrame(countdown).write_parquet(folder / "countdown.parquet")
    (folder / "simplerl.json").write_text(json.dumps(simplerl))
    return {path.name: path for path in folder.iterdir()}


FILES = {
    "nlile/hendrycks-MATH-benchmark": "math.parquet",
    "HuggingFaceH4/MATH-500": "math.parquet",
    "openai/gsm8k:main": "gsm8k.parquet",
    "Jiayi-Pan/Countdown-Tasks-3to4": "countdown.parquet",
}


def in_small(config: TrainConfig, model: Path, data: dict[str, Path], run_dir: Path) -> TrainConfig:
    """The recipe with the sizes of a test: model, files, counts and lengths; every other setting is the recipe's."""

    def local(path: str | None) -> str | None:
        return path and str(data["simplerl.json" if path.startswith("https://") else FILES[path]])

    problems = max(8, config.learner.updates_per_rollout)
    changes = {
        "steps": 2,
        "problems_per_step": problems,
        "responses_per_problem": min(config.responses_per_problem, 4),
        "model.path": str(model),
        "task.path": local(config.task.path),
        "evaluation.path": local(config.evaluation.path),
        "sampling.max_tokens": 40,
        "evaluation.num_problems": 4,
        "evaluation.max_tokens": 8,
        "reward.per_token": 0.1,  # so that the groups of a random model differ
        "learner.device": "cpu",
        "checkpoint.every": 0,
        "run.dir": str(run_dir),
        "run.threads": 1,
    }
    return build(TrainConfig, merge(to_dict(config), nested(changes)))


@pytest.mark.parametrize(("name", "words"), ARMS, ids=[" ".join(words) for _, words in ARMS])
def test_two_steps_of_a_recipe_on_a_random_model_of_its_architecture(name, words, models, data, tmp_path):
    verb = VERBS["train"]
    config = in_small(resolve(verb, parse(verb, words)), models[ARCHITECTURE[name]], data, tmp_path / "run")
    run = train(config)
    assert run.finished
    metrics = read_metrics(run.dir)
    assert [row["step"] for row in metrics] == [0, 1, 2]
    assert all(math.isfinite(row["learner/loss"]) and row["grad/norm"] > 0 for row in metrics[1:])
    stored = read_rollouts(run.dir, split="train").collect()
    assert len(stored) == 2 * config.problems_per_step * config.responses_per_problem
    assert stored["template"].unique().to_list() == [config.template.name]
    before = load_policy(str(models[ARCHITECTURE[name]]), "cpu").model.state_dict()
    after = load_policy(str(run.dir / "model"), "cpu").model.state_dict()
    assert any(not before[key].equal(after[key]) for key in before)
