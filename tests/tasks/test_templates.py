"""Prompts as the models see them, and a user's own template file."""

import pytest

from r1zero.grading import EXTRACTORS, grade
from r1zero.records import Problem
from r1zero.tasks.templates import TEMPLATES, load_template, parse_template

PROBLEM = Problem(
    id="countdown-4-7-25:93",
    task="countdown",
    text="Using the numbers 25, 4, 7, make 93.",
    gold='{"nums": [25, 4, 7], "target": 93}',
    fields={"nums": [25, 4, 7], "target": 93},
)


def test_native_is_two_lines_and_ends_in_one_newline():
    assert TEMPLATES["native"].render(PROBLEM) == "Numbers: 25, 4, 7\nTarget: 93\n"


def test_r1_is_a_conversation_that_ends_inside_the_thought():
    prompt = TEMPLATES["r1"].render(PROBLEM)
    assert prompt.startswith("A conversation between User and Assistant. The User asks a question, and the Assistant")
    assert "<think> reasoning process here </think> <answer> answer here </answer>.\nUser: " in prompt
    assert prompt.endswith("\nUser: Using the numbers 25, 4, 7, make 93.\nAssistant: <think>")


def test_qwen_math_is_chat_markup_that_asks_for_a_box():
    assert TEMPLATES["qwen_math"].render(PROBLEM) == (
        "<|im_start|>system\nPlease reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n"
        "<|im_start|>user\nUsing the numbers 25, 4, 7, make 93.<|im_end|>\n<|im_start|>assistant\n"
    )


def test_simplerl_asks_models_that_know_the_markup_and_models_that_do_not():
    assert TEMPLATES["simplerl_qwen"].render(PROBLEM) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        "Using the numbers 25, 4, 7, make 93.\nPlease reason step by step, and put your final answer within \\boxed{}."
        "<|im_end|>\n<|im_start|>assistant\n"
    )
    assert TEMPLATES["simplerl_abel"].render(PROBLEM) == (
        "Question:\nUsing the numbers 25, 4, 7, make 93.\nAnswer:\nLet's think step by step.\n"
    )


def test_none_is_the_question_alone():
    assert TEMPLATES["none"].render(PROBLEM) == PROBLEM.text


def test_tinyzero_writes_numbers_as_a_list_and_opens_the_thought():
    prompt = TEMPLATES["tinyzero"].render(PROBLEM)
    assert "User: Using the numbers [25, 4, 7], create an equation that equals 93. You can use" in prompt
    assert prompt.endswith("<answer> (1 + 2) / 3 </answer>.\nAssistant: Let me solve this step by step.\n<think>")


def test_oat_zero_takes_the_prompt_of_its_data_set_where_there_is_one():
    assert TEMPLATES["oat_zero"].render(PROBLEM) == TEMPLATES["tinyzero"].render(PROBLEM)
    with_input = Problem("x", "countdown", "", PROBLEM.gold, {"input": "User: go"})
    assert TEMPLATES["oat_zero"].render(with_input) == "User: go"


def test_the_worked_examples_of_few_shot_are_right_under_its_own_format():
    template = TEMPLATES["few_shot"]
    *examples, question = template.render(PROBLEM).split("\n\n")
    assert question == TEMPLATES["native"].render(PROBLEM)
    golds = ['{"nums": [3, 8, 5], "target": 29}', '{"nums": [20, 6, 2], "target": 17}']
    assert [grade(e, g, template.answer_format).reason for e, g in zip(examples, golds, strict=True)] == ["", ""]
    assert template.stop == ("\n\n",)  # what separates the examples ends the response


@pytest.mark.parametrize(
    ("name", "response"),
    [
        ("native", "25 * 4 = 100, 100 - 7 = 93 vs 93, yes.\nAnswer: 25 * 4 - 7"),
        ("few_shot", "25 * 4 = 100, 100 - 7 = 93 vs 93, yes.\nAnswer: 25 * 4 - 7"),
        ("r1", " 25 * 4 = 100 </think> <answer> 25 * 4 - 7 </answer>"),
        ("qwen_math", r"So \boxed{25 \times 4 - 7}."),
        ("none", r"\boxed{25 * 4 - 7}"),
        ("tinyzero", " 25 * 4 = 100\n</think>\n<answer> 25 * 4 - 7 </answer>"),
        ("oat_zero", " 25 * 4 = 100\n</think>\n<answer> 25 * 4 - 7 </answer>"),
    ],
)
def test_a_good_response_to_each_template_is_graded_correct(name, response):
    assert grade(response, PROBLEM.gold, TEMPLATES[name].answer_format).reason == ""


def test_every_template_is_filed_under_its_own_name_with_a_known_format():
    assert all(template.name == name for name, template in TEMPLATES.items())
    assert all(template.answer_format in EXTRACTORS for template in TEMPLATES.values())


def test_a_field_that_the_problem_lacks_is_named_beside_those_it_has():
    plain = Problem("math-1", "math", "What is 1+1?", "2")
    with pytest.raises(ValueError, match="problem math-1: it uses nums, target, and there is only text"):
        TEMPLATES["native"].render(plain)


def test_a_users_file_brings_its_own_stop_strings_and_format(tmp_path):
    path = tmp_path / "mine.jinja"
    path.write_text(
        '{# r1zero: answer_format="answer_tag" stop=["</answer>", "]\\n"] keep_stop=false #}\n'
        "{% for n in nums %}<{{ n }}>{% endfor %} -> {{ target }}: {{ text }}\n"
    )
    template = load_template(str(path))
    assert template.render(PROBLEM) == f"<25><4><7> -> 93: {PROBLEM.text}\n"
    assert (template.stop, template.keep_stop, template.answer_format) == (("</answer>", "]\n"), False, "answer_tag")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{{ text }}", "does not say where its answer stands"),
        ("{# r1zero: keep_stop=true #}{{ text }}", "has no answer_format"),
        ('{# r1zero: answer_format="boxd" #}', "no answer format 'boxd': did you mean boxed"),
        ('{# r1zero: answer_fromat="boxed" #}', "unknown setting 'answer_fromat': did you mean answer_format"),
        ("{# r1zero: answer_format=boxed #}", "answer_format must be a string"),
        ('{# r1zero: answer_format="boxed" stop="x" #}', "stop='x' must be a list of strings"),
        ('{# r1zero: answer_format="boxed" keep_stop=1 #}', "keep_stop=1 must be true or false"),
        ('{# r1zero: answer_format="boxed", stop #}', "cannot read ', stop' in its header"),
        ('{# r1zero: answer_format="boxed" #}\n{{ text }}\n{% if %}', "line 3: "),
    ],
)
def test_a_faulty_file_says_what_to_mend(text, fault):
    with pytest.raises(ValueError, match="template mine") as error:
        parse_template("mine.jinja", text)
    assert fault in str(error.value)


@pytest.mark.parametrize(
    "body",
    [
        "{{ text.__class__.__mro__ }}",
        "{{ nums.append(1) }}",
        "{% include 'other' %}",
        "{{ text | nosuch }}",
        "{{ nums[7] }}",
        "{{ 1 / 0 }}",
        "{{ range(10 ** 9) | list }}",
    ],
)
def test_a_template_can_neither_reach_outside_nor_fail_with_anything_but_a_value_error(body):
    with pytest.raises(ValueError, match=r"template '?mine"):
        parse_template("mine", '{# r1zero: answer_format="boxed" #}' + body).render(PROBLEM)


def test_an_unknown_name_gets_the_nearest_and_a_missing_file_its_path(tmp_path):
    with pytest.raises(ValueError, match="no template 'quen_math': did you mean qwen_math"):
        load_template("quen_math")
    with pytest.raises(ValueError, match="no template file at"):
        load_template(str(tmp_path / "gone.jinja"))
    with pytest.raises(ValueError, match="cannot be read"):
        (tmp_path / "bytes.jinja").write_bytes(b"\xff\xfe\xfa")
        load_template(str(tmp_path / "bytes.jinja"))
