"""A small ridge logistic regression, and its predictions for problems it has not seen.

N responses, F features.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

RIDGE = 1.0  # penalty on standardised features: half a squared coefficient weighs as much as a nat of the data
FOLDS = 5


def fit_logistic(x_NF: np.ndarray, right: np.ndarray, *, ridge: float = RIDGE, steps: int = 50) -> np.ndarray:
    """Intercept and coefficients that minimise  sum log(1 + exp(-±z)) + ridge/2 |w|²,  z = b + x w.  -> [1 + F]

    Newton's method, halving a step that does not go down; the intercept is not penalised.
    """
    X = np.column_stack([np.ones(len(x_NF)), x_NF])
    y = np.asarray(right, float)
    penalty = np.full(X.shape[1], ridge)
    penalty[0] = 1e-9  # all right or all wrong: a finite intercept
    w = np.zeros(X.shape[1])

    def loss(w: np.ndarray) -> float:
        z = X @ w
        return float(np.sum(np.logaddexp(0, z) - y * z) + 0.5 * np.sum(penalty * w * w))

    current = loss(w)
    for _ in range(steps):
        p = expit(X @ w)
        gradient = X.T @ (p - y) + penalty * w
        hessian = (X * (p * (1 - p))[:, None]).T @ X + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        size, found = 1.0, loss(w - step)
        while found > current + 1e-12 and size > 1e-6:
            size /= 2
            found = loss(w - size * step)
        w, before, current = w - size * step, current, min(found, current)
        if before - current <= 1e-10 * (1 + abs(current)):
            break
    return w


def predict_unseen(
    x_NF: np.ndarray, right: np.ndarray, clusters: np.ndarray, *, seed: int = 0, ridge: float = RIDGE
) -> tuple[np.ndarray, np.ndarray]:
    """The log-odds of being right by regressions fitted to other problems, and the fold.  [N, F], [N], [N] -> [N], [N]

    Whole clusters are dealt at random into `FOLDS` folds (fewer where there are fewer clusters); each fold is predicted
    from the rest, features standardised by the mean and standard deviation of the rest.  NaN below two clusters.
    Compare predictions only within a fold: between folds they differ by intercepts that lean against each fold's share.
    """
    x, y = np.asarray(x_NF, float), np.asarray(right, bool)
    _, cluster = np.unique(clusters, return_inverse=True)
    count = int(cluster.max(initial=-1)) + 1
    found = np.full(len(x), np.nan)
    if count < 2:
        return found, np.zeros(len(x), np.int64)
    folds = min(FOLDS, count)
    fold = (np.random.default_rng(seed).permutation(count) % folds)[cluster]
    for k in range(folds):
        train, test = fold != k, fold == k
        mean, sd = x[train].mean(axis=0), x[train].std(axis=0)
        scaled = (x - mean) / np.where(sd > 1e-12, sd, 1.0)
        w = fit_logistic(scaled[train], y[train], ridge=ridge)
        found[test] = w[0] + scaled[test] @ w[1:]
    return found, fold
