"""Correlated noise against dense linear algebra and brute force."""

import doctest
from itertools import combinations
from math import ceil, comb, sqrt

import pytest
import torch

from discreet.privacy import BandedNoise, banded, banded_coefficients, prefix_sum_error


def factor(bands: int, steps: int) -> torch.Tensor:
    """C, row by row."""
    column = banded_coefficients(bands).tolist()
    rows = [
        [column[t - s] if 0 <= t - s < bands else 0.0 for s in range(steps)] for t in range(steps)
    ]
    return torch.tensor(rows, dtype=torch.float64)


def test_the_example_in_the_docstring_runs() -> None:
    assert doctest.testmod(banded).failed == 0


@pytest.mark.parametrize("bands", [1, 2, 5, 32])
def test_coefficients_are_those_of_the_square_root_with_norm_one(bands: int) -> None:
    column = banded_coefficients(bands)
    expected = torch.tensor([comb(2 * j, j) / 4**j for j in range(bands)], dtype=torch.float64)
    assert torch.allclose(column / column[0], expected)
    assert float(column.norm()) == pytest.approx(1)


def test_all_bands_give_the_square_root_of_the_prefix_sum_matrix() -> None:
    dense = factor(12, 12)
    prefix = torch.ones(12, 12, dtype=torch.float64).tril()
    assert torch.allclose(dense @ dense / dense[0, 0] ** 2, prefix)


@pytest.mark.parametrize(("bands", "steps"), [(1, 7), (3, 20), (8, 20), (30, 20)])
def test_noise_is_that_of_the_dense_inverse(bands: int, steps: int) -> None:
    z = torch.randn(steps, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    noise = BandedNoise(banded_coefficients(bands))
    ours = torch.stack([noise.correlate(one) for one in z])
    assert torch.allclose(ours, torch.linalg.solve(factor(bands, steps), z))


def test_noise_scaled_in_place_does_not_change_what_follows() -> None:
    z = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    careful, careless = (BandedNoise(banded_coefficients(4)) for _ in range(2))
    for one in z:
        before = one.clone()
        expected, got = careful.correlate(one), careless.correlate(one)
        assert torch.equal(expected, got)
        assert torch.equal(one, before)
        got.mul_(100)


@pytest.mark.parametrize(("bands", "steps"), [(1, 10), (4, 25), (16, 25)])
def test_the_error_of_prefix_sums_is_that_of_dense_algebra(bands: int, steps: int) -> None:
    prefix = torch.ones(steps, steps, dtype=torch.float64).tril()
    dense = prefix @ torch.linalg.inv(factor(bands, steps))
    expected = float(dense.square().sum()) / steps
    assert prefix_sum_error(banded_coefficients(bands), steps) == pytest.approx(expected)


@pytest.mark.parametrize("bands", [2, 4, 16])
def test_bands_lower_the_error_of_long_sums_at_equal_noise(bands: int) -> None:
    plain, banded_error = (prefix_sum_error(banded_coefficients(b), 400) for b in (1, bands))
    assert plain == pytest.approx(200.5)
    assert banded_error < 0.8 * plain


@pytest.mark.parametrize(("bands", "steps"), [(1, 6), (2, 8), (3, 9), (3, 11), (4, 9)])
def test_sensitivity_under_separation_is_the_root_of_the_number_of_turns(
    bands: int, steps: int
) -> None:
    """Brute force over all sets of steps at least `bands` apart.

    Unit gradients of any direction move C g by at most sqrt(sum over pairs |<C_i, C_j>|).
    """
    gram = (factor(bands, steps).T @ factor(bands, steps)).abs()
    worst = 0.0
    for size in range(1, ceil(steps / bands) + 1):
        for chosen in combinations(range(steps), size):
            if all(b - a >= bands for a, b in zip(chosen, chosen[1:], strict=False)):
                worst = max(worst, sqrt(float(gram[list(chosen)][:, list(chosen)].sum())))
    bound = sqrt(ceil(steps / bands))
    assert worst <= bound + 1e-12
    if steps % bands == 0:  # else the last turn falls on a column that the end cuts off
        assert worst == pytest.approx(bound)


def test_without_separation_the_sensitivity_would_be_larger() -> None:
    gram = (factor(3, 9).T @ factor(3, 9)).abs()
    assert sqrt(float(gram[:3, :3].sum())) > sqrt(3)


@pytest.mark.parametrize("bad", [torch.ones(2, 2), torch.zeros(3), torch.ones(0)])
def test_coefficients_that_cannot_be_inverted_are_refused(bad: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="coefficients"):
        BandedNoise(bad)
