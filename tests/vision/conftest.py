"""Pictures of several sizes, and prompts that show them to tiny random models."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from vision_models import FAMILIES, fresh, save_noise

from r1zero.models.load import Policy
from r1zero.models.vision_prompt import encode_prompt
from r1zero.records import Problem, Prompt


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """Each family in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def policy_of() -> Callable[[str], Policy]:
    """The random model of a family, shared by the tests that leave it as it is."""
    made: dict[str, Policy] = {}

    def build(family: str) -> Policy:
        if family not in made:
            made[family] = fresh(family)
        return made[family]

    return build


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three noisy pictures of different sizes, as files: 4, 6 and 2 features for Qwen."""
    folder = tmp_path_factory.mktemp("pictures")
    return [save_noise(folder / f"{i}.png", *size) for i, size in enumerate([(56, 56), (84, 56), (28, 56)])]


@pytest.fixture(scope="session")
def prompts_of(policy_of: Callable[[str], Policy], pictures: list[str]) -> Callable[[str], list[Prompt]]:
    """One picture, two of different sizes, none, one without a mark, the first prompt's words with another picture."""
    a, b, c = pictures
    shown = [
        ("which <image> is closer ?", (a,)),
        ("here : <image> and then <image> which object is left ?", (b, c)),
        ("which object is closer ?", ()),
        ("red circle ?", (c,)),
        ("which <image> is closer ?", (b,)),
    ]

    def build(family: str) -> list[Prompt]:
        policy = policy_of(family)
        return [
            Prompt(Problem(f"p{i}", "test", text, ""), "none", text, encode_prompt(policy, text, images), images)
            for i, (text, images) in enumerate(shown)
        ]

    return build
