"""Whether the uncertainty of a response's tokens tells if it is right.

N responses, F features (facts.profile).  Only responses that stopped by themselves are looked at: one cut at the
token limit is known to have no answer.  Pairs are compared under one template, temperature and checkpoint, since all
of these move log-probabilities; and, to take difficulty out, between responses to one question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from r1zero.analysis.clustered import PROBLEM, SETTING
from r1zero.facts.profile import FEATURES, features, features_of
from r1zero.statistics.auroc import Separation, separation
from r1zero.statistics.logistic import FOLDS, predict_unseen

__all__ = ["FEATURES", "Predictor", "UncertaintyResult", "features", "features_of", "uncertainty"]

LENGTH = "length"  # tokens: what any profile must beat
MODELS: dict[str, tuple[str, ...]] = {
    "all nine": FEATURES,
    "all nine and length": (*FEATURES, LENGTH),
}
WIDENING = (1 + FOLDS / (FOLDS - 1)) ** 0.5  # sqrt(1 + folds x tested / fitted)


@dataclass(frozen=True)
class Predictor:
    """How well one feature, or a regression on several, tells right from wrong."""

    name: str
    overall: Separation  # pairs of any two questions, under one template, temperature and checkpoint
    within: Separation  # pairs of responses to one question
    mean_right: float  # of the feature; NaN for a regression
    mean_wrong: float


@dataclass(frozen=True)
class UncertaintyResult:
    """Every predictor; scores are such as they are, so that an AUROC below 1/2 says "higher when wrong"."""

    features: tuple[Predictor, ...]  # in the order of FEATURES, then length
    models: tuple[Predictor, ...]  # predictions for problems that the regression has not seen
    num_responses: int
    num_problems: int
    num_truncated: int  # left out
    num_unknown: int  # left out: no grade, no log-probabilities, or fewer than three tokens
    accuracy: float  # share right among those looked at

    @property
    def strongest(self) -> Predictor | None:
        """The feature, length apart, whose AUROC is farthest from 1/2."""
        own = [one for one in self.features if one.name != LENGTH and one.overall.num_clusters > 0]
        return max(own, key=lambda one: abs(one.overall.auroc.estimate - 0.5), default=None)


def uncertainty(facts: pl.DataFrame, *, seed: int = 0) -> UncertaintyResult:
    """AUROC of each feature and of a cross-validated logistic regression on all, over all pairs and within questions.

    The regression sees features as differences from the mean of their setting, and is fitted to four fifths of the
    problems to predict the rest.  As the fits share most of their problems, its standard error is widened by `WIDENING`
    (Nadeau & Bengio 2003, Machine Learning 52:239).
    """
    graded = facts.filter(pl.col("correct").is_not_null())
    whole = graded.filter(~pl.col("truncated").fill_null(False))
    needed = [pl.col(name).is_finite() for name in FEATURES if name != "nll_r2"]
    used = whole.filter(pl.all_horizontal(*needed), pl.col("num_tokens") > 0)
    table = used.select(
        *(pl.col(name).cast(pl.Float64).fill_null(0.0).fill_nan(0.0) for name in FEATURES),  # R² of a flat profile: 0
        pl.col("num_tokens").cast(pl.Float64).log().alias(LENGTH),
    )
    x_NF = table.to_numpy()
    right = used["correct"].to_numpy()
    problem = _number(used, PROBLEM)
    setting = _number(used, SETTING)
    question = _number(used, (*PROBLEM, *SETTING))
    places = {name: index for index, name in enumerate(table.columns)}

    singles, models = [], []
    for name, place in places.items():
        column = x_NF[:, place]
        shown = np.exp(column) if name == LENGTH else column
        family = 1 if name == LENGTH else len(FEATURES)  # the best of the nine is told
        apart = (
            separation(column, right, problem, setting, family=family),
            separation(column, right, problem, question, family=family),
        )
        singles.append(Predictor(name, *apart, _mean(shown[right]), _mean(shown[~right])))
    centred = _centre(x_NF, setting)
    for name, chosen in MODELS.items():
        scores, fold = predict_unseen(centred[:, [places[f] for f in chosen]], right, problem, seed=seed)
        together = setting * (FOLDS + 1) + fold
        apart = (
            separation(scores, right, problem, together, widening=WIDENING),
            separation(scores, right, problem, question, widening=WIDENING),
        )
        models.append(Predictor(name, *apart, np.nan, np.nan))
    return UncertaintyResult(
        features=tuple(singles),
        models=tuple(models),
        num_responses=used.height,
        num_problems=int(np.unique(problem).size),
        num_truncated=graded.height - whole.height,
        num_unknown=facts.height - graded.height + whole.height - used.height,
        accuracy=_mean(right.astype(float)),
    )


def _number(frame: pl.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """An integer for each combination of values, null among them.  [N]"""
    if frame.height == 0:
        return np.empty(0, np.int64)
    return frame.select(pl.struct(columns).rank("dense")).to_series().to_numpy().astype(np.int64)


def _centre(x_NF: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Differences from the mean of the response's group."""
    if not len(x_NF):
        return x_NF
    _, index = np.unique(groups, return_inverse=True)
    sums = np.stack([np.bincount(index, weights=column) for column in x_NF.T], axis=1)
    return x_NF - (sums / np.bincount(index)[:, None])[index]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
