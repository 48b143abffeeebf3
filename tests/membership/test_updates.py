"""What a curious server finds in noisy sums of clipped gradients, against the closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.membership import (
    alignment_scores,
    clipped_scores,
    over_rounds,
    power_of_one_example,
    residual_scores,
)

SIZE = 4000
FPR = 0.05


def clipped(gradients: np.ndarray, norm: float) -> np.ndarray:
    lengths = np.linalg.norm(gradients, axis=1, keepdims=True)
    return np.asarray(gradients * np.minimum(1, norm / lengths))


def found_by(noise: float, *, norm: float = 0.5, rounds: int = 1) -> tuple[float, float]:
    """Share of members found at `FPR`: by inner products, and by cosines.

    Gradients in so many dimensions are nearly orthogonal, so that the others in the sum add to a
    score nothing but noise: sqrt(members) norm^2 / sqrt(SIZE) beside noise * norm^2.
    """
    draw = np.random.default_rng(7)
    candidates = draw.normal(size=(400, SIZE)) * draw.uniform(0.02, 0.1, (400, 1))
    members = np.arange(400) < 100
    products, cosines = [], []
    for _ in range(rounds):
        total = clipped(candidates[members], norm).sum(0) + draw.normal(0, noise * norm, SIZE)
        products.append(clipped_scores(-total, candidates, max_grad_norm=norm))
        cosines.append(alignment_scores(-total, candidates))

    def tpr(scores: np.ndarray) -> float:
        return float((scores[members] > np.quantile(scores[~members], 1 - FPR)).mean())

    return tpr(over_rounds(products)), tpr(over_rounds(cosines))


def test_a_cosine_is_a_cosine() -> None:
    draw = np.random.default_rng(0)
    update, gradients = draw.normal(size=9), draw.normal(size=(4, 9))
    for score, gradient in zip(alignment_scores(update, gradients), gradients, strict=True):
        expected = -gradient @ update / np.linalg.norm(gradient) / np.linalg.norm(update)
        assert score == pytest.approx(expected)
    assert alignment_scores(update, np.zeros((2, 9))).tolist() == [0, 0]


def test_without_noise_all_members_are_found() -> None:
    products, cosines = found_by(0.0)
    assert products == cosines == 1.0


@pytest.mark.parametrize(("noise", "rounds"), [(0.5, 1), (1.0, 1), (1.0, 4), (2.0, 4)])
def test_against_noise_it_finds_what_the_closed_form_says(noise: float, rounds: int) -> None:
    """The others' part widens the noise: sqrt(noise^2 + 100 / 4000). Of 100 members, 4 errors."""
    wide = (noise**2 + 100 / SIZE) ** 0.5
    expected = power_of_one_example(FPR, noise_multiplier=wide, times=rounds)
    products, _ = found_by(noise, rounds=rounds)
    error = (expected * (1 - expected) / 100 + FPR * (1 - FPR) / 300 * 10) ** 0.5
    assert products == pytest.approx(expected, abs=4 * error)


def test_a_lot_of_noise_hides_them() -> None:
    products, cosines = found_by(50.0)
    assert max(products, cosines) < 0.15


@given(st.floats(0.001, 0.999), st.floats(0.1, 100), st.integers(1, 50))
def test_the_closed_form_is_never_below_chance_and_grows_with_steps(
    fpr: float, noise: float, times: int
) -> None:
    once = power_of_one_example(fpr, noise_multiplier=noise)
    often = power_of_one_example(fpr, noise_multiplier=noise, times=times)
    assert fpr - 1e-12 <= once <= often + 1e-12


def test_no_round_drowns_another() -> None:
    quiet, loud = np.array([0.0, 1.0, 2.0]), np.array([2000.0, 1000.0, 0.0])
    assert over_rounds([quiet, loud]) == pytest.approx([0, 0, 0])
    assert over_rounds([quiet, np.full(3, 7.0)]) == pytest.approx((quiet - 1) / quiet.std())


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gradients \(N, P\)"):
        alignment_scores(np.ones(3), np.ones((2, 4)))
    with pytest.raises(ValueError, match="finite numbers"):
        alignment_scores(np.array([np.nan]), np.ones((2, 1)))
    with pytest.raises(ValueError, match="max_grad_norm > 0"):
        clipped_scores(np.ones(3), np.ones((2, 3)), max_grad_norm=0.0)
    with pytest.raises(ValueError, match="0 < fpr < 1"):
        power_of_one_example(0.0, noise_multiplier=1.0)
    with pytest.raises(ValueError, match="same candidates"):
        over_rounds([np.ones(2), np.ones(3)])


def test_what_all_share_is_taken_out_as_least_squares_do() -> None:
    draw = np.random.default_rng(5)
    update, gradients, population = (draw.normal(size=shape) for shape in ((60,), (9, 60), (7, 60)))
    found = residual_scores(update, gradients, population)

    def residual(vector: np.ndarray) -> np.ndarray:
        weights = np.linalg.lstsq(population.T, vector, rcond=None)[0]
        return np.asarray(vector - population.T @ weights)

    left = residual(update)
    for score, gradient in zip(found, gradients, strict=True):
        own = residual(gradient)
        cosine = own @ left / (np.linalg.norm(own) * np.linalg.norm(left))
        assert score == pytest.approx(-cosine)


def test_members_are_found_though_gradients_have_nearly_everything_in_common() -> None:
    draw = np.random.default_rng(6)
    shared = 3 * draw.normal(size=(5, 400))
    gradients = draw.normal(size=(80, 5)) @ shared + 0.5 * draw.normal(size=(80, 400))
    update = -gradients[:20].sum(0)
    own = residual_scores(update, gradients[:60], gradients[60:])
    plain = alignment_scores(update, gradients[:60])

    def area(scores: np.ndarray) -> float:
        return float((scores[:20, None] > scores[None, 20:]).mean())

    assert area(own) > 0.9
    assert area(plain) < 0.75
    placebo = residual_scores(draw.normal(size=400), gradients[:60], gradients[60:])
    assert 0.3 < area(placebo) < 0.7


def test_who_is_of_the_population_has_no_residual() -> None:
    draw = np.random.default_rng(7)
    population = draw.normal(size=(4, 30))
    found = residual_scores(draw.normal(size=30), population, population)
    assert found == pytest.approx(np.zeros(4))
    with pytest.raises(ValueError, match="fewer gradients than the 3 weights"):
        residual_scores(np.ones(3), np.ones((2, 3)), np.eye(3))
