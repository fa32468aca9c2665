"""The verifier of multiple choice: which of the choices does an answer name, by its letter or by its words?

A gold is JSON with the choices in the order in which they were shown

    {"choices": ["the red box", "the blue box"], "answer": "the blue box"}

and `"letters": false` where the question shows no letters, so that an answer "B" means nothing.  CV-Bench's scorers ask
a symbolic library whether the answer "equals" the letter or the text of the right choice; here the choice that is meant
is read from all of them, so that an answer that names two, or whose letter and words disagree, is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from r1zero.grading.exact import exact_equal, plain_value
from r1zero.grading.extract import answer_is, boxed
from r1zero.grading.words import SPELLED

OTHER, NONE, SEVERAL = "another choice", "names none of the choices", "names several choices"
MAX_CHOICES = 26  # A to Z
LISTED = 80  # characters of a longer part are no list of letters
READ = 4000  # last characters of an answer that are read: a whole response may be handed in
_KEYS = frozenset(["choices", "answer", "letters"])

_TAG = re.compile(r"</?[a-z]{1,10}>")
_ALONE = re.compile(r"\W*([A-Za-z])\W*")
_LIST = re.compile(r"\W*[A-Z](?:\W*(?:,|/|&|\band\b|\bor\b)\W*[A-Z]\b)+\W*")
_LEADING = re.compile(r"\s*([A-Z])[).:,](?=\s)")
_ROUND = re.compile(r"(?<!\w)[(\[]([A-Za-z])[)\]]")
_OPTION = re.compile(r"\b(?:[Oo]ption|[Cc]hoice|OPTION|CHOICE)\s+([A-Z])\b")
_NEGATED = re.compile(r"(?:\b(?:not|never|neither|nor)|n't)[ \t]+(?:\w+[ \t]+){0,2}$")
_GROUNDS = re.compile(r"\b(?:because|since|which|rather than|instead of)\b")
_ARTICLE = re.compile(r"(?:the|an|a) (?=\w)")
_COUNTED = {word: str(value) for word, value in SPELLED.items() if word.isalpha() and word not in ("one", "dozen")}
_SPELLED = re.compile(r"\b(?:" + "|".join(sorted(_COUNTED, key=len, reverse=True)) + r")\b")


@dataclass(frozen=True)
class ChoiceGold:
    """What is chosen from, and what is right.  Example: ChoiceGold(("3", "2"), answer=1)"""

    choices: tuple[str, ...]
    answer: int  # its place among the choices
    letters: bool = True  # whether (A), (B) ... were shown


def choice_gold(answer: str, choices: Sequence[str], *, letters: bool = True) -> str:
    """A gold as text.  Raises ValueError where it is none: no choices, two alike, or an answer that is not among them.

    >>> choice_gold("2", ["3", "2"]), choice_gold("left", ["left", "right"], letters=False)
    ('{"choices": ["3", "2"], "answer": "2"}', '{"choices": ["left", "right"], "answer": "left", "letters": false}')
    """
    parts = {"choices": list(choices), "answer": answer} | ({} if letters else {"letters": False})
    text = json.dumps(parts, ensure_ascii=False)
    read_gold(text)
    return text


@lru_cache(maxsize=65_536)
def read_gold(gold: str) -> ChoiceGold:
    """Raises ValueError saying what is wrong with a gold that no answer could satisfy."""
    try:
        parts = json.loads(gold)
    except (ValueError, RecursionError):
        parts = None
    if not isinstance(parts, dict) or "choices" not in parts or "answer" not in parts:
        raise ValueError(f"the gold {gold[:80]!r} is no JSON object with `choices` and `answer`")
    if unknown := sorted(set(parts) - _KEYS):
        raise ValueError(f"gold with the unknown key {unknown[0]!r}: its keys are {', '.join(sorted(_KEYS))}")
    choices, answer = parts["choices"], parts["answer"]
    if not isinstance(choices, list) or not choices:
        raise ValueError("there are no choices: give at least one")
    if not all(isinstance(choice, str) and choice.strip() for choice in choices):
        raise ValueError(f"choices {choices!r}: each must be a text that is not empty")
    if len(choices) > MAX_CHOICES:
        raise ValueError(f"{len(choices)} choices: {MAX_CHOICES} at most, a letter each")
    keys = [_key(choice) for choice in choices]
    if twice := [choice for choice, key in zip(choices, keys, strict=True) if keys.count(key) > 1]:
        raise ValueError(f"the choice {twice[0]!r} stands there twice")
    if answer not in choices:
        raise ValueError(f"the answer {answer!r} is not among the choices {', '.join(map(repr, choices))}")
    return ChoiceGold(tuple(choices), choices.index(answer), parts.get("letters", True) is not False)


def fault(answer: str, gold: str) -> str:
    """Why `answer` does not choose what is right, in a few words; "" when it does.  Raises ValueError for a bad gold.

    >>> gold = choice_gold("2", ["3", "2"])
    >>> [fault(answer, gold) for answer in ("(B)", "b", "2", "There are two.", "A", "(A) 2", "7")]
    ['', '', '', '', 'another choice', 'names several choices', 'names none of the choices']
    """
    wanted = read_gold(gold)
    named = chosen(answer, wanted.choices, letters=wanted.letters)
    if isinstance(named, str):
        return named
    return "" if named == wanted.answer else OTHER


def chosen(answer: str, choices: Sequence[str], *, letters: bool = True) -> int | str:
    """The place of the one choice that an answer names, or NONE or SEVERAL.

    Looked at in turn, until a part names exactly one: the last box, what follows "the answer is" up to its
    grounds ("because ...", "which ...") or with them, the last line, all.
    """
    several = False
    for part in _parts(answer[-READ:]):
        named = _named(part, tuple(choices), letters)
        if len(named) == 1:
            return next(iter(named))
        several |= len(named) > 1
    return SEVERAL if several else NONE


def _parts(answer: str) -> Iterator[str]:
    if box := boxed(answer):
        yield box
    plain = _TAG.sub("\n", answer).strip()
    if stated := answer_is(plain):
        yield _GROUNDS.split(stated, maxsplit=1)[0]
        yield stated
    yield plain[plain.rfind("\n") + 1 :]
    yield plain


def _named(part: str, choices: tuple[str, ...], letters: bool) -> set[int]:
    """The places of all choices that a part of an answer names.

    A letter and words of the same choice are one name; words of other choices beside them explain it: "(B) the chair
    is closer than the table".
    """
    by_letter = _lettered(part, len(choices)) if letters else set()
    if len(by_letter) == 1 and _ALONE.fullmatch(part):
        return by_letter
    by_text = _mentioned(part, choices)
    if len(by_letter) == 1 and by_letter <= by_text:
        return by_letter
    return by_letter | by_text


def _lettered(part: str, num_choices: int) -> set[int]:
    if found := _ALONE.fullmatch(part):
        labels = [found[1]]
    elif len(part) <= LISTED and _LIST.fullmatch(part):
        labels = re.findall(r"[A-Z]", part)
    else:
        leading = _LEADING.match(part)
        labels = [*([leading[1]] if leading else []), *_ROUND.findall(part), *_OPTION.findall(part)]
    places = {ord(label.upper()) - ord("A") for label in labels}
    return {place for place in places if place < num_choices}


def _mentioned(part: str, choices: tuple[str, ...]) -> set[int]:
    """Choices whose words stand in a part, unless denied; a longer choice hides the shorter ones inside it."""
    text = " ".join(part.casefold().split())
    key = _key(part)
    for place, choice in enumerate(choices):
        if key == _key(choice) or exact_equal(part.strip(), choice.strip()):
            return {place}
    if all(plain_value(choice.strip()) is not None for choice in choices):
        counted = "1" if key == "one" else _SPELLED.sub(lambda word: _COUNTED[word[0]], text)
        text = counted.replace("$", " ")
    found = set()
    for place, pattern in _patterns(choices):
        for mention in pattern.finditer(text):
            if not _NEGATED.search(text[max(0, mention.start() - 40) : mention.start()]):
                found.add(place)
        text = pattern.sub(lambda mention: " " * len(mention[0]), text)
    return found


@lru_cache(maxsize=4096)
def _patterns(choices: tuple[str, ...]) -> tuple[tuple[int, re.Pattern[str]], ...]:
    """What finds each choice as whole words, longest first."""
    keys = [_key(choice) for choice in choices]
    order = sorted(range(len(keys)), key=lambda place: -len(keys[place]))
    return tuple((place, re.compile(rf"(?<![\w.\-]){re.escape(keys[place])}(?!\w)(?!\.\d)")) for place in order)


@lru_cache(maxsize=65_536)
def _key(text: str) -> str:
    """What spellings of one choice have in common: no case, article, or full stop at the end.

    >>> _key("The red  box."), _key(" 3 ")
    ('red box', '3')
    """
    plain = " ".join(text.casefold().split()).strip("\"'`*$ ").rstrip(".!,;: ")
    return _ARTICLE.sub("", plain, count=1) if _ARTICLE.match(plain) else plain or text
