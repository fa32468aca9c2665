"""Plain tables, jsonl or csv: columns by their usual names, or as `--map COLUMN=FIELD` says.

One response a row, or a list of them in `response`, with lists of equal length for what differs between them. The names
include those of the jsonl files that `r1zero analyze` and `r1zero grade` read. A row's `id` names a response, not a
problem: rows with the same `problem_id`, else with the same question, are samples of one problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from r1zero.importing.record import Fields, Imported, Source, fill, needed
from r1zero.importing.values import shown, text

EXPECTED = (
    "rows with `response` (or completion, output, generation) and, where known, question (problem), gold (answer), "
    "label (correct), problem_id, model, dataset, template, level, step, finish_reason, num_tokens; other names with "
    "--map COLUMN=FIELD"
)
# column -> what fields are called that hold it: the first that is there counts
NAMES: dict[str, tuple[str, ...]] = {
    "response": ("response", "completion", "output", "generation", "model_output", "prediction_text"),
    "problem": ("problem", "question", "input"),
    "gold": ("gold", "answer", "ground_truth", "gt", "gt_answer", "target", "expected_answer", "reference"),
    "correct": ("correct", "label", "is_correct", "acc"),
    "extracted": ("extracted", "prediction", "pred", "predicted_answer"),
    "problem_id": ("problem_id", "question_id", "unique_id"),
    "model": ("model", "checkpoint", "generator"),
    "dataset": ("dataset", "task_name", "data_source"),
    "reward": ("reward", "score"),
    "num_tokens": ("num_tokens", "length_tokens"),
    **{
        name: (name,)
        for name in (
            "run", "prompt", "template", "temperature", "top_p", "seed", "step", "sample", "formatted", "advantage",
            "finish_reason", "level", "token_ids", "logprobs",
        )
    },
}  # fmt: skip


def source(path: Path) -> Source:
    return Source(path)


def recognises(row: Fields) -> bool:
    return any(name in row for name in NAMES["response"])


def read(row: Fields, source: Source, places: Mapping[str, str] | None = None) -> list[Imported]:
    """The responses of one row.  Raises ValueError saying what is missing or of another kind."""
    chosen = {name: key for name, key in found_places(row).items() if name not in (places or {})} | dict(places or {})
    key = chosen.pop("response", "response")
    needed(row, key)
    responses = row[key] if isinstance(row[key], list) else [row[key]]
    if not responses or not all(isinstance(one, str) for one in responses):
        raise ValueError(f"`{key}` is {shown(row[key])}, not a response's text")
    if "correct" not in chosen and "reward" in chosen:
        chosen["rated"] = chosen["reward"]
    return fill([Imported(text(one) or "") for one in responses], row, chosen)


def found_places(row: Fields) -> dict[str, str]:
    """column -> the field that holds it, for those that are there with a value."""
    found = {}
    for column, names in NAMES.items():
        for name in names:
            if row.get(name) is not None:
                found[column] = name
                break
    return found
