"""The repetition alarm on loops, on filler, on text that does not repeat, and on the first responses' own kind."""

from __future__ import annotations

import math
import random
from pydoc_data.topics import topics  # Python's own manual: natural text that is on every machine

import numpy as np
import pytest

from r1zero.analysis.redundancy import FEWEST, RUN, Bar, copied_share, is_beyond, packed_share, set_bar

MANUAL = " ".join(dict.fromkeys(topics[name] for name in sorted(topics))).split()
NATURAL = [word for word in MANUAL if any(map(str.isalpha, word))]  # without the rules of its tables


def passage(rng: random.Random, length: int) -> str:
    """Words in a row from the manual."""
    start = rng.randrange(len(NATURAL) - length)
    return " ".join(NATURAL[start : start + length])


def beyond(text: str, bar: Bar) -> bool:
    return is_beyond(copied_share(text), packed_share(text, bar.piece), bar)


@pytest.fixture(scope="module")
def bar() -> Bar:
    rng = random.Random(0)
    return set_bar([passage(rng, rng.randint(30, 90)) for _ in range(128)])


def test_copies_by_hand() -> None:
    """15 different words three times: the last 30 of 45 are copies; 3 words twenty times: all but the first 3 of 60."""
    letters = " ".join("abcdefghijklmno")
    assert copied_share(" ".join([letters] * 3)) == pytest.approx(30 / 45)
    assert copied_share("no no no " * 20) == pytest.approx(59 / 60)
    assert copied_share("a b c " * 20) == pytest.approx(57 / 60)
    assert copied_share(letters) == 0 and math.isnan(copied_share(""))
    almost = " ".join("abcdefghijk")  # 11 words, then others: one too few
    assert RUN == 12 and copied_share(f"{almost} x {almost} y") == 0


def test_packing_does_not_depend_on_how_many_pieces_there_are() -> None:
    rng = random.Random(1)
    one = [packed_share(passage(rng, 60), 200) for _ in range(200)]
    many = [packed_share(passage(rng, 600), 200) for _ in range(40)]
    error = math.hypot(np.nanstd(one) / math.sqrt(len(one)), np.nanstd(many) / math.sqrt(len(many)))
    assert abs(np.nanmean(one) - np.nanmean(many)) < 4 * error
    assert packed_share("ab" * 100, 100) < 0.2 and math.isnan(packed_share("ab", 3)) and math.isnan(packed_share("", 0))


def test_loops_of_every_period_alarm(bar: Bar) -> None:
    rng = random.Random(2)
    for period in (1, 4, 20, 60, 150):
        for _ in range(20):
            assert beyond(" ".join([passage(rng, period)] * max(3, 200 // period)), bar), period


def test_thinking_said_twice_alarms_and_said_once_does_not(bar: Bar) -> None:
    rng = random.Random(3)
    once = [passage(rng, 60) for _ in range(50)]
    assert sum(beyond(f"{text} </think> <answer> left </answer>", bar) for text in once) <= 3
    assert all(beyond(f"{text} {text} </think> <answer> left </answer>", bar) for text in once)


def test_filler_that_only_changes_a_number_alarms(bar: Bar) -> None:
    filler = " ".join(f"Let me check that again {number * 37 % 101}." for number in range(60))
    assert copied_share(filler) == 0 and packed_share(filler, bar.piece) < bar.packed
    assert beyond(filler, bar)


def test_shuffled_natural_text_seldom_alarms_however_long(bar: Bar) -> None:
    rng, alarms = random.Random(4), 0
    for _ in range(100):
        words = passage(rng, rng.randint(100, 500)).split()
        rng.shuffle(words)
        alarms += beyond(" ".join(words), bar)
    assert alarms <= 5


def test_longer_natural_text_seldom_alarms(bar: Bar) -> None:
    rng = random.Random(5)
    assert sum(beyond(passage(rng, 400), bar) for _ in range(100)) <= 5


def repetitive(rng: random.Random) -> str:
    """A response that copies from itself as often as it likes, so that only the first responses can set the bar."""
    likes, said = rng.random() ** 2, [rng.choice(NATURAL) for _ in range(20)]
    while len(said) < 80:
        if rng.random() < likes:
            start = rng.randrange(len(said) - 15)
            said += said[start : start + 15]
        else:
            said += [rng.choice(NATURAL) for _ in range(15)]
    return " ".join(said)


def test_new_responses_of_the_initial_model_alarm_as_seldom_as_promised() -> None:
    """With 119 first responses each measure is exceeded with a chance of 3/120; both together by at most 5 %."""
    rng, alarms, tried = random.Random(6), [], 60
    for _ in range(25):
        own = set_bar([repetitive(rng) for _ in range(119)])
        alarms.append(np.mean([beyond(repetitive(rng), own) for _ in range(tried)]))
    error = np.std(alarms, ddof=1) / math.sqrt(len(alarms))
    assert np.mean(alarms) < 0.05 + 3 * error
    assert np.mean(alarms) > 0.005  # it is the first responses that decide here, not the fixed parts of the bar


def test_too_few_or_too_short_first_responses_set_no_bar() -> None:
    rng = random.Random(7)
    few = set_bar([passage(rng, 60) for _ in range(38)])
    assert math.isnan(few.copied) and math.isnan(few.packed) and few.references == 38
    assert not beyond("no " * 500, few)
    short = set_bar(["left"] * 128)
    assert (short.piece, math.isnan(short.packed)) == (0, True)
    assert beyond("left or right " * 30, short) and not beyond("right", short)
    assert math.isnan(set_bar([]).copied)


def test_pieces_are_as_long_as_enough_first_responses_reach() -> None:
    """Of 128 long ones 64 reach it; of 64, or of 50 among many short ones, the 39 that a bar takes; of 38 none."""
    lengths = [100 + i for i in range(128)]
    texts = ["".join(random.Random(n).choices("abcdefgh ", k=n)) for n in lengths]
    assert set_bar(texts).piece == lengths[64] and set_bar(texts[:64]).piece == lengths[64 - FEWEST]
    mixed = set_bar(texts[:50] + ["left"] * 78)
    assert mixed.piece == lengths[50 - FEWEST] and math.isfinite(mixed.packed)
    assert set_bar(texts[:38] + ["left"] * 78).piece == 0
