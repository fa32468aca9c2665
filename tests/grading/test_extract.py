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
        ("any", "Answer: 1\n" + r"or \boxed{2}", "2"),
        ("any", r"\boxed{2}" + "\nAnswer: 1", "1"),
        ("any", "Answer: 1\n</think> <answer> 3 </answer>\nbye", "3"),
        ("any", "nothing", None),
    ],
)
def test_the_answer_is_found_where_the_format_says(answer_format, response, answer):
    assert extract(response, answer_format) == answer


@pytest.mark.parametrize("answer_format", EXTRACTORS)
@pytest.mark.parametrize(
    "piece",
    ["\\boxed{", "<answer>", "</think> <answer>", "Answer: \n", "{", "}", "\\", "</answer>", "</think> ", "\ud800"],
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
