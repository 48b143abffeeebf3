"""PSNR and SSIM against the formulas, written out pixel by pixel."""

import math

import numpy as np
import pytest
import torch

from discreet.reconstruction import SIGMA, WINDOW, psnr, ssim


def brute_force_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Equation 13 of Wang et al. 2004 at each place of the window, for one channel."""
    places = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(places[:, None] ** 2 + places[None] ** 2) / (2 * SIGMA**2))
    weights /= weights.sum()
    found = []
    for row in range(x.shape[0] - WINDOW + 1):
        for column in range(x.shape[1] - WINDOW + 1):
            a = x[row : row + WINDOW, column : column + WINDOW]
            b = y[row : row + WINDOW, column : column + WINDOW]
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a = (weights * (a - mean_a) ** 2).sum()
            var_b = (weights * (b - mean_b) ** 2).sum()
            both = (weights * (a - mean_a) * (b - mean_b)).sum()
            above = (2 * mean_a * mean_b + 0.01**2) * (2 * both + 0.03**2)
            found.append(above / ((mean_a**2 + mean_b**2 + 0.01**2) * (var_a + var_b + 0.03**2)))
    return float(np.mean(found))


def test_ssim_is_the_papers() -> None:
    pictures = torch.rand(2, 3, 14, 17, generator=torch.Generator().manual_seed(0))
    wanted = [brute_force_ssim(a.numpy(), b.numpy()) for a, b in zip(*pictures, strict=True)]
    assert ssim(*pictures) == pytest.approx(np.mean(wanted), abs=1e-6)
    assert ssim(pictures[0], pictures[0]) == pytest.approx(1)
    assert ssim(pictures[0], pictures[1]) == ssim(pictures[1], pictures[0])


def test_more_noise_is_less_alike() -> None:
    draw = torch.Generator().manual_seed(1)
    picture = torch.linspace(0, 1, 24).expand(1, 24, 24)
    noise = torch.randn(1, 24, 24, generator=draw)
    noisy = [picture + size * noise for size in (0.01, 0.1, 0.3)]
    for measure in (psnr, ssim):
        values = [measure(picture, one) for one in noisy]
        assert values == sorted(values, reverse=True)
    assert psnr(picture, noisy[1]) == pytest.approx(
        -10 * math.log10(float((0.1 * noise).square().mean())), abs=1e-4
    )
    assert psnr(picture, picture) == math.inf


def test_pictures_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="of one shape"):
        psnr(torch.zeros(1, 4, 4), torch.zeros(1, 4, 5))
    with pytest.raises(ValueError, match="11 px or more"):
        ssim(torch.zeros(1, 10, 12), torch.zeros(1, 10, 12))
