"""The prompts of VisualThinker-R1-Zero, to the letter, as Jinja sources: name -> (source, answer format).  And LLaVA's.

`pictures` is a mark `<image>` for each picture whose place the question's own text does not mark.  Base models are
asked without roles, instructed ones through Qwen2-VL's chat template, which is written out.  One thing differs: the
original also leaves the characters `<image>` in a base model's text, behind the picture itself; here they are it.
"""

from __future__ import annotations

_OPENING = (
    "{{ pictures }}A conversation between User and Assistant. The user asks a question about the image, and the "
    "Assistant solves it."
)
_THINKING = (
    " The assistant first thinks about the reasoning process in the mind and then provides the user with the answer."
)


def _as_user(text: str) -> str:
    """A user's turn, the assistant's opened: Qwen2-VL's chat template without its loops."""
    system = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    return f"{system}<|im_start|>user\n{{{{ pictures }}}}{text}<|im_end|>\n<|im_start|>assistant\n"


def _to_llava(text: str) -> str:
    """The same in LLaVA 1.5's own words; its tokenizer begins every text with <s>."""
    return f"<s>USER: {{% if pictures %}}{{{{ pictures }}}}\n{{% endif %}}{text} ASSISTANT:"


_TAGS_PLEASE = (
    "{{ text }}  Output the thinking process in <think> </think> and final answer (option) in <answer> </answer> tags."
)

SOURCES: dict[str, tuple[str, str]] = {
    # a base model in training and evaluation
    "visualthinker": (
        _OPENING + _THINKING + "\nUser: {{ text }} \nAssistant: Let me solve this step by step.\n<think>",
        "answer_or_all",
    ),
    # a base model that is to answer at once
    "visualthinker_direct": (_OPENING + "\nUser: {{ text }} \nAssistant: ", "answer_or_all"),
    # an instructed model in training
    "visualthinker_instruct": (_as_user(_TAGS_PLEASE), "answer_or_all"),
    # an instructed model in evaluation
    "visualthinker_instruct_eval": (
        _as_user(
            "{{ text }}\nOutput the thinking process in <think> </think> and final answer in <answer> </answer> tags."
        ),
        "answer_or_all",
    ),
    # the question alone as a user's turn: how the supervised arm is trained and asked
    "qwen2_vl": (_as_user("{{ text }}"), "answer_or_all"),
    # both for LLaVA 1.5, which VisualThinker-R1-Zero did not train
    "visualthinker_llava": (_to_llava(_TAGS_PLEASE), "answer_or_all"),
    "llava": (_to_llava("{{ text }}"), "answer_or_all"),
}
