"""Which problems are asked: hand-worked posteriors, the weights' own distribution, and a simulated learner."""

import json
import math
import random
from collections import Counter
from dataclasses import dataclass

import pytest

from r1zero.config import ChoiceConfig, TaskConfig
from r1zero.records import Grade, Problem, Prompt, Response, Rollout
from r1zero.tasks import build_task
from r1zero.training.choice import Choices, choice_metrics, choose, drawn, learned


@dataclass(frozen=True)
class Cycle:
    """`size` problems over and over in the same order, with levels in turn."""

    size: int
    levels: tuple[float | None, ...] = (None,)
    name: str = "cycle"

    def problems(self, split, start, count):
        return [
            Problem(f"p{i % self.size}", "cycle", "?", "!", level=self.levels[i % self.size % len(self.levels)])
            for i in range(start, start + count)
        ]


def answered(problem, correct):
    prompt, response = Prompt(problem, "native", "?", (1,)), Response("", (7,), (-1.0,), "stop")
    return [Rollout(1, i, prompt, response, Grade(c, True, None, ""), float(c)) for i, c in enumerate(correct)]


def names(problems):
    return [problem.id for problem in problems]


BY_ACCURACY = ChoiceConfig(by="target_accuracy", decay=1.0)


def test_order_takes_the_next_problems():
    problems, choices = choose(Cycle(5), Choices(place=3), ChoiceConfig(), 3, (0,))
    assert names(problems) == ["p3", "p4", "p0"]
    assert choices.place == 6
    assert choice_metrics(choices, [answered(p, [1]) for p in problems], ChoiceConfig()) == {}


def test_the_expected_accuracy_is_the_posterior_mean():
    a, b, c = Cycle(3).problems("train", 0, 3)
    choices = learned(Choices(), [answered(a, [1, 1, 1, 0]), answered(b, [0, 0, 0, 0])], BY_ACCURACY)
    prior = (3 + 1) / (8 + 2)  # of their level: 3 of 8 right
    assert choices.expected(a) == pytest.approx((3 + 2 * prior) / (4 + 2))
    assert choices.expected(b) == pytest.approx((0 + 2 * prior) / (4 + 2))
    assert choices.expected(c) == pytest.approx(prior)
    assert Choices().expected(a) == 0.5  # Beta(1, 1)


def test_a_first_problem_of_an_unknown_level_has_the_prior_of_one_half():
    easy, hard = Cycle(2, levels=(1.0, 2.0)).problems("train", 0, 2)
    choices = learned(Choices(), [answered(easy, [1, 1])], BY_ACCURACY)
    assert choices.expected(hard) == 0.5
    assert choices.expected(easy) == pytest.approx((2 + 2 * 0.75) / 4)


def test_past_answers_count_less_each_time_a_problem_is_asked_again():
    problem = Cycle(1).problems("train", 0, 1)[0]
    config = ChoiceConfig(by="target_accuracy", decay=0.5)
    choices = learned(Choices(), [answered(problem, [1, 1, 0, 0])], config)
    choices = learned(choices, [answered(problem, [1, 1, 1, 1])], config)
    assert choices.problems == {"p0": (5.0, 6.0)}  # half of 2 of 4, and 4 of 4
    assert choices.levels == {"None": (5.0, 6.0)}


def test_without_any_knowledge_the_task_goes_in_order_and_nothing_is_passed_over():
    problems, choices = choose(Cycle(50), Choices(), BY_ACCURACY, 4, (0, "choice", 1))
    assert names(problems) == ["p0", "p1", "p2", "p3"]
    assert choices.place == 4


def test_problems_near_the_target_are_preferred():
    task, choices = Cycle(16), Choices()
    for problem, share in zip(task.problems("train", 0, 16), [0, 0.5, 1, 1] * 4, strict=True):
        choices = learned(choices, [answered(problem, [i < share * 100 for i in range(100)])], BY_ACCURACY)
    narrow = ChoiceConfig(by="target_accuracy", target=0.5, width=0.05, decay=1.0)
    problems, choices = choose(task, choices, narrow, 4, (0, "choice", 1))
    assert names(problems) == ["p1", "p5", "p9", "p13"]
    assert choices.place == 16
    metrics = choice_metrics(choices, [answered(p, [1]) for p in problems], narrow)
    assert metrics["choice/known_share"] == 1
    assert metrics["choice/expected_accuracy"] == pytest.approx((50 + 2 * (1000 + 1) / 1602) / 102)


def test_a_single_draw_follows_the_weights():
    window, weights = Cycle(3).problems("train", 0, 3), [0.6, 0.3, 0.1]
    counts = Counter(drawn(window, [math.log(w) for w in weights], 1, (0, i))[0].id for i in range(3000))
    for i, weight in enumerate(weights):
        assert abs(counts[f"p{i}"] / 3000 - weight) < 4 * math.sqrt(weight * (1 - weight) / 3000)


def test_a_pair_is_drawn_one_after_the_other_without_replacement():
    window, weights = Cycle(3).problems("train", 0, 3), [0.6, 0.3, 0.1]
    pairs = Counter(tuple(names(drawn(window, [math.log(w) for w in weights], 2, (1, i)))) for i in range(3000))
    truth = 0.6 * 0.3 / 0.4 + 0.3 * 0.6 / 0.7  # p0 then p1, or p1 then p0
    assert abs(pairs["p0", "p1"] / 3000 - truth) < 4 * math.sqrt(truth * (1 - truth) / 3000)


def test_a_problem_that_stands_twice_in_the_window_is_drawn_once():
    window = Cycle(3).problems("train", 0, 7)
    assert names(drawn(window, [0.0] * 7, 4, (0,))) == ["p0", "p1", "p2"]


def test_a_draw_depends_on_nothing_but_its_address():
    window = Cycle(20).problems("train", 0, 20)
    weights = [i / 10 for i in range(20)]
    draws = [names(drawn(window, weights, 5, address)) for address in ((0, 1), (0, 1), (0, 2), (1, 1))]
    assert draws[0] == draws[1]
    assert len({tuple(draw) for draw in draws}) == 3


def test_weights_too_small_for_a_float_still_order_the_draw():
    window = Cycle(3).problems("train", 0, 3)
    assert names(drawn(window, [-1e6, -1e5, -2e5], 2, (0,))) == ["p1", "p2"]


def test_choosing_by_accuracy_finds_the_problems_of_medium_difficulty():
    """60 problems of which a third are never solved, a third always and a third half the time, in shuffled order."""
    truth = random.Random(0).sample([0.0, 0.5, 1.0] * 20, 60)

    def mixed_share(config):
        task, choices, rng, mixed = Cycle(60), Choices(), random.Random(1), []
        for step in range(120):
            problems, choices = choose(task, choices, config, 6, (0, "choice", step))
            groups = [answered(p, [rng.random() < truth[int(p.id[1:])] for _ in range(8)]) for p in problems]
            mixed += [len({r.grade.correct for r in group}) > 1 for group in groups]
            choices = learned(choices, groups, config)
        return sum(mixed[-360:]) / 360

    in_order = mixed_share(ChoiceConfig())
    assert in_order == pytest.approx(1 / 3, abs=0.02)  # whole passes: 20 of 60
    assert mixed_share(ChoiceConfig(by="target_accuracy", width=0.1)) > 0.6


BY_LEVEL = ChoiceConfig(by="curriculum", threshold=0.5, horizon=4, candidates=3)


def test_a_curriculum_begins_with_the_easiest_level_in_the_order_of_the_task():
    task = Cycle(12, levels=(2.0, 1.0, 3.0))
    problems, choices = choose(task, Choices(), BY_LEVEL, 3, (0,))
    assert names(problems) == ["p1", "p4", "p7"]
    assert choices.place == 8  # just after the last one taken
    assert (choices.opened, choices.known_levels) == (1.0, (1.0, 2.0, 3.0))
    assert choice_metrics(choices, [answered(p, [1]) for p in problems], BY_LEVEL) == {"choice/level": 1.0}


def test_where_open_problems_are_too_few_the_easiest_others_fill_up():
    task = Cycle(6, levels=(2.0, 3.0, 2.0, 3.0, 3.0, 1.0))
    problems, choices = choose(task, Choices(), BY_LEVEL, 2, (0,))
    assert names(problems) == ["p0", "p5"]
    assert choices.place == 6


def test_a_level_opens_once_the_last_problems_at_the_hardest_one_went_well():
    task = Cycle(12, levels=(1.0, 2.0, 3.0))
    easy, middle, _ = task.problems("train", 0, 3)
    choices = Choices(opened=1.0, known_levels=(1.0, 2.0, 3.0))
    choices = learned(choices, [answered(easy, [0, 0]), answered(easy, [0, 1]), answered(easy, [1, 1])], BY_LEVEL)
    assert (choices.opened, choices.recent) == (1.0, (0.0, 0.5, 1.0))  # three of the four that the horizon wants
    choices = learned(choices, [answered(easy, [0, 1])], BY_LEVEL)
    assert (choices.opened, choices.recent) == (2.0, ())  # (0 + .5 + 1 + .5) / 4 is the threshold
    choices = learned(choices, [answered(easy, [1, 1])] * 5 + [answered(middle, [0, 0])], BY_LEVEL)
    assert (choices.opened, choices.recent) == (2.0, (0.0,))  # easier problems do not open anything
    choices = learned(choices, [answered(middle, [1, 1])] * 4, BY_LEVEL)
    assert choices.opened == 3.0
    choices = learned(choices, [answered(task.problems("train", 2, 1)[0], [1, 1])] * 9, BY_LEVEL)
    assert choices.opened == 3.0  # nothing harder is known


def test_a_curriculum_over_generated_countdown_goes_by_how_many_numbers_there_are():
    task = build_task(TaskConfig(num_numbers=(2, 3)), seed=0)
    config = ChoiceConfig(by="curriculum", candidates=8)
    problems, choices = choose(task, Choices(), config, 8, (0,))
    assert {problem.level for problem in problems} == {2.0}
    assert choices.known_levels == (2.0, 3.0)


def test_a_curriculum_without_levels_is_refused():
    with pytest.raises(ValueError, match=r"choice\.by=curriculum needs problems with a level, and p0 of task cycle"):
        choose(Cycle(3), Choices(), BY_LEVEL, 2, (0,))


def test_what_is_known_survives_json_to_the_last_bit():
    task = Cycle(3, levels=(1.0,))
    choices = Choices(place=7, opened=1.0, known_levels=(1.0, 2.0), recent=(1 / 3, 0.1))
    config = ChoiceConfig(by="target_accuracy", decay=0.7)
    for problem in task.problems("train", 0, 6):
        choices = learned(choices, [answered(problem, [1, 0, 0])], config)
    assert Choices.from_dict(json.loads(json.dumps(choices.to_dict()))) == choices
    assert Choices.from_dict(json.loads(json.dumps(Choices().to_dict()))) == Choices()


@pytest.mark.parametrize("field", ["candidates", "width", "horizon"])
def test_sizes_of_nothing_are_refused(field):
    with pytest.raises(ValueError, match=rf"choice\.{field}=0"):
        ChoiceConfig(**{field: 0})
