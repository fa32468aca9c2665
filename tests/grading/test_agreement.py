"""Two graders: agreement and Cohen's kappa."""

import math

from r1zero.grading.agreement import Agreement


def test_kappa_of_a_table_worked_out_by_hand():
    # agree on 35 of 50: p = 0.7; first says right 25 / 50, second 30 / 50: e = 0.5 * 0.6 + 0.5 * 0.4 = 0.5
    table = Agreement(both=20, only_first=5, only_second=10, neither=15)
    assert table.share == 0.7
    assert math.isclose(table.kappa, (0.7 - 0.5) / (1 - 0.5))


def test_kappa_is_one_for_the_same_verdicts_minus_one_for_opposite_ones_and_undefined_for_a_single_verdict():
    assert Agreement(both=3, neither=3).kappa == 1
    assert Agreement(only_first=3, only_second=3).kappa == -1
    assert math.isnan(Agreement(both=3).kappa) and math.isnan(Agreement().kappa) and math.isnan(Agreement().share)


def test_each_pair_of_verdicts_is_counted_once():
    table = Agreement()
    for pair in ((True, True), (True, False), (False, True), (False, True), (False, False)):
        table = table.add(*pair)
    assert table == Agreement(both=1, only_first=1, only_second=2, neither=1)
