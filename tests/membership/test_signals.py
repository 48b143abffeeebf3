"""Scores of one example, against the formulas written out and against what they are for."""

from math import inf, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.membership import least_likely_score, loss_score, renyi_score, standardized_score

LOG_PROBS = np.log([0.5, 0.1, 0.9, 0.2, 0.7])
ROWS = np.log([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5], [0.98, 0.01, 0.01], [0.4, 0.3, 0.3]])
orders = st.sampled_from([0.5, 1, 2, inf])


def test_the_loss_score_is_minus_the_mean_loss() -> None:
    assert loss_score(LOG_PROBS) == pytest.approx(-np.mean(-LOG_PROBS))


def test_the_least_likely_tokens_are_taken_and_one_at_least() -> None:
    assert least_likely_score(LOG_PROBS, share=0.4) == pytest.approx((log(0.1) + log(0.2)) / 2)
    assert least_likely_score(LOG_PROBS, share=0.0) == pytest.approx(log(0.1))
    assert least_likely_score(LOG_PROBS, share=1.0) == pytest.approx(LOG_PROBS.mean())


def test_the_standardized_score_is_the_formula_written_out() -> None:
    tokens = np.array([0, 2, 1, 0])
    chosen = ROWS[np.arange(4), tokens]
    expected = []
    for row, value in zip(ROWS, chosen, strict=True):
        mean = sum(np.exp(x) * x for x in row)
        spread = sum(np.exp(x) * (x - mean) ** 2 for x in row) ** 0.5
        expected.append((value - mean) / spread)
    found = standardized_score(chosen, ROWS, share=0.5)
    assert found == pytest.approx(np.mean(sorted(expected)[:2]))


@pytest.mark.parametrize("alpha", [0.5, 1, 2, inf])
def test_renyi_entropies_are_the_formula_written_out(alpha: float) -> None:
    chance = np.exp(ROWS)
    if alpha == 1:
        entropies = -(chance * ROWS).sum(1)
    elif alpha == inf:
        entropies = -np.log(chance.max(1))
    else:
        entropies = np.log((chance**alpha).sum(1)) / (1 - alpha)
    expected = -np.mean(sorted(entropies)[-2:])
    assert renyi_score(ROWS, alpha=alpha, share=0.5) == pytest.approx(expected)


@given(orders, st.integers(2, 50))
def test_of_even_chances_every_entropy_is_the_logarithm_of_their_number(
    alpha: float, count: int
) -> None:
    assert renyi_score(np.zeros((3, count)), alpha=alpha) == pytest.approx(-log(count))


@given(orders, st.floats(-50, 50))
def test_logits_may_come_in(alpha: float, shift: float) -> None:
    assert renyi_score(ROWS + shift, alpha=alpha) == pytest.approx(renyi_score(ROWS, alpha=alpha))


@given(st.integers(0, 1000))
def test_entropies_fall_with_their_order(seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 2, (4, 9))
    found = [renyi_score(logits, alpha=alpha) for alpha in (0.5, 1, 2, inf)]
    assert found == sorted(found)


def test_a_model_that_knows_an_example_is_sure_and_scores_higher() -> None:
    draw = np.random.default_rng(0)
    unsure = draw.normal(0, 1, (20, 30))
    for alpha in (0.5, 1, 2, inf):
        assert renyi_score(3 * unsure, alpha=alpha) > renyi_score(unsure, alpha=alpha)


@pytest.mark.parametrize("bad", [np.array([]), np.array([0.0, np.nan]), np.array([-np.inf])])
def test_what_is_no_number_is_refused(bad: np.ndarray) -> None:
    for score in (loss_score, least_likely_score):
        with pytest.raises(ValueError, match="finite numbers of one token"):
            score(bad)


def test_shares_and_orders_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="share from 0 to 1"):
        least_likely_score(LOG_PROBS, share=1.1)
    with pytest.raises(ValueError, match="alpha > 0"):
        renyi_score(ROWS, alpha=0.0)
    with pytest.raises(ValueError, match=r"Expected \(T, V\)"):
        renyi_score(LOG_PROBS, alpha=1)
