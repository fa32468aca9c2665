"""Which engine `engine.name=auto` is, here and for this model, and why."""

from __future__ import annotations

import importlib.util

from r1zero.models.load import Policy
from r1zero.models.logprobs import head_of


def choose_engine(policy: Policy) -> tuple[str, str]:
    """The engine's name, and the reason in words.

    vLLM where it is installed and the policy is on a GPU; else `fast` where it can compute the model; else
    `huggingface`.
    """
    on_gpu, installed = policy.device.type == "cuda", importlib.util.find_spec("vllm") is not None
    if on_gpu and installed and policy.vision is None:
        return "vllm", "vLLM is installed and a GPU is there"
    lacking = "vLLM is not installed" if not installed else "vLLM is not shown pictures"
    why = lacking if on_gpu else "no GPU is used"
    try:
        head_of(policy)
    except ValueError as error:
        return "huggingface", f"{why}, and `fast` cannot sample from this model: {error}"
    return "fast", why
