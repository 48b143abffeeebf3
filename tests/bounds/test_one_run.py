import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discreet.bounds import Choice, Guesses, one_run_bound, one_run_epsilon, one_run_p_value


def of(canaries: int, guesses: int, correct: int) -> Guesses:
    return Guesses(canaries=canaries, guesses=guesses, correct=correct)


@pytest.mark.parametrize(("count", "ceiling"), [(100, 3.49), (500, 5.11), (1000, 5.81)])
def test_the_ceiling_with_every_guess_right(count: int, ceiling: float) -> None:
    """All right has the chance q ** count; the figures are those of JAX-Privacy's auditor."""
    found = one_run_epsilon(of(count, count, count), delta=0.0)
    right = 0.05 ** (1 / count)
    assert found == pytest.approx(math.log(right / (1 - right)), abs=1e-5)
    assert round(found, 2) == ceiling


def test_without_delta_it_is_the_binomial_tail_counted_out() -> None:
    right = math.exp(0.7) / (1 + math.exp(0.7))
    tail = sum(math.comb(12, k) * right**k * (1 - right) ** (12 - k) for k in range(9, 13))
    assert one_run_p_value(of(20, 12, 9), epsilon=0.7, delta=0.0) == pytest.approx(tail)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.data(), st.floats(0.0, 4.0), st.floats(1e-6, 1e-2))
def test_with_delta_it_is_theorem_5_2_added_up_term_by_term(
    guesses: int, data: st.DataObject, epsilon: float, delta: float
) -> None:
    correct = data.draw(st.integers(0, guesses))
    right = 1 / (1 + math.exp(-epsilon))
    chances = [
        math.comb(guesses, k) * right**k * (1 - right) ** (guesses - k) for k in range(guesses + 1)
    ]
    alpha, fewer = 0.0, 0.0
    for i in range(1, correct + 1):
        fewer += chances[correct - i]
        alpha = max(alpha, fewer / i)
    expected = min(1.0, sum(chances[correct:]) + 2 * 50 * delta * alpha)
    found = one_run_p_value(of(50, guesses, correct), epsilon=epsilon, delta=delta)
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 3.0])
def test_randomised_response_is_overstated_in_at_most_five_of_a_hundred(epsilon: float) -> None:
    """It is the worst mechanism there is, so that the level is exact: counted out, not drawn."""
    count, right = 200, 1 / (1 + math.exp(-epsilon))
    alarm = sum(
        math.comb(count, k) * right**k * (1 - right) ** (count - k)
        for k in range(count + 1)
        if one_run_epsilon(of(count, count, k), delta=0.0) > epsilon
    )
    assert 0.02 < alarm <= 0.05


def test_a_mechanism_that_gives_some_away_has_no_epsilon_at_its_delta() -> None:
    """Each canary is shown with chance delta, and nothing else is: (0, delta)-private."""
    draw, canaries, delta, alarms = np.random.default_rng(0), 1000, 0.01, 0
    for _ in range(200):
        included = draw.random(canaries) < 0.5
        shown = draw.random(canaries) < delta
        scores = np.where(shown, np.where(included, 1.0, -1.0), draw.uniform(-0.5, 0.5, canaries))
        choices = [Choice(guess_in=half, guess_out=half) for half in (3, 5, 10)]
        alarms += one_run_bound(scores, included, delta=delta, choices=choices).epsilon > 0
    assert alarms <= 22  # of 200 at 5 %: more has a chance below 1e-3


def test_the_best_of_several_choices_finds_nothing_where_nothing_is() -> None:
    """Without the stricter level 10 to 15 of a hundred would be false; allowed are 5."""
    draw, runs = np.random.default_rng(1), 400
    alarms = sum(
        one_run_bound(draw.normal(size=200), draw.random(200) < 0.5, delta=0.0).epsilon > 0
        for _ in range(runs)
    )
    assert alarms <= 36  # of 400 at 5 %: more has a chance below 1e-3


def test_a_planted_leak_is_found_and_certified() -> None:
    draw = np.random.default_rng(2)
    included = draw.random(1000) < 0.5
    scores = 3.0 * included + draw.normal(size=1000)
    found = one_run_bound(scores, included, delta=1e-6)
    assert found.epsilon > 3
    assert found.is_certificate
    assert found.tried == 4
    assert found.guesses is not None
    assert found.guesses.guesses < 1000, "sure guesses show more than all"


@settings(deadline=None, max_examples=40)
@given(st.integers(20, 200), st.data())
def test_it_is_monotone(guesses: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(guesses // 2, guesses - 1))
    one = one_run_epsilon(of(400, guesses, correct), delta=1e-5)
    assert one_run_epsilon(of(400, guesses, correct + 1), delta=1e-5) >= one
    assert one_run_epsilon(of(400, guesses, correct), delta=1e-4) <= one
    assert one_run_epsilon(of(800, guesses, correct), delta=1e-5) <= one
    assert one_run_epsilon(of(400, guesses, correct), delta=1e-5, confidence=0.99) <= one


def test_a_large_delta_leaves_nothing_to_show() -> None:
    all_right = of(4000, 4000, 4000)
    assert one_run_epsilon(all_right, delta=1e-6) > 5
    assert one_run_epsilon(all_right, delta=1e-2) < 2.5


def test_numbers_without_a_meaning_are_refused() -> None:
    with pytest.raises(ValueError, match="finite epsilon"):
        one_run_p_value(of(10, 10, 5), epsilon=math.nan, delta=0.0)
    with pytest.raises(ValueError, match="delta < 1"):
        one_run_p_value(of(10, 10, 5), epsilon=1.0, delta=1.0)
    with pytest.raises(ValueError, match="confidence"):
        one_run_bound(np.arange(40.0), np.arange(40) > 20, delta=0.0, confidence=1.0)
