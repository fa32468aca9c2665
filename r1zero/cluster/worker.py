"""A rollout worker: a model of its own, an engine over it, and graders beside it.  What runs inside a Ray actor.

A worker remembers nothing that matters: each task names the weights it wants, so one that died and was started again,
or another one, answers it alike.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
import torch
from torch import Tensor

from r1zero.cluster.connection import versions
from r1zero.config import EngineConfig
from r1zero.engines import Engine, build_engine
from r1zero.engines.weights import HoldsWeights
from r1zero.evaluation.ask import Asked, ask
from r1zero.models.load import Policy, load_policy
from r1zero.records import Response

Plain = Mapping[str, tuple[Any, str, tuple[int, ...]]]  # name -> bytes as a numpy array, dtype, shape


@dataclass(frozen=True)
class Setup:
    """What every worker is made of."""

    model: str
    engine: EngineConfig
    device: str
    threads: int
    folder: str  # where relative paths begin: the driver's
    max_pixels: int = 0
    pictures: str = ""


@dataclass(frozen=True)
class Weights:
    """Weights that a task wants."""

    version: int  # updates of the learner behind them
    references: tuple[Any, ...]  # one ObjectRef of a `Plain`, in a tuple so that Ray does not fetch it unasked


@dataclass(frozen=True)
class Done:
    """What a task came to, and the seconds that putting weights in place took."""

    value: Any
    loading_seconds: float


class Worker:
    """Answers one task after another."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.policy: Policy | None = None
        self.engine: Engine | None = None
        self.version: int | None = None

    @ray.method(max_task_retries=-1)  # whoever asks waits until Ray has started the worker again
    def ready(self) -> dict[str, str]:
        """Load the model, and say who this is.  Raises ValueError for what users can mend."""
        self.prepare()
        return {"process": str(os.getpid()), "node": ray.get_runtime_context().get_node_id()} | versions()

    def prepare(self) -> tuple[Engine, Policy]:
        """The engine and its policy, loaded on the first call."""
        setup = self.setup
        if self.policy is None or self.engine is None:
            go_to(setup.folder)
            torch.set_num_threads(setup.threads)
            self.policy = load_policy(
                setup.model, setup.device, max_pixels=setup.max_pixels, pictures=Path(setup.pictures)
            )
            self.engine = build_engine(setup.engine, self.policy)
        return self.engine, self.policy

    def answer(self, task: Callable[[Engine, Policy], Any], weights: Weights | None) -> Done:
        """Do a task with the weights it names."""
        started = time.perf_counter()
        engine, policy = self.prepare()
        torch.set_num_threads(self.setup.threads)
        if weights is not None and weights.version != self.version:
            self.load(weights, engine, policy)
        loading = time.perf_counter() - started
        value = task(engine, policy)
        if weights is not None and not isinstance(engine, HoldsWeights):
            value = with_version(value, weights.version)
        return Done(value, loading)

    def load(self, weights: Weights, engine: Engine, policy: Policy) -> None:
        """Put the weights in place; no disk, no restart."""
        plain: Plain = ray.get(weights.references[0])
        self.version = None  # neither the old nor the new, should this break off
        if isinstance(engine, HoldsWeights):
            engine.load_weights(tensors_of(plain), weights.version)
        else:
            overwrite(policy, plain)
        self.version = weights.version


def go_to(folder: str) -> None:
    """Make relative paths mean here what they mean to the driver."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise ValueError(
            f"a node of the cluster has no folder {folder} ({error.strerror}): start the command in a folder that all "
            "nodes share"
        ) from error


def plain_weights(named: Iterator[tuple[str, Tensor]]) -> Plain:
    """Weights as numpy bytes, which Ray shares between the processes of a node without copying."""
    plain = {}
    for name, tensor in named:
        held = tensor.detach().to("cpu").contiguous()
        plain[name] = (held.reshape(-1).view(torch.uint8).numpy(), str(held.dtype), tuple(held.shape))
    return plain


def tensors_of(plain: Plain) -> Iterator[tuple[str, Tensor]]:
    """The inverse of `plain_weights`."""
    for name, (data, dtype, shape) in plain.items():
        kind = getattr(torch, dtype.removeprefix("torch."))
        yield name, torch.from_numpy(data.copy()).view(kind).reshape(shape)


def overwrite(policy: Policy, plain: Plain) -> None:
    """Put weights into a model, all of them or, where they are another model's, none.  Raises ValueError."""
    own = dict(policy.model.named_parameters())
    shapes = {name: tuple(parameter.shape) for name, parameter in own.items()}
    others = {name: shape for name, (_, _, shape) in plain.items()}
    if shapes != others:
        names = sorted(name for name in {*shapes, *others} if shapes.get(name) != others.get(name))
        raise ValueError(
            f"the learner's weights are not those of this worker's model: {', '.join(names[:3])} and {len(names)} in "
            "all differ; start Ray again where the model was changed"
        )
    with torch.no_grad():
        for name, tensor in tensors_of(plain):
            own[name].copy_(tensor)


def with_version(value: Any, version: int) -> Any:
    """Responses, alone or in what was asked, saying which weights sampled them."""

    def marked(response: Response) -> Response:
        return replace(response, weights_version=version)

    if isinstance(value, Asked):
        groups = [[replace(one, response=marked(one.response)) for one in group] for group in value.rollouts_PG]
        return replace(value, rollouts_PG=groups)
    return [[marked(response) for response in group] for group in value]


@dataclass(frozen=True)
class Ask:
    """The task: problems in, graded rollouts out."""

    template: Any
    problems: tuple[Any, ...]
    how: Mapping[str, Any]

    def __call__(self, engine: Engine, policy: Policy) -> Asked:
        return ask(engine, policy, self.template, self.problems, **{**self.how, "may_drop_all": True})


@dataclass(frozen=True)
class Generate:
    """The task: prompts in, responses out."""

    prompts: tuple[Any, ...]
    how: Mapping[str, Any]

    def __call__(self, engine: Engine, policy: Policy) -> list[list[Response]]:
        return engine.generate(self.prompts, **self.how)
