"""How alike texts are: shared n-grams, repeated n-grams, and what compression saves.

N texts.  An n-gram is three words in a row; a word is a run of letters or digits, or any other single character that is
no space.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence

import numpy as np
from scipy import sparse, stats

from r1zero.statistics.intervals import NOTHING, Interval

WORD = re.compile(r"[^\W\d_]+|\d+|[^\s\w]|_")
NUMBER = re.compile(r"\d+")
N = 3


def words(text: str) -> list[str]:
    """Words, numbers and signs, in lower case.

    >>> words("Wait, 14+20=34.")
    ['wait', ',', '14', '+', '20', '=', '34', '.']
    """
    return WORD.findall(text.lower())


def without_numbers(text: str) -> str:
    """The text with each number as 0: what is left alike is wording.

    >>> without_numbers("14+20=34")
    '0+0=0'
    """
    return NUMBER.sub("0", text)


def ngrams(text: str, n: int = N) -> list[tuple[str, ...]]:
    """Every n words in a row; none in a shorter text."""
    found = words(text)
    return list(zip(*(found[i:] for i in range(n)), strict=False))


def repeated_share(text: str, n: int = N) -> float:
    """The share of n-grams that stood in the text before: 1 - distinct / all.  NaN in a text shorter than n words.

    >>> repeated_share("no no no no"), repeated_share("a b c d")
    (0.5, 0.0)
    """
    found = ngrams(text, n)
    return 1 - len(set(found)) / len(found) if found else math.nan


def compressed_share(text: str) -> float:
    """Bytes after zlib (level 9) over bytes before; NaN of nothing.  Below .2 a text mostly repeats itself."""
    raw = text.encode("utf-8", "replace")
    return len(zlib.compress(raw, 9)) / len(raw) if raw else math.nan


def joint_share(texts: Sequence[str]) -> float:
    """Bytes of all texts compressed as one over the sum of bytes when compressed apart.

    Near 1: nothing in one helps to write another.  Near 1/N: all are copies.  NaN of nothing.
    """
    raw = [text.encode("utf-8", "replace") for text in texts]
    apart = sum(len(zlib.compress(one, 9)) for one in raw)
    return len(zlib.compress(b"\n".join(raw), 9)) / apart if raw else math.nan


def jaccard(texts: Sequence[str], n: int = N) -> np.ndarray:
    """Shared n-grams over the n-grams of either, for every two texts; 0 where neither has one.  -> [N, N]"""
    places: dict[tuple[str, ...], int] = {}
    rows: list[int] = []
    columns: list[int] = []
    for row, text in enumerate(texts):
        own = {places.setdefault(gram, len(places)) for gram in ngrams(text, n)}
        rows += [row] * len(own)
        columns += own
    shape = (len(texts), max(1, len(places)))
    has = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
    shared = np.asarray((has @ has.T).todense())
    size = np.asarray(has.sum(axis=1)).ravel()
    union = size[:, None] + size[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def pair_mean(values_NN: np.ndarray, chosen_NN: np.ndarray, clusters: np.ndarray, level: float = 0.95) -> Interval:
    """The mean over the chosen pairs (i < j) with an interval that minds whole clusters.  [N, N], [N, N], [N]

        variance = K/(K-1) sum_c D_c² / M²,   D_c = sum of (value - mean) over the pairs that cluster c takes part in

    M pairs, K clusters, Student's t of K - 1 degrees: the leave-one-cluster-out form for a mean over pairs (Obuchowski
    1997, Biometrics 53:567).  NaN without pairs; no bounds below three clusters.
    """
    chosen = np.triu(chosen_NN, 1)
    num_pairs = int(chosen.sum())
    if num_pairs == 0:
        return NOTHING
    mean = float(values_NN[chosen].mean())
    apart = np.where(chosen, values_NN - mean, 0.0)
    _, index = np.unique(clusters, return_inverse=True)
    member = np.eye(int(index.max()) + 1)[index]
    between = member.T @ apart @ member  # [K, K] sums over the pairs of two clusters
    sums = between.sum(axis=0) + between.sum(axis=1) - np.diag(between)
    part = (member.T @ chosen @ member) > 0
    count = int((part.any(axis=0) | part.any(axis=1)).sum())
    if count < 3:
        return Interval(mean, math.nan, math.nan)
    error = math.sqrt(count / (count - 1) * float(np.sum(sums**2))) / num_pairs
    half = float(stats.t.ppf(0.5 + level / 2, count - 1)) * error
    return Interval(mean, mean - half, mean + half)
