"""What a tiny base model reads before any reinforcement: a generated Countdown corpus with dials.

A search writes each attempt's value beside the target, because a model this small learns to compare two numbers only
when they stand next to each other:

    Numbers: 25, 4, 7
    Target: 93
    25+4=29, 29*7=203 vs 93, no.
    Wait, let me try again: 25*4=100, 100-7=93 vs 93, yes.
    Answer: 25*4-7

Around it stand guessers, searchers that give up, searchers that do not check, arithmetic drill, plain questions and
answers, R1 markup, and malformed and unfinished text, each with a dial in CorpusConfig.  No document holds a held-out
problem.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from r1zero.config import CorpusConfig, TaskConfig
from r1zero.tasks.countdown import Step, Term, as_terms, draw, is_held_out, last_steps, make_problem, random_step
from r1zero.tasks.templates import TEMPLATES

CUES = (
    "Wait, ",
    "Hmm, ",
    "Wait, let me try again: ",
    "Let me try again: ",
    "Let me re-evaluate: ",
    "Let me rethink: ",
    "Hmm, try again: ",
)
RECHECKS = ("Let me check again: ", "Let me recheck: ", "Wait, let me check: ")
OPENINGS = ("Let me think.\n", "Let me try: ", "Hmm, ")
ATTEMPTS_MAX = 14  # a search stops here at the latest: about 300 tokens

Idea = tuple[tuple[object, ...], ...]


@dataclass(frozen=True)
class Attempt:
    """One way through the numbers, as it is written down.

    Example: Attempt(steps=(Step(25, "*", 4, 100), Step(100, "-", 7, 93)), value=93, expression="25*4-7")
    """

    steps: tuple[Step, ...]
    value: int
    expression: str

    @property
    def text(self) -> str:
        return ", ".join(map(str, self.steps))

    @property
    def idea(self) -> Idea:
        """The same for attempts that differ only in the order of a sum or product."""
        return tuple(
            (s.operator, *(sorted((s.left, s.right)) if s.operator in "+*" else (s.left, s.right))) for s in self.steps
        )


@dataclass(frozen=True)
class Puzzle:
    """A drawn problem and the dials it is solved under."""

    nums: list[int]
    target: int
    dials: CorpusConfig


def try_once(rng: random.Random, puzzle: Puzzle, aim: float) -> Attempt:
    """A random attempt; with chance `aim` its last step is the one that lands nearest to the target."""
    terms, value_max = as_terms(puzzle.nums), puzzle.dials.value_max
    steps: list[Step] = []
    while len(terms) > 2:
        step, terms = random_step(rng, terms, value_max)
        steps.append(step)
    if len(terms) == 2:
        found = last_steps(terms, value_max)
        if found and rng.random() < aim:
            rng.shuffle(found)
            step, last = min(found, key=lambda pair: abs(pair[1].value - puzzle.target))
        else:
            step, (last,) = random_step(rng, terms, value_max)
        steps.append(step)
    else:
        last = terms[0]
    return Attempt(tuple(steps), last.value, last.text)


def try_something_new(rng: random.Random, puzzle: Puzzle, tried: set[Idea]) -> Attempt:
    """An attempt that differs from those tried, unless the search repeats itself or nothing new turns up."""
    attempt = try_once(rng, puzzle, puzzle.dials.aim)
    for _ in range(8):
        if attempt.idea not in tried or rng.random() < puzzle.dials.repeats:
            break
        attempt = try_once(rng, puzzle, puzzle.dials.aim)
    tried.add(attempt.idea)
    return attempt


def verdict(attempt: Attempt, target: int) -> str:
    """ " vs 93, no." after an attempt's value."""
    return f" vs {target}, {'yes' if attempt.value == target else 'no'}."


def slip(rng: random.Random, attempt: Attempt) -> Attempt:
    """The attempt with its last calculation wrong by a little."""
    wrong = max(1, attempt.value + rng.choice((-10, -2, -1, 1, 2, 10)))
    return replace(attempt, steps=(*attempt.steps[:-1], replace(attempt.steps[-1], value=wrong)), value=wrong)


def search(rng: random.Random, puzzle: Puzzle, opening: str = "") -> tuple[str, str]:
    """A search through attempts: the trace (ends in a newline) and the final expression, "" where it has none."""
    dials, target = puzzle.dials, puzzle.target
    reflects, checks = rng.random() < dials.reflection, rng.random() < dials.verified
    give_up = dials.give_up_soon if rng.random() < dials.impatient else dials.give_up_late
    noisy_at = rng.randrange(3) if rng.random() < dials.noise else -1
    text = opening or (rng.choice(OPENINGS) if reflects and rng.random() < 0.3 else "")
    tried: set[Idea] = set()
    best: Attempt | None = None
    for index in range(ATTEMPTS_MAX):
        attempt = try_something_new(rng, puzzle, tried)
        if index == noisy_at and attempt.steps:
            attempt = slip(rng, attempt)
        if index and reflects and rng.random() < 0.6:
            text += rng.choice(CUES)
        text += attempt.text + (verdict(attempt, target) if checks else ".") + "\n"
        if best is None or abs(attempt.value - target) < abs(best.value - target):
            best = attempt
        if not checks:
            if rng.random() < 0.6:  # stops without looking at the target
                return text, attempt.expression
        elif attempt.value == target:
            if reflects and rng.random() < 0.2:
                text += rng.choice(RECHECKS) + attempt.text + verdict(attempt, target) + "\n"
            return text, attempt.expression
        elif rng.random() < give_up:
            break
    if rng.random() < dials.surrender:
        return text + "I give up.\n", ""
    assert best is not None
    return text, best.expression


def reconsider(rng: random.Random, puzzle: Puzzle) -> tuple[str, str]:
    """An answer at once, then its check, then a search where it was wrong."""
    guess = try_once(rng, puzzle, puzzle.dials.aim)
    text = f"Answer: {guess.expression}\n" + rng.choice(RECHECKS) + guess.text + verdict(guess, puzzle.target) + "\n"
    if guess.value == puzzle.target:
        return text, guess.expression
    return search(rng, replace(puzzle, dials=replace(puzzle.dials, verified=1.0)), opening=text + rng.choice(CUES))


def solve(rng: random.Random, puzzle: Puzzle) -> tuple[str, str]:
    """One solution in one of the manners of the corpus: trace and expression."""
    manner = rng.random()
    if manner < puzzle.dials.guesses:
        return "", try_once(rng, puzzle, puzzle.dials.aim).expression
    if manner < puzzle.dials.guesses + puzzle.dials.second_thoughts:
        return reconsider(rng, puzzle)
    return search(rng, puzzle)


def spoil(rng: random.Random, puzzle: Puzzle, trace: str, expression: str) -> str:
    """A response whose answer line is missing or unusable."""
    kind = rng.randrange(4)
    if kind == 0:
        return trace + "I am not sure."
    if kind == 1:
        return trace + f"So {expression or 'none'} it is."
    if kind == 2:
        return trace + f"Answer: {expression}="
    return trace + f"Answer: {puzzle.target}"


def solution(rng: random.Random, puzzle: Puzzle) -> str:
    """A Countdown document: the problem through a template, and a response."""
    dials = puzzle.dials
    trace, expression = solve(rng, puzzle)
    problem = make_problem(puzzle.nums, puzzle.target)
    if rng.random() < dials.r1_markup:
        prompt = TEMPLATES["r1"].render(problem)
        response = f" {trace.rstrip()} </think> <answer> {expression or 'I give up.'} </answer>"
    else:
        prompt = TEMPLATES["native"].render(problem)
        response = trace + (f"Answer: {expression}" if expression else "")
        if rng.random() < dials.malformed:
            response = spoil(rng, puzzle, trace, expression)
    if rng.random() < dials.unfinished:
        response = response[: rng.randrange(len(response) + 1)]
    return prompt + response.rstrip("\n")


def random_sum(rng: random.Random, value_max: int) -> Step:
    """One calculation on two numbers of the size that searches meet."""
    while True:
        a, b = (rng.randint(1, rng.choice((12, 25, 100, value_max))) for _ in range(2))
        found = last_steps([Term(a, str(a)), Term(b, str(b))], value_max)
        if found:
            return rng.choice(found)[0]


def arithmetic(rng: random.Random, puzzle: Puzzle) -> str:
    """A document of single calculations; half of them are checked against a number that is the result or near it."""
    lines = []
    for _ in range(rng.randint(4, 12)):
        step = random_sum(rng, puzzle.dials.value_max)
        goal = step.value if rng.random() < 0.5 else max(1, step.value + rng.choice((-20, -10, -2, -1, 1, 2, 10, 20)))
        check = f" vs {goal}, {'yes' if goal == step.value else 'no'}." if rng.random() < 0.5 else ""
        lines.append(f"{step}{check}")
    return "\n".join(lines)


def question_answer(rng: random.Random, puzzle: Puzzle) -> str:
    """A document of plain questions and answers; some end in a Countdown problem in words."""
    pairs = []
    for _ in range(rng.randint(1, 4)):
        question, _, answer = str(random_sum(rng, puzzle.dials.value_max)).rpartition("=")
        pairs.append(f"Question: What is {question}?\nAnswer: {answer}")
    if rng.random() < 0.5:
        trace, expression = solve(rng, puzzle)
        text = make_problem(puzzle.nums, puzzle.target).text
        return f"{text}\n{trace}" + (f"Answer: {expression}" if expression else "")
    return "\n\n".join(pairs)


def documents(config: CorpusConfig, seed: int) -> Iterator[str]:
    """The corpus, one document after another; the same for the same dials and seed."""
    rng = random.Random(f"corpus {seed}")
    task = TaskConfig(num_numbers=config.num_numbers, number_max=config.number_max, target_max=config.target_max)
    for _ in range(config.num_documents):
        nums, target = draw(rng, task)
        while is_held_out(nums, target):
            nums, target = draw(rng, task)
        puzzle = Puzzle(nums, target, config)
        kind = rng.random()
        if kind < config.arithmetic:
            yield arithmetic(rng, puzzle)
        elif kind < config.arithmetic + config.question_answer:
            yield question_answer(rng, puzzle)
        else:
            yield solution(rng, puzzle)


def corpus_hash(texts: list[str]) -> str:
    """sha256 of the documents, each followed by a zero byte."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()
