"""Workers lent to whoever asks a model without training it: `r1zero eval` and `r1zero probe`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from r1zero.cluster.connection import check_room, connected
from r1zero.cluster.driver import started_workers
from r1zero.cluster.worker import Setup
from r1zero.cluster.workers import Workers
from r1zero.config import EvalConfig, ProbeConfig


def lent_workers(config: EvalConfig | ProbeConfig, model: str) -> Workers:
    """Workers with the model at this path, as one engine; its `close` ends them and the connection."""
    cluster = config.cluster
    setup = Setup(
        model=model,
        engine=config.engine,
        device=config.device,
        threads=max(1, int(cluster.cpus_per_worker)),
        folder=str(Path.cwd()),
        max_pixels=config.model.max_pixels,
        pictures=config.task.kept_images,
    )
    with ExitStack() as stack:
        stack.enter_context(connected(cluster))
        check_room(cluster, with_learner=False)
        actors, _ = stack.enter_context(started_workers(setup, cluster))
        return Workers(
            actors,
            responses_per_task=cluster.responses_per_task,
            timeout_s=cluster.timeout_s,
            on_close=stack.pop_all().close,
        )
