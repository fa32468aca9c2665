"""What a probe will ask and how long it takes, from a short sample of real responses.  Nothing is written."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from r1zero.config import ProbeConfig
from r1zero.probe import interventions, thinking
from r1zero.probe.asking import Loaded, load
from r1zero.probe.design import Design, make_design, plan_of
from r1zero.probe.targets import Target, find_checkpoints
from r1zero.records import Prompt, Response

if TYPE_CHECKING:
    from r1zero.judging.estimate import Estimate as JudgeEstimate

SAMPLED = 64  # responses measured under each template, at most
PATIENCE = 20.0  # seconds after which a template's sample is broken off
REMAINING = 0.8  # share of a response that is written behind the place where it was broken off
ANSWER = 0.2  # share of a response that is its answer


@dataclass(frozen=True)
class CellEstimate:
    """One template at one temperature, over all steps."""

    template: str
    temperature: float
    steps: int
    problems: int
    samples: int
    prompt_tokens: int  # of all its prompts, each read once for all its samples
    tokens: float  # expected sampled tokens; NaN where the sample was broken off
    most_tokens: int  # if every response were as long as it may be

    @property
    def generations(self) -> int:
        return self.steps * self.problems * self.samples


@dataclass(frozen=True)
class PartEstimate:
    """Something besides asking.  Example: PartEstimate("interventions", 11520, 900_000.0, 200.0)"""

    name: str
    generations: int
    tokens: float
    seconds: float


@dataclass(frozen=True)
class ProbeEstimate:
    """One target's dry run."""

    name: str
    cells: tuple[CellEstimate, ...]
    parts: tuple[PartEstimate, ...]
    judge: JudgeEstimate | None
    tokens_per_second: float  # measured
    sampled: int  # responses that were measured, and
    at_once: int  # how many were sampled together
    broken_off: bool  # the sample took too long: longest lengths are assumed
    note: str = ""  # where nothing would be asked

    @property
    def generations(self) -> int:
        return sum(cell.generations for cell in self.cells) + sum(part.generations for part in self.parts)

    @property
    def seconds(self) -> float:
        """Expected time of asking and intervening; longest lengths where the sample says no others."""
        tokens = sum(cell.most_tokens if math.isnan(cell.tokens) else cell.tokens for cell in self.cells)
        return tokens / self.tokens_per_second + sum(part.seconds for part in self.parts)

    @property
    def how(self) -> str:
        """How the time was estimated, in a sentence."""
        if self.note:
            return self.note
        length = "their mean length stands for all"
        if self.broken_off:
            length = f"the longest length stands for all where none was over in {PATIENCE:.0f} s"
        return (
            f"measured here: {self.sampled} responses, {self.at_once} at once, at each template's "
            f"highest temperature, {self.tokens_per_second:,.0f} tokens/s; {length}. "
            "Interventions by rule of thumb; grading runs beside sampling and is not in it"
        )


class EnoughError(Exception):
    """The sample has taken long enough."""


def estimate_target(target: Target, config: ProbeConfig) -> ProbeEstimate:
    """What probing one target takes.  Raises ValueError as the probe itself would."""
    if target.stored or target.kind == "rollouts":
        return ProbeEstimate(target.name, (), (), None, math.nan, 0, 0, False, "stored responses are read, none asked")
    steps = [0]
    if target.kind == "run":
        checkpoints = find_checkpoints(Path(target.path))
        steps = [checkpoint.step for checkpoint in checkpoints]
        config = replace(config, model=replace(config.model, path=checkpoints[-1].path))
    model = load(config)
    design = make_design(config, model.policy, steps)
    return estimate(target.name, config, model, design)


def estimate(name: str, config: ProbeConfig, model: Loaded, design: Design) -> ProbeEstimate:
    """Sample a few responses under every template and extrapolate."""
    plan = plan_of(design, model.policy, concurrent=config.engine.max_concurrent)  # complains where nothing fits
    prompts: dict[str, list[Prompt]] = {}
    for chunk in plan.chunks:
        own = prompts.setdefault(chunk.template.name, [])
        seen = {prompt.problem.id for prompt in own}
        own += [prompt for prompt in chunk.prompts if prompt.problem.id not in seen]
    at_once = min(SAMPLED, config.engine.max_concurrent)
    measured = {template: measure(model, own, design, template, at_once) for template, own in prompts.items()}
    seconds = sum(one.seconds for one in measured.values())
    speed = sum(one.tokens for one in measured.values()) / seconds
    cells = []
    for template, temperature in dict.fromkeys((cell.template.name, cell.temperature) for cell in design.cells):
        alike = [cell for cell in design.cells if (cell.template.name, cell.temperature) == (template, temperature)]
        count, samples = len(prompts[template]), alike[0].samples
        generations = len(alike) * count * samples
        cells.append(
            CellEstimate(
                template,
                temperature,
                steps=len(alike),
                problems=count,
                samples=samples,
                prompt_tokens=len(alike) * sum(len(prompt.token_ids) for prompt in prompts[template]),
                tokens=generations * measured[template].length,
                most_tokens=generations * design.sampling.max_tokens,
            )
        )
    lengths = [one.length for one in measured.values() if math.isfinite(one.length)]
    length = sum(lengths) / len(lengths) if lengths else float(design.sampling.max_tokens)
    total = sum(cell.generations for cell in cells)
    return ProbeEstimate(
        name,
        tuple(cells),
        tuple(further(config, length, speed)),
        judged(config, total, [one for found in measured.values() for one in found.responses]),
        speed,
        sum(len(one.responses) for one in measured.values()),
        at_once,
        any(math.isnan(one.length) for one in measured.values()),
    )


@dataclass(frozen=True)
class Measured:
    """A short sample under one template."""

    responses: tuple[Response, ...]
    tokens: int
    seconds: float

    @property
    def length(self) -> float:
        """Mean tokens of a response; NaN where the sample was broken off."""
        if not self.responses:
            return math.nan
        return sum(response.num_tokens for response in self.responses) / len(self.responses)


def measure(model: Loaded, prompts: list[Prompt], design: Design, template: str, at_once: int) -> Measured:
    """Responses of the highest temperature, where they are longest; broken off after PATIENCE seconds."""
    own = [cell for cell in design.cells if cell.template.name == template]
    hottest = max(own, key=lambda cell: cell.temperature)
    samples = min(hottest.samples, at_once)
    asked = prompts[: max(1, at_once // samples)]
    sampled, started = 0, time.perf_counter()

    def count(tokens: int) -> None:
        nonlocal sampled
        sampled += tokens
        if time.perf_counter() - started > PATIENCE:
            raise EnoughError

    try:
        responses_PG = model.engine.generate(
            asked,
            samples=samples,
            sampling=replace(design.sampling, temperature=hottest.temperature),
            address=(0, "estimate"),
            stop=hottest.template.stop,
            keep_stop=hottest.template.keep_stop,
            on_tokens=count,
        )
        responses = tuple(response for responses in responses_PG for response in responses)
    except EnoughError:
        responses = ()
    seconds = time.perf_counter() - started
    return Measured(responses, sum(r.num_tokens for r in responses) if responses else max(1, sampled), seconds)


def further(config: ProbeConfig, length: float, speed: float) -> list[PartEstimate]:
    """Interventions: continuations in every arm, each most of a response long, and answers after other thinking."""
    parts = []
    if config.causal.prefixes:
        count = len(interventions.ARMS) * config.causal.prefixes * config.causal.continuations  # at most
        tokens = count * REMAINING * length
        parts.append(PartEstimate("interventions at a cue", count, tokens, tokens / speed))
    if config.thinking:
        count = len(thinking.ARMS) * config.thinking
        tokens = count * ANSWER * length
        parts.append(PartEstimate("answers after other thinking", count, tokens, tokens / speed))
    return parts


def judged(config: ProbeConfig, responses: int, sample: list[Response]) -> JudgeEstimate | None:
    """What a judge would be asked; None without one."""
    if config.judge.url is None:
        return None
    from r1zero.judging.estimate import estimate as estimate_judge

    chars = sum(len(response.text) for response in sample) / len(sample) if sample else 4.0 * config.max_tokens
    return estimate_judge(responses, chars, config.judge)
