"""Evaluations of simpleRL-reason, and of Qwen2.5-Math, whose script it took over: jsonl, one question a line.

hkust-nlp/simpleRL-reason (2025), examples/simplelr_math_eval/math_eval.py and evaluate.py; QwenLM/Qwen2.5-Math,
evaluation/math_eval.py: `idx`, `question`, `gt_cot`, `gt`, the lists `code` (the responses), `pred`, `report` and
`score` (right or wrong), `finish_reason` in later versions, and columns of the data set (`level`, `answer`, ...).
File name: OUTPUT/DATASET/SPLIT_PROMPT_COUNT_seedN_tT_sSTART_eEND.jsonl.

A response ends at the first stop string even where it is not finished: only `finish_reason` tells.
"""

from __future__ import annotations

import re
from pathlib import Path

from r1zero.importing.oat import response
from r1zero.importing.record import Fields, Imported, Source, fill, needed, value_of
from r1zero.importing.values import count, number, shown

EXPECTED = "one JSON object a line with `question`, `gt`, and the lists `code`, `pred` and `score`"
_NAME = re.compile(r"(?P<split>[^_]+)_(?P<prompt>.+)_-?\d+_seed(?P<seed>\d+)_t(?P<temperature>[\d.]+)(?:_s\d+_e-?\d+)?")
_LISTS = {"pred": "extracted", "score": "correct", "finish_reason": "finish_reason"}


def source(path: Path) -> Source:
    """Data set, prompt type, seed and temperature by the script's file name."""
    found = _NAME.fullmatch(path.stem)
    if found is None:
        return Source(path)
    return Source(
        path,
        dataset=path.resolve().parent.name or None,
        template=found["prompt"],
        temperature=number(found["temperature"].rstrip(".")),
        seed=count(found["seed"]),
    )


def recognises(row: Fields) -> bool:
    return "code" in row and bool({"gt", "score", "pred"} & set(row))


def read(row: Fields, source: Source) -> list[Imported]:
    """The responses of one line.  Raises ValueError saying what is missing or of another kind."""
    needed(row, "question", "gt", "code")
    codes = row["code"]
    if not isinstance(codes, list) or not codes:
        raise ValueError(f"`code` is {shown(codes)}, not a list of responses")
    dataset = source.dataset or value_of("dataset", "dataset", row.get("dataset"))
    problem = value_of("problem", "question", row["question"])
    gold = value_of("gold", "gt", row["gt"])
    level = value_of("level", "level", row.get("level"))
    own_id = value_of("problem_id", "idx", row.get("idx")) if dataset else None  # counts from 0 in each data set
    responses = [
        Imported(
            response({"code": code}, "code"),
            problem=problem,
            gold=gold,
            problem_id=own_id,
            dataset=dataset,
            level=level,
        )
        for code in codes
    ]
    for key in _LISTS:
        if row.get(key) is not None and not isinstance(row[key], list):
            raise ValueError(f"`{key}` is {shown(row[key])}, not a list with one value a response")
    return fill(responses, row, {_LISTS[key]: key for key in _LISTS if row.get(key) is not None})
