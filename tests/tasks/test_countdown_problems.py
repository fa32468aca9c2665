import json
from dataclasses import replace
from fractions import Fraction

import pytest

from r1zero.config import TaskConfig
from r1zero.grading import grade
from r1zero.tasks import build_task
from r1zero.tasks.countdown import Term, combine, is_held_out, last_steps, make_problem, problem_key, reachable

EASY = TaskConfig()


def test_the_same_seed_split_and_index_give_the_same_problem_however_it_is_asked_for():
    whole = build_task(EASY, seed=3).problems("train", 0, 20)
    again = build_task(EASY, seed=3)
    assert [again.problems("train", i, 1)[0] for i in range(20)] == whole
    assert build_task(EASY, seed=4).problems("train", 0, 20) != whole


def test_no_problem_is_in_both_splits_of_any_seeds():
    held_out = {
        problem_key(p.fields["nums"], p.fields["target"]) for p in build_task(EASY, 0).problems("eval", 0, 1000)
    }
    assert len(held_out) == 1000
    for seed in (0, 1):
        for problem in build_task(EASY, seed).problems("train", 0, 3000):
            assert problem_key(problem.fields["nums"], problem.fields["target"]) not in held_out


def test_held_out_problems_are_the_same_for_every_seed_and_every_count():
    first = build_task(EASY, 0).problems("eval", 0, 40)
    other = build_task(EASY, 9)
    assert other.problems("eval", 0, 25) == first[:25]
    assert other.problems("eval", 25, 15) == first[25:]


def test_a_problem_is_the_same_whatever_the_order_of_its_numbers():
    assert problem_key([8, 3, 5], 23) == problem_key([5, 8, 3], 23) == "3-5-8:23"
    assert is_held_out([8, 3, 5], 23) == is_held_out([5, 8, 3], 23)


@pytest.mark.parametrize("num_numbers", [(2,), (3,), (4,), (3, 4)])
def test_every_generated_problem_can_be_solved_within_its_dials(num_numbers):
    config = replace(EASY, num_numbers=num_numbers, number_max=30, target_max=50)
    for problem in build_task(config, 0).problems("train", 0, 60) + build_task(config, 0).problems("eval", 0, 20):
        nums, target = problem.fields["nums"], problem.fields["target"]
        assert len(nums) in num_numbers
        assert max(nums) <= 30 and min(nums) >= 1 and 1 <= target <= 50
        assert Fraction(target) in reachable(tuple(nums))
        assert json.loads(problem.gold) == {"nums": nums, "target": target}


def test_train_ids_differ_even_where_problems_repeat():
    task = build_task(replace(EASY, num_numbers=(2,), number_max=4), 0)
    problems = task.problems("train", 0, 300)
    assert len({p.id for p in problems}) == 300
    assert len({p.gold for p in problems}) < 300


def test_asking_for_more_held_out_problems_than_exist_says_how_many_there_are():
    tiny = replace(EASY, num_numbers=(2,), number_max=3, target_max=5)
    with pytest.raises(ValueError, match=r"only \d+ held-out problems exist.*num_problems"):
        build_task(tiny, 0).problems("eval", 0, 50)


def test_reachable_values_are_exact():
    assert reachable((2, 3)) == {Fraction(5), Fraction(-1), Fraction(1), Fraction(6), Fraction(2, 3), Fraction(3, 2)}
    assert Fraction(24) in reachable((3, 3, 8, 8))  # 8 / (3 - 8 / 3), through thirds
    assert Fraction(24) not in reachable((1, 1, 1, 1))


def test_an_expression_has_the_parentheses_that_its_value_needs_and_no_more():
    three, four, five = (Term(n, str(n)) for n in (3, 4, 5))
    total = combine(three, "+", four)
    assert combine(total, "*", five).text == "(3+4)*5"
    assert combine(five, "*", total).text == "5*(3+4)"
    assert combine(total, "+", five).text == "3+4+5"
    ten = combine(five, "+", five)
    assert combine(ten, "-", total).text == "5+5-(3+4)"
    assert combine(Term(24, "24"), "/", combine(three, "*", four)).text == "24/(3*4)"


def test_only_positive_whole_results_are_written():
    values = {(str(step), term.text) for step, term in last_steps([Term(6, "6"), Term(4, "4")], value_max=20)}
    assert values == {("6+4=10", "6+4"), ("4+6=10", "4+6"), ("6-4=2", "6-4")}  # 24 is above 20, 6/4 is not whole


def test_the_gold_of_a_problem_grades_its_solution_right_and_a_spoiled_one_wrong():
    problem = make_problem([25, 4, 7], 93)
    assert grade("Answer: 25*4-7", problem.gold, "native", task="countdown").correct
    assert not grade("Answer: 25*4+7", problem.gold, "native", task="countdown").correct
