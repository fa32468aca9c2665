"""`r1zero sft`: continued pretraining or supervised fine-tuning."""

from __future__ import annotations

from r1zero.cli.recipes import resolve
from r1zero.cli.verb import Arguments, Option, Verb
from r1zero.config import SFTConfig


def run(arguments: Arguments) -> int:
    config = resolve(VERB, arguments)
    if config.source == "data" and not config.data.path:
        raise ValueError("no data to learn from: give --data.path FILE, --source task, or a recipe that names one")
    from r1zero.cli.progress import StepLine
    from r1zero.reports.console import print_table
    from r1zero.training.sft import sft

    fitted = sft(config, StepLine("sft"))
    row = [str(fitted.dir), len(fitted.losses), fitted.losses[0], fitted.losses[-1], fitted.left_out]
    print_table(["model", "steps", "first loss", "last loss", "rows left out"], [row], json=arguments.has("json"))
    return 0


VERB = Verb(
    name="sft",
    summary="continued pretraining or supervised fine-tuning of any causal language model",
    usage="[RECIPE] --data.path FILE [--section.key VALUE ...]",
    run=run,
    positionals=(0, 1),
    options=(Option("json", "", "print the closing table as JSON"),),
    config_type=SFTConfig,
    details="""
RECIPE is a TOML file, or the recipe.json that an earlier run wrote beside its model. Losses are nats per learned token.

  r1zero sft visualthinker_sft                        right answers to the questions that RL is asked
  r1zero sft --model.path tiny-search --data.path traces.jsonl --data.prompt_column prompt --data.text_column answer
""",
)
