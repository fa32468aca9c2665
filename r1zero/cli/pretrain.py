"""`r1zero pretrain`: a tiny base model from scratch."""

from __future__ import annotations

from r1zero.cli.recipes import resolve
from r1zero.cli.verb import Arguments, Option, Verb
from r1zero.config import PretrainConfig


def run(arguments: Arguments) -> int:
    config = resolve(VERB, arguments)
    from transformers.utils import logging as transformers_logging

    from r1zero.cli.progress import StepLine
    from r1zero.reports.console import print_table
    from r1zero.training.pretrain import pretrain
    from r1zero.training.pretrain_visual import pretrain_visual

    transformers_logging.disable_progress_bar()
    fitted = (pretrain_visual if config.world == "visual" else pretrain)(config, StepLine("pretrain"))
    row = [str(fitted.dir), len(fitted.losses), fitted.losses[0], fitted.losses[-1]]
    print_table(["model", "steps", "first loss", "last loss"], [row], json=arguments.has("json"))
    return 0


VERB = Verb(
    name="pretrain",
    summary="a tiny base model from scratch, on a generated corpus with dials",
    usage="[RECIPE] [--section.key VALUE ...]",
    run=run,
    positionals=(0, 1),
    options=(Option("json", "", "print the closing table as JSON"),),
    config_type=PretrainConfig,
    details="""
RECIPE is the name of a shipped recipe, a TOML file, or the recipe.json that an earlier run wrote beside its model;
without it, the defaults below. Losses are nats per token.

  r1zero pretrain tiny-search --out models/mine       the shipped model, again
  r1zero pretrain --architecture.num_layers 2 --steps 200 --out models/smaller
""",
)
