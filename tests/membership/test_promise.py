from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.membership import most_tpr

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
