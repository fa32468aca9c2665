"""How models that see are asked in the studies, and the models that some of their arms begin from.

A published instructed model can be named. tiny-visual has none, so one is made: fine-tuned on questions that are not
those of the study's runs, half of them answered at once behind an empty thinking span, half after the careful thinking
of its corpus. So it is in better form than the base, thinks about half of the time, and RL may move that either way.

The criterion, set before any study was run: accuracy at least the base's and below .80, so that RL has something to do;
both manners in a fifth of the answers at least; .95 readable.  Tried on 200 held-out questions that no study asks, of
which the base has .66: half at once, in three seeds, .68, .61 and .72 right (mean .67), .95 to .96 readable and 31, 62
and 29 % empty spans; three quarters at once, in two seeds, .55 and .63, .91 and .97, 64 and 42 %.  Right answers at
once alone left either no empty span or little else, after eight and after thirteen steps.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from r1zero.config import LearnerConfig, SFTConfig, TextDataConfig, TrainConfig, VisualCorpusConfig
from r1zero.experiments.studies.design import Preparation
from r1zero.store import write_atomically
from r1zero.tasks import build_task
from r1zero.tasks.templates import load_template
from r1zero.tasks.visual.corpus import think
from r1zero.tasks.visual.questions import draw_question, make_problem

QUESTIONS = 800  # that the instructed model of the tiny world learns
AT_ONCE = 0.5  # share of them that are answered without thinking
CAREFUL = VisualCorpusConfig(careless=0.0)


@dataclass(frozen=True)
class Manner:
    """How a family of models is asked, and how it is taught answers."""

    think: str  # template of a base model that thinks
    direct: str  # of a base model that answers at once
    instructed: str  # of an instructed model that thinks
    taught: str  # of the fine-tuned model
    answer_form: str  # what fine-tuning teaches
    epochs: int
    lr: float
    tokens_per_step: int

    @property
    def templates(self) -> tuple[str, ...]:
        return self.think, self.direct, self.instructed, self.taught


# fine-tuning's passes and rate are those that were best for it on 200 held-out questions that no study asks: .56, .57
# and .57 right after 2, 5 and 10 passes at 3e-4, .51 after 2 at 1e-3
TINY = Manner(
    "visual_think", "visual_direct", "visual_think", "visual_direct", "<answer> {answer}</answer>", 5, 3e-4, 1024
)
VISUALTHINKER = Manner(  # passes, rate and size of a step are those of the recipe visualthinker_sft, as in the next two
    "visualthinker", "visualthinker_direct", "visualthinker_instruct", "qwen2_vl", "{answer}", 2, 2e-5, 4800
)
INSTRUCTED = replace(VISUALTHINKER, think="visualthinker_instruct", direct="qwen2_vl")
LLAVA = replace(
    INSTRUCTED, think="visualthinker_llava", instructed="visualthinker_llava", direct="llava", taught="llava"
)
MANNERS = (TINY, VISUALTHINKER, INSTRUCTED, LLAVA)


def manner_of(config: TrainConfig) -> Manner:
    """The manner whose thinking the config's template asks for, or else one that it belongs to.

    Raises ValueError for any other template.
    """
    name = config.template.name
    found = [manner for manner in MANNERS if manner.think == name] + [
        manner for manner in MANNERS if name in manner.templates
    ]
    if not found:
        known = ", ".join(dict.fromkeys(template for manner in MANNERS for template in manner.templates))
        raise ValueError(f"template.name={name}: the studies of pictures know {known}")
    return found[0]


def thinking(config: TrainConfig) -> str:
    return manner_of(config).think


def direct(config: TrainConfig) -> str:
    """What already answers at once stays as it is."""
    at_once = {manner.direct for manner in MANNERS}
    return config.template.name if config.template.name in at_once else manner_of(config).direct


def instructed(config: TrainConfig) -> str:
    return manner_of(config).instructed


def taught(config: TrainConfig) -> str:
    return manner_of(config).taught


# ---------------------------------------------------------------------------------------------------------------------
# Fine-tuned on answers


def answers_only(config: TrainConfig, out: Path) -> SFTConfig:
    """The right answers alone to the training problems that RL of this config is asked, in the order of its seed."""
    manner, asked = manner_of(config), config.steps * config.problems_per_step
    rows = getattr(build_task(config.task, config.seed), "rows", None)
    return SFTConfig(
        seed=config.seed,
        out=str(out),
        source="task",
        num_problems=min(asked, len(rows["train"])) if rows else asked,
        epochs=manner.epochs,
        answer_form=manner.answer_form,
        tokens_per_step=manner.tokens_per_step,
        model=config.model,
        task=config.task,
        template=replace(config.template, name=manner.taught),
        learner=_likelihood_learner(config, manner),
    )


def _likelihood_learner(config: TrainConfig, manner: Manner) -> LearnerConfig:
    return replace(config.learner, lr=manner.lr, freeze="none")


SFT = Preparation(
    about="the base model fine-tuned on the right answers alone, without thinking, to the problems that RL is asked",
    make=answers_only,
)


# ---------------------------------------------------------------------------------------------------------------------
# Instructed


def conversation(config: TrainConfig, out: Path) -> SFTConfig:
    """The instructed model of the tiny world, whose examples are written beside it."""
    manner = manner_of(config)
    if config.task.name != "visual" or manner is not TINY:
        raise ValueError(
            f"task {config.task.name}, template.name={config.template.name}: an instructed model can be made only in "
            "the world of tiny-visual; name a published one with --instruct MODEL"
        )
    lines = [json.dumps(row) for row in examples(config)]
    path = out.with_suffix(".jsonl")
    write_atomically(path, ("\n".join(lines) + "\n").encode())
    return SFTConfig(
        seed=config.seed,
        out=str(out),
        epochs=1,
        tokens_per_step=manner.tokens_per_step,
        model=config.model,
        data=TextDataConfig(str(path), prompt_column="prompt", text_column="text", images_column="images"),
        learner=_likelihood_learner(config, manner),
    )


def examples(config: TrainConfig) -> Iterator[dict[str, object]]:
    """Prompt, text and pictures of each question: half answered at once, half after careful thinking; all right."""
    template = load_template(TINY.instructed)
    for index in range(QUESTIONS):
        rng = random.Random(f"instructed {config.seed} {index}")  # no stream that training draws from
        question = draw_question(rng, config.task.questions[index % len(config.task.questions)], held_out=False)
        problem = make_problem(question)
        at_once = rng.random() < AT_ONCE
        thoughts, answer = ("", question.answer) if at_once else think(rng, question, CAREFUL)
        text = f"{thoughts}</think> <answer> {answer}</answer>"
        yield {"prompt": template.render(problem), "text": text, "images": list(problem.images)}


INSTRUCT = Preparation(
    about=(
        f"tiny-visual fine-tuned on {QUESTIONS} other questions, {AT_ONCE:.0%} answered at once behind an empty "
        "thinking span and the others after careful thinking"
    ),
    make=conversation,
    is_there=lambda config: manner_of(config).think == manner_of(config).instructed and manner_of(config) is not TINY,
)
