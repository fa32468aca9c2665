"""How a model sees: pictures into patches, placeholders among a prompt's tokens, features in their places.

A picture goes three ways.  Its patches (pixels as the model's tower reads them) are computed once and need no weights.
In the prompt it is a run of placeholder tokens, as many as it has features.  In a forward pass the tower turns patches
into features, with gradient, which take the places of the placeholders' embeddings.

Letters: T tokens of a prompt, F features of its pictures, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image


@dataclass(frozen=True)
class Patches:
    """A picture as a tower reads it.

    Example: Patches(pixels=[36, 1176], grid=(1, 6, 6), num_tokens=9)
    """

    pixels: Tensor
    grid: tuple[int, int, int]  # patches along time, height and width
    num_tokens: int  # features it becomes, and placeholders that stand for them


@dataclass(frozen=True)
class Sight:
    """What a prompt shows, and where."""

    patches: tuple[Patches, ...]
    at_F: Tensor  # places in the prompt that features take, picture after picture
    positions: Tensor  # [3, T] (time, height, width) or [T]: position ids of the prompt's tokens

    @property
    def next_position(self) -> int:
        """The position of the first token after the prompt."""
        return int(self.positions.max()) + 1


class Vision(Protocol):
    """What one family of models does with pictures.  Weights are the model's own and are handed in."""

    @property
    def image_id(self) -> int:
        """The token that stands for one feature."""
        ...

    @property
    def forbidden_ids(self) -> tuple[int, ...]:
        """Tokens of pictures, which are never sampled."""
        ...

    def __hash__(self) -> int: ...

    def patches(self, picture: Image) -> Patches:
        """A picture scaled, normalised and cut as the model's settings say."""
        ...

    def placeholders(self, patches: Patches) -> list[int]:
        """The tokens that stand for a picture in a prompt, start and end marks included."""
        ...

    def features(self, model: PreTrainedModel, patches: Sequence[Patches]) -> list[Tensor]:
        """What the tower makes of each picture, [num_tokens, D] each, with gradient."""
        ...

    def positions(self, token_ids: Sequence[int], grids: Sequence[tuple[int, int, int]]) -> Tensor:
        """Position ids of a prompt with pictures of these grids.  [3, T] or [T]"""
        ...

    def towers(self, model: PreTrainedModel) -> dict[str, list[nn.Module]]:
        """The modules of its "vision" (all that turns pixels into features) and of its "language"."""
        ...

    def generate_inputs(self, input_ids_BW: Tensor, sights: Sequence[Sight | None]) -> dict[str, Tensor]:
        """Keywords that the model's own `generate` needs besides ids, mask and features."""
        ...

    def save(self, directory: Path) -> None:
        """Write preprocessor_config.json."""
        ...


def sight_of(vision: Vision, token_ids: Sequence[int], patches: Sequence[Patches]) -> Sight:
    """Where a prompt's pictures stand.  Raises ValueError where it has other than one placeholder a feature."""
    at_F = torch.tensor([place for place, id in enumerate(token_ids) if id == vision.image_id], dtype=torch.long)
    expected = sum(picture.num_tokens for picture in patches)
    if len(at_F) != expected:
        raise ValueError(f"the prompt has {len(at_F)} placeholders for {expected} features of {len(patches)} pictures")
    return Sight(tuple(patches), at_F, vision.positions(token_ids, [picture.grid for picture in patches]))


def features_of(vision: Vision | None, model: PreTrainedModel, sights: Sequence[Sight | None]) -> Tensor | None:
    """Features of all pictures in order, each picture encoded once; None without any.  [F, D]"""
    patches = [picture for sight in sights if sight is not None for picture in sight.patches]
    if not patches:
        return None
    assert vision is not None
    return torch.cat(vision.features(model, patches))


def build_vision(config: PretrainedConfig, where: str, max_pixels: int = 0) -> Vision | None:
    """How a model of this config sees; None where it does not.  Raises ValueError for settings that do not fit.

    `where` is the directory or Hub id with preprocessor_config.json; `max_pixels` above 0 replaces its limit.
    """
    if config.model_type not in VISION:
        return None
    try:
        import PIL  # noqa: F401 - transformers would fail later, and less clearly
    except ImportError:
        raise ValueError("models that see need pillow: pip install r1zero[vision]") from None
    if max_pixels < 0:
        raise ValueError(f"model.max_pixels={max_pixels}: an area in pixels, or 0 for the model's own setting")
    return VISION[config.model_type](config, _settings(where), max_pixels)


def _settings(where: str) -> Mapping[str, Any]:
    """preprocessor_config.json, or the image part of processor_config.json, of a directory or a Hub id."""
    from transformers.image_processing_base import ImageProcessingMixin

    settings, _ = ImageProcessingMixin.get_image_processor_dict(where)
    return settings


def _qwen(config: PretrainedConfig, settings: Mapping[str, Any], max_pixels: int) -> Vision:
    from r1zero.models.vision_qwen import qwen_vision

    return qwen_vision(config, settings, max_pixels)


def _llava(config: PretrainedConfig, settings: Mapping[str, Any], max_pixels: int) -> Vision:
    from r1zero.models.vision_llava import llava_vision

    return llava_vision(config, settings, max_pixels)


VISION = {"qwen2_vl": _qwen, "qwen2_5_vl": _qwen, "llava": _llava}
