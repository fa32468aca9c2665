"""Sections that several verbs share: who, what, how it is asked, sampled, rewarded and learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from r1zero.config.knobs import knob, require


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
    num_train: int = knob(
        0, "training problems, the first ones of the seed, asked again and again in another order; 0 is all there are"
    )
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
        require(self.num_rows >= 0, "task.num_rows", self.num_rows, "at least 1, or 0 for all")
        require(self.num_train >= 0, "task.num_train", self.num_train, "at least 1, or 0 for all")
        require(self.max_pictures >= 0, "task.max_pictures", self.max_pictures, "at least 1, or 0 for all")
        limit = 64 << 20  # r1zero.tasks.pictures opens nothing larger
        pixels = self.max_picture_pixels
        require(1 <= pixels <= limit, "task.max_picture_pixels", pixels, f"between 1 and {limit}")


@dataclass(frozen=True)
class TemplateConfig:
    name: str = knob(
        "native",
        "how a problem becomes a prompt: native, few_shot, r1, qwen_math, none, simplerl_qwen, simplerl_abel, "
        "tinyzero, oat_zero, with pictures visual_think, visual_direct, visualthinker, visualthinker_direct, "
        "visualthinker_instruct, visualthinker_instruct_eval, visualthinker_llava, qwen2_vl, llava, or a Jinja file",
    )


@dataclass(frozen=True)
class SamplingConfig:
    temperature: float = knob(1.0, "softmax temperature; 0 is greedy")
    top_p: float = knob(1.0, "nucleus sampling: keep the smallest set of tokens with this probability; 1 is off")
    top_k: int = knob(0, "keep this many most likely tokens; 0 is off")
    max_tokens: int = knob(256, "longest response, in tokens; longer ones are cut and finish by `length`")


@dataclass(frozen=True)
class EngineConfig:
    name: Literal["auto", "fast", "huggingface", "vllm", "vllm_server"] = knob(
        "auto",
        "who samples: `fast` (in process, with the learner's own weights), `huggingface` (transformers' `generate`), "
        "`vllm` (on this machine), `vllm_server` (over HTTP), or `auto`: vllm where it is installed and a GPU is "
        "there, else fast where it can compute the model, else huggingface",
    )
    max_concurrent: int = knob(128, "sequences sampled at once; the memory of the key-value cache grows with it")
    tensor_parallel: int = knob(1, "vllm: GPUs that share one copy of the model; more when it does not fit one")
    gpu_memory: float = knob(
        0.5, "vllm: share of a GPU's memory for its weights and key-value cache; lower it when the learner runs out"
    )
    cpu_cache: int = knob(1, "vllm without a GPU: GiB of memory for the key-value cache")
    max_context: int = knob(
        0,
        "vllm: longest prompt and response together, in tokens, for which its cache must have room; 0: the model's own",
    )
    enforce_eager: bool = knob(
        False, "vllm: no compilation and no CUDA graphs: starts faster and samples slower; always so without a GPU"
    )
    prefix_caching: bool = knob(True, "vllm: keep what was computed of prompts, so that a group's prompt is read once")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = knob(
        "auto", "vllm: type of its weights and arithmetic; auto is bfloat16 on a GPU and float32 without"
    )
    sleep: bool = knob(False, "vllm: give its GPU memory back while nothing is sampled, to learn on the same GPU")
    url: str | None = knob(
        None, "vllm_server: where a server runs (http://HOST:PORT); without it one is started and ended with the run"
    )
    port: int = knob(0, "vllm_server: port on 127.0.0.1 of the server that is started; 0 takes a free one")
    timeout_s: float = knob(600.0, "vllm_server: seconds after which a start or a request has failed")
    max_restarts: int = knob(3, "vllm: how often an engine that died is started again before the run gives up")
    max_staleness: int | None = knob(
        None,
        "training steps by which the weights that sampled a response may be behind; without it 0, and 1 with "
        "cluster.asynchronous",
    )


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
        require(self.overlong_buffer >= 0, "reward.overlong_buffer", self.overlong_buffer, "at least 0")


@dataclass(frozen=True)
class LoraConfig:
    rank: int = knob(
        0,
        "rank of the adapters that learn in place of the model's own weights (8 to 64 are usual); 0: all weights learn",
    )
    alpha: float = knob(32.0, "what an adapter adds is multiplied by alpha / rank; usually one or two times the rank")
    targets: tuple[str, ...] = knob(
        ("all",),
        "linear layers that get an adapter, by the last words of their names, such as q_proj,v_proj; `all` is each but "
        "the output head, in the part of the model that learner.freeze leaves",
    )
    dropout: float = knob(0.0, "must stay 0: with dropout, what is scored would not be what was sampled")

    def __post_init__(self) -> None:
        require(self.rank >= 0, "lora.rank", self.rank, "at least 1, or 0 to train all weights")
        require(self.alpha > 0, "lora.alpha", self.alpha, "above 0")
        require(bool(self.targets), "lora.targets", self.targets, "one name at least, or all")
        require(self.dropout == 0, "lora.dropout", self.dropout, "0, since what is sampled is what is scored")


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
