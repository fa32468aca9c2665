"""Each answer format against responses written by hand; the facts are those of the systems whose names they bear."""

import pytest

from r1zero.grading.extract import ABSENT, EXTRACTORS, extract


@pytest.mark.parametrize(
    ("answer_format", "response", "answer"),
    [
        ("native", "3 * 8 = 24 vs 24, yes.\nAnswer: 3 * 8", "3 * 8"),
        ("native", "Answer: 1 + 1\nno, wait.\nAnswer: 2 * 3 ", "2 * 3"),
        ("native", "Answer: 2 * 3\n\nNumbers: 4, 5", "2 * 3"),
        ("native", "Answer: 2 * 3\r\n", "2 * 3"),
        ("native", "Answer: 1 + 2\nAnswer: ", "1 + 2"),
        ("native", "The Answer: 3", None),
        ("native", "answer: 3", None),
        ("native", "Answer:3", None),
        ("native", "", None),
        # the response begins after `<think>`
        ("r1", " hm </think> <answer> 24 </answer>", "24"),
        ("r1", " hm </think><answer> 24 </answer>", None),
        ("r1", " hm </think>\n<answer> 24 </answer>", None),
        ("r1", " hm </think> <answer> 24", None),
        ("r1", "<answer> 24 </answer>", None),
        ("r1", "a </think> <answer> 1 </answer> b </think> <answer> 2 </answer>", "2"),
        ("r1", "a </think> <answer> 1 </answer> and more", "1  and more"),
        ("r1", r"a </think> <answer> so \boxed{1} or \boxed{2} </answer>", "2"),
        ("r1", r"a </think> <answer> so \boxed{1} or \boxed{2 </answer>", ""),
        ("r1", r"a </think> <answer> so \boxed 2 </answer>", ""),
        ("r1", r"a \boxed{3} </think> <answer> 4 </answer>", "4"),
        ("r1_loose", " hm </think>\n\n<answer> 24 </answer>", "24"),
        ("r1_loose", " hm </think><answer> 24 </answer>", "24"),
        ("r1_loose", "<answer> 24 </answer>", None),
        # TinyZero looks at the last line alone
        ("answer_tag", "so </think>\n<answer> (1 + 2) / 3 </answer>", "(1 + 2) / 3"),
        ("answer_tag", "<answer>1</answer> no <answer>2</answer> stop", "2"),
        ("answer_tag", "<answer>1</answer>\n", None),
        ("answer_tag", "<answer>1</answer>\nso yes", None),
        ("answer_tag", "<answer>1 <answer>2</answer>", "1 <answer>2"),
        ("answer_tag", "<answer>1\n</answer>", None),
        ("answer_tag", "</answer><answer>", None),
        ("boxed", r"so \boxed{24}", "24"),
        ("boxed", r"\boxed{1} then \boxed{ 2 }.", "2"),
        ("boxed", r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        ("boxed", r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        ("boxed", r"\boxed{1} then \boxed{2", "1"),
        ("boxed", r"\boxed{1 then \boxed{2}", "2"),
        ("boxed", r"} { \boxed{3}", "3"),
        ("boxed", r"\boxed{\boxed{3}}", "3"),
        ("boxed", r"\boxed 3", None),
        ("boxed", "boxed{3}", None),
        ("boxed_strict", r"\boxed{1} then \boxed{2}", "2"),
        ("boxed_strict", r"\boxed{1} then \boxed{2", None),
        ("boxed_strict", "2", None),
        ("orz", "hm <answer> 24 </answer>", "24"),
        ("orz", "hm <answer> 24", None),
        ("r1_distill", r"\boxed{1} </think> \boxed{2}", "2"),
        ("r1_distill", r"\boxed{1}", None),
        ("r1_distill", r"hm </think> \boxed{1}, no: \boxed{2", None),
        ("r1_distill", r"a </think> b </think> \boxed{2}", None),
        ("gsm8k", "5 + 6 = <<5+6=11>>11\n#### 11\nmore", "11"),
        ("gsm8k", "#### 3\n#### 1,004", "1,004"),
        ("gsm8k", "11", None),
        ("verl_gsm8k", "#### $1,004", None),
        ("verl_gsm8k", "#### 1,004 eggs", "1004"),
        ("verl_gsm8k", "#### 7" + " " * 300, None),
        ("dapo", "Answer: 5\nanswer : x+1 ", "x+1"),
        ("dapo", "Answer: 5" + " " * 300, None),
        ("answer_is", "The answer is 12", "12"),
        ("answer_is", "The answer is 6.50. The next is 7.", "6.50"),
        ("answer_is", "Therefore, the answer (arabic numerals) is \n\n$$\nx = 80\n$$", "x = 80"),
        ("answer_is", "answer is 3 ... The final answer is: $x=4$.", "$x=4$"),
        ("answer_is", "so 370\nA: 370", "370"),
        ("answer_is", "It is 4:30 p.m.; the answer is 4:30 p.m. exactly", "4:30 p.m. exactly"),
        ("answer_is", "no statement", None),
        ("last_number", "3 of 1,234.50 dollars", "1,234.50"),
        ("last_number", "-3", "-3"),
        ("last_number", "none", None),
        ("choice", "so the answer is (C).", "C"),
        ("choice", r"thus \boxed{\text{(D)}}", "D"),
        ("choice", "D", "D"),
        ("choice", "is it (A)? no, (B)", "B"),
        ("choice", "A house", None),
        ("qwen", "the final answer is $3$. I hope it is", "3"),
        ("qwen", r"so \boxed{1} and \boxed{2", "2"),
        ("qwen", "boxed{7}", "7"),
        ("qwen", "he answer is 5.", "5"),
        ("qwen", "the answer is: 5/\n", "5"),
        ("qwen", "the answer is 5,\n  6.", "5,6"),
        ("qwen", "ends in boxed", ""),
        ("qwen", "7" + "." * 5000, "7"),
        ("qwen", "none", None),
        ("qwen", "3 then 1,004", "1004"),
        # a box first, whatever follows; then a tag, line or mark; then a statement; then any number
        ("any", "Answer: 1\n" + r"or \boxed{2}", "2"),
        ("any", r"\boxed{2}" + "\nAnswer: 1", "2"),
        ("any", "Answer: 1\n</think> <answer> 3 </answer>\nbye", "3"),
        ("any", "#### 4\nso the answer is 5", "4"),
        ("any", "3 and 4, so the answer is 5", "5"),
        ("any", "3 and 4", "4"),
        ("any", "nothing", None),
    ],
)
def test_the_answer_is_found_where_the_format_says(answer_format, response, answer):
    assert extract(response, answer_format) == answer


@pytest.mark.parametrize("answer_format", EXTRACTORS)
@pytest.mark.parametrize(
    "piece",
    [
        "\\boxed{",
        "<answer>",
        "</think> <answer>",
        "Answer: \n",
        "{",
        "}",
        "\\",
        "</answer>",
        "</think> ",
        "\ud800",
        "answer is ",
        "1",
        "(A) ",
        "#### ",
    ],
)
def test_a_hundred_thousand_unclosed_marks_yield_an_answer_or_none(answer_format, piece):
    # a quadratic rule would take minutes here
    found = extract(piece * 100_000, answer_format)
    assert found is None or isinstance(found, str)
    found = extract("</think> <answer>" + piece * 100_000 + "</answer>", answer_format)
    assert found is None or isinstance(found, str)


def test_every_format_has_words_for_finding_nothing():
    assert set(ABSENT) == set(EXTRACTORS)


def test_an_unknown_format_names_the_nearest():
    with pytest.raises(ValueError, match="no answer format 'boxd': did you mean boxed"):
        extract("x", "boxd")
