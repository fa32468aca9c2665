"""Where the thinking of a response ends and its answer begins."""

from __future__ import annotations

import re

_TAG = re.compile(r"</think>|<answer>")
_LINE = re.compile(r"^[ \t]*(?:(?:final )?answer|a)[ \t]*:|^[ \t]*####", re.IGNORECASE | re.MULTILINE)
_SENTENCE_END = re.compile(r"\n|[.!?](?=\s)")
LOOK_BACK = 400  # characters in which the sentence of a box begins


def think_span(response: str) -> str:
    """The text before the answer's opener, without spaces around it; "" when the answer comes at once.

    The opener is `</think>` or `<answer>` where the response has one (the first), else the sentence of the last
    `\\boxed`, else the last line that begins with "Answer:", "A:" or "####".  Without any of them all is thinking.

    >>> think_span("3+4=7. </think> <answer> 7 </answer>"), think_span("3+4=7\\nAnswer: 3+4"), think_span("Answer: 7")
    ('3+4=7.', '3+4=7', '')
    >>> think_span("We add. So the sum is $\\\\boxed{7}$.")
    'We add.'
    """
    return response[: _opener(response)].strip().removeprefix("<think>").strip()


def _opener(response: str) -> int:
    """The character where the answer's opener starts; the text's end without one."""
    tag = _TAG.search(response)
    if tag:
        return tag.start()
    box = response.rfind("\\boxed")
    if box >= 0:
        start = max(0, box - LOOK_BACK)
        ends = [found.end() for found in _SENTENCE_END.finditer(response, start, box)]
        return ends[-1] if ends else start
    lines = [found.start() for found in _LINE.finditer(response)]
    return lines[-1] if lines else len(response)
