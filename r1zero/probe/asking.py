"""From a model to a subject: load it once, ask the design, intervene in its responses, count."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import torch

from r1zero.cluster import close, engine_for
from r1zero.config import ProbeConfig
from r1zero.engines import Engine
from r1zero.facts.cues import load_pool
from r1zero.models.load import Policy, load_policy, weights_digest
from r1zero.probe.design import Design, find_template, make_design, plan_of
from r1zero.probe.interventions import causal_test
from r1zero.probe.subject import Subject, focus, read_subject
from r1zero.probe.sweep import Swept, Watcher, at_step, check_weights, is_answered, merged, open_probe, sweep
from r1zero.probe.targets import Checkpoint
from r1zero.probe.thinking import thinking_test
from r1zero.training.run import locked, provenance

log = logging.getLogger("r1zero")
T = TypeVar("T")


@dataclass(frozen=True)
class Loaded:
    """A model that can be asked."""

    policy: Policy
    engine: Engine
    design: Design


def _policy(config: ProbeConfig, path: str) -> Policy:
    pictures = Path(config.task.kept_images)
    return load_policy(path, config.device, max_pixels=config.model.max_pixels, pictures=pictures)


def load(config: ProbeConfig) -> Loaded:
    """Questions and templates are checked before the model is loaded.  Raises ValueError naming what is wrong."""
    if config.threads:
        torch.set_num_threads(config.threads)
    design = make_design(config)
    policy = _policy(config, config.model.path)
    if "chat" in config.templates:
        design = make_design(config, policy)
    return Loaded(policy, engine_for(config, policy, config.model.path), design)


def ask_model(config: ProbeConfig, name: str, watcher: Watcher) -> tuple[Subject, Swept]:
    """Ask one model everything, and intervene in what it wrote.  Continues what a killed probe left in config.out."""
    out = Path(config.out)
    model = load(config)
    plan = plan_of(model.design, model.policy, concurrent=config.engine.max_concurrent)
    with locked(out):
        digest = weights_digest(model.policy.model)
        open_probe(out, config, plan, {"weights": digest}, provenance())
        swept = sweep(plan, model.engine, model.design, config, out, checkpoint=config.model.path, watcher=watcher)
        watcher.begin("counting", 0)
        subject = replace(read_subject(name, [str(out)], config.pool), facts_of_asking=provenance())
        subject = intervened(subject, model, config, out, watcher)
    close(model.engine)
    return subject, swept


def intervened(subject: Subject, model: Loaded, config: ProbeConfig, out: Path, watcher: Watcher) -> Subject:
    """The subject with what intervening in its responses did, as far as the config asks for it and there is a place."""
    if not config.causal.prefixes and not config.thinking:
        return subject
    name, temperature = focus(subject.facts)
    rollouts = (
        subject.rollouts()
        .filter((pl.col("template") == name) & (pl.col("temperature") == temperature))
        .drop("logprobs")
        .collect()
        .sort("problem_id", "sample", maintain_order=True)
    )
    template = find_template(str(name), model.policy)
    sampling = replace(model.design.sampling, temperature=float(temperature or 0))
    settings: dict[str, Any] = {"seed": config.seed, "out": out, "on_tokens": watcher.tokens}

    def tried(test: Callable[..., T], **own: Any) -> T | None:
        try:
            return test(model.policy, model.engine, template, rollouts, **own, **settings)
        except ValueError as error:  # no response has a place to intervene in: the rest of the probe stands
            log.warning("%s: %s", subject.name, error)
            return None

    causal = thinking = None
    if config.causal.prefixes:
        watcher.begin("continuing cut responses", 0)
        sizes = {"prefixes": config.causal.prefixes, "continuations": config.causal.continuations}
        causal = tried(causal_test, sampling=sampling, pool=load_pool(config.pool), **sizes)
    if config.thinking:
        watcher.begin("answering after other thinking", 0)
        thinking = tried(thinking_test, sampling=replace(sampling, temperature=0.0), responses=config.thinking)
    return replace(subject, causal=causal, thinking=thinking)


def follow(
    config: ProbeConfig, checkpoints: list[Checkpoint], name: str, watcher: Watcher
) -> tuple[Subject, list[Swept]]:
    """Ask every checkpoint of a run the same problems with the same random numbers; `step` tells them apart.

    One model at a time is in memory; one whose responses are all there is not loaded, but for the first, whose
    tokenizer makes the prompts.
    """
    out = Path(config.out)
    first = load(replace(config, model=replace(config.model, path=checkpoints[0].path)))
    policy, engine = first.policy, first.engine
    del first
    steps = [checkpoint.step for checkpoint in checkpoints]
    design = make_design(config, policy, steps)
    plan = plan_of(design, policy, concurrent=config.engine.max_concurrent)
    sweeps: list[Swept] = []
    with locked(out):
        open_probe(out, config, plan, {"steps": steps}, provenance())
        for number, checkpoint in enumerate(checkpoints, start=1):
            part = at_step(plan, checkpoint.step)
            if is_answered(part, out):
                continue
            if checkpoint is not checkpoints[0]:
                close(engine)
                del policy, engine
                gc.collect()
                policy = _policy(config, checkpoint.path)
                engine = engine_for(config, policy, checkpoint.path)
            check_weights(out, checkpoint.name, weights_digest(policy.model))
            what = f"asking {checkpoint.name} ({number} of {len(checkpoints)})"
            swept = sweep(part, engine, design, config, out, checkpoint=checkpoint.name, watcher=watcher, what=what)
            sweeps.append(swept)
        close(engine)
        watcher.begin("counting", 0)
        subject = replace(read_subject(name, [str(out)], config.pool), facts_of_asking=provenance())
    return subject, sweeps


def total(sweeps: list[Swept]) -> Swept | None:
    """Several sweeps as one; None where nothing was asked."""
    if not sweeps:
        return None
    return replace(
        sweeps[-1],
        asked=sum(one.asked for one in sweeps),
        continued=sum(one.continued for one in sweeps),
        timing=merged([one.timing for one in sweeps]),
    )
