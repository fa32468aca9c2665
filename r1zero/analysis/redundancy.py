"""Does a response repeat itself more than the model it came from did?  Read from texts alone.

Two measures, since one misses what the other sees:

    copied      share of its words in runs of `RUN` words that stood before in the same response: loops of any period
    packed      bytes after zlib over bytes before, in pieces of one length: filler that changes a number each time

A short text compresses badly whatever it says, and a long one repeats phrases that a short one has no room for.  So
`packed` is taken of pieces as long as a usual first response, never of a whole text, and either measure alarms only
beyond a bar that comes from the run's own first responses, which its initial model wrote.  A model that loops from the
start sets a bar that hardly anything is beyond: of its run `copied` itself is to be looked at.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from r1zero.analysis.similarity import words

RUN = 12  # words in a row that nobody writes twice by chance; signs count as words, so an equation has many
FALSE_ALARMS = 0.05  # at most this share of new responses of the initial model alarms
LEAST_COPIED = 1 / 3  # and no response that copies less than a third of its words
LEAST_PACKED = 0.75  # or that packs into more than three quarters of what is usual
SHORTEST_PIECE = 64  # bytes; of less zlib tells nothing
FEWEST = 39  # values that set a bar: 1 / (FEWEST + 1) is FALSE_ALARMS / 2


@dataclass(frozen=True)
class Bar:
    """Beyond what a response alarms.  NaN where the first responses were too few or too short to say.

    Example: Bar(copied=0.33, packed=0.45, piece=310, references=128)
    """

    copied: float  # alarms above
    packed: float  # alarms below
    piece: int  # bytes of a piece; 0 where no pieces are looked at
    references: int  # responses that it comes from

    @property
    def known(self) -> bool:
        """Whether there is one, by either measure; without it nothing alarms and nothing is known to be quiet."""
        return math.isfinite(self.copied) or math.isfinite(self.packed)


def copied_share(text: str, run: int = RUN) -> float:
    """Share of the words that lie in `run` words in a row which stood before in the text.  NaN of no words.

    A passage written k times gives (k - 1) / k, however long it is, if all but the first come to `run` words or more.

    >>> copied_share("a b c d " * 4, run=4), copied_share("a b c d e", run=4)
    (0.75, 0.0)
    """
    found = words(text)
    seen: set[tuple[str, ...]] = set()
    copied = end = 0
    for start, gram in enumerate(zip(*(found[i:] for i in range(run)), strict=False)):
        if gram in seen:
            copied += start + run - max(start, end)
            end = start + run
        else:
            seen.add(gram)
    return copied / len(found) if found else math.nan


def packed_share(text: str, piece: int) -> float:
    """Bytes after zlib (level 9) over bytes before, the mean over pieces of `piece` bytes.  NaN of a shorter text.

    Pieces follow each other; the last one ends where the text does.  All are equally long, so texts of different
    lengths can be compared.
    """
    raw = text.encode("utf-8", "replace")
    if piece < 1 or len(raw) < piece:
        return math.nan
    starts = [min(start, len(raw) - piece) for start in range(0, len(raw), piece)]
    return float(np.mean([len(zlib.compress(raw[start : start + piece], 9)) for start in starts])) / piece


def set_bar(first: Sequence[str]) -> Bar:
    """The bar that the first responses of a run set.

    For each measure the most extreme but k of n values, k = floor((n + 1) FALSE_ALARMS / 2): another response from the
    same model to another such question is beyond it with a chance of at most FALSE_ALARMS / 2, for any distribution
    (Vovk, Gammerman & Shafer 2005, "Algorithmic learning in a random world", section 2), and beyond either with at most
    FALSE_ALARMS; responses to one prompt are alike, so with few prompts that holds roughly.  LEAST_COPIED and
    LEAST_PACKED only make alarms rarer.  With fewer than FEWEST values there is no bar.
    """
    piece = _piece(first)
    copied = _defined([copied_share(text) for text in first])
    packed = _defined([packed_share(text, piece) for text in first])
    usual = float(np.median(packed)) if packed.size else math.nan
    return Bar(
        copied=float(np.maximum(_upper(copied), LEAST_COPIED)),
        packed=float(np.minimum(-_upper(-packed), LEAST_PACKED * usual)),
        piece=piece,
        references=len(first),
    )


def _piece(first: Sequence[str]) -> int:
    """Bytes that the longer half of the responses reach, very short ones not counted, and at least FEWEST of them.

    0 where they are too few.
    """
    sizes = sorted((len(text.encode("utf-8", "replace")) for text in first), reverse=True)
    long = [size for size in sizes if size >= SHORTEST_PIECE]
    return long[max(FEWEST, len(long) // 2) - 1] if len(long) >= FEWEST else 0


def is_beyond(copied: float, packed: float, bar: Bar) -> bool:
    """Whether a response with these shares repeats itself beyond the bar, by either measure.  NaN never does."""
    return copied > bar.copied or packed < bar.packed


def _upper(values: np.ndarray) -> float:
    """The value that another one exceeds with a chance of at most FALSE_ALARMS / 2; NaN where there are too few."""
    above = math.floor((values.size + 1) * FALSE_ALARMS / 2)
    return float(np.sort(values)[values.size - above]) if above else math.nan


def _defined(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, float)
    return array[np.isfinite(array)]
