"""What is written into a response instead of being sampled: an answer's opener, a neutral filler, a wrong number."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from r1zero.facts.cues import POOLS, CuePool, has_cue
from r1zero.tasks.templates import Template

_TAGS = " </think> <answer>"
_SENTENCE = "\n\nThe final answer is \\boxed{"
OPENERS = {
    "native": "\nAnswer:",
    "r1": _TAGS,
    "r1_loose": _TAGS,
    "orz": _TAGS,
    "answer_tag": "\n</think>\n<answer>",
    "answer_first": _TAGS,
    "answer_or_all": _TAGS,
    "r1_distill": "\n</think>" + _SENTENCE,
    "boxed": _SENTENCE,
    "boxed_strict": _SENTENCE,
    "qwen": _SENTENCE,
    "any": _SENTENCE,
    "gsm8k": "\n####",
    "verl_gsm8k": "\n####",
    "dapo": "\nAnswer:",
    "answer_is": "\nThe answer is",
    "last_number": "\nThe answer is",
    "choice": "\nThe answer is",
}

# Neutral words that begin a step and announce no second look.
FILLERS = (
    "So|Now|Then|Next|Thus|So,|Now,|Then,|Next,|So we|Now we|So then|Let me think|Let us see|So we have|Now we have|"
    "So let me think|Then we have|So now we have|So, let me think|So, now we have|So at this point we have|"
    "So, at this point we have|So, at this point we now have"
)

_CALCULATION = re.compile(r"(?<![\d.=])\d+(?:\s?[-+*/×÷]\s?\d+){1,6}\s?=\s?(\d+)(?![\d/]|[.,]\d)")
_STATED_NUMBER = re.compile(r"(?<![\d.,])(\d+)(?=\.?\n|\.(?: |$))")
MOST_DIGITS = 12


def opener(template: Template, before: str, own: str | None = None) -> str:
    """What opens an answer where the template wants it, after the text `before`; its line breaks are not doubled.

    `own` is another wording of it, such as the response's.

    >>> opener(Template("t", "", answer_format="native"), "1+2=3\\n"), opener(Template("t", ""), "1+2=3")
    ('Answer:', '\\nAnswer:')
    """
    text = OPENERS[template.answer_format] if own is None else own
    while text.startswith("\n") and (before.endswith("\n") or not before.strip()):
        text, before = text[1:], before[:-1]
    return text


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """Tokens of a text that is put into a response."""
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def filler(
    tokenizer: PreTrainedTokenizerBase, before: str, num_tokens: int, pools: Iterable[CuePool]
) -> tuple[int, ...]:
    """Exactly `num_tokens` tokens of neutral words, after the white space `before`, with no cue of any pool.

    The longest phrase of FILLERS that fits, of those that the tokenizer writes with about a token a word, since it has
    seldom seen others; what is missing are full stops.
    """
    pools = (*POOLS.values(), *pools)
    fitting = [encode(tokenizer, before)[:num_tokens], ()]
    for phrase in FILLERS.split("|"):
        ids = encode(tokenizer, before + phrase)
        words = len(phrase.split()) + phrase.count(",") + len(before)
        if len(ids) <= min(num_tokens, words) and not any(has_cue(phrase, pool) for pool in pools):
            fitting.append(ids)
    ids = max(fitting, key=len)  # the first of equals
    return ids + encode(tokenizer, ".")[:1] * (num_tokens - len(ids))


@dataclass(frozen=True)
class Slip:
    """A number in a text, and a wrong one to stand in its place: text[start:end] -> wrong."""

    start: int
    end: int
    wrong: str


def make_slip(text: str, rng: random.Random) -> Slip | None:
    """The first result calculated on the last line that calculates; without any, the last number stated at a sentence's
    end.  Its last digit is changed.  None where there is no such number.

    >>> make_slip("3+4=7, 7*2=14 vs 10, no.\\n4*2=8, 8+3=11 vs 11, yes.\\nAnswer: 4*2+3", random.Random(0))
    Slip(start=29, end=30, wrong='5')
    """
    calculated = [match for match in _CALCULATION.finditer(text) if match.end() - match.start(1) <= MOST_DIGITS]
    if calculated:
        line = text.rfind("\n", 0, calculated[-1].start())
        found = next(match for match in calculated if match.start() > line)
    else:
        stated = [match for match in _STATED_NUMBER.finditer(text) if len(match[1]) <= MOST_DIGITS]
        if not stated:
            return None
        found = stated[-1]
    digit = int(found[1][-1])
    return Slip(found.start(1), found.end(1), found[1][:-1] + str((digit + rng.randint(1, 9)) % 10))


_BOX, _TAG, _STATED = re.compile(r"\\boxed|\\fbox"), re.compile(r"</think>|<answer>"), re.compile(r"(?i:\banswer\b)")
_MARKS = {
    "native": re.compile(r"^Answer: ", re.MULTILINE),
    "r1": _TAG,
    "r1_loose": _TAG,
    "orz": _TAG,
    "answer_tag": _TAG,
    "answer_first": _TAG,
    "answer_or_all": _TAG,
    "r1_distill": re.compile("</think>"),
    "boxed": _BOX,
    "boxed_strict": _BOX,
    "qwen": re.compile(rf"{_BOX.pattern}|he answer is|final answer"),
    "any": re.compile(rf"{_BOX.pattern}|{_TAG.pattern}|{_STATED.pattern}"),
    "gsm8k": re.compile("####"),
    "verl_gsm8k": re.compile("####"),
    "dapo": _STATED,
    "answer_is": _STATED,
    "choice": _STATED,
    "last_number": re.compile(r"\d"),
}
_SENTENCE_END = re.compile(r"\n\s*|[.!?:]\s+")
_TAGS_ALONE = re.compile(r"\s*(?:</think>\s*)?<answer>")


def thinking_ends(text: str, answer_format: str) -> int | None:
    """The character where the answer's opener begins, and the thinking before it ends; None without an opener.

    Tags open an answer where the first of the last pair stands; other openers belong to the sentence or line that holds
    the last one, so that "Hence the answer is \\boxed{4}" is no thinking.

    >>> [thinking_ends("1+2=3\\nAnswer: 1+2", "native"), thinking_ends("a </think> <answer> 3", "r1")]
    [6, 1]
    >>> thinking_ends("So x = 2. Hence it is \\\\boxed{4}.", "boxed")
    10
    """
    found = list(_MARKS[answer_format].finditer(text))
    if not found:
        return None
    if _MARKS[answer_format] is _TAG:
        thought = text.rfind("</think>")
        return len(text[: thought if thought >= 0 else found[-1].start()].rstrip(" \n"))
    line = [match.end() for match in _SENTENCE_END.finditer(text, 0, found[-1].start())]
    return line[-1] if line else 0


def own_tags(text: str, end: int) -> str | None:
    """The tags with which a response opens its answer at the character `end`, as it spaces them; None without any.

    >>> own_tags("left.</think> <answer> left", 5), own_tags("left. </think> It is <answer> left", 5)
    ('</think> <answer>', None)
    """
    found = _TAGS_ALONE.match(text, end)
    return found[0] if found else None
