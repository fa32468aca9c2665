"""Evaluations of oat-zero, of understand-r1-zero and of the trainer oat: one JSON array, in three layouts.

1. sail-sg/oat-zero, analysis/eval_self_reflect.py at commit e37c498; understand-r1-zero's analysis/sr_detection.py
   (88d5116) reads and extends the same. A question with `output_0`, `output_1`, ... and `End_with_EOS_0`, ... beside
   the columns of its data set (`input`, `question`, `gt_answer`, `level`). File name: MODEL_QUESTIONS_SAMPLES_T.json.
   An end token means "stop"; its absence is not taken for truncation: the model may know a second end token.
2. sail-sg/understand-r1-zero, evaluate_model.py (2025): `task_name`, `prompt`, and the lists `gt`, `model_output`,
   `reward`. File name: model_eval_out_MODELTIME_template_NAME_tempT_toppP_nN.json.
3. sail-sg/oat, oat/learners/base.py at commit 040bdac and later, `eval_results/STEP.json` or STEP_BENCHMARK.json:
   `output`, `reference`, `generator`, an input column NAME with its `format_NAME`, and `scores` in later versions.
   Its judge answers two in one: analysis/answering_ability.py's files have `input` and `output` alone.

Rewards of all three are 1 where the answer is right.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from r1zero.importing.prompts import asked
from r1zero.importing.record import Fields, Imported, Source, fill, needed, value_of
from r1zero.importing.values import count, number, shown, text

EXPECTED = (
    "an array of objects with `output_0`, `output_1`, ... (oat-zero), with `prompt`, `gt`, `model_output` and `reward` "
    "(understand-r1-zero's evaluate_model.py), or with `output` and `reference` (oat's eval_results)"
)
_SWEEP = re.compile(r"(?P<model>.+)_(?P<questions>\d+)_(?P<samples>\d+)_(?P<temperature>\d+(?:\.\d+)?)")
_EVALUATED = re.compile(
    r"(?P<model>.+?)_template_(?P<template>.+)_temp(?P<temperature>[\d.]+)_topp(?P<top_p>[\d.]+)_n\d+"
)
_STEP = re.compile(r"(?P<step>\d+)(?:_(?P<dataset>.+))?")
_OUTPUT = re.compile(r"output_(\d+)")
_SWEEP_TOP_P = 0.9  # fixed in eval_self_reflect.py
_JUDGED = {"input", "output", "idx", "llm_detection"}  # answering_ability.py's files, before and after
_TEMPLATES = {"no": "none"}  # the original's name -> ours


def source(path: Path) -> Source:
    """What a file is called by the scripts that write it."""
    stem = re.sub(r"(?:_sr|_ab)+$", "", path.stem)
    if path.parent.name == "eval_results" and (found := _STEP.fullmatch(stem)):
        return Source(path, dataset=found["dataset"], step=count(found["step"]))
    if found := _EVALUATED.fullmatch(stem):
        model = re.sub(r"^model_eval_out_|\d{10}$", "", found["model"])
        template = _TEMPLATES.get(found["template"], found["template"])
        sampling = {key: number(found[key].rstrip(".")) for key in ("temperature", "top_p")}
        return replace(Source(path, model=model, template=template), **sampling)  # type: ignore[arg-type]
    if found := _SWEEP.fullmatch(stem):
        return Source(path, model=found["model"], temperature=number(found["temperature"]), top_p=_SWEEP_TOP_P)
    return Source(path)


def recognises(row: Fields) -> bool:
    return "output_0" in row or {"model_output", "gt"} <= set(row) or {"output", "reference"} <= set(row)


def read(row: Fields, source: Source) -> list[Imported]:
    """The responses of one element.  Raises ValueError saying what is missing or of another kind."""
    if "output_0" in row:
        return sweep(row)
    if "model_output" in row:
        return evaluated(row)
    return learned(row)


def sweep(row: Fields) -> list[Imported]:
    """Layout 1."""
    numbers = sorted(int(found[1]) for key in row if (found := _OUTPUT.fullmatch(key)))
    if numbers != list(range(len(numbers))):
        raise ValueError(f"`output_{next(i for i in range(len(numbers)) if i not in numbers)}` is missing")
    prompt = value_of("prompt", "input", row.get("input"))
    question = value_of("problem", "question", row.get("question"))
    seen = asked(prompt) if prompt else None
    one = Imported(
        "",
        problem=question or (seen.problem if seen else None),
        prompt=prompt,
        gold=value_of("gold", "gt_answer", row.get("gt_answer", row.get("answer"))),
        template=seen.template if seen else None,
        level=value_of("level", "level", row.get("level")),
    )
    ended = {j: value_of("formatted", f"End_with_EOS_{j}", row.get(f"End_with_EOS_{j}")) for j in numbers}
    return [
        replace(one, response=response(row, f"output_{j}"), finish_reason="stop" if ended[j] else None) for j in numbers
    ]


def evaluated(row: Fields) -> list[Imported]:
    """Layout 2: the gold is repeated for every response."""
    needed(row, "prompt", "gt", "model_output")
    outputs = row["model_output"]
    if not isinstance(outputs, list) or not outputs:
        raise ValueError(f"`model_output` is {shown(outputs)}, not a list of responses")
    golds = row["gt"]
    if isinstance(golds, list) and len(golds) == len(outputs) and all(one == golds[0] for one in golds):
        golds = golds[0]
    prompt = value_of("prompt", "prompt", row["prompt"])
    seen = asked(prompt or "")
    one = Imported(
        "",
        problem=seen.problem,
        prompt=prompt,
        gold=value_of("gold", "gt", golds),
        dataset=value_of("dataset", "task_name", row.get("task_name")),
        template=seen.template,
    )
    responses = [replace(one, response=response({"model_output": output}, "model_output")) for output in outputs]
    places = {"reward": "reward", "rated": "reward"} if "reward" in row else {}
    return fill(responses, row, places)


def learned(row: Fields) -> list[Imported]:
    """Layout 3."""
    needed(row, "output")
    if "reference" not in row and set(row) - _JUDGED:
        raise ValueError("no `output_0`, no `model_output` and no `reference`")
    key = next((key for key in row if f"format_{key}" in row), "input" if "input" in row else "prompt")
    prompt = value_of("prompt", f"format_{key}", row.get(f"format_{key}"))
    problem = value_of("problem", key, row.get(key))
    if problem is None and prompt is None:
        raise ValueError("no `input`")
    if prompt is not None and problem == prompt:  # the data held whole prompts
        problem = asked(prompt).problem
    score = value_of("reward", "scores", row.get("scores"))
    return [
        Imported(
            response(row, "output"),
            problem=problem,
            prompt=prompt,
            gold=value_of("gold", "reference", row.get("reference")),
            model=value_of("model", "generator", row.get("generator")),
            template=asked(prompt).template if prompt else None,
            reward=score,
            rated=score,
        )
    ]


def response(row: Fields, key: str) -> str:
    """A response's text.  Raises ValueError when it is none."""
    value: Any = row[key]
    if not isinstance(value, str):
        raise ValueError(f"`{key}` is {shown(value)}, not a response's text")
    return text(value) or ""
