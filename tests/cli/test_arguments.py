"""Reading a command line."""

import pytest

from r1zero.cli import train
from r1zero.cli.arguments import knob_types, parse
from r1zero.cli.verb import Arguments, Option, Verb
from r1zero.config import TrainConfig, flatten

PLAIN = Verb(
    name="plain",
    summary="",
    usage="FILE [-o OUT]",
    run=lambda arguments: 0,
    positionals=(1, 2),
    options=(
        Option("out", "FILE", "", short="o"),
        Option("json", "", ""),
        Option("kind", "NAME", "", choices=("a", "b")),
    ),
)


def test_positionals_options_and_knobs_are_told_apart_in_any_order():
    words = ["--seed", "3", "mine.toml", "--learner.lr=1e-5", "--json", "--seeds", "2", "--run.dir", "runs/a"]
    assert parse(train.VERB, words) == Arguments(
        ("mine.toml",), {"json": "true", "seeds": "2"}, {"seed": "3", "learner.lr": "1e-5", "run.dir": "runs/a"}
    )


def test_a_negative_number_is_a_value():
    assert parse(train.VERB, ["--reward.wrong_answer", "-0.5"]).overrides == {"reward.wrong_answer": "-0.5"}


def test_a_switch_among_the_knobs_may_stand_alone():
    words = ["--model.gradient_checkpointing", "quickstart"]
    arguments = parse(train.VERB, words)
    assert arguments.overrides == {"model.gradient_checkpointing": "true"}
    assert arguments.positionals == ("quickstart",)
    assert parse(train.VERB, ["--model.gradient_checkpointing", "False"]).overrides.popitem()[1] == "False"


def test_dashes_in_a_key_are_underscores_and_the_other_way_round():
    assert parse(train.VERB, ["--sampling.max-tokens", "9"]).overrides == {"sampling.max_tokens": "9"}
    assert parse(PLAIN, ["f", "--out", "x"]) == parse(PLAIN, ["-o", "x", "f"])


def test_two_dashes_end_the_flags_and_one_is_a_file():
    assert parse(PLAIN, ["--", "--json", "-"]).positionals == ("--json", "-")


def test_every_knob_of_the_config_is_a_flag():
    assert list(knob_types(train.VERB)) == list(flatten(TrainConfig()))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--learner.lr"], "--learner.lr needs a value"),
        (["--learner.lr", "--json"], "--learner.lr needs a value"),
        (["--max_tokens", "9"], "did you mean --sampling.max_tokens, --evaluation.max_tokens"),
        (["--lerner.lr", "9"], "unknown option --lerner.lr: did you mean --learner.lr"),
        (["--zzzzzz", "9"], "unknown option --zzzzzz: see --help for every option"),
        (["--json=yes"], "--json takes no value"),
        (["-x"], "unknown option -x"),
        (["a", "b"], "unexpected 'b'; usage: r1zero train [RECIPE]"),
    ],
)
def test_a_wrong_word_of_train_is_named_with_what_was_meant(words, message):
    with pytest.raises(ValueError) as error:
        parse(train.VERB, words)
    assert message in str(error.value)


def test_missing_positionals_show_the_usage_and_choices_are_checked():
    with pytest.raises(ValueError, match="usage: r1zero plain FILE"):
        parse(PLAIN, [])
    with pytest.raises(ValueError, match="--kind c: choose from a, b"):
        parse(PLAIN, ["f", "--kind", "c"])
    assert parse(PLAIN, ["-h"]).has("help")


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "²"])
def test_a_count_is_a_whole_number_of_at_least_one(value):
    with pytest.raises(ValueError, match=r"--seeds .*: give a whole number, at least 1"):
        Arguments((), {"seeds": value}).count("seeds", 1)
