"""How a problem becomes a prompt, and where its answer will stand: text, stop strings and answer format in one record.

The wording of `r1`, `qwen_math` and `tinyzero` is that of the systems whose names they bear, to the letter: base models
are sensitive to it.  A user's own template is a Jinja file that begins with a line such as

    {# r1zero: answer_format="answer_tag" stop=["</answer>"] keep_stop=true #}

and may use `text`, every field of its problems (Countdown: `nums`, `target`), and `pictures`: an `<image>` for each
picture whose place `text` does not mark itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from r1zero.config import nearest
from r1zero.grading.extract import EXTRACTORS
from r1zero.records import Problem
from r1zero.tasks.visual_templates import SOURCES as VISUAL_SOURCES

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)


@dataclass(frozen=True)
class Template:
    """How a problem becomes a prompt, when its response is over, and where the answer stands.

    Example: Template("none", "{{ text }}", stop=(), keep_stop=True, answer_format="boxed")
    """

    name: str
    source: str  # Jinja; sees `text` and the problem's fields
    stop: tuple[str, ...] = ()  # strings that end a response
    keep_stop: bool = True  # whether the stop string stays in the response
    answer_format: str = "native"  # a key of r1zero.grading.EXTRACTORS

    def render(self, problem: Problem) -> str:
        """The prompt's text.  Raises ValueError naming a field that the problem lacks.

        >>> TEMPLATES["native"].render(Problem("c", "countdown", "", "", {"nums": [25, 4, 7], "target": 93}))
        'Numbers: 25, 4, 7\\nTarget: 93\\n'
        """
        pictures = "" if "<image>" in problem.text else "<image>" * len(problem.images)
        fields = {"text": problem.text, **problem.fields, "pictures": pictures}
        try:
            return _compiled(self.source).render(fields)
        except jinja2.UndefinedError as error:
            given = [name for name in fields if name != "pictures" or problem.images]
            missing = sorted(meta.find_undeclared_variables(_ENVIRONMENT.parse(self.source)) - set(fields))
            fault = f"it uses {', '.join(missing)}, and there is only {', '.join(given)}" if missing else error.message
            raise ValueError(f"template {self.name!r} does not fit problem {problem.id}: {fault}") from None
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise ValueError(f"template {self.name!r} fails on problem {problem.id}: {error}") from None


@lru_cache(maxsize=64)
def _compiled(source: str) -> jinja2.Template:
    return _ENVIRONMENT.from_string(source)


# ---------------------------------------------------------------------------------------------------------------------
# Texts

_NATIVE = "Numbers: {{ nums | join(', ') }}\nTarget: {{ target }}\n"

_EXAMPLES = """\
Numbers: 3, 8, 5
Target: 29
8*3=24, 24+5=29 vs 29, yes.
Answer: 8*3+5

Numbers: 20, 6, 2
Target: 17
20+6=26, 26/2=13 vs 17, no.
6/2=3, 20-3=17 vs 17, yes.
Answer: 20-6/2

"""

# sail-sg/understand-r1-zero, train_zero_math.py, apply_r1_template: generation starts after `<think>`
_R1 = (
    "A conversation between User and Assistant. The User asks a question, and the Assistant solves it. "
    "The Assistant first thinks about the reasoning process in the mind and then provides the User with the answer. "
    "The reasoning process is enclosed within <think> </think> and answer is enclosed within <answer> </answer> tags, "
    "respectively, i.e., <think> reasoning process here </think> <answer> answer here </answer>."
    "\nUser: {{ text }}\nAssistant: <think>"
)

# same file, apply_qwen_math_template
_QWEN_MATH = (
    "<|im_start|>system\nPlease reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n"
    "<|im_start|>user\n{{ text }}<|im_end|>\n<|im_start|>assistant\n"
)

# Jiayi-Pan/TinyZero, examples/data_preprocess/countdown.py, make_prefix, template_type "base"
_TINYZERO = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. "
    "The assistant first thinks about the reasoning process in the mind and then provides the user with the answer."
    "\nUser: Using the numbers [{{ nums | join(', ') }}], create an equation that equals {{ target }}. "
    "You can use basic arithmetic operations (+, -, *, /) and each number can only be used once. "
    "Show your work in <think> </think> tags. And return the final answer in <answer> </answer> tags, "
    "for example <answer> (1 + 2) / 3 </answer>.\nAssistant: Let me solve this step by step.\n<think>"
)

# sail-sg/oat-zero reads whole prompts from the `input` column of its data set; without that column, TinyZero's text
_OAT_ZERO = "{% if input is defined %}{{ input }}{% else %}" + _TINYZERO + "{% endif %}"
_OAT_ZERO_STOP = ("</s>", "<|im_end|>", "<|endoftext|>", "\nUser:")  # its training/zero_math.py, dropped as vLLM does

# hkust-nlp/simpleRL-reason v1: the prompts of its data, for models that know Qwen's markup and for those that do not
_SIMPLERL_QWEN = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n{{ text }}\n"
    "Please reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n<|im_start|>assistant\n"
)
_SIMPLERL_ABEL = "Question:\n{{ text }}\nAnswer:\nLet's think step by step.\n"

# what tiny-visual's corpus is written in; pictures come first
_VISUAL = "User: {{ text }}\nAssistant:"

TEMPLATES: dict[str, Template] = {
    template.name: template
    for template in (
        Template("native", _NATIVE, answer_format="native"),
        Template("few_shot", _EXAMPLES + _NATIVE, stop=("\n\n",), keep_stop=False, answer_format="native"),
        Template("r1", _R1, stop=("</answer>",), keep_stop=True, answer_format="r1"),
        Template("qwen_math", _QWEN_MATH, answer_format="boxed"),
        Template("none", "{{ text }}", answer_format="boxed"),
        Template("simplerl_qwen", _SIMPLERL_QWEN, answer_format="boxed"),
        Template("simplerl_abel", _SIMPLERL_ABEL, answer_format="boxed"),
        Template("tinyzero", _TINYZERO, answer_format="answer_tag"),
        Template("oat_zero", _OAT_ZERO, stop=_OAT_ZERO_STOP, keep_stop=False, answer_format="answer_tag"),
        *(Template(name, source, answer_format=rule) for name, (source, rule) in VISUAL_SOURCES.items()),
        Template("visual_think", _VISUAL + "<think>", stop=("</answer>",), answer_format="r1"),
        Template("visual_direct", _VISUAL, stop=("</answer>",), answer_format="answer_tag"),
    )
}

# ---------------------------------------------------------------------------------------------------------------------
# A tokenizer's own chat template

_BOX_PLEASE = "Please reason step by step, and put your final answer within \\boxed{}."  # as in `qwen_math`
_PLACE = "[the question stands here]"


def chat_template(tokenizer: Any) -> Template:
    """The template `chat`: the question and a request for a box as a user's turn of the tokenizer's chat template.

    Raises ValueError where the tokenizer has none, as base models' often have not.
    """
    turn = [{"role": "user", "content": f"{_PLACE}\n\n{_BOX_PLEASE}"}]
    try:
        text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    except ValueError as error:
        raise ValueError(f"template 'chat' needs a tokenizer with a chat template: {error}") from None
    before, place, after = text.partition(_PLACE)
    if not place or _PLACE in after:
        raise ValueError("template 'chat': the tokenizer's chat template does not show the user's text exactly once")
    return Template(
        "chat", f"{{{{ {json.dumps(before)} }}}}{{{{ text }}}}{{{{ {json.dumps(after)} }}}}", answer_format="boxed"
    )


# ---------------------------------------------------------------------------------------------------------------------
# A user's file

_HEADER = re.compile(r"\s*\{#-?\s*r1zero:(?P<settings>.*?)-?#\}\n?", re.DOTALL)
_KEY = re.compile(r"\s*(\w+)\s*=\s*")


def load_template(name_or_path: str) -> Template:
    """A template by name, or from a Jinja file.  Raises ValueError naming the nearest names, or the file's fault."""
    if name_or_path in TEMPLATES:
        return TEMPLATES[name_or_path]
    path = Path(name_or_path)
    if path.suffix not in (".jinja", ".jinja2", ".j2", ".txt") and not path.is_file():
        raise ValueError(
            f"no template {name_or_path!r}: {nearest(name_or_path, TEMPLATES)}; or give the path of a Jinja file"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"no template file at {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"template file {path} cannot be read: {error}") from None
    return parse_template(name_or_path, text)


def parse_template(name: str, text: str) -> Template:
    """A template from the text of a Jinja file with its r1zero header.  Raises ValueError naming the fault."""
    header = _HEADER.match(text)
    example = '{# r1zero: answer_format="boxed" #}'
    if header is None:
        raise ValueError(f"template {name} does not say where its answer stands: begin it with {example}")
    settings = _settings(name, header["settings"])
    answer_format = settings.pop("answer_format", None)
    if answer_format is None:
        raise ValueError(f"template {name} has no answer_format: begin it with {example}")
    if answer_format not in EXTRACTORS:
        raise ValueError(f"template {name}: no answer format {answer_format!r}: {nearest(answer_format, EXTRACTORS)}")
    source = text[header.end() :]
    try:
        _compiled(source)
    except jinja2.TemplateSyntaxError as error:
        line = error.lineno + text[: header.end()].count("\n")
        raise ValueError(f"template {name}, line {line}: {error.message}") from None
    return Template(name, source, answer_format=answer_format, **settings)


def _settings(name: str, text: str) -> dict[str, Any]:
    """`key=VALUE key=VALUE`, values in JSON."""
    wanted = {"stop": "a list of strings", "keep_stop": "true or false", "answer_format": "a string"}
    found: dict[str, Any] = {}
    at = 0
    while text[at:].strip():
        key = _KEY.match(text, at)
        if key is None:
            raise ValueError(f"template {name}: cannot read {text[at:].strip()!r} in its header; write key=VALUE")
        if key[1] not in wanted:
            raise ValueError(f"template {name}: unknown setting {key[1]!r}: {nearest(key[1], wanted)}")
        try:
            value, at = json.JSONDecoder().raw_decode(text, key.end())
        except json.JSONDecodeError:
            raise ValueError(f"template {name}: {key[1]} must be {wanted[key[1]]}, as JSON") from None
        if not _fits(key[1], value):
            raise ValueError(f"template {name}: {key[1]}={value!r} must be {wanted[key[1]]}")
        found[key[1]] = tuple(value) if key[1] == "stop" else value
    return found


def _fits(key: str, value: object) -> bool:
    if key == "stop":
        return isinstance(value, list) and all(isinstance(string, str) and string for string in value)
    return isinstance(value, bool if key == "keep_stop" else str)
