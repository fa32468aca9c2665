"""How the papers asked the models they compare: template, stop strings, budget and grader strictness, by name.

Every definition is greedy with one response, as in the tables of arXiv:2503.20783; what is ours rather than theirs is
said in `note`.  The budget is 3000 tokens for all, also for models trained with 8000, which have a second definition
with that.  Stop strings are the template's: `</answer>`, kept, under r1, and none elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from r1zero.config import nearest

PAPER_BUDGET = 3000  # tokens
LONG_BUDGET = 8000
SEEING_BUDGET = 1024  # of VisualThinker-R1-Zero on CV-Bench


@dataclass(frozen=True)
class Baseline:
    """One protocol.

    Example: Baseline("oat-zero", "qwen_math", "boxed_strict", title="Oat-Zero (Dr. GRPO)")
    """

    name: str
    template: str  # a name for load_template, or `chat`: the chat template of the model's own tokenizer
    answer_format: str  # the rule that finds the answer: how strict the grader is about form
    title: str
    max_tokens: int = PAPER_BUDGET
    temperature: float = 0.0
    samples: int = 1
    note: str = ""
    suite: str = "math"  # what is asked where the command line does not say

    @property
    def settings(self) -> dict[str, Any]:
        """As values of an EvalConfig."""
        return {
            "samples": self.samples,
            "answer_format": self.answer_format,
            "template": {"name": self.template},
            "sampling": {"temperature": self.temperature, "max_tokens": self.max_tokens},
        }


_CHOICES = "an answer counts by letter or words; where it names several choices it is wrong, see docs/grading.md"
_OWN_CHAT = "asked through the model's own chat template: the wording of the paper is not known here"


def _seeing(name: str, template: str, title: str) -> Baseline:
    """How VisualThinker-R1-Zero asks CV-Bench."""
    return Baseline(name, template, "answer_or_all", title, max_tokens=SEEING_BUDGET, note=_CHOICES, suite="cvbench")


BASELINES: Mapping[str, Baseline] = {
    baseline.name: baseline
    for baseline in (
        Baseline("base-none", "none", "boxed_strict", "a base model, the question alone"),
        Baseline("base-qwen", "qwen_math", "boxed_strict", "a base model under the Qwen-Math template"),
        Baseline("base-r1", "r1", "r1", "a base model under the R1 template, strict tags"),
        Baseline("oat-zero", "qwen_math", "boxed_strict", "Oat-Zero (Dr. GRPO)"),
        Baseline("simplerl-zero", "qwen_math", "boxed_strict", "SimpleRL-Zero (its ChatML form for Qwen models)"),
        Baseline("prime-zero", "chat", "boxed_strict", "PRIME-Zero", note=_OWN_CHAT),
        Baseline("open-reasoner-zero", "chat", "orz", "OpenReasoner-Zero at 3k", note=_OWN_CHAT),
        Baseline("open-reasoner-zero-8k", "chat", "orz", "OpenReasoner-Zero at 8k", LONG_BUDGET, note=_OWN_CHAT),
        Baseline("r1-distill", "chat", "r1_distill", "DeepSeek-R1-Distill at 3k", note=_OWN_CHAT),
        Baseline("r1-distill-8k", "chat", "r1_distill", "DeepSeek-R1-Distill at 8k", LONG_BUDGET, note=_OWN_CHAT),
        Baseline("instruct", "qwen_math", "boxed_strict", "Qwen2.5-Math-Instruct"),
        Baseline("llama", "r1", "r1", "Llama-3.2-3B: base, FineMath, NuminaQA, and each after RL"),
        Baseline("llama-instruct", "chat", "boxed_strict", "Llama-3.2-3B-Instruct", note=_OWN_CHAT),
        _seeing("visualthinker", "visualthinker", "VisualThinker-R1-Zero and its base model, thinking"),
        _seeing("visualthinker-direct", "visualthinker_direct", "its base model, answering at once"),
        _seeing("visualthinker-sft", "qwen2_vl", "its supervised arm, answering at once"),
        _seeing("visualthinker-instruct", "visualthinker_instruct_eval", "its instructed arms, thinking"),
    )
}


def find_baseline(name: str) -> Baseline:
    """Raises ValueError naming the nearest."""
    if name not in BASELINES:
        raise ValueError(f"unknown baseline {name!r}: {nearest(name, BASELINES)}")
    return BASELINES[name]
