"""What is measured of a held-out evaluation: ratios of sums over problems, so that problems can be drawn anew.

M measures, P problems, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from r1zero.facts.cues import POOLS, has_cue

# name -> what it is.  "Not right" is every response that is not correct: wrong, unformatted or truncated.
MEASURES: dict[str, str] = {
    "accuracy": "held-out accuracy",
    "tokens": "tokens of a response",
    "tokens_correct": "tokens, right ones",
    "tokens_incorrect": "tokens, not right ones",
    "truncated_share": "truncated share",
    "cue_share": "cue share",
}
SHARES = ("accuracy", "truncated_share", "cue_share")  # fractions; the others are tokens


@dataclass(frozen=True)
class Measured:
    """One evaluation by problem; a measure is the sum of its sums over the sum of its counts.

    Accuracy is the mean of the problems' shares of right responses (avg@k); lengths are means over responses.
    """

    run: str
    problems: tuple[str, ...]
    sums_MP: np.ndarray
    counts_MP: np.ndarray
    one_response: bool  # to each problem, so that shares are 0 or 1

    @property
    def values(self) -> np.ndarray:
        return ratios(self.sums_MP.sum(axis=1), self.counts_MP.sum(axis=1))

    def in_order_of(self, other: Measured) -> Measured:
        """The same with problems as `other` has them.  Raises ValueError where they are not the same problems."""
        if self.problems == other.problems:
            return self
        place = {problem: index for index, problem in enumerate(self.problems)}
        if place.keys() != set(other.problems):
            raise ValueError(
                f"{other.run} and {self.run} were evaluated on different held-out problems "
                f"({len(place.keys() & set(other.problems))} in common of {len(other.problems)} and {len(place)}): "
                "compare runs of the same seed, or give both the same evaluation.path"
            )
        order = [place[problem] for problem in other.problems]
        return Measured(self.run, other.problems, self.sums_MP[:, order], self.counts_MP[:, order], self.one_response)


def measure(evaluation: pl.DataFrame, run: str) -> Measured:
    """The measures of an evaluation's rollouts (the columns of r1zero.store), summed by problem."""
    correct = pl.col("correct")
    cues = [has_cue(text or "", POOLS["extended"]) for text in evaluation["response"].to_list()]
    table = (
        evaluation.with_columns(pl.Series("cue", cues, dtype=pl.Boolean))
        .group_by("problem_id", maintain_order=True)
        .agg(
            pl.len().alias("n"),
            correct.sum().alias("right"),
            pl.col("num_tokens").sum().alias("tokens"),
            pl.col("num_tokens").filter(correct).sum().alias("tokens_right"),
            ((pl.col("finish_reason") == "length") & ~correct).sum().alias("cut"),
            pl.col("cue").sum().alias("cued"),
        )
    )
    n, right, tokens, tokens_right, cut, cued = (
        table[name].to_numpy().astype(float) for name in ("n", "right", "tokens", "tokens_right", "cut", "cued")
    )
    pairs = {
        "accuracy": (right / n, np.ones_like(n)),
        "tokens": (tokens, n),
        "tokens_correct": (tokens_right, right),
        "tokens_incorrect": (tokens - tokens_right, n - right),
        "truncated_share": (cut, n),
        "cue_share": (cued, n),
    }
    sums_MP, counts_MP = (np.stack([pairs[name][side] for name in MEASURES]) for side in (0, 1))
    return Measured(run, tuple(table["problem_id"].to_list()), sums_MP, counts_MP, bool((n == 1).all()))


def ratios(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sums over counts, NaN where there is nothing to count."""
    return np.divide(sums, counts, out=np.full(np.shape(sums), np.nan), where=counts > 0)
