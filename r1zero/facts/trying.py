"""Whether a response tries to answer its question or continues the text, by rules.

A base model that is shown a bare question may end at once, go on with the question ("Give your answer as a decimal."),
write the next one ("Problem: ...") or something else altogether.  A response tries to answer where one of its
sentences, before any new question, states something about the problem: an answer, a calculation, a step towards it.
Right or wrong, cut short or followed by rambling makes no difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

WORD = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)*")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
ANSWER_TAG = re.compile(r"<\s{0,3}answer\s{0,3}>", re.IGNORECASE)
TAG = re.compile(r"</?\s{0,3}\w{1,12}\s{0,3}/?>")  # <think>, </answer>, <br>
# Where another question begins, or another speaker.
NEW_QUESTION = re.compile(
    r"[\W_]*(?:(?:new|next|another)\s(?:question|problem|exercise|example)\b|"
    r"(?:ex\s)?q(?:uestion)?\s?\d{0,4}\s?\]?\s?[:.)]|(?:problem|exercise|example)\s?\d{0,4}\s?[:.)]|"
    r"(?:numbers|user|human)\s?:)",
    re.IGNORECASE,
)
# What tells the reader to do something: the question goes on.
INSTRUCTION = re.compile(
    r"[\W_]*(?:please|enter|express|give|round|write|find|determine|compute|calculate|evaluate|simplify|select|choose|"
    r"assume|note that|provide|state|explain|show|include|do not|don['’]t|answer the|use only|hint)\b",
    re.IGNORECASE,
)
STATED = re.compile(
    r"(?<!your )(?<!your final )\b(?:answer|solution|result|output)\b[^.?!\n]{0,60}?(?:\bis\b|\bare\b|=|:)"
    r"\W{0,12}(\w+)|"
    r"####\s*(\S+)|\\(?:boxed|fbox)\s?\{\s?([\w\\(+-]+)|^\W{0,6}(?:a|ans|student|assistant)\s?:\W{0,8}(\d+)",
    re.IGNORECASE,
)
STATING = ("answer", "solution", "result", "output", "####", "boxed", "fbox")  # one of them, or a ":", is in all STATED
BEGUN = frozenset(  # "Answer: let": nothing is stated yet
    (
        "a",
        "answer",
        "as",
        "enclosed",
        "for",
        "here",
        "i",
        "in",
        "insert",
        "is",
        "it",
        "let",
        "of",
        "step",
        "the",
        "to",
        "we",
        "your",
    )
)
ARITHMETIC = re.compile(
    r"\d\s{0,2}[)%]?\s?(?:[-+*/÷×]|\\times|\\cdot|\\div)\s{0,2}[($]?\s?\d[^=\n]{0,60}=\s{0,2}[($]?\s?-?\s?\d"
)
RELATION = re.compile(r"[\w)}\]%]\s{0,3}(?:=|\\approx|\\leq?\b|\\geq?\b|\\equiv|\\Rightarrow)\s{0,3}[\w\\({$-]")
OPTION = re.compile(r"^[ \t]{0,3}([A-H])[.:]\s|(?:^|\s)\(?([A-H])\)\s", re.MULTILINE)  # (A) 12
SOLVING = frozenset(
    re.findall(
        r"\w+",
        "add answer calculate calculating denote divide equation formula hence let multiply reasoning simplify "
        "simplifying solution solve solving substitute subtract suppose therefore thus",
    )
)
COMMON = frozenset(
    re.findall(
        r"\w+",
        "after also before does each find from have into many more much number numbers than that their them then there "
        "these they this those total using value were what when where which will with your",
    )
)
FEWEST_WORDS = 4  # of a sentence that makes no calculation and states no number
FEW_WORDS = 8  # of a first sentence that states a number
MOST_STRAYS = 4  # sentences about something else, after which nothing is an attempt any more
ABOUT = 0.2  # of a sentence's words of content, those that it shares with the problem or that speak of solving
RESTATED = 0.6  # of a sentence's runs of three words, those that the problem has, too


@dataclass(frozen=True)
class Question:
    """The words by which a sentence about the problem, or a copy of one of its own, is known."""

    content: frozenset[str]
    runs: frozenset[tuple[str, ...]]  # of three words

    def restated_by(self, words: list[str]) -> bool:
        runs = runs_of_three(words)
        return bool(runs) and sum(map(self.runs.__contains__, runs)) >= RESTATED * len(runs)

    def engages(self, words: list[str]) -> bool:
        """Whether a sentence of these words is about this problem, or speaks of solving one."""
        about = sum(map(SOLVING.__contains__, words)) + sum(map(self.content.__contains__, words))
        return about > 0 and about >= ABOUT * sum(map(is_content, words))


@lru_cache(maxsize=256)  # responses to one problem come together
def question_of(problem: str) -> Question:
    words = WORD.findall(problem.lower())
    return Question(frozenset(filter(is_content, words)), frozenset(runs_of_three(words)))


def answers(problem: str, response: str, *, formatted: bool, finish_reason: str | None = None) -> bool:
    r"""Whether a response tries to answer.  Time grows linearly with its length.

    `formatted` says that an answer stands where the template wants it, which counts where nothing else tells.  Being
    cut at the token limit (`finish_reason`) speaks neither for an attempt nor against it.

    >>> ask = "Tom has 3 apples and buys 5 more. How many has he?"
    >>> [answers(ask, text, formatted=False) for text in (" 3 + 5 = 8", " So he has them all.", "8", "")]
    [True, False, True, False]
    >>> answers(ask, " Give a number.\n\nProblem: Ann has 2 + 2 = 4 pears", formatted=False)
    False
    """
    question = question_of(problem)
    lists: bool | None = None  # options; looked up once, where a line looks like one
    strays = 0  # statements about something else
    for place, sentence in enumerate(sentences(response)):
        plain = TAG.sub(" ", ANSWER_TAG.sub(" answer: ", sentence))
        words = WORD.findall(plain.lower())
        if NEW_QUESTION.match(plain):
            if question.restated_by(words[1:]):
                continue  # the same one again
            return False
        if OPTION.match(plain):
            lists = lists_options(response) if lists is None else lists
            if lists:
                continue
        if states(plain, words, question) or (place == 0 and is_number_first(plain, words, question)):
            return True
        strays += not asks_or_tells(plain) and len(words) >= FEWEST_WORDS and not question.restated_by(words)
        if strays > MOST_STRAYS:
            break
    return formatted


def lists_options(response: str) -> bool:
    return len({found.group() for found in OPTION.finditer(response[:2000])}) > 2


def asks_or_tells(sentence: str) -> bool:
    return sentence.rstrip(" \t*_\"'”)$").endswith("?") or bool(INSTRUCTION.match(sentence))


def states(sentence: str, words: list[str], question: Question) -> bool:
    """Whether one sentence states something about the problem, rather than asks, tells, or copies it."""
    if not words or sentence.rstrip(" \t*_\"'”)$").endswith("?"):
        return False
    if "=" in sentence and ARITHMETIC.search(sentence):
        return True
    if INSTRUCTION.match(sentence):
        return False
    said = STATED.search(sentence) if may_state(sentence) else None
    if said and next(filter(None, said.groups())).lower() not in BEGUN:
        return True
    if question.restated_by(words):
        return False
    if len(words) < FEWEST_WORDS:
        return any(word[0].isdigit() for word in words)  # an answer alone
    return question.engages(words) or bool(RELATION.search(sentence))


def may_state(sentence: str) -> bool:
    """False only where `STATED` finds nothing; quicker than to look."""
    low = sentence.lower()
    return ":" in low or not low.isascii() or any(word in low for word in STATING)


def is_number_first(sentence: str, words: list[str], question: Question) -> bool:
    """Whether a short sentence at the very beginning gives a number: "He has $2.20 in total."."""
    given = any(word[0].isdigit() for word in words)
    return given and len(words) <= FEW_WORDS and not asks_or_tells(sentence) and not question.restated_by(words)


def sentences(text: str) -> Iterator[str]:
    """The sentences and lines of a text, without empty ones."""
    start = 0
    for end in SENTENCE_END.finditer(text):
        if text[start : end.start()].strip():
            yield text[start : end.start()]
        start = end.end()
    if text[start:].strip():
        yield text[start:]


@lru_cache(maxsize=1 << 14)  # texts repeat their words
def is_content(word: str) -> bool:
    return len(word) >= 2 if word[0].isdigit() else len(word) >= 4 and word not in COMMON


def runs_of_three(words: list[str]) -> list[tuple[str, ...]]:
    return list(zip(words, words[1:], words[2:], strict=False))
