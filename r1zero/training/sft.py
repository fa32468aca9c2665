"""Continued pretraining and supervised fine-tuning: the learner with a likelihood in place of an objective."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from r1zero.config import LearnerConfig, ModelConfig, SFTConfig, TextDataConfig, to_dict
from r1zero.evaluation.ask import encode
from r1zero.grading.golds import right_answer
from r1zero.models.load import Policy, load_policy, save_policy
from r1zero.models.lora import adapt, write_adapter
from r1zero.models.vision_prompt import encode_prompt
from r1zero.objectives import likelihood_loss
from r1zero.store import write_atomically
from r1zero.tasks import build_task
from r1zero.tasks.datafiles import read_rows
from r1zero.tasks.templates import load_template
from r1zero.training.batching import Group, token_mean
from r1zero.training.learner import Learner
from r1zero.training.run import provenance

log = logging.getLogger("r1zero")
OnStep = Callable[[int, int, dict[str, float]], None]  # step, steps in all, metrics


@dataclass(frozen=True)
class Fitted:
    """What a likelihood run left behind."""

    dir: Path
    losses: list[float]  # nats a learned token, one a step
    left_out: int  # rows longer than the limit


def sft(config: SFTConfig, on_step: OnStep | None = None) -> Fitted:
    """Train on a file's rows and write a Hugging Face directory with its log.  Raises ValueError for bad data."""
    out = Path(config.out)
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty: choose another --out, or remove it")
    policy = load_policy(
        config.model.path,
        config.learner.device,
        max_pixels=config.model.max_pixels,
        pictures=Path(config.data.kept_images if config.source == "data" else config.task.kept_images),
    )
    examples, left_out = read_examples(config.data, policy) if config.source == "data" else answers(config, policy)
    batches = [
        batch
        for epoch in range(config.epochs)
        for batch in batches_of(shuffled(examples, config.seed, epoch), config.tokens_per_step)
    ]
    if config.lora.rank:
        adapt(policy, config.lora, base=config.model.path, freeze=config.learner.freeze, seed=config.seed)
    losses = fit(policy, batches, config.learner, config.model, on_step)
    save_policy(policy, out)
    if config.lora.rank:
        write_adapter(policy.model, out / "adapter")
    saved = {"verb": config.verb, "config": to_dict(config), "left_out": left_out} | provenance()
    write_atomically(out / "recipe.json", json.dumps(saved, indent=2).encode())
    write_log(out, losses)
    return Fitted(out, losses, left_out)


def fit(
    policy: Policy,
    batches: Sequence[Sequence[Group]],
    config: LearnerConfig,
    model: ModelConfig,
    on_step: OnStep | None = None,
) -> list[float]:
    """One optimizer step a batch, in order.  Returns the loss of each, nats a learned token."""
    learner = Learner(policy, config, num_updates=len(batches), gradient_checkpointing=model.gradient_checkpointing)
    losses = []
    for step, batch in enumerate(batches, start=1):
        metrics = learner.update(token_mean(batch), likelihood_loss).metrics
        losses.append(metrics["learner/loss"])
        if on_step:
            on_step(step, len(batches), metrics)
    return losses


def read_examples(data: TextDataConfig, policy: Policy) -> tuple[list[Group], int]:
    """Rows as (what is read, what is learned), and how many were left out for their length.

    Every row ends in the end token, which is learned.  With a prompt column and loss_on="answer" the prompt is read
    only; otherwise all tokens but the first are learned.  Pictures belong to the prompt, which is then read only.
    """
    if data.images_column and (data.prompt_column is None or data.loss_on == "all"):
        raise ValueError(
            "data.images_column needs data.prompt_column and data.loss_on=answer: pictures are not learned"
        )
    columns = [data.text_column] + ([data.prompt_column] if data.prompt_column else [])
    rows = read_rows(data.path, data.split, columns + ([data.images_column] if data.images_column else []))
    examples = []
    for index, row in enumerate(rows.iter_rows(named=True)):
        if any(not isinstance(row[name], str) for name in columns):
            raise ValueError(f"{data.path}, row {index}: columns {', '.join(columns)} must be text, not {row}")
        images = tuple(row[data.images_column] or ()) if data.images_column else ()
        try:
            prompt = list(encode_prompt(policy, row[data.prompt_column], images)) if data.prompt_column else []
            answer = list(encode_prompt(policy, row[data.text_column]))
        except ValueError as error:
            raise ValueError(f"{data.path}, row {index}: {error}") from error
        group = example(f"row {index}", prompt, answer, policy.end_id, learn_prompt=data.loss_on == "all")
        examples.append(replace(group, images=images))
    return _fitting(examples, min(data.max_tokens, policy.max_context), data.path)


def answers(config: SFTConfig, policy: Policy) -> tuple[list[Group], int]:
    """The task's training problems under the template, each with its right answer, and how many were left out.

    The supervised counterpart of RL on the same problems.  Raises ValueError for a task whose golds hold no answers.
    """
    task = build_task(config.task, config.seed)
    count = config.num_problems or len(getattr(task, "rows", {"train": ()})["train"])
    if not count:
        raise ValueError(f"task {task.name} has no end: say with --num_problems how many problems to learn")
    examples = []
    problems = task.problems("train", 0, count)
    for prompt in encode(problems, load_template(config.template.name), policy):
        text = config.answer_form.replace("{answer}", right_answer(prompt.problem))
        learned = list(encode_prompt(policy, text))
        group = example(prompt.problem.id, list(prompt.token_ids), learned, policy.end_id, learn_prompt=False)
        examples.append(replace(group, images=prompt.images))
    return _fitting(examples, min(config.data.max_tokens, policy.max_context), task.name)


def _fitting(examples: Sequence[Group], limit: int, source: str) -> tuple[list[Group], int]:
    kept = [group for group in examples if group.num_tokens <= limit]
    if not kept:
        raise ValueError(f"{source}: every row is longer than {limit} tokens: raise data.max_tokens")
    return kept, len(examples) - len(kept)


def example(name: str, prompt: list[int], answer: list[int], end_id: int, *, learn_prompt: bool) -> Group:
    """One row for the learner: the prompt (or the first token) is read, the rest and the end token are learned."""
    tokens = [*prompt, *answer, end_id]
    read = len(prompt) if prompt and not learn_prompt else 1
    return Group(name, tuple(tokens[:read]), responses=(tuple(tokens[read:]),), advantages=(1.0,))


def shuffled(examples: Sequence[Group], seed: int, epoch: int) -> list[Group]:
    """The rows in the order of an epoch: a function of (seed, epoch)."""
    order = list(examples)
    random.Random(f"sft {seed} {epoch}").shuffle(order)
    return order


def batches_of(examples: Sequence[Group], tokens_per_step: int) -> Iterator[list[Group]]:
    """Rows in order, gathered until the next would exceed `tokens_per_step`."""
    batch: list[Group] = []
    tokens = 0
    for group in examples:
        if batch and tokens + group.num_tokens > tokens_per_step:
            yield batch
            batch, tokens = [], 0
        batch.append(group)
        tokens += group.num_tokens
    if batch:
        yield batch


def write_log(out: Path, losses: Sequence[float]) -> None:
    """training_log.jsonl: the loss of each step."""
    lines = [json.dumps({"step": step, "loss": round(loss, 6)}) for step, loss in enumerate(losses, start=1)]
    write_atomically(out / "training_log.jsonl", ("\n".join(lines) + "\n").encode())
