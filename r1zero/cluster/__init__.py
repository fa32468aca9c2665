"""Carries the work to a Ray cluster: rollout workers and the learner as actors.  Ray is imported in this room alone.

What runs where, when `cluster.name` is ray:

    driver    the process of the command: connects, reserves, starts the actors, and the learner again when it dies
    learner   the training loop itself (r1zero.training.loop), with `Workers` for its engine
    worker    a model of its own, an engine and graders; takes tasks, and the weights that a task names
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from r1zero.config import EvalConfig, ProbeConfig, TrainConfig
    from r1zero.engines import Engine
    from r1zero.models.load import Policy
    from r1zero.training.loop import Progress
    from r1zero.training.run import Run


def train(config: TrainConfig, progress: Progress | None = None) -> Run:
    """One training run where its config wants it: in this process, or on a Ray cluster."""
    if config.cluster.name == "ray":
        check_installed()
        from r1zero.cluster.driver import train_on_ray

        return train_on_ray(config, progress)
    from r1zero.training.loop import train as train_here

    return train_here(config, progress)


def engine_for(config: EvalConfig | ProbeConfig, policy: Policy, model: str) -> Engine:
    """Who answers for the policy, loaded from the path `model`: this process, or workers on a Ray cluster."""
    if config.cluster.name == "ray":
        check_installed()
        from r1zero.cluster.lent import lent_workers

        return lent_workers(config, model)
    from r1zero.engines import build_engine

    return build_engine(config.engine, policy)


def close(engine: Engine) -> None:
    """End what the engine keeps running elsewhere, if anything."""
    end = getattr(engine, "close", None)
    if end is not None:
        end()


def check_installed() -> None:
    """Raises ValueError naming the extra where Ray is missing."""
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"cluster.name=ray needs the extra `ray` ({error}): pip install 'r1zero[ray]', on every node of the cluster"
        ) from None
