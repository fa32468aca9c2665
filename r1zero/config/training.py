"""`r1zero train`: every knob of a run."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Literal

from r1zero.config.cluster import ClusterConfig
from r1zero.config.knobs import knob, require
from r1zero.config.shared import (
    EngineConfig,
    LearnerConfig,
    LoraConfig,
    ModelConfig,
    RewardConfig,
    SamplingConfig,
    TaskConfig,
    TemplateConfig,
)


@dataclass(frozen=True)
class GroupsConfig:
    degenerate: Literal["keep", "drop", "refill"] = knob(
        "keep",
        "groups that agree and so teach nothing: keep (they count in the normaliser), drop (they do not), refill "
        "(further problems are asked until problems_per_step groups are mixed)",
    )
    agree_in: Literal["reward", "correct"] = knob(
        "reward", "what all responses of such a group share: the reward, or (DAPO) whether they are correct"
    )
    max_rounds: int = knob(10, "with refill, times that a step asks at most, the first included")

    def __post_init__(self) -> None:
        require(self.max_rounds >= 1, "groups.max_rounds", self.max_rounds, "at least 1")


@dataclass(frozen=True)
class ChoiceConfig:
    by: Literal["order", "target_accuracy", "curriculum"] = knob(
        "order",
        "which problems are asked: the next ones, those expected to be answered right about as often as `target`, or "
        "the easiest level until it is mastered, then the next",
    )
    candidates: int = knob(4, "upcoming problems looked at for each one that is asked; the others are passed over")
    target: float = knob(0.5, "target_accuracy: the expected share of correct responses that is preferred")
    width: float = knob(0.2, "target_accuracy: standard deviation of the preference around the target")
    decay: float = knob(
        0.9, "target_accuracy: what past answers count for each time a problem or its level is asked again; 1 is fully"
    )
    threshold: float = knob(0.7, "curriculum: share of correct responses at the hardest level that opens the next")
    horizon: int = knob(32, "curriculum: most recent problems of the hardest level over which that share is taken")

    def __post_init__(self) -> None:
        require(self.candidates >= 1, "choice.candidates", self.candidates, "at least 1")
        require(0 <= self.target <= 1, "choice.target", self.target, "between 0 and 1")
        require(self.width > 0, "choice.width", self.width, "above 0")
        require(0 <= self.decay <= 1, "choice.decay", self.decay, "between 0 and 1")
        require(0 <= self.threshold <= 1, "choice.threshold", self.threshold, "between 0 and 1")
        require(self.horizon >= 1, "choice.horizon", self.horizon, "at least 1")


@dataclass(frozen=True)
class ReplayConfig:
    share: float = knob(0.0, "share of a step's groups that are drawn from earlier steps; 0 is off")
    capacity: int = knob(256, "groups remembered; the oldest are forgotten first")
    tau: float = knob(500.0, "steps over which a remembered group's priority falls to 1/e")
    alpha: float = knob(0.6, "how much large advantages are preferred; 0 draws by age alone")
    beta: float = knob(0.4, "how much the loss makes up for the preference; 1 fully")

    def __post_init__(self) -> None:
        require(0 <= self.share < 1, "replay.share", self.share, "at least 0 and below 1")
        require(self.capacity >= 1, "replay.capacity", self.capacity, "at least 1")
        require(self.tau > 0, "replay.tau", self.tau, "above 0")
        require(self.alpha >= 0, "replay.alpha", self.alpha, "at least 0")
        require(0 <= self.beta <= 1, "replay.beta", self.beta, "between 0 and 1")


@dataclass(frozen=True)
class ObjectiveConfig:
    """A row of the table in r1zero/objectives/family.py; the other keys override single factors of it."""

    name: str = knob("dr_grpo", "a row of the table in docs/objectives.md; the keys below override its factors")
    baseline: str | None = knob(
        None,
        "taken off the reward: none, sign, group_mean, leave_one_out, length_weighted, runner_up, prompt_value (a "
        "value head reads the prompt) or token_value (a value head reads every token)",
    )
    divide_by_std: bool | None = knob(None, "divide the advantage by the standard deviation of the group's rewards")
    divide_by_mean: bool | None = knob(None, "divide the advantage by the mean of the group's rewards")
    batch_scale: str | None = knob(None, "scale over the whole step: none, std, token_whitening, nonzero_share")
    gamma: float | None = knob(None, "discount a token of the return; only with baselines none and token_value")
    gae_lambda: float | None = knob(None, "lambda of generalised advantage estimation; only with baseline token_value")
    ratio: str | None = knob(
        None, "what is compared with the old policy: token, sequence, sequence_token, power_mean, prefix, none"
    )
    power: float | None = knob(None, "exponent of ratio power_mean at the first step")
    power_end: float | None = knob(None, "exponent of ratio power_mean at the last step; linear between")
    clip: str | None = knob(None, "what bounds the ratio: none, ppo, detached, log_sqrt, log_token, gate")
    clip_low: float | None = knob(None, "probability ratios below 1 - clip_low are clipped (in logarithm for log_*)")
    clip_high: float | None = knob(None, "probability ratios above 1 + clip_high are clipped (in logarithm for log_*)")
    clip_dual: float | None = knob(
        None, "largest ratio that counts where the advantage is negative (clips ppo, log_sqrt)"
    )
    normalizer: str | None = knob(
        None,
        "what token losses are divided by: response_length, constant, batch_tokens, responses, sign_balanced, "
        "microbatch_tokens",
    )
    kl_coef: float | None = knob(None, "weight of the KL divergence to the reference model; 0 is off")
    kl_estimator: str | None = knob(None, "how the divergence is estimated at a token: k1, k2, k3")
    kl_in: str | None = knob(None, "where it is paid: in the loss, or off the reward")
    reference_every: int = knob(
        0, "steps after which the reference becomes a copy of the policy again; 0 keeps the initial model"
    )
    correction: str | None = knob(
        None,
        "importance weights where sampler and learner differ: none, token_truncate, sequence_truncate, token_mask, "
        "sequence_mask, reject_k1, reject_k2, reject_k3",
    )
    correction_low: float | None = knob(None, "smallest sampler ratio that *_mask keeps")
    correction_high: float | None = knob(
        None, "largest sampler ratio kept, or nats a token above which reject_* rejects"
    )
    uncorrected: bool = knob(
        False,
        "sample with top_p or top_k although the learner scores the full softmax, uncorrected, as oat-zero does",
    )
    overlong: str | None = knob(
        None,
        "responses cut at max_tokens: keep (graded as they stand), zero (reward 0), soft (a penalty that grows over "
        "the last reward.overlong_buffer tokens), mask (left out of the loss)",
    )
    entropy_coef: float | None = knob(None, "weight of the entropy bonus; 0 is off")
    entropy_target: float | None = knob(
        None, "nats a token below which the entropy bonus grows and above which it shrinks; none keeps it fixed"
    )
    top_entropy: float | None = knob(None, "share of the tokens, those of highest entropy, that learn; 1 is all")
    value_coef: float | None = knob(None, "weight of the value head's error in the loss")
    value_clip: float | None = knob(None, "how far a value may move from its former one before its error is clipped")
    shadow: tuple[str, ...] = knob(
        (),
        "other rows whose gradient on the same batch is compared with this one's (cosine); costs a backward pass each",
    )
    shadow_every: int = knob(10, "steps between those comparisons")

    def __post_init__(self) -> None:
        require(self.reference_every >= 0, "objective.reference_every", self.reference_every, "at least 0")
        require(self.shadow_every >= 1, "objective.shadow_every", self.shadow_every, "at least 1")


@dataclass(frozen=True)
class EvaluationConfig:
    every: int = knob(
        10, "training steps between evaluations; step 0 and the last step are always evaluated; 0 is only those"
    )
    num_problems: int = knob(512, "held-out problems")
    samples: int = knob(1, "responses per problem")
    temperature: float = knob(1.0, "softmax temperature when evaluating; 0 is greedy")
    top_p: float = knob(1.0, "nucleus sampling when evaluating")
    max_tokens: int = knob(256, "longest response when evaluating, in tokens")
    path: str | None = knob(None, "held-out problems as a file or Hub id; without it, from the task's held-out split")
    split: str = knob("test", "the Hub split to read when `path` is a Hub id")
    blank: bool = knob(
        False, "rendered pictures: ask every problem once more before a picture with nothing in it; twice the time"
    )


@dataclass(frozen=True)
class RunConfig:
    dir: str = knob("", "where the run is written; without it runs/RECIPE-OBJECTIVE-seedN")
    threads: int = knob(
        0, "CPU threads of torch; 0 leaves torch's choice. Bit-identical resumption needs the same number"
    )


@dataclass(frozen=True)
class CheckpointConfig:
    every: int = knob(25, "training steps between checkpoints; the last step is always saved; 0 is only that")
    keep: int = knob(2, "how many of the newest checkpoints stay on disk")


@dataclass(frozen=True)
class ShardingConfig:
    weights: Literal["full", "none"] = knob(
        "full",
        "several ranks: divide weights, gradients and optimizer state among them (FSDP2), or hold them whole on every "
        "rank; with one rank it means nothing",
    )
    offload: bool = knob(
        False, "several ranks on GPUs: keep what is divided in CPU memory between uses: less GPU memory, more time"
    )


@dataclass(frozen=True)
class TrainConfig:
    """`r1zero train`: reinforcement learning with rule-checked rewards."""

    seed: int = knob(0, "all randomness of the run derives from it")
    steps: int = knob(40, "rollout-and-update steps; 0 only evaluates the initial model and saves it")
    problems_per_step: int = knob(16, "prompts in a step (P)")
    responses_per_problem: int = knob(8, "responses to each prompt, the group (G)")
    run: RunConfig = knob(RunConfig, "where results go")
    model: ModelConfig = knob(ModelConfig, "who learns")
    task: TaskConfig = knob(TaskConfig, "what is asked")
    template: TemplateConfig = knob(TemplateConfig, "how it is asked")
    sampling: SamplingConfig = knob(SamplingConfig, "how responses are drawn while training")
    engine: EngineConfig = knob(EngineConfig, "who draws them")
    reward: RewardConfig = knob(RewardConfig, "what a grade is worth")
    choice: ChoiceConfig = knob(ChoiceConfig, "which problems are asked")
    groups: GroupsConfig = knob(GroupsConfig, "what becomes of groups that teach nothing")
    replay: ReplayConfig = knob(ReplayConfig, "learning again from earlier steps")
    objective: ObjectiveConfig = knob(ObjectiveConfig, "what is maximised")
    lora: LoraConfig = knob(LoraConfig, "learning adapters in place of the model's own weights")
    learner: LearnerConfig = knob(LearnerConfig, "how it is maximised")
    evaluation: EvaluationConfig = knob(EvaluationConfig, "how progress is measured")
    checkpoint: CheckpointConfig = knob(CheckpointConfig, "what survives a crash")
    sharding: ShardingConfig = knob(ShardingConfig, "how several ranks hold one model")
    cluster: ClusterConfig = knob(ClusterConfig, "where it is done")
    verb: typing.ClassVar[str] = "train"

    @property
    def max_staleness(self) -> int:
        """Steps by which the weights that sample may be behind those that learn."""
        given = self.engine.max_staleness
        return given if given is not None else int(self.cluster.asynchronous)

    def __post_init__(self) -> None:
        require(self.max_staleness >= 0, "engine.max_staleness", self.max_staleness, "at least 0")
        require(self.steps >= 0, "steps", self.steps, "at least 0")
        require(self.problems_per_step >= 1, "problems_per_step", self.problems_per_step, "at least 1")
        require(self.responses_per_problem >= 1, "responses_per_problem", self.responses_per_problem, "at least 1")
        require(self.sampling.max_tokens >= 1, "sampling.max_tokens", self.sampling.max_tokens, "at least 1")
        require(
            self.sampling.temperature > 0, "sampling.temperature", self.sampling.temperature, "above 0 while training"
        )
        require(
            self.learner.updates_per_rollout >= 1,
            "learner.updates_per_rollout",
            self.learner.updates_per_rollout,
            "at least 1",
        )
        if self.learner.updates_per_rollout > self.problems_per_step:
            raise ValueError(
                f"learner.updates_per_rollout={self.learner.updates_per_rollout} is more than problems_per_step="
                f"{self.problems_per_step}: each update takes whole groups, so lower it or raise problems_per_step"
            )
        if self.groups.degenerate != "keep" and self.responses_per_problem < 2:
            raise ValueError(
                f"groups.degenerate={self.groups.degenerate} with responses_per_problem={self.responses_per_problem}: "
                "a group of one always agrees, so nothing would be left; keep it"
            )
        if self.objective.overlong == "zero" and self.reward.truncated not in (None, 0):
            raise ValueError(
                f"objective.overlong=zero and reward.truncated={self.reward.truncated} contradict each other: drop one"
            )
        if self.reward.overlong_buffer > self.sampling.max_tokens:
            raise ValueError(
                f"reward.overlong_buffer={self.reward.overlong_buffer} is more than sampling.max_tokens="
                f"{self.sampling.max_tokens}: even an empty response would be too long; lower it"
            )
        chosen = self.objective.uncorrected or self.objective.correction is not None
        if (self.sampling.top_p < 1 or self.sampling.top_k > 0) and not chosen:
            raise ValueError(
                f"sampling.top_p={self.sampling.top_p}, top_k={self.sampling.top_k}: the learner scores the full "
                "softmax, so samples from a truncated one would be off-policy from the first step; train with "
                "top_p=1 and top_k=0, or correct it by importance weights (objective.correction token_truncate)"
            )
