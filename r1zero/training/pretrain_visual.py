"""Pretraining of a tiny model that sees: pictures and texts are drawn as they are needed, none twice.

Letters: B documents, L tokens of the longest, D width, V vocabulary, M learned tokens.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, Qwen2VLForConditionalGeneration

from r1zero.config import PretrainConfig, TaskConfig, VisualCorpusConfig, to_dict
from r1zero.evaluation.visual_controls import measure_controls
from r1zero.models.load import load_policy, make_policy, save_policy
from r1zero.models.tiny_visual import PICTURE_SETTINGS, fresh_visual_model, train_visual_tokenizer
from r1zero.models.vision import Patches, Vision
from r1zero.models.vision_qwen import qwen_vision
from r1zero.store import write_atomically
from r1zero.tasks import build_task
from r1zero.tasks.pictures import open_picture
from r1zero.tasks.visual.corpus import Document, draw_document
from r1zero.training.pretrain import as_saved, check_tokenizer
from r1zero.training.run import provenance
from r1zero.training.schedule import learning_rate
from r1zero.training.sft import Fitted, OnStep
from r1zero.training.visual_card import visual_card

TOKENIZER_DOCUMENTS = 2_000  # documents that the vocabulary is learned from
SORTED_TOGETHER = 4  # steps whose documents are sorted by length, so that little is padded


def pretrain_visual(config: PretrainConfig, on_step: OnStep | None = None) -> Fitted:
    """Train a tokenizer and a model on pictures with text, and write `config.out`.

    Raises ValueError where the directory already holds something, or a dial is out of its range.
    """
    out = Path(config.out)
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty: choose another --out, or remove it")
    rng = random.Random(f"visual vocabulary {config.seed}")
    texts = [d.prompt + d.response for d in (draw_document(rng, config.pictures) for _ in range(TOKENIZER_DOCUMENTS))]
    if config.start:
        begun = load_policy(config.start, "cpu")
        model, tokenizer = cast(Qwen2VLForConditionalGeneration, begun.model.train()), begun.tokenizer
    else:
        tokenizer = train_visual_tokenizer(texts, config.architecture.vocab_size)
        model = fresh_visual_model(config.architecture, tokenizer, config.seed).train()
    vision = qwen_vision(model.config, PICTURE_SETTINGS)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        betas=(config.learner.beta1, config.learner.beta2),
        weight_decay=config.learner.weight_decay,
    )
    log: list[dict[str, float]] = []
    tokens = 0
    for step, batch in zip(range(1, config.steps + 1), batches(config.pictures, config.seed), strict=False):
        rate = learning_rate(config.learner, step - 1, config.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, seen = document_loss(model, tokenizer, vision, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.learner.max_grad_norm)
        optimizer.step()
        tokens += seen
        log.append({"step": step, "loss": float(loss.detach()), "lr": rate, "tokens": tokens})
        if on_step:
            on_step(step, config.steps, {"learner/loss": log[-1]["loss"], "learner/lr": rate})
    policy = as_saved(make_policy(model.eval(), tokenizer, vision))
    save_policy(policy, out, torch.bfloat16)
    check_tokenizer(out, policy, texts[:100])
    corpus = {"documents": config.steps * config.pictures.documents_per_step, "tokens_read": tokens}
    saved = {"verb": config.verb, "config": to_dict(config), "corpus": corpus} | provenance()
    write_atomically(out / "recipe.json", (json.dumps(saved, indent=2) + "\n").encode())
    lines = [json.dumps({name: round(value, 7) for name, value in row.items()}) for row in log]
    write_atomically(out / "training_log.jsonl", ("\n".join(lines) + "\n").encode())
    policy = load_policy(str(out), config.learner.device)  # what is measured is what was written
    task = build_task(TaskConfig(name="visual"), config.seed)
    problems = task.problems("eval", 0, config.card_problems)
    rows = measure_controls(policy, problems) if problems else []
    write_atomically(out / "README.md", visual_card(config, policy, corpus, log, rows).encode())
    return Fitted(out, [row["loss"] for row in log], left_out=0)


def batches(dials: VisualCorpusConfig, seed: int) -> Iterator[list[Document]]:
    """Endless steps of documents of similar length; the same for the same dials and seed."""
    rng = random.Random(f"visual corpus {seed}")
    size = dials.documents_per_step
    while True:
        drawn = [draw_document(rng, dials) for _ in range(SORTED_TOGETHER * size)]
        drawn.sort(key=lambda document: len(document.prompt.split()) + len(document.response.split()))
        starts = list(range(0, len(drawn), size))
        rng.shuffle(starts)
        yield from (drawn[start : start + size] for start in starts)


def document_loss(
    model: Qwen2VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    vision: Vision,
    documents: Sequence[Document],
) -> tuple[Tensor, int]:
    """Mean negative log-likelihood of the responses' tokens, end included, in nats; and the tokens computed."""
    end = int(tokenizer.eos_token_id)
    patches = [vision.patches(open_picture(document.image)) for document in documents]
    rows, learned = [], []
    for document, picture in zip(documents, patches, strict=True):
        prompt = vision.placeholders(picture) + tokenizer.encode(document.prompt, add_special_tokens=False)
        response = [*tokenizer.encode(document.response, add_special_tokens=False), end]
        rows.append(prompt + response)
        learned.append([False] * len(prompt) + [True] * len(response))
    ids_BL = padded(rows, end)
    learned_BL = padded(learned, False)
    hidden_BLD = model.model(input_ids=ids_BL, **_inputs(rows, ids_BL, patches, vision.image_id)).last_hidden_state
    targets_M = ids_BL[:, 1:][learned_BL[:, 1:]]
    logits_MV = model.lm_head(hidden_BLD[:, :-1][learned_BL[:, 1:]])
    return torch.nn.functional.cross_entropy(logits_MV, targets_M), sum(map(len, rows))


def _inputs(
    rows: Sequence[Sequence[int]], ids_BL: Tensor, patches: Sequence[Patches], image_id: int
) -> dict[str, Tensor]:
    return {
        "attention_mask": padded([[1] * len(row) for row in rows], 0),
        "mm_token_type_ids": (ids_BL == image_id).long(),
        "pixel_values": torch.cat([picture.pixels for picture in patches]),
        "image_grid_thw": torch.tensor([picture.grid for picture in patches]),
    }


def padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    """Rows of different length as one table, filled at the right.  [B, L]"""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows])
