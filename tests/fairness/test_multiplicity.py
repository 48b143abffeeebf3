from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.fairness import adjusted


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closure_of_bonferroni(p_values: list[float]) -> None:
    every = range(len(p_values))
    sets = list(chain.from_iterable(combinations(every, size) for size in range(1, 7)))
    found = adjusted(dict(enumerate(p_values)))
    for one in every:
        tests = [min(1, len(own) * min(p_values[i] for i in own)) for own in sets if one in own]
        assert found[one] == pytest.approx(max(tests))


def test_one_false_finding_of_any_is_as_rare_as_promised() -> None:
    draw = np.random.default_rng(1)
    runs = draw.uniform(size=(2000, 8))
    wrong = np.mean([min(adjusted(dict(enumerate(run))).values()) < 0.05 for run in runs])
    assert wrong < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)
    assert np.mean((runs < 0.05).any(1)) > 0.25  # without it, a third of all


def test_nothing_asked_finds_nothing() -> None:
    assert adjusted({}) == {}


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_what_is_no_p_value_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        adjusted({"skin": 0.5, "gender": wrong})
