"""LLaVA 1.5: pictures of one size through a CLIP tower and a projector, ordinary positions.

Letters: T tokens of a prompt, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from r1zero.models.vision import Patches, Sight

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class LlavaVision:
    """See r1zero.models.vision.Vision."""

    processor: CLIPImageProcessorPil
    image_id: int
    forbidden_ids: tuple[int, ...]
    side: int  # patches along each side of every picture
    num_tokens: int  # features of every picture

    def patches(self, picture: Image) -> Patches:
        """Pixels are [1, 3, height, width]."""
        return Patches(self.processor(picture, return_tensors="pt")["pixel_values"], self.grid, self.num_tokens)

    @property
    def grid(self) -> tuple[int, int, int]:
        return (1, self.side, self.side)

    def placeholders(self, patches: Patches) -> list[int]:
        return [self.image_id] * patches.num_tokens

    def features(self, model: PreTrainedModel, patches: Sequence[Patches]) -> list[Tensor]:
        pixels = torch.cat([picture.pixels for picture in patches]).to(model.device)
        made = model.model.get_image_features(pixels, return_dict=True)
        return list(made.pooler_output)

    def positions(self, token_ids: Sequence[int], grids: Sequence[tuple[int, int, int]]) -> Tensor:
        return torch.arange(len(token_ids))

    def towers(self, model: PreTrainedModel) -> dict[str, list[nn.Module]]:
        inner: Any = model.model
        return {
            "vision": [inner.vision_tower, inner.multi_modal_projector],
            "language": [inner.language_model, model.get_output_embeddings()],
        }

    def generate_inputs(self, input_ids_BW: Tensor, sights: Sequence[Sight | None]) -> dict[str, Tensor]:
        return {}

    def save(self, directory: Path) -> None:
        self.processor.save_pretrained(directory)


def llava_vision(config: PretrainedConfig, settings: Mapping[str, Any], max_pixels: int = 0) -> LlavaVision:
    """The adapter of a model config and what preprocessor_config.json says.  Raises ValueError for other towers."""
    tower = config.vision_config
    if tower.model_type != "clip_vision_model":
        raise ValueError(f"a LLaVA with a {tower.model_type} tower is not supported: choose one with a CLIP tower")
    if max_pixels:
        raise ValueError(
            f"model.max_pixels={max_pixels}: LLaVA scales every picture to {tower.image_size} pixels a side"
        )
    processor = CLIPImageProcessorPil(**{name: value for name, value in settings.items() if name not in _NAMES})
    crop = dict(processor.crop_size) if processor.do_center_crop else dict(processor.size)
    if (crop.get("height"), crop.get("width")) != (tower.image_size, tower.image_size):
        raise ValueError(f"preprocessor_config.json crops to {crop}, the model's tower reads {tower.image_size} a side")
    side = tower.image_size // tower.patch_size
    whole = config.vision_feature_select_strategy == "full"  # with the tower's class token
    return LlavaVision(processor, config.image_token_id, (config.image_token_id,), side, side**2 + whole)


_NAMES = {"image_processor_type", "processor_class", "feature_extractor_type"}
