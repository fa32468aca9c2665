"""All probes put to one loss, and what they say in words."""

from __future__ import annotations

import math
from dataclasses import asdict, astuple, dataclass
from typing import Any

from r1zero.audit.batch import LossUnderAudit
from r1zero.audit.classify import Classification, classify
from r1zero.audit.probes import (
    ClipCurve,
    Difficulty,
    Invariances,
    LengthRow,
    RewardResponse,
    SilentBeyond,
    clip_curve,
    difficulty,
    invariances,
    length_table,
    reward_response,
    silent_beyond,
)

ACCURACIES = (0.01, 0.05, 0.125, 0.25, 0.5, 0.75, 0.95)
SHOWN_RATIOS = (0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0)
RATIOS = tuple(sorted({*SHOWN_RATIOS, *(round(4 ** (i / 30), 4) for i in range(-30, 31))}))
SAME = 2e-3  # relative change below which weights count as unchanged: eps beside a std stays below it
EXACT = 1e-9  # the same where rounding alone may differ
SMALLEST_LIMIT = 16  # of max_tokens: the probes' lengths are its sixteenth and more


@dataclass(frozen=True)
class Audit:
    """What one loss does, in groups of `group_size` and with responses of at most `max_tokens`."""

    name: str
    group_size: int
    max_tokens: int
    classification: Classification
    lengths: tuple[LengthRow, ...]
    difficulty: Difficulty
    rewards: RewardResponse
    invariances: Invariances
    clip: ClipCurve
    silent: SilentBeyond
    note: str = ""  # what a reader must know of how it was audited

    @property
    def shift(self) -> str:
        """ "unchanged" or "changes": the weights when a constant is added to every reward."""
        return "unchanged" if self.rewards.shift_change < SAME else "changes"

    @property
    def scale(self) -> str:
        """What doubled rewards do to the weights: "unchanged", "x2", or "changes"."""
        if self.rewards.scale_residual < SAME:
            for factor, word in ((1.0, "unchanged"), (2.0, "×2")):
                if abs(self.rewards.scale_factor - factor) < factor * SAME:
                    return word
        return "changes"

    @property
    def split(self) -> str:
        """Whether the gradient depends on how the step is cut into micro-batches."""
        return _stays(self.invariances.split)

    @property
    def padding(self) -> str:
        return _stays(self.invariances.padding)

    @property
    def padding_side(self) -> str:
        return "not tried" if math.isnan(self.invariances.padding_side) else _stays(self.invariances.padding_side)

    @property
    def order(self) -> str:
        return _stays(self.invariances.order)

    @property
    def equal_rewards(self) -> str:
        """What a group of equal rewards does."""
        if not self.rewards.constant_at:
            return "exactly 0"
        return "not 0 at R = " + ", ".join(f"{value:g}" for value in self.rewards.constant_at)

    def verdicts(self) -> list[str]:
        """What a reader should take away, most important first."""
        notes = [f"Note: {self.note}."] if self.note else []
        return [*_of_length(self), *_of_difficulty(self), *_of_mechanics(self), *notes]


def audit(loss: LossUnderAudit, group_size: int = 8, max_tokens: int = 256) -> Audit:
    """Put every probe to the loss.  Raises ValueError for groups of one and limits too small to vary lengths in."""
    if group_size < 2:
        raise ValueError(f"--group-size {group_size}: an audit compares responses of a group, give at least 2")
    if max_tokens < SMALLEST_LIMIT:
        raise ValueError(f"--max-tokens {max_tokens}: give at least {SMALLEST_LIMIT}, the lengths probed are its parts")
    silent = silent_beyond(loss, group_size, max_tokens)
    return Audit(
        name=loss.name,
        group_size=group_size,
        max_tokens=max_tokens,
        classification=classify(loss, group_size, max_tokens),
        lengths=length_table(loss, group_size, max_tokens),
        difficulty=difficulty(loss, group_size, max_tokens),
        rewards=reward_response(loss, group_size, max_tokens),
        invariances=invariances(loss, group_size, max_tokens),
        clip=clip_curve(loss, group_size, max_tokens, _with_edges(silent)),
        silent=silent,
        note=loss.note,
    )


def _with_edges(silent: SilentBeyond) -> tuple[float, ...]:
    """RATIOS, and both sides of every edge between them, so that a curve drops where the loss does."""
    edges = [edge for edge in astuple(silent) if RATIOS[0] < edge < RATIOS[-1]]
    return tuple(sorted({*RATIOS, *(edge * (1 + side) for edge in edges for side in (-1e-5, 1e-5))}))


def as_dict(found: Audit) -> dict[str, Any]:
    """Everything for JSON: undefined and infinite numbers are null."""
    words = ("shift", "scale", "split", "padding", "padding_side", "order", "equal_rewards")
    weights = {
        f"{p:g}": {"w": found.difficulty.weight(p), "relative": found.difficulty.relative(p)} for p in ACCURACIES
    }
    values = asdict(found) | {word: getattr(found, word) for word in words}
    values["classification"] |= {"label": found.classification.label}
    values["difficulty"] |= {"by_accuracy": weights}
    return finite(values | {"verdicts": found.verdicts()})


def finite(value: Any) -> Any:
    """The value with None for numbers that JSON has no word for."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _stays(change: float) -> str:
    if change < EXACT:
        return "unchanged"
    if change >= 1:
        return f"changes up to {change + 1:.0f}-fold"
    return f"changes by {change:.0%}" if change >= 0.005 else f"changes by {change:.1g}"


# ---------------------------------------------------------------------------------------------------------------------
# Words


def _of_length(found: Audit) -> list[str]:
    short, long = found.lengths[0], found.lengths[-1]
    name = found.classification.name
    factor = short.right / long.right if long.right else math.nan
    if name == "no gradient":
        return ["No probe gave any gradient: is the loss made of batch.logprobs_BT?"]
    if name == "1 over own length":
        return [
            f"Length bias: a token of a {short.length}-token answer weighs {factor:.0f} times one of a "
            f"{long.length}-token answer of the same worth. Short right answers and long wrong ones are favoured."
        ]
    if name == "constant" and not found.classification.length_in_advantages:
        return ["No length bias: a token weighs the same however long its response or any other is."]
    if name == "constant":
        return ["Nothing is divided by a length.", *_of_lengths_in_advantages(found)]
    if name == "1 over batch tokens":
        return [
            "Tokens of one step weigh the same however long their response; among long responses each weighs less: "
            "a ratio estimator, nearly unbiased when a step holds many problems.",
            *_of_lengths_in_advantages(found),
        ]
    if name == "1 over micro-batch tokens":
        return [
            "Every token is divided by the tokens of its own micro-batch: with few responses in each this is nearly "
            "division by the response's own length, and the split decides."
        ]
    if name == "1 over padded width":
        return ["A token is divided by the padded width: what a token weighs depends on how the batch was padded."]
    if name == "mixed":
        return ["No single denominator explains the weights; the table of reactions says what moves them."]
    return [f"A token is divided by something that other responses move: {name}."]


def _of_lengths_in_advantages(found: Audit) -> list[str]:
    classification = found.classification
    if not classification.length_in_advantages:
        return []
    return [
        "But advantages depend on lengths, as where a baseline or a scale is a mean over tokens: in a right answer "
        f"that alone grows to twice its length, a token weighs {classification.alone_factor:.2f} times what the "
        "denominator makes of it. So lengths can drift."
    ]


def _of_difficulty(found: Audit) -> list[str]:
    hard, easy = found.difficulty.relative(0.05), found.difficulty.relative(0.95)
    if not (math.isfinite(hard) and math.isfinite(easy)):
        return []
    if abs(hard - 1) < SAME and abs(easy - 1) < SAME:
        return ["No difficulty bias: easy and hard problems weigh the same."]
    return [
        f"Difficulty bias: a problem of accuracy .05 weighs {hard:.2f} times one of accuracy .5, "
        f"one of accuracy .95 {easy:.2f} times."
    ]


def _of_mechanics(found: Audit) -> list[str]:
    said = []
    classification = found.classification
    if not math.isnan(classification.split_factor) and abs(classification.split_factor - 1) > SAME:
        said.append(
            f"Cutting the step in two multiplies the gradient by {classification.split_factor:.2g}: "
            "the learning rate depends on the number of micro-batches."
        )
    elif found.invariances.split >= EXACT:
        said.append(f"The gradient depends on the split into micro-batches: it {found.split}.")
    if classification.name != "no gradient" and not classification.averages_step:
        said.append("The loss is not divided by the size of the step: twice the problems, twice the gradient.")
    if found.invariances.padding >= EXACT and classification.name != "1 over padded width":
        said.append(f"More padding changes the gradient: it {found.padding}.")
    if found.invariances.outside > 0:
        said.append("Padding itself is trained: tokens outside the mask have a gradient.")
    if found.invariances.padding_side >= EXACT:
        said.append(f"Padding on the left {found.padding_side.replace('changes', 'changes it')}.")
    if found.invariances.order >= EXACT:
        said.append(f"The order of the responses matters: the gradient {found.order}.")
    if found.rewards.constant_at:
        values = ", ".join(f"{value:g}" for value in found.rewards.constant_at)
        said.append(f"A group of equal rewards still moves the policy (at R = {values}).")
    return said
