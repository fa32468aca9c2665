"""`r1zero eval` and `r1zero probe`, and the language model that judges."""

from __future__ import annotations

import re
import typing
from dataclasses import dataclass

from r1zero.config.cluster import ClusterConfig
from r1zero.config.knobs import knob, require
from r1zero.config.shared import (
    EngineConfig,
    ModelConfig,
    SamplingConfig,
    TaskConfig,
    TemplateConfig,
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
    cluster: ClusterConfig = knob(ClusterConfig, "where it is done")
    verb: typing.ClassVar[str] = "eval"

    def __post_init__(self) -> None:
        require(self.num_problems >= 0, "num_problems", self.num_problems, "at least 1, or 0 for all")
        require(self.samples >= 1, "samples", self.samples, "at least 1")
        if self.samples > 1 and self.sampling.temperature == 0:
            raise ValueError(
                f"samples={self.samples} with sampling.temperature=0: greedy responses are all alike; ask for one, or "
                "raise the temperature"
            )
        require(self.sampling.max_tokens >= 1, "sampling.max_tokens", self.sampling.max_tokens, "at least 1")


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
        require(self.concurrency >= 1, "judge.concurrency", self.concurrency, "at least 1")
        require(self.max_tokens >= 1, "judge.max_tokens", self.max_tokens, "at least 1")
        require(self.max_chars >= 100, "judge.max_chars", self.max_chars, "at least 100")
        require(self.retries >= 0, "judge.retries", self.retries, "0 or more")
        require(0 < self.timeout_s < float("inf"), "judge.timeout_s", self.timeout_s, "above 0")
        for name in ("requests_per_minute", "temperature", "price_in", "price_out"):
            value = getattr(self, name)
            require(value is None or 0 <= value < float("inf"), f"judge.{name}", value, "0 or more")


@dataclass(frozen=True)
class CausalConfig:
    prefixes: int = knob(
        120, "reflecting responses that are cut at their first cue and continued in several ways; 0: none"
    )
    continuations: int = knob(8, "continuations of each cut response in each way")

    def __post_init__(self) -> None:
        require(self.prefixes >= 0, "causal.prefixes", self.prefixes, "at least 0")
        require(self.continuations >= 1, "causal.continuations", self.continuations, "at least 1")


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
    cluster: ClusterConfig = knob(ClusterConfig, "where it is done")
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
            require(0 <= temperature < float("inf"), "temperatures", temperature, "at least 0")
        require(self.samples >= 1, "samples", self.samples, "at least 1")
        require(0 < self.top_p <= 1, "top_p", self.top_p, "above 0 and at most 1")
        require(self.max_tokens >= 1, "max_tokens", self.max_tokens, "at least 1")
        require(self.num_problems >= 0, "num_problems", self.num_problems, "at least 1, or 0 for all")
        require(self.thinking >= 0, "thinking", self.thinking, "at least 1, or 0 for none")
