"""One queue for everything: cut, answered, kept, interrupted, continued."""

from dataclasses import replace

import pytest

from r1zero.config import EngineConfig, EvalConfig, SamplingConfig, TemplateConfig
from r1zero.evaluation.answers import collect, part
from r1zero.evaluation.queue import make_plan
from r1zero.evaluation.suites import Entry
from r1zero.store import read_rollouts
from r1zero.tasks.templates import TEMPLATES

CONFIG = EvalConfig(
    samples=2,
    template=TemplateConfig("none"),
    sampling=SamplingConfig(temperature=1.0, max_tokens=20),
    engine=EngineConfig(max_concurrent=2),
)


def every_second_sample_is_right(prompt, sample):
    return f"so \\boxed{{{int(prompt.problem.gold) + sample}}}"


def collected(config, plan, engine):
    return collect(config, ["sums"], plan, engine, weights="as they are", provenance={})


@pytest.fixture
def entries(sums, plain):
    others = [replace(problem, id=problem.id.replace("sums", "more")) for problem in sums]
    return [Entry("sums", tuple(sums), plain), Entry("more", tuple(others), plain)]


def test_chunks_hold_four_times_what_the_engine_samples_at_once_across_benchmarks(entries, fake_policy):
    plan = make_plan(entries, fake_policy(), samples=2, concurrent=3)
    assert [len(chunk.prompts) for chunk in plan.chunks] == [6, 6, 6, 2]
    assert [prompt.problem.id for prompt in plan.chunks[1].prompts][3:5] == ["sums/10", "more/1"]


def test_templates_do_not_share_a_chunk_for_their_stop_strings_differ(entries, fake_policy):
    mixed = [entries[0], replace(entries[1], template=TEMPLATES["r1"])]
    plan = make_plan(mixed, fake_policy(max_context=900), samples=1, concurrent=100)
    assert [chunk.template.name for chunk in plan.chunks] == ["none", "r1"]


def test_prompts_without_room_are_left_out_and_named(entries, fake_policy):
    plan = make_plan(entries, fake_policy(max_context=15), samples=1, concurrent=100)
    assert plan.dropped == ("sums/10", "more/10")  # "What is 10 + 1?" has 15 characters
    with pytest.raises(ValueError, match=r"no prompt fits the model's context of 3 tokens \(the shortest has 14\)"):
        make_plan(entries, fake_policy(max_context=3), samples=1, concurrent=100)


def test_every_response_is_graded_and_kept_in_order(entries, fake_policy, fake_engine):
    engine = fake_engine(every_second_sample_is_right)
    plan = make_plan(entries, fake_policy(), samples=2, concurrent=2)
    answers = collected(CONFIG, plan, engine)
    assert answers.rollouts["problem_id"].to_list()[::2] == [p.id for entry in entries for p in entry.problems]
    assert answers.rollouts["correct"].to_list() == [True, False] * 20
    assert answers.rollouts["extracted"].to_list()[:4] == ["2", "3", "3", "4"]
    assert all(call["samples"] == 2 and call["address"] == (0, "evaluation") for call in engine.calls)
    assert answers.timing.tokens == answers.rollouts["num_tokens"].sum()


def test_an_interrupted_evaluation_continues_and_ends_with_the_same_rollouts(
    entries, fake_policy, fake_engine, tmp_path
):
    plan = make_plan(entries, fake_policy(), samples=2, concurrent=2)
    whole = replace(CONFIG, out=str(tmp_path / "whole"))
    collected(whole, plan, fake_engine(every_second_sample_is_right))

    halves = replace(CONFIG, out=str(tmp_path / "halves"))
    with pytest.raises(KeyboardInterrupt):
        collected(halves, plan, fake_engine(every_second_sample_is_right, stop_after=2))
    assert [part(tmp_path / "halves", chunk.index).exists() for chunk in plan.chunks] == [True] * 2 + [False] * 3
    second = fake_engine(every_second_sample_is_right)
    answers = collected(halves, plan, second)
    assert answers.continued == 2 and len(second.calls) == 3
    kept = [read_rollouts(tmp_path / name, split="eval").collect().drop("run") for name in ("whole", "halves")]
    assert kept[0].equals(kept[1])

    third = fake_engine(every_second_sample_is_right)
    assert collected(halves, plan, third).rollouts.equals(answers.rollouts) and not third.calls


def test_a_directory_of_other_questions_or_settings_is_refused(sums, plain, fake_policy, fake_engine, tmp_path):
    config = replace(CONFIG, out=str(tmp_path / "kept"))
    engine = fake_engine(every_second_sample_is_right)
    plan = make_plan([Entry("sums", tuple(sums), plain)], fake_policy(), samples=2, concurrent=2)
    collected(config, plan, engine)
    changed = [replace(sums[0], gold="3"), *sums[1:]]
    other = make_plan([Entry("sums", tuple(changed), plain)], fake_policy(), samples=2, concurrent=2)
    with pytest.raises(ValueError, match="the questions are others"):
        collected(config, other, engine)
    headed = replace(plain, stop=("</answer>",))  # a template file whose text is the same and whose header is not
    other = make_plan([Entry("sums", tuple(sums), headed)], fake_policy(), samples=2, concurrent=2)
    with pytest.raises(ValueError, match="the questions are others"):
        collected(config, other, engine)
    with pytest.raises(ValueError, match=r"sampling\.max_tokens was 20, is 30"):
        collected(replace(config, sampling=replace(config.sampling, max_tokens=30)), plan, engine)
    moved = replace(config, data="elsewhere")  # where the files lie says nothing about what they hold
    assert collected(moved, plan, engine).continued == len(plan.chunks)


def test_what_fails_while_keeping_is_raised_and_leaves_no_half_part(entries, fake_policy, fake_engine, tmp_path):
    config = replace(CONFIG, out=str(tmp_path / "kept"))
    plan = make_plan(entries, fake_policy(), samples=2, concurrent=2)
    (tmp_path / "kept").mkdir()
    engine = fake_engine(every_second_sample_is_right)

    def block(prompt, sample):
        if not (tmp_path / "kept" / "eval").exists():
            (tmp_path / "kept" / "eval").write_text("a file where the folder should be")
        return every_second_sample_is_right(prompt, sample)

    with pytest.raises(OSError):
        collected(config, plan, fake_engine(block))
    (tmp_path / "kept" / "eval").unlink()
    assert collected(config, plan, engine).continued == 0


def test_the_rule_for_answers_can_be_another_than_the_templates(entries, fake_policy, fake_engine):
    plan = make_plan(entries[:1], fake_policy(), samples=1, concurrent=9)
    config = replace(CONFIG, samples=1, answer_format="r1")
    strict = collected(config, plan, fake_engine(every_second_sample_is_right))
    assert not strict.rollouts["formatted"].any()


def test_a_continuation_under_other_code_is_said_to_mix(entries, fake_policy, fake_engine, tmp_path, caplog):
    plan = make_plan(entries, fake_policy(), samples=2, concurrent=2)
    config = replace(CONFIG, out=str(tmp_path / "kept"))
    for commit, warnings in (("abc", 0), ("abc", 0), ("def", 1)):
        caplog.clear()
        engine = fake_engine(every_second_sample_is_right)
        collect(
            config,
            ["sums"],
            plan,
            engine,
            weights="as they are",
            provenance={"commit": commit, "versions": {"python": "3"}},
        )
        assert [record.message.count("begun with other code") for record in caplog.records] == [1] * warnings
