"""Completions of TRL's GRPO and RLOO trainers: parquet files, one for each logged step.

huggingface/trl, trl/trainer/grpo_trainer.py, `log_completions=True`, of the versions that write the table to
OUTPUT/completions/completions_00010.parquet: `step`, `prompt`, `completion`, one column a reward function (named after
it), extra columns that a reward function logged, and `advantage`. Older versions hand the same table to trackers only,
with `step` as text, and the oldest with `reward` for the functions' columns: exported as parquet, both can be read.
Prompts and completions are texts, or lists of messages.

The step is the trainer's. Which of several reward columns says whether an answer is right is not written there, nor are
their weights: `accuracy_reward`, TRL's own, is a verdict as far as it is 0 or 1; a single reward column is one if all
of it is 0 or 1; else `--map correct=COLUMN` says it. `reward` is filled where there is one reward column, or `reward`.
There is no gold, unless an extra column is called `solution`, `answer`, `ground_truth` or `gold`.
"""

from __future__ import annotations

from pathlib import Path

from r1zero.importing.prompts import asked, last_of, messages, prompt_text
from r1zero.importing.record import Fields, Imported, Source, needed, value_of
from r1zero.importing.values import binary

EXPECTED = "a parquet file with `prompt`, `completion` and, where known, `step`, reward columns and `advantage`"
VERDICT = "accuracy_reward"
_GOLDS = ("solution", "answer", "ground_truth", "gold")
_OTHERS = {"step", "prompt", "completion", "advantage", "mode", *_GOLDS}


def source(path: Path) -> Source:
    return Source(path)


def recognises(row: Fields) -> bool:
    return {"prompt", "completion"} <= set(row) and ("step" in row or "advantage" in row)


def read(row: Fields, source: Source) -> list[Imported]:
    """The response of one row.  Raises ValueError saying what is missing or of another kind."""
    needed(row, "prompt", "completion")
    if row["completion"] is None:
        raise ValueError("`completion` is null, not a response")
    prompt = value_of_messages("prompt", row)
    seen = asked(prompt or "")
    problem = last_of(row["prompt"], "user") if isinstance(row["prompt"], list) else seen.problem
    rewards = reward_columns(row)
    chosen = "reward" if "reward" in rewards else rewards[0] if len(rewards) == 1 else None
    total = value_of("reward", chosen, row[chosen]) if chosen else None
    gold = next((key for key in _GOLDS if row.get(key) is not None), None)
    return [
        Imported(
            value_of_messages("completion", row) or "",
            problem=problem,
            prompt=prompt,
            gold=value_of("gold", gold, row[gold]) if gold else None,
            template=seen.template,
            step=value_of("step", "step", row.get("step")),
            correct=binary(row.get(VERDICT)),
            reward=total,
            rated=None if VERDICT in row else total,
            advantage=value_of("advantage", "advantage", row.get("advantage")),
        )
    ]


def reward_columns(row: Fields) -> list[str]:
    """The columns that hold numbers, or nothing in this row, and are none of the trainer's own."""
    return [key for key, value in row.items() if key not in _OTHERS and (value is None or _is_number(value))]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def value_of_messages(key: str, row: Fields) -> str | None:
    """A prompt or a completion; of a completion's messages what was written, joined."""
    value = row[key]
    try:
        if key == "completion" and isinstance(value, list):
            return "\n".join(content for _, content in messages(value))
        return prompt_text(value)
    except ValueError as error:
        raise ValueError(f"`{key}` {error}") from None
