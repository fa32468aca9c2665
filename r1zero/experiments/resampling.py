"""Two arms over the same problems: what other problems, or labels without meaning, would have given.

M measures, P problems, R resamples.  A pair is one run of each arm, evaluated on the same problems.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from r1zero.experiments.measures import Measured, ratios

Pair = tuple[Measured, Measured]  # baseline, other; problems in the same order
RESAMPLES = 4000
CELLS = 4_000_000  # of a matrix of resamples by problems: bounds memory


def mean_differences(pairs: Sequence[Pair]) -> np.ndarray:
    """Other minus baseline, mean over the pairs.  -> [M]"""
    return np.mean([b.values - a.values for a, b in pairs], axis=0)


def same_problems(pairs: Sequence[Pair]) -> list[Pair] | None:
    """The pairs with all problems in one order, or None where they do not all have the same problems."""
    first = pairs[0][0]
    if any(set(a.problems) != set(first.problems) for a, _ in pairs):
        return None
    return [(a.in_order_of(first), b.in_order_of(first)) for a, b in pairs]


def bootstrapped(pairs: Sequence[Pair], *, shared: bool, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """The mean difference when problems are drawn anew with replacement, all their responses with them.

    `shared`: all pairs have the same problems, and each draw is of a problem in every pair (its seeds averaged);
    otherwise each pair draws its own.  The pairs themselves, the training seeds, stay as they are.
    """

    def draw(rng: np.random.Generator, rows: int, size: int) -> np.ndarray:
        drawn = rng.integers(0, size, (rows, size)) + size * np.arange(rows)[:, None]
        return np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size).astype(float)

    def difference(weights_RP: np.ndarray, a: Measured, b: Measured) -> np.ndarray:
        after, before = (ratios(weights_RP @ x.sums_MP.T, weights_RP @ x.counts_MP.T) for x in (b, a))
        return after - before

    return _resampled(pairs, draw, difference, shared=shared, seed=seed, resamples=resamples)


def label_swapped(pairs: Sequence[Pair], *, shared: bool, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """The mean difference when a coin decides for each problem which arm's responses are called whose.

    What it would be if, problem by problem, it made no difference which arm answered; for means over problems this is
    flipping the signs of the paired differences.
    """

    def draw(rng: np.random.Generator, rows: int, size: int) -> np.ndarray:
        return rng.integers(0, 2, (rows, size)).astype(float)

    def difference(coins_RP: np.ndarray, a: Measured, b: Measured) -> np.ndarray:
        moved_sums, moved_counts = coins_RP @ (b.sums_MP - a.sums_MP).T, coins_RP @ (b.counts_MP - a.counts_MP).T
        before = ratios(a.sums_MP.sum(axis=1) + moved_sums, a.counts_MP.sum(axis=1) + moved_counts)
        after = ratios(b.sums_MP.sum(axis=1) - moved_sums, b.counts_MP.sum(axis=1) - moved_counts)
        return after - before

    return _resampled(pairs, draw, difference, shared=shared, seed=seed, resamples=resamples)


def _resampled(
    pairs: Sequence[Pair],
    draw: Callable[[np.random.Generator, int, int], np.ndarray],
    difference: Callable[[np.ndarray, Measured, Measured], np.ndarray],
    *,
    shared: bool,
    seed: int,
    resamples: int,
) -> np.ndarray:
    rng, parts = np.random.default_rng(seed), []
    rows_at_once = max(1, CELLS // max(len(a.problems) for a, _ in pairs))
    for start in range(0, resamples, rows_at_once):
        rows = min(rows_at_once, resamples - start)
        drawn = draw(rng, rows, len(pairs[0][0].problems)) if shared else None
        parts.append(
            np.mean(
                [difference(draw(rng, rows, len(a.problems)) if drawn is None else drawn, a, b) for a, b in pairs],
                axis=0,
            )
        )
    return np.concatenate(parts)


def swap_p_values(observed_M: np.ndarray, swapped_RM: np.ndarray) -> np.ndarray:
    """Two-sided: (1 + swaps at least as far from 0) / (1 + swaps)  (Phipson & Smyth 2010).  NaN where undefined."""
    as_far_RM = ~(np.abs(swapped_RM) < np.abs(observed_M) * (1 - 1e-9))  # an undefined swap counts, cautiously
    return np.where(np.isfinite(observed_M), (1 + as_far_RM.sum(axis=0)) / (1 + len(swapped_RM)), np.nan)


def spreads(pairs: Sequence[Pair], *, shared: bool) -> np.ndarray:
    """The standard deviation of a problem's paired difference, as if all problems counted alike.  -> [M]

    For ratios by the delta method: problem i of a run adds (sum_i - ratio count_i) / mean count (Cochran 1977, chapter
    6).  Pairs with problems of their own give the spread at which so many problems would have the same standard error.
    """
    influences = [_influence(b) - _influence(a) for a, b in pairs]
    if shared:
        return np.mean(influences, axis=0).std(axis=1, ddof=1)
    variances = [d.var(axis=1, ddof=1) / d.shape[1] for d in influences]
    total = sum(d.shape[1] for d in influences)
    return np.sqrt(np.sum(variances, axis=0) / len(pairs) ** 2 * total)


def _influence(run: Measured) -> np.ndarray:
    centred_MP = run.sums_MP - run.values[:, None] * run.counts_MP
    return ratios(centred_MP, np.broadcast_to(run.counts_MP.mean(axis=1, keepdims=True), centred_MP.shape))
