"""Where the answer stands in a response: one named rule a template, each a pure function str -> str | None.

None means that no answer stands where the rule looks; "" that the place is there but empty.  Every rule reads the text
a bounded number of times, whatever it contains.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from r1zero.config import nearest

_BOX_TOKEN = re.compile(r"\\boxed\s*\{|\\.|[{}]", re.DOTALL)
_LOOSE_TAGS = re.compile(r"</think>\s*<answer>")


def native(response: str) -> str | None:
    """What follows `Answer: ` on the last line that begins so: the format of the shipped tiny models.

    >>> native("3 * 8 = 24 vs 24, yes.\\nAnswer: 3 * 8")
    '3 * 8'
    """
    found = _last_answer_line(response)
    return found[1] if found else None


def r1(response: str) -> str | None:
    """understand-r1-zero's strict rule (its `answer_tag_reward_fn`): `</think> <answer>`, one space, and `</answer>`.

    The answer is all that follows the last `<answer>`, closing tags taken out; if it has a box, the last box is the
    answer, and an answer whose last box never closes is empty.
    """
    return _after_last_answer_tag(response) if "</think> <answer>" in response else None


def r1_loose(response: str) -> str | None:
    """As `r1`, with any white space, or none, between `</think>` and `<answer>`."""
    return _after_last_answer_tag(response) if _LOOSE_TAGS.search(response) else None


def answer_tag(response: str) -> str | None:
    """TinyZero's and oat-zero's rule: the last `<answer>...</answer>` on the very last line; no other line is read."""
    line = response[response.rfind("\n") + 1 :]
    answer, at = None, 0
    while (opening := line.find("<answer>", at)) >= 0:
        closing = line.find("</answer>", opening + len("<answer>"))
        if closing < 0:
            break
        answer, at = line[opening + len("<answer>") : closing].strip(), closing + len("</answer>")
    return answer


def boxed(response: str) -> str | None:
    """The content of the last \\boxed{...} that closes; an unclosed one after it is ignored.

    understand-r1-zero lets an unclosed last box hide the complete ones before it.
    """
    found = _last_box(response)
    return found[1] if found else None


def any_format(response: str) -> str | None:
    """Of the last box, the last `<answer>...</answer>` and the last `Answer: ` line, the one that begins last."""
    found = [f for f in (_last_box(response), _last_tag_pair(response), _last_answer_line(response)) if f]
    return max(found)[1] if found else None


EXTRACTORS: dict[str, Callable[[str], str | None]] = {
    "native": native,
    "r1": r1,
    "r1_loose": r1_loose,
    "answer_tag": answer_tag,
    "boxed": boxed,
    "any": any_format,
}

# what a grade says when a rule finds nothing
ABSENT = {
    "native": "no line begins with 'Answer: '",
    "r1": "no '</think> <answer>' closed by '</answer>'",
    "r1_loose": "no '</think>' and '<answer>' closed by '</answer>'",
    "answer_tag": "no <answer>...</answer> on the last line",
    "boxed": "no complete \\boxed{}",
    "any": "no box, answer tag or 'Answer: ' line",
}


def extract(response: str, answer_format: str) -> str | None:
    """The answer by the rule of that name.  Raises ValueError for an unknown rule."""
    if answer_format not in EXTRACTORS:
        raise ValueError(f"no answer format {answer_format!r}: {nearest(answer_format, EXTRACTORS)}")
    return EXTRACTORS[answer_format](response)


def _last_answer_line(text: str) -> tuple[int, str] | None:
    """Where the last non-empty `Answer: ...` line begins, and what it says."""
    end = len(text)
    while end >= 0:
        start = text.rfind("\n", 0, end) + 1
        if text.startswith("Answer: ", start, end) and (answer := text[start + len("Answer: ") : end].strip()):
            return start, answer
        end = start - 1
    return None


def _last_tag_pair(text: str) -> tuple[int, str] | None:
    """Where the last `<answer>` before the last `</answer>` begins, and what stands between them."""
    closing = text.rfind("</answer>")
    opening = text.rfind("<answer>", 0, max(closing, 0))
    return (opening, text[opening + len("<answer>") : closing].strip()) if opening >= 0 else None


def _last_box(text: str) -> tuple[int, str] | None:
    """Where the last complete box begins, and its content: braces matched in one pass, \\{ and \\} being characters."""
    last: tuple[int, str] | None = None
    open_braces: list[re.Match[str]] = []
    for token in _BOX_TOKEN.finditer(text):
        if token.group() == "}":
            opening = open_braces.pop() if open_braces else None
            is_box = opening is not None and opening.group() != "{"
            if opening and is_box and (last is None or opening.start() > last[0]):
                last = opening.start(), text[opening.end() : token.start()].strip()
        elif token.group().endswith("{") and token.group() != "\\{":
            open_braces.append(token)
    return last


def _after_last_answer_tag(response: str) -> str | None:
    """What follows the last `<answer>`, as understand-r1-zero reads it."""
    if "</answer>" not in response:
        return None
    answer = response[response.rfind("<answer>") + len("<answer>") :].replace("</answer>", "").strip()
    return _final_box(answer) if "\\boxed" in answer else answer


def _final_box(text: str) -> str:
    """The content of the very last \\boxed{; "" if it does not close or is not followed by a brace."""
    start, depth = text.rfind("\\boxed"), 0
    for i in range(start, len(text)):
        if text[i] == "{":
            depth += 1
        elif text[i] == "}":
            depth -= 1
            if depth == 0:
                return text[start + len("\\boxed{") : i] if text.startswith("\\boxed{", start) else ""
    return ""
