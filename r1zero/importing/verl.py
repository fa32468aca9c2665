"""Rollouts and validations of verl: one jsonl file a step, called STEP.jsonl.

volcengine/verl, verl/trainer/ppo/ray_trainer.py, `_dump_generations`, with `trainer.rollout_data_dir` or
`trainer.validation_data_dir` set: `input`, `output`, `gts` (since mid 2025), `score`, `step`, and whatever the reward
function returned beside its score (`acc`, `pred`, ...; `reward` in validations; `request_id` in rollouts).

Inputs are whole prompts, decoded without special tokens: the question is taken out of ours and of ChatML. `acc` is a
verdict; without it `score` is one as long as every score is 0 or 1, which is not so of shaped rewards.
"""

from __future__ import annotations

from pathlib import Path

from r1zero.importing.oat import response
from r1zero.importing.prompts import asked
from r1zero.importing.record import Fields, Imported, Source, needed, value_of
from r1zero.importing.values import binary, count

EXPECTED = "one JSON object a line with `input`, `output`, `score` and, where known, `gts`, `step`, `acc`"


def source(path: Path) -> Source:
    """The folder's name tells one run's files from another's."""
    return Source(path, step=count(path.stem) if path.stem.isascii() and path.stem.isdecimal() else None)


def recognises(row: Fields) -> bool:
    return {"input", "output", "score"} <= set(row)


def read(row: Fields, source: Source) -> list[Imported]:
    """The response of one line.  Raises ValueError saying what is missing or of another kind."""
    needed(row, "input", "output", "score")
    prompt = value_of("prompt", "input", row["input"]) or ""
    seen = asked(prompt)
    score = value_of("reward", "score", row["score"])
    correct = binary(row.get("acc"))
    return [
        Imported(
            response(row, "output"),
            problem=seen.problem,
            prompt=prompt,
            gold=value_of("gold", "gts", row.get("gts")),
            dataset=value_of("dataset", "data_source", row.get("data_source")),
            template=seen.template,
            step=value_of("step", "step", row.get("step")),
            correct=correct,
            extracted=row["pred"] if isinstance(row.get("pred"), str) else None,
            reward=score,
            rated=None if "acc" in row else score,
        )
    ]
