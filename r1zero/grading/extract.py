"""Where the answer stands in a response: one named rule a template, each a pure function str -> str | None.

None means that no answer stands where the rule looks; "" that the place is there but empty.  Every rule reads the text
a bounded number of times, whatever it contains.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from r1zero.config import nearest
from r1zero.grading.words import choice as choice_letter

BOX_TOKEN = re.compile(r"\\boxed\s*\{|\\.|[{}]", re.DOTALL)
_NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|-?\.\d+")
_NUMBER_TAIL = 4000  # characters in which the last number is looked for first
_VERL_GSM8K = re.compile(r"#### (-?[0-9.,]+)")
_DAPO = re.compile(r"(?i)answer\s*:\s*([^\n]+)")
_PARENTHESIZED = re.compile(r"\(([A-J])\)")
ANSWER_IS = re.compile(
    r"(?i:\b(?:answer|result)\*{0,2}\s{0,3}(?:\([^()\n]{1,40}\)\s{0,3})?(?:is\b|[:=])\*{0,2}[ \t]*:?)|(?:^|\n)[ \t]*A:"
)
OPENING_MARKS = re.compile(r"(?:\s|\$\$|\\\[)*")
SENTENCE_END = re.compile(r"\.(?=\s|$)(?<![ap]\.m\.)|\n|</?[a-z]+>")
_LINE_BREAK = re.compile(r"\n\s*")
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


def answer_first(response: str) -> str | None:
    """What stands between the first `<answer>` and the next `</answer>`, over line breaks.

    VisualThinker-R1-Zero's training reads it so, but within one line.

    >>> answer_first("<think>left?</think>\\n<answer> left </answer>"), answer_first("left")
    ('left', None)
    """
    _, opened, rest = response.partition("<answer>")
    answer, closed, _ = rest.partition("</answer>")
    return answer.strip() if opened and closed else None


def answer_or_all(response: str) -> str | None:
    """As `answer_first`, else the whole response: how VisualThinker-R1-Zero evaluates on CV-Bench."""
    answer = answer_first(response)
    return (response.strip() or None) if answer is None else answer


def boxed(response: str) -> str | None:
    """The content of the last \\boxed{...} that closes; an unclosed one after it is ignored.

    understand-r1-zero lets an unclosed last box hide the complete ones before it.
    """
    found = _last_box(response)
    return found[1] if found else None


def boxed_strict(response: str) -> str | None:
    """understand-r1-zero's `boxed_reward_fn`: the very last \\boxed{; if that never closes there is no answer."""
    return (_final_box(response) or None) if "\\boxed" in response else None


def orz(response: str) -> str | None:
    """understand-r1-zero's rule for Open-Reasoner-Zero: as `r1`, with `<answer>` and `</answer>` anywhere."""
    return _after_last_answer_tag(response) if "<answer>" in response else None


def r1_distill(response: str) -> str | None:
    """oat's rule for distilled models: exactly one `</think>`, and what follows it is read as by `boxed_strict`."""
    _, found, answer = response.partition("</think>")
    return boxed_strict(answer) if found and "</think>" not in answer else None


def gsm8k(response: str) -> str | None:
    """What follows the last `####` on its line, as GSM8K's own solutions end.

    >>> gsm8k("5 + 6 = 11\\n#### 11 ")
    '11'
    """
    found = _after_mark(response)
    return found[1] if found else None


def verl_gsm8k(response: str) -> str | None:
    """verl's strict GSM8K rule: the last `#### number` of the last 300 characters, commas and dollars taken out."""
    found = _VERL_GSM8K.findall(response[-300:])
    return found[-1].replace(",", "").replace("$", "") if found else None


def dapo(response: str) -> str | None:
    """verl's DAPO rule: what follows the last `Answer:` in the last 300 characters, to the end of its line."""
    found = _DAPO.findall(response[-300:])
    return found[-1].strip() if found else None


def answer_is(response: str) -> str | None:
    """What follows the last "answer is", "Answer:", or line that begins with `A:`, to the end of the sentence.

    >>> answer_is("The answer (arabic numerals) is 6.50. Next question"), answer_is("**Answer:**\\n\\n$x = 3$")
    ('6.50', '$x = 3$')
    """
    found = _after_answer_is(response)
    return found[1] if found else None


def last_number(response: str) -> str | None:
    """The last number, wherever it stands.

    >>> last_number("3 apples at $1,234.50 each.")
    '1,234.50'
    """
    tail, kept = response[-_NUMBER_TAIL:], len(response) > _NUMBER_TAIL
    found = list(_NUMBER.finditer(tail))
    if not found and kept:
        found = list(_NUMBER.finditer(response))
    return found[-1].group() if found else None


def choice(response: str) -> str | None:
    """The letter of a multiple choice: that of the last box, of "the answer is (C)", or the last one in parentheses.

    >>> choice("so the answer is C."), choice("not (A), it is (B)"), choice("A house")
    ('C', 'B', None)
    """
    for found in (_last_box(response), _after_answer_is(response), (0, response)):
        if found and (letter := choice_letter(found[1])):
            return letter
    letters = _PARENTHESIZED.findall(response)
    return letters[-1] if letters else None


def qwen(response: str) -> str | None:
    """Qwen2.5-Math's and simpleRL's `extract_answer`: a stated final answer, a box even unclosed, "he answer is", the
    last number; in that order, on one line, without a colon before it or a full stop or slash behind it."""
    answer = _as_qwen_looks(response)
    if answer is None:
        return None
    answer = _LINE_BREAK.sub("", answer).removeprefix(":").removesuffix(".").removesuffix("/")
    return answer.strip().rstrip(".")


def _as_qwen_looks(response: str) -> str | None:
    if "final answer is $" in response and "$. I hope" in response:
        return response.split("final answer is $", 1)[1].split("$. I hope", 1)[0].strip()
    if "boxed" in response:
        rest = response[response.rfind("boxed") + len("boxed") :]
        return _balanced(rest) if rest.startswith("{") else rest.split("$", 1)[0].strip()
    for mark in ("he answer is", "final answer is"):
        if mark in response:
            return response[response.rfind(mark) + len(mark) :].strip()
    return last_number(response.replace(",", ""))


def any_format(response: str) -> str | None:
    """The last box; else the last answer tag, `Answer: ` line or `####`, whichever begins last; else what follows "the
    answer is"; else the last number.

    A tag that closes what was never opened is no part of an answer.

    >>> any_format("Answer: 4</answer>")
    '4'
    """
    if box := _last_box(response):
        return box[1]
    found = [f for f in (_last_tag_pair(response), _last_answer_line(response), _after_mark(response)) if f]
    if found:
        return _without_closing_tags(max(found)[1])
    stated = _after_answer_is(response)
    return stated[1] if stated else last_number(response)


def _without_closing_tags(answer: str) -> str:
    while (shorter := answer.removesuffix("</answer>").removesuffix("</think>").rstrip()) != answer:
        answer = shorter
    return answer


EXTRACTORS: dict[str, Callable[[str], str | None]] = {
    "native": native,
    "r1": r1,
    "r1_loose": r1_loose,
    "orz": orz,
    "r1_distill": r1_distill,
    "answer_tag": answer_tag,
    "answer_first": answer_first,
    "answer_or_all": answer_or_all,
    "boxed": boxed,
    "boxed_strict": boxed_strict,
    "gsm8k": gsm8k,
    "verl_gsm8k": verl_gsm8k,
    "dapo": dapo,
    "answer_is": answer_is,
    "last_number": last_number,
    "choice": choice,
    "qwen": qwen,
    "any": any_format,
}

# what a grade says when a rule finds nothing
ABSENT = {
    "native": "no line begins with 'Answer: '",
    "r1": "no '</think> <answer>' closed by '</answer>'",
    "r1_loose": "no '</think>' and '<answer>' closed by '</answer>'",
    "orz": "no '<answer>' and '</answer>'",
    "r1_distill": "no complete last \\boxed{} after the only '</think>'",
    "answer_tag": "no <answer>...</answer> on the last line",
    "answer_first": "no <answer>...</answer>",
    "answer_or_all": "empty",
    "boxed": "no complete \\boxed{}",
    "boxed_strict": "the last \\boxed{} is not complete, or there is none",
    "gsm8k": "no '####'",
    "verl_gsm8k": "no '#### number' in the last 300 characters",
    "dapo": "no 'Answer:' in the last 300 characters",
    "answer_is": "no 'answer is'",
    "last_number": "no number",
    "choice": "no letter of a choice",
    "qwen": "no box, 'answer is' or number",
    "any": "no box, answer tag, 'Answer: ' line, '####', 'answer is' or number",
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


def _after_mark(text: str) -> tuple[int, str] | None:
    """Where the last `####` stands, and the rest of its line."""
    at = text.rfind("####")
    return (at, text[at + 4 :].split("\n", 1)[0].strip()) if at >= 0 else None


def _after_answer_is(text: str) -> tuple[int, str] | None:
    """Where the last statement of an answer begins, and what it says up to the end of its sentence."""
    last: tuple[int, int] | None = None
    for found in ANSWER_IS.finditer(text):
        last = found.start(), found.end()
    if last is None:
        return None
    start, at = last
    at = OPENING_MARKS.match(text, at).end()  # type: ignore[union-attr]
    end = SENTENCE_END.search(text, at)
    said = text[at : end.start() if end else len(text)].strip().strip("*").strip()
    return (start, said) if said else None


def _balanced(text: str) -> str:
    """What stands in the brace that opens `text`, to its end where it never closes."""
    depth = 0
    for i, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return text[1:i]
    return text[1:]


def _last_tag_pair(text: str) -> tuple[int, str] | None:
    """Where the last `<answer>` before the last `</answer>` begins, and what stands between them."""
    closing = text.rfind("</answer>")
    opening = text.rfind("<answer>", 0, max(closing, 0))
    return (opening, text[opening + len("<answer>") : closing].strip()) if opening >= 0 else None


def _last_box(text: str) -> tuple[int, str] | None:
    """Where the last complete box begins, and its content: braces matched in one pass, \\{ and \\} being characters."""
    if "\\boxed" not in text:
        return None
    last: tuple[int, str] | None = None
    open_braces: list[tuple[int, int] | None] = []  # start and end of what opens a box; None is any other brace
    for token in BOX_TOKEN.finditer(text):
        if token.group() == "}":
            opening = open_braces.pop() if open_braces else None
            if opening and (last is None or opening[0] > last[0]):
                last = opening[0], text[opening[1] : token.start()].strip()
        elif token.group().endswith("{") and token.group() != "\\{":
            open_braces.append(None if token.group() == "{" else token.span())
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
