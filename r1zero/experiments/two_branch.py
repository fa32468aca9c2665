"""The smallest policy with a length bias: two answers, right and wrong, that each end with a probability of their own.

A response is right with probability `accuracy`; then it goes on token by token and stops with the probability of the
branch it is in, so its length is geometric, cut at `max_tokens`.  The stop-logits are all that learns, by plain
ascent on the gradient of the objective under study; advantages and token weights come from r1zero.objectives.  Nothing
is gained by a longer or shorter answer, so whatever lengths do is the objective's doing.

`hint` is the probability with which the policy notices that it is wrong: at 1 the branches have a stop-logit each, at
0 all answers share one.  `predicted_drift` is the theory; `simulate` is the experiment.

Letters: S seeds, P problems, G responses to each, K stop-logits (0 unhinted, 1 hinted), T steps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from r1zero.objectives import OBJECTIVES, Objective
from r1zero.objectives.aggregation import BatchSize

TOKEN_MEANS = ("batch_tokens", "microbatch_tokens")
OWN_LENGTH = ("response_length", "constant", "responses")  # the weight depends on a response's own length at most
LARGEST_LOGIT = 30.0
PROBES = 256  # batches from which the scale and the drift at the start are estimated


@dataclass(frozen=True)
class TwoBranch:
    """The policy at the start, and how it is sampled.

    Example: TwoBranch(accuracy=0.5, stop=0.1)  # right and wrong answers of 10 tokens on average
    """

    accuracy: float = 0.5
    accuracy_learns: bool = False  # whether right or wrong is an action, too: it has the weight of a token
    stop: float = 0.1  # probability of stopping at each token, in both branches
    max_tokens: int = 64
    hint: float = 1.0
    truncated_is_wrong: bool = False  # a response cut at max_tokens earns 0 even in the right branch
    num_problems: int = 16
    group_size: int = 8
    problems_per_denominator: int | None = None  # problems that share the denominator of a token mean; None is all

    def __post_init__(self) -> None:
        for name in ("accuracy", "stop"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"two_branch {name}={getattr(self, name)}: must be above 0 and below 1")
        if not 0 <= self.hint <= 1:
            raise ValueError(f"two_branch hint={self.hint}: must be between 0 and 1")
        for name in ("max_tokens", "num_problems", "group_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"two_branch {name}={getattr(self, name)}: must be at least 1")
        if self.num_problems % self.shared or self.shared < 1:
            raise ValueError(
                f"two_branch problems_per_denominator={self.shared}: must divide num_problems={self.num_problems}"
            )

    @property
    def shared(self) -> int:
        """Problems that share the denominator of a token mean."""
        return self.num_problems if self.problems_per_denominator is None else self.problems_per_denominator


@dataclass(frozen=True)
class Policy:
    """What learns: `stop_SK` the stop-logits, `right_S` the logit of being right.

    Gradients with respect to it have the same form.
    """

    stop_SK: np.ndarray
    right_S: np.ndarray

    def moved(self, gradient: Policy, lr: float) -> Policy:
        """A step of plain ascent; logits stay within +-30."""
        stop_SK = np.clip(self.stop_SK + lr * gradient.stop_SK, -LARGEST_LOGIT, LARGEST_LOGIT)
        return Policy(stop_SK, np.clip(self.right_S + lr * gradient.right_S, -LARGEST_LOGIT, LARGEST_LOGIT))


@dataclass(frozen=True)
class Simulation:
    """What became of the lengths.  A length is 1 / (stop probability), in tokens, not cut; T counts from 0."""

    objective: Objective
    setting: TwoBranch
    lr: float
    right_ST: np.ndarray  # mean length of right answers
    wrong_ST: np.ndarray
    accuracy_ST: np.ndarray
    predicted_right_T: np.ndarray  # following `predicted_drift` without noise; NaN where that has no closed form
    predicted_wrong_T: np.ndarray


def start(setting: TwoBranch, seeds: int) -> Policy:
    """The policy before training, once a seed."""
    return Policy(np.full((seeds, 2), _logit(setting.stop)), np.full(seeds, _logit(setting.accuracy)))


# ---------------------------------------------------------------------------------------------------------------------
# The experiment


def simulate(
    objective: Objective | str,
    *,
    steps: int = 400,
    seeds: int = 20,
    seed: int = 0,
    lr: float | None = None,
    push: float = 1.0,
    setting: TwoBranch | None = None,
    **changes: Any,
) -> Simulation:
    """Train the two branches with an objective; `changes` are fields of TwoBranch, such as accuracy=0.2.

    Without `lr` it is chosen so that the learning rate times the step's sum of |token weight x advantage| is `push` on
    average at the start: the same total for every objective, so that lengths differ by what an objective does and not
    by its scale.  With `push` 1, GRPO's rate is about 1.1.  The same seed draws the same uniform numbers for every
    objective.
    """
    objective = OBJECTIVES[objective] if isinstance(objective, str) else objective
    setting = replace(setting or TwoBranch(), **changes)
    check_simulable(objective, setting)
    lr = push / mean_push(objective, setting) if lr is None else lr
    policy, rng = start(setting, seeds), np.random.default_rng(seed)
    visited = [policy]
    for _ in range(steps):
        policy = policy.moved(step_gradient(objective, setting, policy, rng)[0], lr)
        visited.append(policy)
    right_ST, wrong_ST = mean_lengths(np.stack([one.stop_SK for one in visited], axis=1), setting.hint)
    accuracy_ST = np.stack([sigmoid(one.right_S) for one in visited], axis=1)
    expected = expected_path(objective, setting, lr, steps)
    return Simulation(objective, setting, lr, right_ST, wrong_ST, accuracy_ST, *expected)


def sweep(objective: Objective | str, *, steps: int = 400, seeds: int = 20, **grid: Iterable[Any]) -> list[Simulation]:
    """A simulation of every combination: sweep("grpo", accuracy=(0.1, 0.5), group_size=(2, 8, 64))."""
    combinations = itertools.product(*grid.values())
    return [
        simulate(objective, steps=steps, seeds=seeds, **dict(zip(grid, values, strict=True))) for values in combinations
    ]


def check_simulable(objective: Objective, setting: TwoBranch) -> None:
    """Raises ValueError where the objective needs what two branches do not have, or the group is too small."""
    if objective.critic or objective.by_token:
        raise ValueError(
            f"objective {objective.name}: its advantages need a value head or differ by token, which two branches do "
            "not have; choose one whose baseline comes from the group"
        )
    objective.check_group(setting.group_size)


def step_gradient(
    objective: Objective, setting: TwoBranch, policy: Policy, rng: np.random.Generator
) -> tuple[Policy, np.ndarray]:
    """The gradient of one step's batch, and its sum over tokens of |weight x advantage|, [S].

    The log-probability of a response has derivative 1[stopped] - L q in the stop-logit of its branch (q the stop
    probability), and 1[right] - accuracy in the logit of being right.
    """
    num_seeds = policy.right_S.size
    draws = rng.random((3, num_seeds, setting.num_problems, setting.group_size))
    accuracy_S11 = sigmoid(policy.right_S)[:, None, None]
    right_SPG = draws[0] < accuracy_S11
    hinted_SPG = ~right_SPG & (draws[1] < setting.hint)
    stop_SK11 = sigmoid(policy.stop_SK)[:, :, None, None]
    stop_SPG = np.where(hinted_SPG, stop_SK11[:, 1], stop_SK11[:, 0])
    until_SPG = np.maximum(1.0, np.ceil(np.log1p(-draws[2]) / np.log1p(-stop_SPG)))
    stopped_SPG = until_SPG <= setting.max_tokens
    lengths_SPG = np.minimum(until_SPG, setting.max_tokens)
    rewards_SPG = (right_SPG & stopped_SPG if setting.truncated_is_wrong else right_SPG).astype(float)
    push_SPG = token_pushes(objective, setting, rewards_SPG, lengths_SPG)
    scores_SPG = push_SPG * (stopped_SPG - lengths_SPG * stop_SPG)
    stop_SK = np.stack([(scores_SPG * mask).sum((1, 2)) for mask in (~hinted_SPG, hinted_SPG)], axis=1)
    right_S = (push_SPG * (right_SPG - accuracy_S11)).sum((1, 2)) if setting.accuracy_learns else np.zeros(num_seeds)
    return Policy(stop_SK, right_S), (np.abs(push_SPG) * lengths_SPG).sum((1, 2))


def token_pushes(
    objective: Objective, setting: TwoBranch, rewards_SPG: np.ndarray, lengths_SPG: np.ndarray
) -> np.ndarray:
    """Weight times advantage of each token of each response: on policy, what its log-probability is pushed by.

    A token mean is taken over `problems_per_denominator` problems at a time and averaged, which is what a trainer does
    that splits the step into such micro-batches; everything else comes from the objective as it is.  [S, P, G]
    """
    rewards, lengths = torch.from_numpy(rewards_SPG), torch.from_numpy(lengths_SPG)
    if objective.batch_scale == "none":
        advantages = objective.advantages(rewards.flatten(0, 1), lengths.flatten(0, 1)).reshape(rewards.shape)
    else:  # the scale is over the step, and every seed is a step of its own
        pairs = zip(rewards, lengths, strict=True)
        advantages = torch.stack([objective.advantages(r_PG, l_PG) for r_PG, l_PG in pairs])
    num_seeds, num_problems, group_size = rewards.shape
    if objective.normalizer in TOKEN_MEANS:
        parts = num_problems // setting.shared
        tokens = lengths.reshape(num_seeds, parts, -1).sum(-1)
        weights = (1 / (tokens * parts)).repeat_interleave(setting.shared, dim=1)[..., None]
    else:
        size = BatchSize(num_problems * group_size, 0, setting.max_tokens)
        weights = objective.weights(lengths.flatten(0, 1), advantages.flatten(0, 1), size).reshape(rewards.shape)
    return (weights * advantages).numpy()


def mean_push(objective: Objective, setting: TwoBranch) -> float:
    """The mean over batches at the start of a step's sum over tokens of |weight x advantage|."""
    _, pushes_S = step_gradient(objective, setting, start(setting, PROBES), np.random.default_rng([0, PROBES]))
    return float(pushes_S.mean())


def measured_drift(
    objective: Objective, setting: TwoBranch, *, batches: int = PROBES, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of the gradient at the start, (unhinted stop, hinted stop, right), over many batches."""
    gradient, _ = step_gradient(objective, setting, start(setting, batches), np.random.default_rng(seed))
    rows = np.column_stack([gradient.stop_SK, gradient.right_S])
    return rows.mean(0), rows.std(0, ddof=1) / math.sqrt(batches)


# ---------------------------------------------------------------------------------------------------------------------
# The theory


def predicted_drift(objective: Objective, setting: TwoBranch, policy: Policy | None = None) -> np.ndarray:
    """The expected gradient with respect to (unhinted stop-logit, hinted stop-logit, logit of being right).

        E[g] = w_G grad E[(R - r) c(L)],   r = E[R] held fixed,   w_G = a_1 - a_0

    with c(L) = 1 / L for response_length, 1 / max_tokens for constant, 1 for responses, and a_1, a_0 the expected
    advantages of a right and a wrong response.  For GRPO the expectation is w_G r (1 - r) {E[1/L | right] - E[1/L |
    wrong]}: it maximises how much shorter right answers are than wrong ones.  For constant weights E[(R - r)] does not
    depend on the lengths and the drift of the stop-logits is 0.  Where advantages do not sum to zero (baseline none or
    sign), (a_0 + w_G r) grad E[c(L)] is added.  NaN where no closed form is known: token means, which are ratios of
    sums, and advantages that depend on lengths or on other groups.
    """
    depends = objective.baseline == "length_weighted" or objective.batch_scale != "none"
    if objective.normalizer not in OWN_LENGTH or depends:
        return np.full(3, math.nan)
    policy = policy or start(setting, 1)
    accuracy, stops = float(sigmoid(policy.right_S)[0]), sigmoid(policy.stop_SK)[0]
    masses = {("right", 0): accuracy, ("wrong", 1): (1 - accuracy) * setting.hint}
    masses["wrong", 0] = (1 - accuracy) * (1 - setting.hint)
    moments = {branch: _branch_moments(objective, setting, *branch, stops) for branch in masses}
    success = accuracy * moments["right", 0].success
    right_advantage, wrong_advantage = expected_advantages(objective, setting.group_size, success)
    gap = right_advantage - wrong_advantage
    drift, by_answer = np.zeros(3), {"right": 0.0, "wrong": 0.0}
    for (answer, k), mass in masses.items():
        m = moments[answer, k]
        drift[k] += mass * (gap * m.rewarded_slope + wrong_advantage * m.slope)
        share = mass / (accuracy if answer == "right" else 1 - accuracy)
        by_answer[answer] += share * (gap * m.rewarded + wrong_advantage * m.weight)
    if setting.accuracy_learns:
        drift[2] = accuracy * (1 - accuracy) * (by_answer["right"] - by_answer["wrong"])
    return drift


@dataclass(frozen=True)
class BranchMoments:
    """Expectations over the length of one branch."""

    success: float  # E[R]
    weight: float  # E[c(L)]
    rewarded: float  # E[R c(L)]
    slope: float  # d E[c(L)] / d stop-logit
    rewarded_slope: float  # d E[R c(L)] / d stop-logit


def _branch_moments(
    objective: Objective, setting: TwoBranch, answer: str, k: int, stops_K: np.ndarray
) -> BranchMoments:
    """Sums over the geometric distribution, whose tail beyond max_tokens is cut there."""
    q, limit = stops_K[k], setting.max_tokens
    lengths = np.append(np.arange(1, limit + 1), limit)  # stopped at 1 .. limit, or cut at the limit
    stopped = np.append(np.ones(limit), 0.0)
    mass = np.append(q * (1 - q) ** np.arange(limit), (1 - q) ** limit)
    rewards = (answer == "right") * (stopped if setting.truncated_is_wrong else np.ones(limit + 1))
    own = {"response_length": 1 / lengths, "constant": np.full(limit + 1, 1 / limit), "responses": np.ones(limit + 1)}
    weights, scores = own[objective.normalizer], stopped - lengths * q
    return BranchMoments(
        float((mass * rewards).sum()),
        float((mass * weights).sum()),
        float((mass * rewards * weights).sum()),
        float((mass * scores * weights).sum()),
        float((mass * scores * rewards * weights).sum()),
    )


def expected_advantages(objective: Objective, group_size: int, success: float) -> tuple[float, float]:
    """E[A | right] and E[A | wrong] when each of the others in the group is right with probability `success`.

        a_r = sum_j C(G-1, j) success^j (1 - success)^(G-1-j) a(j + r, r)

    with a(k, r) the objective's advantage of a response of reward r in a group with k right ones.
    """
    counts = range(group_size + 1)
    rewards_PG = torch.tensor([[1.0] * k + [0.0] * (group_size - k) for k in counts], dtype=torch.float64)
    advantages_PG = objective.advantages(rewards_PG)
    others = range(group_size)
    chances = [math.comb(group_size - 1, j) * success**j * (1 - success) ** (group_size - 1 - j) for j in others]
    right = sum(chance * float(advantages_PG[j + 1, : j + 1].mean()) for j, chance in zip(others, chances, strict=True))
    wrong = sum(chance * float(advantages_PG[j, j:].mean()) for j, chance in zip(others, chances, strict=True))
    return right, wrong


def expected_path(objective: Objective, setting: TwoBranch, lr: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean lengths of right and wrong answers if every step followed `predicted_drift` exactly.  [T], [T]"""
    policy = start(setting, 1)
    visited = [policy.stop_SK[0]]
    for _ in range(steps):
        drift = predicted_drift(objective, setting, policy)
        policy = policy.moved(Policy(drift[None, :2], drift[None, 2]), lr)
        visited.append(policy.stop_SK[0])
    return mean_lengths(np.stack(visited), setting.hint)


def mean_lengths(stop_TK: np.ndarray, hint: float) -> tuple[np.ndarray, np.ndarray]:
    """1 / (stop probability), in tokens, of right and of wrong answers; only wrong ones may have been hinted."""
    tokens_TK = 1 / sigmoid(stop_TK)
    return tokens_TK[..., 0], hint * tokens_TK[..., 1] + (1 - hint) * tokens_TK[..., 0]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


# ---------------------------------------------------------------------------------------------------------------------
# The picture

POINTS = 100  # drawn of each curve
GAP = 0.04  # between panels, of the figure's width


def figure(
    simulations: Sequence[Simulation], *, labels: Sequence[str] | None = None, columns: int = 4
) -> dict[str, Any]:
    """Lengths of right and wrong answers over steps, one panel a simulation, as a plain plotly figure.

    Lines are means over seeds, bands hold the middle 90 % of them, dashes follow the predicted drift.  All panels
    share their axes.  Colours are names ("@correct/0.2") that r1zero.reports gives values in the reader's theme.
    """
    if not simulations:
        raise ValueError("no simulation to draw")
    names = list(labels) if labels else [simulation.objective.name for simulation in simulations]
    columns = min(columns, len(simulations))
    rows = math.ceil(len(simulations) / columns)
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"height": 60 + 230 * rows, "annotations": []}
    low, high = _log_range(simulations)
    for index, (simulation, name) in enumerate(zip(simulations, names, strict=True)):
        row, column = divmod(index, columns)
        left, right = column / columns, (column + 1) / columns - GAP * (columns > 1)
        top, bottom = 1 - row / rows - 0.06, 1 - (row + 1) / rows + 0.12 * (rows > 1)
        number = "" if index == 0 else str(index + 1)
        shown = row == rows - 1 or index + columns >= len(simulations)
        layout[f"xaxis{number}"] = {"domain": [left, right], "anchor": f"y{number}", "nticks": 5} | (
            {"title": {"text": "step"}} if shown else {}
        )
        layout[f"yaxis{number}"] = {
            "domain": [bottom, top],
            "anchor": f"x{number}",
            "type": "log",
            "range": [low, high],
            "showticklabels": column == 0,
            "dtick": 1,
        } | ({"title": {"text": "mean length (tokens)"}} if column == 0 else {})
        title = {"text": f"<b>{name}</b>", "x": left, "y": top, "xref": "paper", "yref": "paper", "showarrow": False}
        layout["annotations"].append(title | {"xanchor": "left", "yanchor": "bottom"})
        axes = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
        traces += [trace | axes for trace in _panel(simulation, legend=index == 0)]
    return {"data": traces, "layout": layout}


def _panel(simulation: Simulation, *, legend: bool) -> list[dict[str, Any]]:
    """Band, mean and prediction of both answers."""
    last = simulation.right_ST.shape[1] - 1
    steps = np.unique(np.linspace(0, last, POINTS + 1).round().astype(int))
    x = steps.tolist()
    bands: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    paths: list[dict[str, Any]] = []
    for name, colour, lengths_ST, predicted_T in (
        ("right answers", "@correct", simulation.right_ST, simulation.predicted_right_T),
        ("wrong answers", "@wrong", simulation.wrong_ST, simulation.predicted_wrong_T),
    ):
        lower, upper = np.quantile(lengths_ST[:, steps], (0.05, 0.95), axis=0)
        outline = {"x": x + x[::-1], "y": [*lower.tolist(), *upper[::-1].tolist()], "mode": "lines"}
        fill = {"fill": "toself", "fillcolor": colour + "/0.2", "line": {"width": 0}}
        bands.append(outline | fill | {"hoverinfo": "skip", "showlegend": False})
        mean = {"x": x, "y": lengths_ST.mean(0)[steps].tolist(), "mode": "lines", "name": name}
        lines.append(mean | {"line": {"color": colour, "width": 2}, "hovertemplate": "%{y:.4~g}", "showlegend": legend})
        if np.isfinite(predicted_T).all():
            path = {"x": x, "y": predicted_T[steps].tolist(), "mode": "lines", "name": "predicted", "hoverinfo": "skip"}
            dashes = {"color": "@ink", "width": 1.5, "dash": "dash"}
            paths.append(path | {"line": dashes, "showlegend": legend and not paths})
    return [*bands, *lines, *paths]


def _log_range(simulations: Sequence[Simulation]) -> tuple[float, float]:
    lengths = [array for one in simulations for array in (one.right_ST, one.wrong_ST)]
    low, high = min(float(a.min()) for a in lengths), max(float(a.max()) for a in lengths)
    return math.log10(low) - 0.1, math.log10(high) + 0.1
