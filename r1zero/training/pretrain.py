"""Pretraining: from the dials of a corpus to a Hugging Face directory with its card, recipe and log."""

from __future__ import annotations

import json
import random
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from r1zero.analysis.organism import Organism, measure, organism_rows
from r1zero.config import EngineConfig, PretrainConfig, RewardConfig, SamplingConfig, TaskConfig, to_dict
from r1zero.engines import build_engine
from r1zero.evaluation.ask import ask
from r1zero.models.load import Policy, save_policy
from r1zero.models.tiny import fresh_policy, train_tokenizer, without_padding
from r1zero.objectives import likelihood_loss
from r1zero.store import write_atomically
from r1zero.tasks import build_task
from r1zero.tasks.corpus import corpus_hash, documents
from r1zero.tasks.templates import TEMPLATES
from r1zero.training.batching import Group, token_mean
from r1zero.training.learner import Learner
from r1zero.training.run import provenance
from r1zero.training.sft import Fitted, OnStep

TOKENIZER_DOCUMENTS = 20_000  # documents that the vocabulary is learned from
ENCODED_AT_ONCE = 2_000


def pretrain(config: PretrainConfig, on_step: OnStep | None = None) -> Fitted:
    """Generate the corpus, train a tokenizer and a model on it, measure them, and write `config.out`.

    Raises ValueError where the directory already holds something, or a dial is out of its range.
    """
    out = Path(config.out)
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty: choose another --out, or remove it")
    texts = list(documents(config.corpus, config.seed))
    tokenizer = train_tokenizer(texts[:TOKENIZER_DOCUMENTS], config.architecture.vocab_size)
    policy = without_padding(fresh_policy(config.architecture, tokenizer, config.seed))
    learner = Learner(policy, config.learner, num_updates=config.steps)
    log: list[dict[str, float]] = []
    tokens = 0
    batches = token_batches(encode(texts, policy), config.tokens_per_step, config.seed)
    for step, batch in zip(range(1, config.steps + 1), batches, strict=False):
        metrics = learner.update(token_mean(batch), likelihood_loss).metrics
        tokens += sum(group.num_tokens for group in batch)
        log.append({"step": step, "loss": metrics["learner/loss"], "lr": metrics["learner/lr"], "tokens": tokens})
        if on_step:
            on_step(step, config.steps, metrics)
    policy.model.eval()
    policy = as_saved(policy)
    save_policy(policy, out, torch.bfloat16)
    check_tokenizer(out, policy, texts[:100])
    corpus = {"sha256": corpus_hash(texts), "documents": len(texts), "tokens_read": tokens}
    saved = {"verb": config.verb, "config": to_dict(config), "corpus": corpus} | provenance()
    write_atomically(out / "recipe.json", (json.dumps(saved, indent=2) + "\n").encode())
    lines = [json.dumps({k: round(v, 7) for k, v in row.items()}) for row in log]
    write_atomically(out / "training_log.jsonl", ("\n".join(lines) + "\n").encode())
    organism = measure_policy(policy, config) if config.card_problems else None
    write_atomically(out / "README.md", model_card(config, policy, corpus, log, organism).encode())
    return Fitted(out, [row["loss"] for row in log], left_out=0)


def as_saved(policy: Policy) -> Policy:
    """The policy with its weights rounded to bfloat16, as they are written: what is measured is what is shipped."""
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.copy_(parameter.to(torch.bfloat16))
    return policy


def check_tokenizer(out: Path, policy: Policy, texts: Sequence[str]) -> None:
    """Raises RuntimeError unless the saved directory's tokenizer cuts these texts as the model was trained on them."""
    saved = AutoTokenizer.from_pretrained(out)
    for text in texts:
        if saved.encode(text, add_special_tokens=False) != policy.tokenizer.encode(text, add_special_tokens=False):
            raise RuntimeError(f"{out}: AutoTokenizer cuts {text[:40]!r} otherwise than training did")


def encode(texts: Sequence[str], policy: Policy) -> list[array[int]]:
    """Token ids of each document, its end token included, cut to the model's context."""
    backend = policy.tokenizer.backend_tokenizer
    encoded = []
    for start in range(0, len(texts), ENCODED_AT_ONCE):
        for one in backend.encode_batch(list(texts[start : start + ENCODED_AT_ONCE]), add_special_tokens=False):
            encoded.append(array("H", [*one.ids[: policy.max_context - 1], policy.end_ids[0]]))
    return encoded


def token_batches(encoded: Sequence[array[int]], tokens_per_step: int, seed: int) -> Iterator[list[Group]]:
    """Endless steps of at least `tokens_per_step` tokens, each epoch in an order of its own.

    Within a step documents are sorted by length, so that micro-batches hold documents of similar length.
    """
    batch: list[Group] = []
    tokens = 0
    for epoch in count():
        order = list(range(len(encoded)))
        random.Random(f"pretrain {seed} {epoch}").shuffle(order)
        for index in order:
            ids = tuple(encoded[index])
            if len(ids) < 2:  # nothing to predict
                continue
            batch.append(Group(f"document {index}", ids[:1], responses=(ids[1:],), advantages=(1.0,)))
            tokens += len(ids)
            if tokens >= tokens_per_step:
                yield sorted(batch, key=lambda group: group.num_tokens)
                batch, tokens = [], 0


def measure_policy(
    policy: Policy, config: PretrainConfig, *, samples: int = 8, template: str = "native", max_tokens: int = 256
) -> Organism:
    """What held-out problems, `samples` responses each at temperature 1, say about a model."""
    dials = config.corpus
    task = TaskConfig(num_numbers=dials.num_numbers, number_max=dials.number_max, target_max=dials.target_max)
    asked = ask(
        build_engine(EngineConfig(name="fast"), policy),
        policy,
        TEMPLATES[template],
        build_task(task, config.seed).problems("eval", 0, config.card_problems),
        samples=samples,
        sampling=SamplingConfig(max_tokens=max_tokens),
        rewards=RewardConfig(),
        address=("model card",),
        step=0,
    )
    return measure(asked.rollouts)


def model_card(
    config: PretrainConfig,
    policy: Policy,
    corpus: Mapping[str, Any],
    log: Sequence[Mapping[str, float]],
    organism: Organism | None,
) -> str:
    """README.md of the model's directory."""
    shape, dials = config.architecture, config.corpus
    parameters = sum(p.numel() for p in policy.model.parameters())
    last = [row["loss"] for row in log[-50:]]
    lines = [
        f"# {config.name}",
        "",
        f"A base language model of {parameters:,} parameters, trained from scratch on generated Countdown text by "
        "`r1zero pretrain`. `recipe.json` holds every dial and version, `training_log.jsonl` the loss curve.",
        "",
        "It is a model organism for studying reinforcement learning: it knows nothing but Countdown with numbers up to "
        f"{dials.number_max} and targets up to {dials.target_max}, and it guesses, gives up and breaks off because its "
        "corpus does.",
        "",
        f"- architecture: Qwen2, {shape.num_layers} layers of width {shape.hidden_size}, {shape.num_heads} heads, "
        f"{shape.num_kv_heads} key-value; byte-level BPE of {policy.vocab_size} tokens, every digit one token",
        f"- corpus: {corpus['documents']:,} documents, seed {config.seed}, sha256 `{corpus['sha256']}`",
        f"- training: {len(log):,} steps, {corpus['tokens_read']:,} tokens; mean loss of the last {len(last)} steps "
        f"{sum(last) / len(last):.4f} nats a token",
    ]
    if organism is not None:
        lines += [
            "",
            "## Measured",
            "",
            f"{organism.num_problems} held-out problems, {organism.num_responses // organism.num_problems} responses "
            "each, native template, temperature 1, at most 256 tokens; fractions with 95 % intervals. "
            "`python benchmarks/organism.py` measures them again.",
            "",
            "| property | value |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in organism_rows(organism)),
        ]
    return "\n".join(lines) + "\n"
