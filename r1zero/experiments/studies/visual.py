"""The five questions of VisualThinker-R1-Zero, each as arms and the contrasts that answer it.

Every arm is evaluated on the same held-out questions, and arms of one seed see the same training problems in the same
order.  What is compared, and the families of tests that are corrected together, were fixed before the runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from r1zero.experiments.studies.design import Arm, Preparation, Study
from r1zero.experiments.studies.visual_analysis import analyse
from r1zero.experiments.studies.visual_measures import measure
from r1zero.experiments.studies.visual_result import START, Comparison
from r1zero.experiments.studies.visual_starts import INSTRUCT, SFT, direct, instructed, taught, thinking

SAMPLES = (50, 100, 500, 1000)


def picture_study(
    name: str,
    question: str,
    recipe: str,
    arms: Mapping[str, Arm],
    comparisons: tuple[Comparison, ...],
    fixed: tuple[str, ...] = (),
    preparations: Mapping[str, Preparation] | None = None,
) -> Study:
    """A study whose runs are read as runs on pictures."""
    how = partial(analyse, comparisons=comparisons)
    return Study(name, question, recipe, arms, fixed, measure, how, preparations or {})


BASE_VS_INSTRUCT = picture_study(
    "visual-base-vs-instruct",
    "does RL make a base model and an instructed one think differently, and which of them gains",
    "visual_study",
    {
        "base_rl": Arm({"template.name": thinking}),
        "instruct_rl": Arm({"template.name": instructed}, start="instruct"),
    },
    (
        Comparison("RL on the base model", "base_rl", START),
        Comparison("RL on the instructed model", "instruct_rl", START),
        Comparison("the instructed model after RL, less the base model after RL", "instruct_rl", "base_rl"),
    ),
    preparations={"instruct": INSTRUCT},
)

RL_VS_SFT = picture_study(
    "visual-rl-vs-sft",
    "is reinforcing right answers better than fine-tuning on them, and is thinking what helps",
    "visual_study",
    {
        "base": Arm({"template.name": thinking, "steps": 0}),
        "sft": Arm({"template.name": taught, "steps": 0}, start="sft"),
        "rl": Arm({"template.name": thinking}),
        "rl_direct": Arm({"template.name": direct}),
    },
    (
        Comparison("RL with thinking, less the base model", "rl", "base"),
        Comparison("fine-tuning on answers, less the base model", "sft", "base"),
        Comparison("RL with thinking, less fine-tuning on answers", "rl", "sft"),
        Comparison("RL of answers at once", "rl_direct", START),
        Comparison("RL with thinking, less RL of answers at once", "rl", "rl_direct"),
    ),
    preparations={"sft": SFT},
)

LENGTH_REWARD = picture_study(
    "visual-length-reward",
    "does a reward for length make answers better, or only longer",
    "visual_length",
    {
        "none": Arm({"template.name": instructed, "reward.per_token": 0.0}, start="instruct"),
        "weak": Arm({"template.name": instructed, "reward.per_token": 0.001}, start="instruct"),
        "strong": Arm({"template.name": instructed, "reward.per_token": 0.005}, start="instruct"),
        # added when the first three had been seen to end at one length
        "extreme": Arm({"template.name": instructed, "reward.per_token": 0.05}, start="instruct"),
    },
    (
        Comparison("RL without a reward for length", "none", START),
        Comparison("0.001 a token, less none", "weak", "none"),
        Comparison("0.005 a token, less none", "strong", "none"),
        Comparison("0.05 a token, less none", "extreme", "none"),
    ),
    fixed=("reward.per_token",),
    preparations={"instruct": INSTRUCT},
)

FREEZE = picture_study(
    "visual-freeze",
    "which part of the model has to learn, what sees or what speaks",
    "visual_study",
    {
        part: Arm({"template.name": instructed, "learner.freeze": part}, start="instruct")
        for part in ("none", "vision", "language")
    },
    (
        Comparison("RL of the whole model", "none", START),
        Comparison("RL with frozen vision", "vision", START),
        Comparison("RL with frozen language", "language", START),
        Comparison("frozen vision, less nothing frozen", "vision", "none"),
        Comparison("frozen language, less nothing frozen", "language", "none"),
    ),
    fixed=("learner.freeze",),
    preparations={"instruct": INSTRUCT},
)

NUM_SAMPLES = picture_study(
    "visual-samples",
    "how many training problems does RL need",
    "visual_samples",
    {
        **{f"n{count}": Arm({"template.name": thinking, "task.num_train": count}) for count in SAMPLES},
        "all": Arm({"template.name": thinking, "task.num_train": 0}),
    },
    (
        Comparison("RL on as many problems as are asked", "all", START),
        Comparison(f"RL on {SAMPLES[0]} problems", f"n{SAMPLES[0]}", START),
        *(Comparison(f"{count} problems, less all", f"n{count}", "all") for count in SAMPLES),
    ),
    fixed=("task.num_train",),
)

VISUAL_STUDIES = (BASE_VS_INSTRUCT, RL_VS_SFT, LENGTH_REWARD, FREEZE, NUM_SAMPLES)
