"""Samples of the lm-evaluation-harness: jsonl, one document and filter a line.

EleutherAI/lm-evaluation-harness 0.4, lm_eval/evaluator.py and lm_eval/loggers/evaluation_tracker.py, `--log_samples`:
`doc_id`, `doc`, `target`, `arguments` ({"gen_args_0": {"arg_0": prompt, "arg_1": settings}}; in early versions a list
of pairs), `resps` ([[text, ...]]), `filtered_resps`, `filter` and `metrics` (in later versions), each metric under its
name, and hashes. File name: OUTPUT/MODEL/samples_TASK_DATE.jsonl, MODEL with `__` for `/`.

A document is logged once for each filter: the rows of one filter are imported, the first's of a file unless another is
asked for. Only generated texts can be: tasks that compare log-likelihoods are refused. The metric is a verdict where it
is 0 or 1 and the document has one response: of several it judges only what the filter made of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1zero.grading import extract
from r1zero.importing.prompts import asked
from r1zero.importing.record import Fields, Imported, Source, needed, value_of
from r1zero.importing.values import binary, shown, text

EXPECTED = "one JSON object a line with `doc_id`, `doc`, `target`, `arguments`, `resps` and `filtered_resps`"
_NAME = re.compile(r"samples_(?P<task>.+?)(?:_\d{4}-\d\d-\d\dT[\d.:-]+)?")
_METRICS = ("exact_match", "math_verify", "acc", "pass@1", "pass_at_1")
_OWN = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"}
_QUESTIONS = ("question", "problem", "Question", "Problem", "input", "query")
_NO_ANSWER = ("", "[invalid]")  # what regex filters give when they find nothing


def source(path: Path) -> Source:
    """Task and model by the harness's file and folder."""
    found, folder = _NAME.fullmatch(path.stem), path.resolve().parent.name
    model = folder.replace("__", "/", 1) if "__" in folder else None
    return Source(path, dataset=found["task"] if found else None, model=model)


def recognises(row: Fields) -> bool:
    return {"doc_id", "resps"} <= set(row)


def variant(row: Fields) -> str | None:
    """The filter of a row, where the file says."""
    return text(row.get("filter"))


def read(row: Fields, source: Source) -> list[Imported]:
    """The responses of one line.  Raises ValueError saying what is missing or of another kind."""
    needed(row, "doc_id", "doc", "target", "resps")
    doc = row["doc"] if isinstance(row["doc"], Mapping) else {}
    responses = texts(row["resps"])
    prompt, settings = request(row.get("arguments"))
    question = next((doc[key] for key in _QUESTIONS if isinstance(doc.get(key), str)), None)
    problem = text(question) or (asked(prompt).problem if prompt else None)
    greedy = settings.get("do_sample") is False
    temperature = 0.0 if greedy else value_of("temperature", "temperature", settings.get("temperature"))
    alone = len(responses) == 1
    answer = filtered(row.get("filtered_resps")) if alone else None
    return [
        Imported(
            one,
            problem=problem,
            prompt=prompt,
            gold=gold_of(row["target"], doc),
            problem_id=value_of("problem_id", "doc_id", row["doc_id"]) if source.dataset else None,
            temperature=temperature,
            top_p=None if greedy else value_of("top_p", "top_p", settings.get("top_p")),
            correct=metric(row) if alone else None,
            formatted=None if answer is None else answer not in _NO_ANSWER,
            extracted=None if answer in _NO_ANSWER else answer,
            level=value_of("level", "level", doc.get("level")),
        )
        for one in responses
    ]


def texts(resps: Any) -> list[str]:
    """The generated texts of a document: one request, its repeats."""
    if isinstance(resps, list) and len(resps) == 1 and isinstance(resps[0], list):
        resps = resps[0]
    if not isinstance(resps, list) or not resps:
        raise ValueError(f"`resps` is {shown(resps)}, not a list of responses")
    if not all(isinstance(one, str) for one in resps):
        raise ValueError("`resps` holds log-likelihoods, not texts: only tasks of type generate_until can be imported")
    return [text(one) or "" for one in resps]


def request(arguments: Any) -> tuple[str | None, Mapping[str, Any]]:
    """The prompt and the generation settings of a document's request."""
    first = arguments.get("gen_args_0") if isinstance(arguments, Mapping) else None
    pair = [first.get("arg_0"), first.get("arg_1")] if isinstance(first, Mapping) else None
    if isinstance(arguments, list) and arguments and isinstance(arguments[0], list):
        pair = arguments[0]
    if not pair:
        return None, {}
    settings = pair[1] if len(pair) > 1 and isinstance(pair[1], Mapping) else {}
    return (text(pair[0]) if isinstance(pair[0], str) else None), settings


def filtered(value: Any) -> str | None:
    """What the filter took for the answer."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return text(value) if isinstance(value, str) else None


def metric(row: Fields) -> bool | None:
    """Whether the document's metric says right: the first of the known ones, else the first that is 0 or 1."""
    listed = row.get("metrics")
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else list(row)
    names = [name for name in _METRICS if name in names] + [name for name in names if name not in _OWN]
    verdicts = (binary(row.get(name)) for name in names)
    return next((one for one in verdicts if one is not None), None)


def gold_of(target: Any, doc: Fields) -> str | None:
    """The right answer; of a worked solution its box, or the document's own `answer`."""
    found = value_of("gold", "target", target)
    if found is None or "\\boxed" not in found or found.startswith("\\boxed"):
        return found
    own = doc.get("answer")
    return own.strip() if isinstance(own, str) and own.strip() and "\\boxed" not in own else extract(found, "boxed")
