"""Prompts with pictures: `<image>` in the text becomes placeholders, and references become patches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch

from r1zero.models.load import Policy
from r1zero.models.vision import Patches, Sight, Vision, sight_of
from r1zero.records import Prompt
from r1zero.tasks.pictures import open_picture

MARK = "<image>"
MEMORY = 256 << 20  # bytes of patches that are kept, since a step looks at each picture several times


def encode_prompt(policy: Policy, text: str, images: Sequence[str] = ()) -> tuple[int, ...]:
    """Token ids of a prompt's text, its n-th `<image>` standing for the n-th picture; without any they come first.

    No special tokens are added.  Raises ValueError for a model that does not see, for a number of `<image>` that is not
    that of the pictures, and for text that itself holds tokens of pictures.
    """
    if not images:
        ids = tuple(policy.tokenizer.encode(text, add_special_tokens=False))
        return ids if policy.vision is None else _plain(policy.vision, ids, text)
    vision = _vision_of(policy)
    parts = text.split(MARK) if MARK in text else ["", *[""] * (len(images) - 1), text]
    if len(parts) - 1 != len(images):
        raise ValueError(f"the prompt has {len(parts) - 1} times {MARK} for {len(images)} pictures: {text[:80]!r}")
    ids = ()
    for part, patches in zip(parts, [None, *look(policy, images)], strict=True):
        if patches is not None:
            ids += tuple(vision.placeholders(patches))
        ids += _plain(vision, tuple(policy.tokenizer.encode(part, add_special_tokens=False)), part)
    return ids


def look(policy: Policy, images: Sequence[str]) -> list[Patches]:
    """The patches of referenced pictures.  Raises ValueError for a picture that cannot be opened."""
    vision = _vision_of(policy)
    return [_memory.patches(vision, reference, policy.pictures) for reference in images]


def sight(policy: Policy, token_ids: Sequence[int], images: Sequence[str]) -> Sight | None:
    """What a prompt shows, and where; None where there are no pictures."""
    return sight_of(_vision_of(policy), token_ids, look(policy, images)) if images else None


def sight_of_prompt(policy: Policy, prompt: Prompt) -> Sight | None:
    """The same of a prompt.  Raises ValueError naming its problem."""
    try:
        return sight(policy, prompt.token_ids, prompt.images)
    except ValueError as error:
        raise ValueError(f"problem {prompt.problem.id!r}: {error}") from error


class _Memory:
    """Patches of the pictures looked at last, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self.kept: OrderedDict[tuple[Vision, str, Path | None], Patches] = OrderedDict()

    def patches(self, vision: Vision, reference: str, folder: Path | None) -> Patches:
        key = (vision, reference, folder)
        if key in self.kept:
            self.kept.move_to_end(key)
            return self.kept[key]
        with torch.inference_mode(False):  # a gradient is taken through what was first looked at while sampling
            made = vision.patches(open_picture(reference, folder))
        self.kept[key] = made
        self.bytes += made.pixels.nbytes
        while self.bytes > self.limit:
            self.bytes -= self.kept.popitem(last=False)[1].pixels.nbytes
        return made


_memory = _Memory(MEMORY)


def _vision_of(policy: Policy) -> Vision:
    if policy.vision is None:
        raise ValueError(
            f"pictures for {type(policy.model).__name__}, a model of text: choose one of the kinds qwen2_vl, "
            "qwen2_5_vl, llava"
        )
    return policy.vision


def _plain(vision: Vision, ids: tuple[int, ...], text: str) -> tuple[int, ...]:
    """The ids, where none of them stands for a picture."""
    if not set(vision.forbidden_ids).isdisjoint(ids):
        raise ValueError(f"the prompt's text holds tokens that stand for pictures: {text[:80]!r}; write {MARK} instead")
    return ids
