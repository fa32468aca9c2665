"""The uncertainty profile of a response: how unsure the sampler was, where, and whether that grew.

T tokens, N responses.  A token's uncertainty is its negative log-probability (nll, in nats) under the distribution it
was sampled from; `pq` is p(1-p), the variance of "this token or another".  Profiles as in arXiv:2605.07776.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

FEATURES: tuple[str, ...] = (
    "nll_mean",
    "nll_early",  # mean over the first, second and last third of the tokens
    "nll_middle",
    "nll_late",
    "nll_slope",  # least squares over positions scaled to 0..1: nats from first to last token
    "nll_r2",  # share of the variance that this line explains
    "nll_max",
    "nll_sd",
    "pq_mean",
)


def features(logprobs: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    """The numbers named in `FEATURES` for one response.  [T] nats -> 9 numbers

    NaN where undefined: all without tokens or with a log-probability that is not finite, thirds below three tokens,
    slope below two, and R² also where all tokens are equally unsure.

    >>> [round(x, 3) for x in features([-1.0, -2.0, -3.0])][:6]
    [2.0, 1.0, 2.0, 3.0, 2.0, 1.0]
    """
    values = np.asarray(logprobs, float)
    return tuple(float(x) for x in profile(values, np.array([values.size]))[0])


def features_of(logprobs: pl.Series) -> pl.DataFrame:
    """`features` of every row of a list column, as Float32 columns; null where a row has no log-probabilities.

    About a hundred times faster than one by one: all tokens lie in one array.
    """
    counts = logprobs.list.len().fill_null(0).to_numpy().astype(np.int64)
    flat = logprobs.drop_nulls().explode(empty_as_null=False, keep_nulls=True).cast(pl.Float64)
    tokens = flat.to_numpy() if flat.len() else np.empty(0)
    rows_NF = profile(tokens, counts)
    frame = pl.DataFrame({name: rows_NF[:, i] for i, name in enumerate(FEATURES)})
    return frame.with_columns(pl.all().fill_nan(None).cast(pl.Float32))


def profile(logprobs: np.ndarray, counts_N: np.ndarray) -> np.ndarray:
    """`FEATURES` of responses whose tokens stand one behind the other.  [sum of counts], [N] -> [N, 9]"""
    found_NF = np.full((counts_N.size, len(FEATURES)), np.nan)
    kept = counts_N > 0
    T = counts_N[kept]
    if T.size == 0:
        return found_NF
    starts = np.cumsum(T) - T
    with np.errstate(all="ignore"):  # what is undefined is NaN
        nll = np.subtract(0.0, logprobs)
        total, squares = np.add.reduceat(nll, starts), np.add.reduceat(nll * nll, starts)
        moments = np.add.reduceat(nll * (np.arange(nll.size) - np.repeat(starts, T)), starts)
        top, bottom = np.maximum.reduceat(nll, starts), np.minimum.reduceat(nll, starts)
        probability = np.exp(-nll)
        pq = np.add.reduceat(probability - probability * probability, starts) / T
        mean = total / T
        spread = np.maximum(squares - total * mean, 0.0)  # sum of squares about the mean
        positions = T * (T + 1) / (12 * (T - 1))  # the same of positions 0 .. 1
        slope = (moments / (T - 1) - total / 2) / positions
        explained = np.minimum(slope * slope * positions / spread, 1.0)
    flat = top - bottom <= 1e-9 * np.abs(top)  # no variance to explain, but for rounding
    spread[flat] = 0.0
    explained[flat] = np.nan
    columns = (mean, *_thirds(nll, starts, T), slope, explained, top, np.sqrt(spread / T), pq)
    found = np.stack(columns, axis=1)
    found[~np.isfinite(total)] = np.nan
    found_NF[kept] = found
    return found_NF


def _thirds(nll: np.ndarray, starts: np.ndarray, T: np.ndarray) -> list[np.ndarray]:
    """Mean over tokens 0 .. T/3, T/3 .. 2T/3 and 2T/3 .. T, bounds rounded up; NaN below three tokens."""
    bounds = np.stack([starts + -(-i * T // 3) for i in range(3)], axis=1)
    sums = np.add.reduceat(nll, np.minimum(bounds, nll.size - 1).ravel()).reshape(-1, 3)
    counts = np.diff(np.column_stack([bounds, starts + T]), axis=1)
    return [np.where(T >= 3, sums[:, i] / np.maximum(counts[:, i], 1), np.nan) for i in range(3)]
