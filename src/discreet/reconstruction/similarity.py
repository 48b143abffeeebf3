"""How alike two pictures are: peak signal-to-noise ratio and structural similarity.

>>> round(psnr(torch.zeros(1, 16, 16), torch.full((1, 16, 16), 0.1)), 6)
20.0
>>> ssim(torch.eye(16)[None], torch.eye(16)[None])
1.0
"""

import math

import torch
from torch.nn.functional import conv2d

WINDOW = 11
"""In which structure is compared, in pixels."""
SIGMA = 1.5
"""Of its Gaussian, in pixels."""
_K1, _K2 = 0.01, 0.03


def psnr(picture: torch.Tensor, other: torch.Tensor) -> float:
    """Return the peak signal-to-noise ratio of two pictures in decibels; inf if they are equal.

    Args:
        picture: (C, H, W) float in [0, 1].
        other: Of the same shape.

    Raises:
        ValueError: if shapes differ.
    """
    _check(picture, other, side=1)
    error = float((picture.double() - other.double()).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def ssim(picture: torch.Tensor, other: torch.Tensor) -> float:
    """Return the mean structural similarity of two pictures, 1 if they are equal.

    Args:
        picture: (C, H, W) float in [0, 1], at least `WINDOW` px each way; a channel at a time.
        other: Of the same shape.

    Raises:
        ValueError: if shapes differ, or pictures are smaller than the window.

    Source: Wang, Bovik, Sheikh, Simoncelli 2004, *Image Quality Assessment* (IEEE TIP 13(4)), with
        their window and constants; places where the window fits whole.
    """
    _check(picture, other, side=WINDOW)
    x, y = picture.double()[:, None], other.double()[:, None]
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x = _blurred(x * x) - mean_x**2
    var_y = _blurred(y * y) - mean_y**2
    both = _blurred(x * y) - mean_x * mean_y
    c1, c2 = _K1**2, _K2**2
    above = (2 * mean_x * mean_y + c1) * (2 * both + c2)
    below = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return float((above / below).mean())


def _blurred(channels: torch.Tensor) -> torch.Tensor:
    """Return local means of (C, 1, H, W), (C, 1, H - 10, W - 10)."""
    places = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    line = torch.exp(-(places**2) / (2 * SIGMA**2))
    line = line / line.sum()
    return conv2d(channels, torch.outer(line, line)[None, None])


def _check(picture: torch.Tensor, other: torch.Tensor, *, side: int) -> None:
    if picture.shape != other.shape or picture.dim() != 3 or min(picture.shape[1:]) < side:
        raise ValueError(
            f"Expected two pictures (C, H, W) of one shape, {side} px or more each way, got "
            f"{tuple(picture.shape)} and {tuple(other.shape)}. Resize one."
        )
