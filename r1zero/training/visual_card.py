"""The model card of a tiny model that sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from r1zero.config import PretrainConfig
from r1zero.evaluation.visual_controls import ControlRow, control_lines
from r1zero.models.load import Policy


def visual_card(
    config: PretrainConfig,
    policy: Policy,
    corpus: Mapping[str, Any],
    log: Sequence[Mapping[str, float]],
    rows: Sequence[ControlRow],
) -> str:
    """README.md of the model's directory."""
    shape = config.architecture
    parameters = sum(p.numel() for p in policy.model.parameters())
    last = [row["loss"] for row in log[-50:]]
    lines = [
        f"# {config.name}",
        "",
        f"A base vision-language model of {parameters:,} parameters, trained from scratch on rendered pictures by "
        "`r1zero pretrain`. `recipe.json` holds every dial and version, `training_log.jsonl` the loss curve.",
        "",
        "It is a model organism for studying reinforcement learning on pictures: it knows nothing but scenes of up to "
        "nine coloured shapes and four kinds of questions about them, and it guesses and misreads because its corpus "
        "does.",
        "",
        f"- architecture: Qwen2-VL, {shape.num_layers} layers of width {shape.hidden_size}, {shape.num_heads} heads; "
        f"pictures of 84 x 84 pixels are nine tokens; byte-level BPE of {policy.vocab_size} tokens",
        f"- corpus: {corpus['documents']:,} documents, each drawn once, seed {config.seed}; one layout in ten is held "
        "out by its hash",
        f"- training: {len(log):,} steps, {corpus['tokens_read']:,} tokens; mean loss of the last {len(last)} steps "
        f"{sum(last) / len(last):.4f} nats a token",
    ]
    if rows:
        lines += [
            "",
            "## Measured",
            "",
            "Held-out layouts, temperature 1; fractions with 95 % intervals. Prior: always the choice at the place "
            "that is right most often. Blank picture: the same model, asked to think, before scenes with nothing in "
            "them. Answered: share of thinking responses with an answer.",
            "",
            *control_lines(rows),
        ]
    return "\n".join(lines) + "\n"
