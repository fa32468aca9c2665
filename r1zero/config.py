"""Every knob, typed, in one place: TOML and `--section.key value` in, resolved JSON out.

A field is `name: type = knob(default, "what it does, its unit, when to change it")`; `--help` prints exactly that.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")


def knob(default: Any, help: str) -> Any:
    """A dataclass field with its one-sentence explanation."""
    if isinstance(default, type) and is_dataclass(default):
        return field(default_factory=default, metadata={"help": help})
    return field(default=default, metadata={"help": help})


# ---------------------------------------------------------------------------------------------------------------------
# Sections shared by several verbs


@dataclass(frozen=True)
class ModelConfig:
    path: str = knob("tiny-search", "a Hugging Face directory, a Hub id, or the name of a shipped model")
    gradient_checkpointing: bool = knob(False, "recompute activations in the backward pass: less memory, more time")
    max_pixels: int = knob(
        0, "pictures with a larger area, in pixels, are scaled down to it (Qwen2-VL); 0 is the model's own limit"
    )


@dataclass(frozen=True)
class TaskConfig:
    name: Literal["countdown", "math", "gsm8k", "visual", "sat", "cvbench", "visual_file"] = knob(
        "countdown",
        "what is asked: countdown, math, gsm8k, visual (rendered pictures), sat, cvbench or visual_file (a file of "
        "your own questions with pictures)",
    )
    path: str | None = knob(
        None,
        "a parquet or jsonl file, or a Hub id OWNER/NAME[:CONFIG]: for countdown with columns `nums` and `target` "
        "(without it problems are generated), for math and gsm8k with a question and an answer",
    )
    split: str = knob("train", "the Hub split to read when `path` is a Hub id")
    num_numbers: tuple[int, ...] = knob((3,), "how many numbers a generated problem has; one of these at random")
    number_max: int = knob(25, "largest number in a generated problem; the smallest is 1")
    target_max: int = knob(100, "largest target of a generated problem; the smallest is 1")
    questions: tuple[str, ...] = knob(
        ("count", "relation", "depth", "distance"), "visual: kinds of questions about rendered pictures, asked in turn"
    )
    num_rows: int = knob(0, "sat, cvbench, visual_file: rows that are read of the file, its first ones; 0 is all")
    max_pictures: int = knob(
        0, "sat, visual_file: rows with more pictures are left out and counted; 0 keeps all, VisualThinker-R1-Zero: 1"
    )
    max_picture_pixels: int = knob(64 << 20, "pictures in files with more pixels are refused, as broken ones are")
    bad_rows: Literal["refuse", "skip"] = knob(
        "refuse",
        "rows with pictures that cannot be asked (picture missing or broken, marks that do not match, answer not "
        "among the choices): stop, or leave them out and count them",
    )
    images: str = knob("", "folder to which paths of pictures in a file are relative; without it the file's own folder")
    kept_images: str = knob(
        "runs/images", "folder in which pictures that stand in a data file are kept, named by what is in them"
    )

    def __post_init__(self) -> None:
        _require(self.num_rows >= 0, "task.num_rows", self.num_rows, "at least 1, or 0 for all")
        _require(self.max_pictures >= 0, "task.max_pictures", self.max_pictures, "at least 1, or 0 for all")
        _require(self.max_picture_pixels >= 1, "task.max_picture_pixels", self.max_picture_pixels, "at least 1")


@dataclass(frozen=True)
class TemplateConfig:
    name: str = knob(
        "native",
        "how a problem becomes a prompt: native, few_shot, r1, qwen_math, none, tinyzero, oat_zero, with pictures "
        "visual_think, visual_direct, visualthinker, visualthinker_direct, visualthinker_instruct, "
        "visualthinker_instruct_eval, qwen2_vl, or a Jinja file",
    )


@dataclass(frozen=True)
class SamplingConfig:
    temperature: float = knob(1.0, "softmax temperature; 0 is greedy")
    top_p: float = knob(1.0, "nucleus sampling: keep the smallest set of tokens with this probability; 1 is off")
    top_k: int = knob(0, "keep this many most likely tokens; 0 is off")
    max_tokens: int = knob(256, "longest response, in tokens; longer ones are cut and finish by `length`")


@dataclass(frozen=True)
class EngineConfig:
    name: Literal["fast", "huggingface"] = knob(
        "fast", "who samples: `fast` (in process, shares the learner's weights) or `huggingface` (`generate`)"
    )
    max_concurrent: int = knob(128, "sequences sampled at once; the memory of the key-value cache grows with it")


@dataclass(frozen=True)
class RewardConfig:
    correct: float = knob(1.0, "reward of a correct answer")
    wrong_answer: float = knob(0.0, "reward of an answer that was found but is wrong; oat-zero and TinyZero use 0.1")
    unformatted: float = knob(0.0, "reward where no answer was found")
    form: float = knob(
        0.0,
        "added where the whole response is <think>...</think> <answer>...</answer>, an opening tag of the prompt "
        "included; VisualThinker-R1-Zero: 1",
    )
    per_token: float = knob(
        0.0, "added for each token of the response; VisualThinker-R1-Zero's ablation with a length reward: 0.001"
    )
    truncated: float | None = knob(
        None, "reward of a response cut at max_tokens, whatever it says; without it the response is graded as it stands"
    )
    overlong_buffer: int = knob(
        0,
        "tokens before max_tokens over which the penalty of objective.overlong `soft` grows; 0: a fifth of max_tokens",
    )

    def __post_init__(self) -> None:
        _require(self.overlong_buffer >= 0, "reward.overlong_buffer", self.overlong_buffer, "at least 0")


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
        _require(self.max_rounds >= 1, "groups.max_rounds", self.max_rounds, "at least 1")


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
        _require(self.candidates >= 1, "choice.candidates", self.candidates, "at least 1")
        _require(0 <= self.target <= 1, "choice.target", self.target, "between 0 and 1")
        _require(self.width > 0, "choice.width", self.width, "above 0")
        _require(0 <= self.decay <= 1, "choice.decay", self.decay, "between 0 and 1")
        _require(0 <= self.threshold <= 1, "choice.threshold", self.threshold, "between 0 and 1")
        _require(self.horizon >= 1, "choice.horizon", self.horizon, "at least 1")


@dataclass(frozen=True)
class ReplayConfig:
    share: float = knob(0.0, "share of a step's groups that are drawn from earlier steps; 0 is off")
    capacity: int = knob(256, "groups remembered; the oldest are forgotten first")
    tau: float = knob(500.0, "steps over which a remembered group's priority falls to 1/e")
    alpha: float = knob(0.6, "how much large advantages are preferred; 0 draws by age alone")
    beta: float = knob(0.4, "how much the loss makes up for the preference; 1 fully")

    def __post_init__(self) -> None:
        _require(0 <= self.share < 1, "replay.share", self.share, "at least 0 and below 1")
        _require(self.capacity >= 1, "replay.capacity", self.capacity, "at least 1")
        _require(self.tau > 0, "replay.tau", self.tau, "above 0")
        _require(self.alpha >= 0, "replay.alpha", self.alpha, "at least 0")
        _require(0 <= self.beta <= 1, "replay.beta", self.beta, "between 0 and 1")


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
        _require(self.reference_every >= 0, "objective.reference_every", self.reference_every, "at least 0")
        _require(self.shadow_every >= 1, "objective.shadow_every", self.shadow_every, "at least 1")


@dataclass(frozen=True)
class LearnerConfig:
    lr: float = knob(1e-6, "peak learning rate of AdamW")
    schedule: Literal["constant", "linear", "cosine"] = knob("constant", "how the rate falls after the warm-up")
    lr_min_ratio: float = knob(0.0, "where linear and cosine end, as a fraction of lr")
    warmup_steps: int = knob(0, "optimizer steps over which the rate rises linearly from 0")
    beta1: float = knob(0.9, "AdamW's first-moment decay")
    beta2: float = knob(0.95, "AdamW's second-moment decay")
    weight_decay: float = knob(0.0, "AdamW's decoupled weight decay, on matrices only")
    max_grad_norm: float = knob(1.0, "gradients with a larger norm are scaled down to it; 0 is off")
    updates_per_rollout: int = knob(1, "optimizer steps on one step's responses; above 1 the clip becomes active")
    tokens_per_microbatch: int = knob(8192, "tokens in one forward pass; lower it when memory runs out")
    dtype: Literal["auto", "float32", "bfloat16"] = knob(
        "auto",
        "arithmetic of forward and backward (weights stay float32); auto is bfloat16 where the hardware has it",
    )
    device: str = knob("auto", "cpu, cuda or cuda:N; auto takes a GPU if there is one")
    freeze: Literal["none", "vision", "language"] = knob(
        "none", "the part of a model that sees which does not learn: vision is tower and projector, language the rest"
    )


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


# ---------------------------------------------------------------------------------------------------------------------
# One config a verb


@dataclass(frozen=True)
class TrainConfig:
    """`r1zero train`: reinforcement learning with rule-checked rewards."""

    seed: int = knob(0, "all randomness of the run derives from it")
    steps: int = knob(40, "rollout-and-update steps")
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
    learner: LearnerConfig = knob(LearnerConfig, "how it is maximised")
    evaluation: EvaluationConfig = knob(EvaluationConfig, "how progress is measured")
    checkpoint: CheckpointConfig = knob(CheckpointConfig, "what survives a crash")
    verb: typing.ClassVar[str] = "train"

    def __post_init__(self) -> None:
        _require(self.steps >= 1, "steps", self.steps, "at least 1")
        _require(self.problems_per_step >= 1, "problems_per_step", self.problems_per_step, "at least 1")
        _require(self.responses_per_problem >= 1, "responses_per_problem", self.responses_per_problem, "at least 1")
        _require(self.sampling.max_tokens >= 1, "sampling.max_tokens", self.sampling.max_tokens, "at least 1")
        _require(
            self.sampling.temperature > 0, "sampling.temperature", self.sampling.temperature, "above 0 while training"
        )
        _require(
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
        if self.sampling.top_p < 1 or self.sampling.top_k > 0:
            raise ValueError(
                f"sampling.top_p={self.sampling.top_p}, top_k={self.sampling.top_k}: the learner scores the full "
                "softmax, so samples from a truncated one would be off-policy from the first step; train with "
                "top_p=1 and top_k=0"
            )


@dataclass(frozen=True)
class EvalConfig:
    """`r1zero eval`: how good a model is on held-out problems."""

    seed: int = knob(0, "all randomness of sampling derives from it")
    num_problems: int = knob(
        0, "problems of each benchmark, its first ones; 0 is all of a benchmark or file, and 512 generated ones"
    )
    samples: int = knob(1, "responses per problem (k of avg@k, pass@k and maj@k)")
    data: str = knob(
        "", "a directory with the benchmarks as parquet or jsonl files; without it R1ZERO_DATA, then the Hub"
    )
    answer_format: str = knob(
        "", "the rule that finds the answer in a response; without it the template's own, as in training"
    )
    held_out_only: bool = knob(
        False, "of a file, ask only the problems that training on the same file would hold out; else its first ones"
    )
    device: str = knob("auto", "cpu, cuda or cuda:N; auto takes a GPU if there is one")
    threads: int = knob(0, "CPU threads of torch; 0 leaves torch's choice")
    out: str = knob(
        "",
        "a directory for the rollouts and the config, from which a killed evaluation continues; without it only "
        "the table is printed",
    )
    model: ModelConfig = knob(ModelConfig, "who is asked")
    task: TaskConfig = knob(TaskConfig, "what is asked")
    template: TemplateConfig = knob(TemplateConfig, "how it is asked")
    sampling: SamplingConfig = knob(SamplingConfig, "how responses are drawn")
    engine: EngineConfig = knob(EngineConfig, "who draws them")
    verb: typing.ClassVar[str] = "eval"

    def __post_init__(self) -> None:
        _require(self.num_problems >= 0, "num_problems", self.num_problems, "at least 1, or 0 for all")
        _require(self.samples >= 1, "samples", self.samples, "at least 1")
        if self.samples > 1 and self.sampling.temperature == 0:
            raise ValueError(
                f"samples={self.samples} with sampling.temperature=0: greedy responses are all alike; ask for one, or "
                "raise the temperature"
            )
        _require(self.sampling.max_tokens >= 1, "sampling.max_tokens", self.sampling.max_tokens, "at least 1")


@dataclass(frozen=True)
class JudgeConfig:
    """A language model that judges responses, behind any endpoint that speaks the OpenAI chat protocol."""

    url: str | None = knob(None, "the endpoint, up to and with its /v1; without it nothing is judged")
    model: str | None = knob(None, "the judge's name at that endpoint")
    key_env: str = knob(
        "OPENAI_API_KEY", "the environment variable with the key; the key itself is written nowhere, so never here"
    )
    concurrency: int = knob(8, "requests in flight at once")
    requests_per_minute: float = knob(0.0, "requests started a minute, retries included; 0 is without limit")
    max_tokens: int = knob(300, "longest reply, in tokens; raise it for a judge that reasons before it replies")
    max_chars: int = knob(12_000, "characters of a response that the judge sees; longer ones are cut in their middle")
    temperature: float = knob(0.0, "of the judge; some models accept only 1")
    timeout_s: float = knob(60.0, "seconds from sending a request to the last byte of its reply; then it is retried")
    retries: int = knob(5, "how often one request is repeated after a passing fault before it counts as failed")
    price_in: float | None = knob(None, "price of a million prompt tokens; without it the cost is unknown")
    price_out: float | None = knob(None, "price of a million reply tokens; without it the cost is unknown")
    cache: str = knob(
        "",
        "a directory for the replies, to share them between probes; without it they lie with the probe's own results",
    )

    def __post_init__(self) -> None:
        if (self.url is None) != (self.model is None):
            raise ValueError(f"judge.url={self.url}, judge.model={self.model}: give both, or neither to judge nothing")
        if self.url is not None and re.fullmatch(r"https?://[^/?#@\s]+(/[^?#@\s]*)?", self.url) is None:
            # neither is shown: the one may hold a password, the other be the key
            raise ValueError("judge.url: must be http(s)://HOST[:PORT]/PATH, without user, password, query or fragment")
        if re.fullmatch(r"[A-Z_][A-Z0-9_]*", self.key_env) is None:
            raise ValueError("judge.key_env: must be the NAME of an environment variable, in capitals, not the key")
        _require(self.concurrency >= 1, "judge.concurrency", self.concurrency, "at least 1")
        _require(self.max_tokens >= 1, "judge.max_tokens", self.max_tokens, "at least 1")
        _require(self.max_chars >= 100, "judge.max_chars", self.max_chars, "at least 100")
        _require(self.retries >= 0, "judge.retries", self.retries, "0 or more")
        _require(0 < self.timeout_s < float("inf"), "judge.timeout_s", self.timeout_s, "above 0")
        for name in ("requests_per_minute", "temperature", "price_in", "price_out"):
            value = getattr(self, name)
            _require(value is None or 0 <= value < float("inf"), f"judge.{name}", value, "0 or more")

    @property
    def on(self) -> bool:
        """Whether anything is judged."""
        return self.url is not None


@dataclass(frozen=True)
class CausalConfig:
    prefixes: int = knob(
        120, "reflecting responses that are cut at their first cue and continued in several ways; 0: none"
    )
    continuations: int = knob(8, "continuations of each cut response in each way")

    def __post_init__(self) -> None:
        _require(self.prefixes >= 0, "causal.prefixes", self.prefixes, "at least 0")
        _require(self.continuations >= 1, "causal.continuations", self.continuations, "at least 1")


@dataclass(frozen=True)
class ProbeConfig:
    """`r1zero probe`: what a model already does before RL, under which template and at which temperature."""

    seed: int = knob(0, "all randomness of sampling and resampling derives from it")
    templates: tuple[str, ...] = knob(
        ("none", "qwen_math", "r1"), "templates under which every problem is asked: names or Jinja files"
    )
    temperatures: tuple[float, ...] = knob(
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        "softmax temperatures at which every problem is asked; at 0 (greedy) each is asked once",
    )
    samples: int = knob(8, "responses to each problem under each template at each temperature")
    top_p: float = knob(1.0, "nucleus sampling: keep the smallest set of tokens with this probability; 1 is off")
    max_tokens: int = knob(1500, "longest response, in tokens; longer ones are cut and count as truncated")
    suite: str = knob(
        "", "what is asked: names of benchmarks, a file or Hub ids, separated by commas; without it the config's task"
    )
    num_problems: int = knob(
        0, "problems of each benchmark, its first ones; 0 is all of a benchmark or file, and 512 generated ones"
    )
    data: str = knob(
        "", "a directory with the benchmarks as parquet or jsonl files; without it R1ZERO_DATA, then the Hub"
    )
    answer_format: str = knob("", "the rule that finds the answer in a response; without it each template's own")
    held_out_only: bool = knob(
        False, "of a file, ask only the problems that training on the same file would hold out; else its first ones"
    )
    pool: str = knob(
        "extended", "reflection cues: extended, oat-zero, understand-r1-zero, or a text file, a cue a line"
    )
    labels: str = knob(
        "", "labels of responses by people, as `r1zero label` writes them: detectors are held against them"
    )
    thinking: int = knob(200, "responses whose thinking is deleted and swapped before they answer; 0: none")
    device: str = knob("auto", "cpu, cuda or cuda:N; auto takes a GPU if there is one")
    threads: int = knob(0, "CPU threads of torch; 0 leaves torch's choice")
    out: str = knob(
        "",
        "directory of the rollouts, the report and the config, from which a killed probe continues; without it "
        "runs/probe-MODEL",
    )
    model: ModelConfig = knob(ModelConfig, "who is asked; on the command line the first word")
    task: TaskConfig = knob(TaskConfig, "what is asked where no suite is named")
    engine: EngineConfig = knob(EngineConfig, "who draws responses")
    causal: CausalConfig = knob(CausalConfig, "does reflecting cause anything?")
    judge: JudgeConfig = knob(JudgeConfig, "a language model that judges responses, beside the rules")
    verb: typing.ClassVar[str] = "probe"

    def __post_init__(self) -> None:
        for key, values in (("templates", self.templates), ("temperatures", self.temperatures)):
            if not values or not all(value != "" for value in values):
                raise ValueError(f"{key}={values}: name at least one, separated by commas")
            if twice := [value for value in values if values.count(value) > 1]:
                raise ValueError(f"{key}: {twice[0]} is named twice; leave one out")
        for temperature in self.temperatures:
            _require(0 <= temperature < float("inf"), "temperatures", temperature, "at least 0")
        _require(self.samples >= 1, "samples", self.samples, "at least 1")
        _require(0 < self.top_p <= 1, "top_p", self.top_p, "above 0 and at most 1")
        _require(self.max_tokens >= 1, "max_tokens", self.max_tokens, "at least 1")
        _require(self.num_problems >= 0, "num_problems", self.num_problems, "at least 1, or 0 for all")
        _require(self.thinking >= 0, "thinking", self.thinking, "at least 1, or 0 for none")


@dataclass(frozen=True)
class CorpusConfig:
    """Dials of the generated Countdown corpus; r1zero/tasks/corpus.py shows what each does.  Shares are 0 to 1."""

    num_documents: int = knob(200_000, "documents in the corpus")
    num_numbers: tuple[int, ...] = knob((3,), "how many numbers a problem has; one of these at random")
    number_max: int = knob(25, "largest number in a problem")
    target_max: int = knob(100, "largest target")
    value_max: int = knob(125, "largest value that a written calculation reaches")
    arithmetic: float = knob(0.12, "share of documents that are lists of single calculations, half of them checked")
    question_answer: float = knob(0.08, "share of documents that are plain questions and answers")
    r1_markup: float = knob(0.05, "share of solutions under the r1 template's prompt and <think> and <answer> tags")
    guesses: float = knob(0.3, "share of solutions that answer at once, without any calculation")
    second_thoughts: float = knob(0.05, "share of solutions that answer at once, then check, and search when wrong")
    verified: float = knob(0.85, "share of searches that check each attempt's value beside the target")
    reflection: float = knob(0.55, "share of searches with reflection cues (wait, hmm, let me recheck ...)")
    impatient: float = knob(0.75, "share of searches that soon give up")
    give_up_soon: float = knob(0.6, "chance that an impatient search gives up after a failed attempt")
    give_up_late: float = knob(0.05, "chance that any other search gives up after a failed attempt")
    surrender: float = knob(0.1, "chance that a search that gives up says so, instead of giving its nearest attempt")
    aim: float = knob(0.1, "chance that an attempt's last step is the nearest to the target; otherwise it is random")
    repeats: float = knob(0.1, "chance that a search does not notice that it is repeating an attempt")
    noise: float = knob(0.01, "share of searches with one wrong calculation in them")
    malformed: float = knob(0.04, "share of solutions whose answer line is missing or unusable")
    unfinished: float = knob(0.03, "share of solutions that break off somewhere")

    def __post_init__(self) -> None:
        _require(self.num_documents >= 1, "corpus.num_documents", self.num_documents, "at least 1")
        for f in fields(self):
            if isinstance(share := getattr(self, f.name), float):
                _require(0 <= share <= 1, f"corpus.{f.name}", share, "between 0 and 1")


@dataclass(frozen=True)
class ArchitectureConfig:
    """Shape of a Qwen2 model trained from scratch."""

    hidden_size: int = knob(128, "width (D)")
    num_layers: int = knob(4, "decoder layers")
    num_heads: int = knob(4, "attention heads (H)")
    num_kv_heads: int = knob(2, "key-value heads; fewer make sampling cheaper")
    intermediate_size: int = knob(512, "width of the feed-forward layers")
    max_position_embeddings: int = knob(1024, "longest context, in tokens")
    vocab_size: int = knob(336, "byte-level BPE entries at most (V), special tokens included; few words fill fewer")


@dataclass(frozen=True)
class VisualCorpusConfig:
    """Dials of the generated corpus of pictures, of which r1zero/tasks/visual/corpus.py shows what each does."""

    documents_per_step: int = knob(24, "documents in an optimizer step")
    lookups: float = knob(0.2, "share of documents that write a scene down and look names up in it")
    distances: float = knob(0.2, "share of documents that write a scene down and measure distances in it")
    direct: float = knob(0.1, "share of documents that answer a question without thinking")
    careless: float = knob(0.35, "share of thinking documents that guess, glance and guess, or misread")
    misreading: float = knob(0.5, "in documents that misread, the share of objects taken for a random one")
    question_weights: tuple[float, ...] = knob(
        (1.0, 1.0, 1.0, 1.0), "how often count, relation, depth and distance are asked, relative to each other"
    )


@dataclass(frozen=True)
class PretrainConfig:
    """`r1zero pretrain`: a tiny base model from scratch on a generated corpus."""

    seed: int = knob(0, "all randomness of corpus, initial weights and order derives from it")
    name: str = knob("tiny-base", "the model's name, written in its card")
    out: str = knob("models/tiny-base", "where the Hugging Face directory is written")
    steps: int = knob(1000, "optimizer steps")
    tokens_per_step: int = knob(16_384, "training tokens in an optimizer step")
    world: Literal["countdown", "visual"] = knob("countdown", "what it reads about: numbers or pictures")
    start: str | None = knob(None, "world visual: a model to go on from, such as an earlier stage; without it, nothing")
    corpus: CorpusConfig = knob(CorpusConfig, "what it reads in the world of numbers")
    pictures: VisualCorpusConfig = knob(VisualCorpusConfig, "what it sees and reads in the world of pictures")
    architecture: ArchitectureConfig = knob(ArchitectureConfig, "what it is")
    learner: LearnerConfig = knob(LearnerConfig, "how it learns")
    card_problems: int = knob(256, "held-out problems measured for the model card, 8 responses each; 0 leaves it out")
    verb: typing.ClassVar[str] = "pretrain"


@dataclass(frozen=True)
class TextDataConfig:
    path: str = knob("", "a jsonl or parquet file, or a Hub id")
    split: str = knob("train", "the Hub split to read when `path` is a Hub id")
    prompt_column: str | None = knob(None, "column with the prompt; without it every row is plain text")
    text_column: str = knob("text", "column with the text, or with the answer where there is a prompt")
    images_column: str | None = knob(
        None, "column with lists of pictures (paths, sha256:HEX or scene:...) of the prompt, for models that see"
    )
    kept_images: str = knob("runs/images", "folder in which pictures named sha256:HEX are looked up")
    loss_on: Literal["all", "answer"] = knob("answer", "tokens that are learned; rows without a prompt learn all")
    max_tokens: int = knob(1024, "rows longer than this, in tokens, are left out and counted")


@dataclass(frozen=True)
class SFTConfig:
    """`r1zero sft`: continued pretraining or supervised fine-tuning of any causal language model."""

    seed: int = knob(0, "the order of rows derives from it")
    out: str = knob("models/sft", "where the Hugging Face directory is written")
    epochs: int = knob(1, "passes over the data")
    tokens_per_step: int = knob(16_384, "training tokens in an optimizer step")
    source: Literal["data", "task"] = knob(
        "data", "what is learned: the rows of data.path, or the right answers to the task's training problems"
    )
    num_problems: int = knob(0, "source task: its first training problems; 0 is all of a file's")
    answer_form: str = knob("{answer}", "source task: the text that is learned, {answer} standing for the right answer")
    model: ModelConfig = knob(ModelConfig, "who learns")
    data: TextDataConfig = knob(TextDataConfig, "what it reads")
    task: TaskConfig = knob(TaskConfig, "source task: what is asked")
    template: TemplateConfig = knob(TemplateConfig, "source task: how it is asked")
    learner: LearnerConfig = knob(LearnerConfig, "how it learns")
    verb: typing.ClassVar[str] = "sft"

    def __post_init__(self) -> None:
        _require(self.num_problems >= 0, "num_problems", self.num_problems, "at least 1, or 0 for all of a file's")
        _require("{answer}" in self.answer_form, "answer_form", self.answer_form, "a text with {answer} in it")


# ---------------------------------------------------------------------------------------------------------------------
# Reading and writing


def _require(holds: bool, key: str, value: Any, remedy: str) -> None:
    if not holds:
        raise ValueError(f"{key}={value}: must be {remedy}")


def build(config_type: type[T], values: Mapping[str, Any], *, where: str = "") -> T:
    """A config from nested mappings.  Raises ValueError naming an unknown key and the nearest valid ones."""
    known = {f.name: f for f in fields(config_type)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(config_type)
    given: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise ValueError(f"unknown key {where + key!r}: {nearest(key, known, where)}")
        if is_dataclass(hints[key]):
            if not isinstance(value, Mapping):
                raise ValueError(
                    f"{where + key} is a section, not a value: write [{where + key}] or --{where + key}.KEY VALUE"
                )
            given[key] = build(hints[key], value, where=f"{where}{key}.")
        else:
            given[key] = _convert(value, hints[key], where + key)
    return config_type(**given)


def nearest(word: str, choices: Iterator[str] | Mapping[str, Any] | typing.Iterable[str], prefix: str = "") -> str:
    """ "did you mean ..." for a wrong name, or the list of the right ones."""
    choices = list(choices)
    close = difflib.get_close_matches(word, choices, n=3, cutoff=0.5)
    shown = ", ".join(prefix + c for c in (close or choices))
    return f"did you mean {shown}?" if close else f"choose from {shown}"


def _convert(value: Any, kind: Any, key: str) -> Any:
    """`value` as the annotated type; strings come from the command line, anything else from TOML or JSON."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None or value in ("none", "null"):
            return None
        return _convert(value, next(a for a in args if a is not type(None)), key)
    if origin is Literal:
        if value not in args:
            raise ValueError(f"{key}={value!r}: {nearest(str(value), [str(a) for a in args])}")
        return value
    if origin is tuple:
        items = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
        return tuple(_convert(item, args[0], key) for item in items)
    try:
        if kind is bool:
            if isinstance(value, bool):
                return value
            return {"true": True, "false": False}[str(value).lower()]
        if kind is int and not isinstance(value, bool) and (isinstance(value, str) or float(value).is_integer()):
            return int(value)
        if kind is float and not isinstance(value, bool):
            return float(value)
        if kind is str and isinstance(value, str):
            return value
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"{key}={value!r}: expected {kind.__name__}")


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """{"learner.lr": 1e-6, ...}: every knob by its full name."""
    flat: dict[str, Any] = {}
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            flat |= flatten(value, f"{prefix}{f.name}.")
        else:
            flat[prefix + f.name] = value
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"learner.lr": 1} -> {"learner": {"lr": 1}}"""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *sections, name = key.split(".")
        at = tree
        for section in sections:
            at = at.setdefault(section, {})
            if not isinstance(at, dict):
                raise ValueError(f"{key}: {section} is a value, not a section")
        at[name] = value
    return tree


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the leaves of `over` laid on top."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def read_recipe(path: Path) -> dict[str, Any]:
    """A recipe's values, from TOML or from the JSON a run saved.  Raises ValueError naming the file and the fault."""
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text)["config"] if path.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError:
        raise ValueError(f"no recipe at {path}") from None
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a readable recipe: {error}") from None


def to_dict(config: Any) -> dict[str, Any]:
    """The resolved config as plain values, to be written as JSON and fed back through `build`."""
    return dataclasses.asdict(config)
