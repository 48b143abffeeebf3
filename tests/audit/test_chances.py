"""Of many questions without an answer, one is answered wrongly in few families."""

import numpy as np

from discreet.audit.chances import below_holm, p_of_estimate, p_of_mean


def test_false_alarms_of_a_family_stay_below_the_level() -> None:
    """2,000 families of 10: their share is 0.05 at most, and 0.07 is five errors away."""
    draw = np.random.default_rng(0)
    alarms = [any(below_holm(draw.uniform(size=10).tolist())) for _ in range(2000)]
    assert np.mean(alarms) < 0.07


def test_a_rejected_question_makes_room_for_the_next() -> None:
    assert below_holm([0.001, 0.02, 0.04]) == [True, True, True]
    assert below_holm([0.03, 0.04]) == [False, False]


def test_chances_of_means_are_even_where_there_is_nothing() -> None:
    draw = np.random.default_rng(1)
    chances = [p_of_mean(draw.normal(size=12)) for _ in range(2000)]
    assert abs(np.mean(np.array(chances) < 0.05) - 0.05) < 0.02


def test_people_who_all_agree_are_fair_coins() -> None:
    assert p_of_mean(np.ones(6)) == p_of_estimate(1.0, 0.0, 6) == 0.5**6
    assert p_of_mean(np.zeros(6)) == 1.0
