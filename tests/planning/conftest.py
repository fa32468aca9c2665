from collections.abc import Callable
from typing import Any

import pytest

from r1zero.config import TrainConfig, build, nested
from r1zero.planning import Demand, Machine, demand_of


@pytest.fixture
def demand() -> Callable[..., Demand]:
    """demand({"learner.dtype": "bfloat16"}, gpus=8) -> Demand of the defaults with these changes"""

    def make(settings: dict[str, Any], **machine: Any) -> Demand:
        options = {name: machine.pop(name) for name in ("prompt_tokens", "padding", "lora_rank") if name in machine}
        needs = {"reference": machine.pop("reference", False), "scores": False}
        config = build(TrainConfig, nested({"problems_per_step": 64} | settings))
        return demand_of(config, Machine(**machine), **needs, **options)

    return make
