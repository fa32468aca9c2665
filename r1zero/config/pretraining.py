"""`r1zero pretrain` and `r1zero sft`: corpora with their dials, and what learns from them."""

from __future__ import annotations

import typing
from dataclasses import dataclass, fields
from typing import Literal

from r1zero.config.knobs import knob, require
from r1zero.config.shared import (
    LearnerConfig,
    LoraConfig,
    ModelConfig,
    TaskConfig,
    TemplateConfig,
)


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
        require(self.num_documents >= 1, "corpus.num_documents", self.num_documents, "at least 1")
        for f in fields(self):
            if isinstance(share := getattr(self, f.name), float):
                require(0 <= share <= 1, f"corpus.{f.name}", share, "between 0 and 1")


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
    lora: LoraConfig = knob(LoraConfig, "learning adapters in place of the model's own weights")
    learner: LearnerConfig = knob(LearnerConfig, "how it learns")
    verb: typing.ClassVar[str] = "sft"

    def __post_init__(self) -> None:
        require(self.num_problems >= 0, "num_problems", self.num_problems, "at least 1, or 0 for all of a file's")
        require("{answer}" in self.answer_form, "answer_form", self.answer_form, "a text with {answer} in it")
