"""Facts of stored responses, worked out by hand, and verdicts joined to them."""

from __future__ import annotations

import polars as pl
import pytest

from r1zero.facts.columns import pool_column, text_digest
from r1zero.facts.cues import POOLS, CuePool
from r1zero.facts.read import FACT_POOLS, VERDICTS, digest, fact_schema, facts_frame, read_facts, with_verdicts
from r1zero.facts.response import response_facts
from r1zero.records import OUTCOMES
from r1zero.store import SCHEMA


def stored(*rows: dict) -> pl.DataFrame:
    """Stored rollouts of which only what is said is known."""
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in SCHEMA}, schema=SCHEMA)


GRADED = {"problem": "1+1?", "gold": "2", "task": "math", "finish_reason": "stop", "formatted": True}
RIGHT = GRADED | {"response": "It is \\boxed{2}.", "correct": True, "extracted": "2"}
WRONG = GRADED | {"response": "It is \\boxed{3}.", "correct": False, "extracted": "3"}


def test_the_columns_are_those_that_sections_rely_on():
    assert list(fact_schema())[:6] == ["model", "run", "step", "task", "template", "temperature"]
    assert {"cues_oat_zero", "cues_understand_r1_zero", "cues", "transition", "answer"} <= set(fact_schema())
    assert response_facts(stored(RIGHT)).schema == fact_schema() == facts_frame([]).schema


def test_a_correct_response_that_checks_itself():
    text = "Größe: x = 1. Wait, let me recheck: x = 2, and \\boxed{2}."
    row = RIGHT | {"response": text, "num_tokens": 20, "logprobs": [-1.0, -2.0, -3.0], "level": 4.0}
    facts = response_facts(stored(row)).row(0, named=True)
    assert facts["first_cue"] == text.index("Wait") == 14  # characters, not bytes
    cues = [POOLS["extended"].cues[place] for place in facts["keywords"]]
    assert cues == ["wait", "recheck*"] and facts["cues"] == 2
    assert facts["cues_oat_zero"] == facts["cues_understand_r1_zero"] == 1  # "recheck"
    assert (facts["num_chars"], facts["num_tokens"], facts["level"]) == (len(text), 20, 4.0)
    assert (facts["outcome"], facts["truncated"], facts["answer"], facts["answered"]) == ("correct", False, 0, True)
    assert facts["nll_mean"] == 2 and facts["nll_max"] == 3 and facts["nll_slope"] == pytest.approx(2)
    assert facts["digest"] == digest("1+1?", text)


def test_outcomes_follow_the_ledger_and_are_null_without_a_grade():
    rows = [
        RIGHT | {"finish_reason": "length"},
        WRONG,
        WRONG | {"formatted": False, "extracted": None},
        WRONG | {"finish_reason": "length"},
        WRONG | {"correct": None},
        WRONG | {"formatted": None, "finish_reason": None},
    ]
    facts = response_facts(stored(*rows))
    assert facts["outcome"].to_list() == ["correct", "wrong", "unformatted", "truncated", None, "wrong"]
    assert facts["truncated"].to_list() == [True, False, False, True, False, None]
    assert set(OUTCOMES) == set(facts["outcome"].drop_nulls())


def test_first_and_last_answers_make_the_transition():
    text = "\\boxed{%s}. Wait, it is \\boxed{%s}."
    rows = [
        RIGHT | {"response": text % ("5", "2")},
        RIGHT | {"response": text % ("2", "4/2"), "extracted": "4/2"},
        WRONG | {"response": text % ("2.0", "3")},
        WRONG | {"response": text % ("3", "3")},
        WRONG | {"response": text % ("5", "3")},
        WRONG | {"response": "Hmm, hmm.", "formatted": False, "extracted": None},
        WRONG | {"gold": None},
        WRONG | {"correct": None},
    ]
    facts = response_facts(stored(*rows))
    assert facts["transition"].to_list() == ["FT", "TT", "TF", "FF_same", "FF_other", "none", None, None]
    assert facts["first_answer_end"].to_list()[:2] == [len("\\boxed{5}")] * 2
    assert facts["candidates"].to_list()[:5] == [2] * 5


def test_a_gold_that_no_answer_can_be_graded_against_leaves_the_transition_unknown():
    rows = [WRONG | {"response": "\\boxed{5}. Wait, \\boxed{3}.", "gold": '{"answers": []}'}]
    assert response_facts(stored(*rows)).select("transition", "candidates").row(0) == (None, 2)


def test_a_wrong_answer_of_which_nobody_kept_text_or_form_has_no_transition():
    label_only = GRADED | {"response": "It is 3.", "correct": False, "formatted": None}
    assert response_facts(stored(label_only))["transition"].to_list() == [None]
    assert response_facts(stored(label_only))["outcome"].to_list() == ["wrong"]


def test_votes_agree_where_the_ballots_of_maj_at_k_do():
    rows = [RIGHT, RIGHT | {"extracted": "4/2"}, WRONG, WRONG | {"extracted": " $3$."}, WRONG | {"extracted": None}]
    answers = response_facts(stored(*rows))["answer"].to_list()
    assert answers == [0, 0, text_digest("3"), text_digest("3"), None]


def test_an_imported_row_that_knows_only_its_text_has_facts_of_its_text():
    facts = response_facts(stored({"response": "Hmm, 2 + 2 = 4."}), source="theirs").row(0, named=True)
    assert (facts["model"], facts["cues"], facts["num_chars"], facts["answered"]) == ("theirs", 1, 15, True)
    unknown = ("num_tokens", "correct", "outcome", "truncated", "transition", "answer", "nll_mean", "temperature")
    assert [facts[name] for name in unknown] == [None] * len(unknown)


def test_a_row_without_a_response_says_nothing_about_one():
    facts = response_facts(stored({"problem": "1+1?", "correct": False, "formatted": False}, RIGHT))
    read = ("num_chars", "cues", "keywords", "answered", "candidates", "transition", "first_cue")
    assert facts.select(read).row(0) == (None,) * len(read) and facts["cues"][1] == 0


def test_the_model_is_the_checkpoint_else_the_run_else_the_file():
    rows = [RIGHT | {"checkpoint": "org/m", "run": "r"}, RIGHT | {"checkpoint": "", "run": "r"}, RIGHT]
    assert response_facts(stored(*rows), source="f")["model"].to_list() == ["org/m", "r", "f"]


def test_the_first_pool_is_the_chosen_one_and_others_are_counted_under_their_names():
    mine = CuePool("my-own", ("perhaps", "maybe"))
    facts = response_facts(stored(RIGHT | {"response": "Maybe 2, perhaps. Wait."}), pools=(mine, POOLS["extended"]))
    assert facts["keywords"].to_list() == [[1, 0]] and facts["cues_extended"].to_list() == [1]
    with pytest.raises(ValueError, match=r"\[extended, a-b, a_b\]: give at least one, and each a name of its own"):
        fact_schema((POOLS["extended"], CuePool("a-b", ()), CuePool("a_b", ())))
    assert pool_column(FACT_POOLS[1]) == "cues_oat_zero"


def test_made_up_facts_have_every_column_and_refuse_unknown_ones():
    facts = facts_frame([{"problem_id": "p", "transition": "FT", "keywords": [1, 2]}])
    assert facts.schema == fact_schema() and facts["correct"].to_list() == [None]
    with pytest.raises(ValueError, match="facts have no column corect"):
        facts_frame([{"corect": True}])


def test_verdicts_find_their_responses_and_the_last_word_counts():
    facts = facts_frame([{"digest": n, "label_answers": True} for n in (1, 2, 2, 3)])
    verdicts = pl.DataFrame({"digest": [2, 9, 2, 1], "judge_category": [1, 0, 3, None], "label_answers": [None] * 4})
    joined = with_verdicts(facts, verdicts)
    assert joined["judge_category"].to_list() == [None, 3, 3, None] and joined.schema == facts.schema
    assert joined["label_answers"].to_list() == [True] * 4
    again = with_verdicts(joined, pl.DataFrame({"digest": [2], "judge_category": [0]}))
    assert again["judge_category"].to_list() == [None, 0, 0, None]
    assert with_verdicts(facts, verdicts.head(0)).equals(facts)


def test_verdicts_with_other_columns_are_refused():
    with pytest.raises(ValueError, match=f"digest, verdict: want digest and {', '.join(VERDICTS)}"):
        with_verdicts(facts_frame([]), pl.DataFrame({"digest": [1], "verdict": [True]}))


def test_digests_tell_problem_from_response_and_survive_half_characters():
    assert digest("ab", "c") != digest("a", "bc") and digest("p", "\ud800") == digest("p", "?")
    assert digest("Using 3, 8: make 24", "3*8") == digest("Using 3, 8: make 24", "3*8") < 2**64


def test_a_table_with_some_of_the_columns_is_enough():
    facts = read_facts(pl.DataFrame({"response": ["Wait.", "4"], "problem_id": ["a", "b"], "their_own": [1, 2]}))
    assert facts["cues"].to_list() == [1, 0] and facts["problem_id"].to_list() == ["a", "b"]
    assert facts["model"].to_list() == ["unnamed"] * 2
