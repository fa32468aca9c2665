"""What a probe asks: the same problems under every template at every temperature, cut into one queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from r1zero.config import EvalConfig, ProbeConfig, SamplingConfig
from r1zero.evaluation.ask import encode
from r1zero.evaluation.queue import Chunk, Plan, Way, cut
from r1zero.evaluation.suites import expand, load_entries
from r1zero.models.load import Policy
from r1zero.records import Problem
from r1zero.tasks.templates import Template, chat_template, load_template


@dataclass(frozen=True)
class Cell:
    """All problems under one template at one temperature, at one state of the model."""

    template: Template
    temperature: float
    samples: int  # responses to each problem; 1 where it is greedy
    step: int = 0  # of training, at which the model stood

    @property
    def way(self) -> Way:
        """Cells have random numbers of their own, but the same ones at every step of a run."""
        return Way(self.temperature, self.samples, (self.template.name, f"{self.temperature:g}"), self.step)


@dataclass(frozen=True)
class Design:
    """Cells over the same problems."""

    cells: tuple[Cell, ...]
    problems: tuple[Problem, ...]
    sampling: SamplingConfig  # top_p and max_tokens of all cells

    @property
    def num_generations(self) -> int:
        return len(self.problems) * sum(cell.samples for cell in self.cells)

    @property
    def templates(self) -> list[Template]:
        return list({cell.template.name: cell.template for cell in self.cells}.values())

    @property
    def temperatures(self) -> list[float]:
        return list(dict.fromkeys(cell.temperature for cell in self.cells))


def make_design(config: ProbeConfig, policy: Policy | None = None, steps: Sequence[int] = (0,)) -> Design:
    """Templates x temperatures x steps of a config, template by template.

    Only the template `chat` needs the policy, for its tokenizer.  Raises ValueError naming what cannot be read.
    """
    templates = [find_template(name, policy) for name in config.templates]
    problems = load_problems(config, templates[0])
    cells = [
        Cell(template, temperature, 1 if temperature == 0 else config.samples, step)
        for step in steps
        for template in templates
        for temperature in config.temperatures
    ]
    for template in templates:
        template.render(problems[0])  # a template that does not fit is refused before a model is loaded
    return Design(tuple(cells), tuple(problems), SamplingConfig(top_p=config.top_p, max_tokens=config.max_tokens))


def find_template(name: str, policy: Policy | None) -> Template:
    """A template by name; `chat` is that of the model's own tokenizer."""
    if name == "chat" and policy is not None:
        return chat_template(policy.tokenizer)
    return load_template("none" if name == "chat" else name)


def load_problems(config: ProbeConfig, template: Template) -> list[Problem]:
    """The problems of the config's suites, or of its task.  Raises ValueError naming what is missing."""
    names = expand([name for name in config.suite.split(",") if name])
    asked = EvalConfig(
        seed=config.seed,
        num_problems=config.num_problems,
        data=config.data,
        task=config.task,
        held_out_only=config.held_out_only,
    )
    problems = [problem for entry in load_entries(names, asked, template) for problem in entry.problems]
    if not problems:
        raise ValueError(f"suite={config.suite!r} holds no problem")
    return problems


def plan_of(design: Design, policy: Policy, *, concurrent: int) -> Plan:
    """The queue of a design, cell by cell.

    Problems whose prompt leaves no room are left out of the cells of that template and named.  Raises ValueError for a
    template under which none fits.
    """
    prompts = {template.name: encode(design.problems, template, policy) for template in design.templates}
    fitting = {
        name: [prompt for prompt in own if len(prompt.token_ids) < policy.max_context] for name, own in prompts.items()
    }
    for name, own in fitting.items():
        if not own:
            shortest = min(len(prompt.token_ids) for prompt in prompts[name])
            raise ValueError(
                f"templates: under {name!r} no prompt fits the model's context of {policy.max_context} tokens (the "
                f"shortest has {shortest}): leave it out, or take a model with a longer context"
            )
    chunks: list[Chunk] = []
    for cell in design.cells:
        for part in cut(fitting[cell.template.name], samples=cell.samples, concurrent=concurrent):
            chunks.append(Chunk(len(chunks), part, cell.template, cell.way))
    dropped = [
        prompt.problem.id for own in prompts.values() for prompt in own if len(prompt.token_ids) >= policy.max_context
    ]
    return Plan(tuple(chunks), tuple(dict.fromkeys(dropped)))
