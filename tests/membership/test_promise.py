from math import exp, log
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.membership import most_tpr, promise_of_group

rates = st.floats(0, 1)


@given(st.floats(0.01, 8), st.floats(0, 0.1), rates)
def test_no_attack_on_randomized_response_passes_it_and_the_best_reaches_it(
    epsilon: float, delta: float, fpr: float
) -> None:
    """With delta the bit is shown; else it is told truly with chance e^eps / (1 + e^eps).

    The best test of one bit against the other, by Neyman and Pearson: accuse in the order of
    likelihood ratios, which are infinite, e^eps, e^-eps and 0.
    """
    truth = (1 - delta) * exp(epsilon) / (1 + exp(epsilon))
    members, others = [delta, truth, 1 - delta - truth, 0.0], [0.0, 1 - delta - truth, truth, delta]
    best = float(np.interp(fpr, np.cumsum([0, *others]), np.cumsum([0, *members])))
    best = max(best, delta)  # nobody is accused wrongly where the bit is shown
    assert most_tpr(epsilon, delta, fpr=fpr) == pytest.approx(best, abs=1e-9)


@given(st.floats(0, 50), st.floats(0, 1), rates)
def test_it_is_a_share_and_at_least_chance(epsilon: float, delta: float, fpr: float) -> None:
    assert fpr <= most_tpr(epsilon, delta, fpr=fpr) <= 1


def test_the_ends() -> None:
    assert most_tpr(0.0, 0.0, fpr=0.3) == pytest.approx(0.3)
    assert most_tpr(log(3), 0.0, fpr=0.1) == pytest.approx(0.3)
    assert most_tpr(float("inf"), 0.0, fpr=0.01) == 1.0


@pytest.mark.parametrize("bad", [(-1.0, 0.0, 0.1), (1.0, 2.0, 0.1), (1.0, 0.0, 1.1)])
def test_numbers_out_of_range_are_refused(bad: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="epsilon >= 0"):
        most_tpr(bad[0], bad[1], fpr=bad[2])


def test_a_promise_of_one_weakens_with_every_further_one() -> None:
    """Delta of two: delta + e^eps delta, from neighbour to neighbour (Vadhan 2017, lemma 2.2)."""
    assert promise_of_group(1.0, 1e-5, 1) == (1.0, 1e-5)
    epsilon, delta = promise_of_group(1.0, 1e-5, 2)
    assert (epsilon, delta) == (2.0, pytest.approx(1e-5 * (1 + exp(1))))
    assert promise_of_group(900.0, 1e-5, 3) == (2700.0, 1.0)
    with pytest.raises(ValueError, match="1 unit or more"):
        promise_of_group(1.0, 0.0, 0)


def test_seven_alike_examples_of_a_person_keep_the_promise_of_seven() -> None:
    """Gaussian noise on the sum of a person's 7 examples: shift 7 times that of one."""
    mu = 0.25
    fpr = 0.01
    one_epsilon = 1.01  # of mu = 0.25 at delta 1e-5: at least
    found = NormalDist().cdf(7 * mu - NormalDist().inv_cdf(1 - fpr))
    assert found > most_tpr(one_epsilon, 1e-5, fpr=fpr), "of one it would be called broken"
    assert found <= most_tpr(*promise_of_group(one_epsilon, 1e-5, 7), fpr=fpr)
