import pytest
from transformers import PreTrainedTokenizerFast

from r1zero.models.tiny import train_tokenizer
from r1zero.records import Problem
from r1zero.tasks.templates import chat_template

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"
)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(["1 + 1"], 280)


def test_the_tokenizers_chat_template_becomes_a_template_that_asks_for_a_box(tokenizer):
    tokenizer.chat_template = CHATML
    template = chat_template(tokenizer)
    question = 'What is {{ "x" }} % of \\frac{1}{2}?'
    text = template.render(Problem("p", "math", question, "1"))
    turn = f"{question}\n\nPlease reason step by step, and put your final answer within \\boxed{{}}."
    assert text == f"<|im_start|>user\n{turn}<|im_end|>\n<|im_start|>assistant\n"
    assert (template.name, template.answer_format) == ("chat", "boxed")


def test_a_tokenizer_without_one_is_refused(tokenizer):
    tokenizer.chat_template = None
    with pytest.raises(ValueError, match="needs a tokenizer with a chat template"):
        chat_template(tokenizer)
    tokenizer.chat_template = "always the same"
    with pytest.raises(ValueError, match="exactly once"):
        chat_template(tokenizer)
