from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.membership import scores_of_units
from discreet.membership.units import TOGETHER, Together

BY_HAND: dict[Together, Callable[[list[float]], float]] = {
    "mean": lambda own: sum(own) / len(own),
    "sum": sum,
    "largest": max,
}


@pytest.mark.parametrize("together", list(TOGETHER))
@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-9, 9)), min_size=1, max_size=20))
def test_each_unit_gets_one_score_of_its_own_examples(
    together: Together, pairs: list[tuple[str, float]]
) -> None:
    own: dict[str, list[float]] = {}
    for unit, score in pairs:
        own.setdefault(unit, []).append(score)
    found = scores_of_units(
        np.array([score for _, score in pairs]), [unit for unit, _ in pairs], together=together
    )
    assert list(found) == list(own)
    for unit, scores in own.items():
        assert found[unit] == pytest.approx(BY_HAND[together](scores))


def test_what_does_not_fit_is_refused() -> None:
    for scores in (np.ones(1), np.array([1.0, np.nan])):
        with pytest.raises(ValueError, match="score for each of 2 examples"):
            scores_of_units(scores, ["a", "b"])
