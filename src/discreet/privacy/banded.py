"""Noise that is correlated over a few steps, so that less of it is left in the sum of all steps.

Step t adds w_t, where C w = z: z is independent noise and C a lower triangular Toeplitz matrix with
few bands. What is released is then as private as C g + z, while the later steps take out again a
part of the noise of the earlier ones. It takes the memory of `bands - 1` vectors, which is little
for an adapter. Nothing here draws noise, and nothing here keeps the rule under which it is private:
that no example is in two steps less than `bands` apart, which is the sampler's (`plan.py`).

>>> coefficients = banded_coefficients(4)
>>> noise = BandedNoise(coefficients)
>>> import torch
>>> z = torch.ones(3, 1)
>>> w = torch.stack([noise.correlate(one) for one in z])
>>> bool(torch.allclose(coefficients[1] * w[0] + coefficients[0] * w[1], z[1]))
True

Source: Kalinin and Lampert 2024, banded square root factorisation (arXiv:2405.13763);
Choquette-Choo et al. 2023, banded factors and sampling (arXiv:2306.08153).
"""

from collections import deque

import torch
from scipy.signal import lfilter

from discreet.privacy.plan import require_count


def banded_coefficients(bands: int) -> torch.Tensor:
    """Return the first column of C: the square root of the prefix-sum matrix, cut to `bands`.

    Returns:
        (bands,) float64, above 0, falling, of norm 1: coefficient j is binom(2 j, j) / 4^j over
        the norm of them all.
    Source: Kalinin and Lampert 2024 (arXiv:2405.13763): (1 - x)^(-1/2) as a series.
    """
    require_count("bands", bands)
    ratios = [1.0, *((2 * j - 1) / (2 * j) for j in range(1, bands))]
    column = torch.tensor(ratios, dtype=torch.float64).cumprod(0)
    column /= torch.linalg.vector_norm(column)
    return column


class BandedNoise:
    """Turns independent noise into correlated noise, vector by vector: w = C^-1 z.

    One instance serves one call of the training loop. The groups of a sampler are drawn anew in
    each call, so noise that went on from the last call would be shared by steps too near to each
    other.
    """

    def __init__(self, coefficients: torch.Tensor) -> None:
        if coefficients.ndim != 1 or len(coefficients) == 0 or not coefficients[0] > 0:
            raise ValueError(
                f"Expected coefficients of shape (bands,), the first above 0, got shape "
                f"{tuple(coefficients.shape)}. Use banded_coefficients."
            )
        self._first, *self._others = coefficients.tolist()
        self._past: deque[torch.Tensor] = deque(maxlen=len(self._others))

    def correlate(self, noise: torch.Tensor) -> torch.Tensor:
        """Return the noise of the next step.

        Args:
            noise: Independent standard normal noise times its standard deviation, of the same shape
                in every step.
        """
        total = noise.clone()
        for coefficient, past in zip(self._others, self._past, strict=False):
            total -= coefficient * past
        total /= self._first
        self._past.appendleft(total)
        return total.clone()  # whoever scales it in place must not change the memory


def prefix_sum_error(coefficients: torch.Tensor, steps: int) -> float:
    """Return the expected squared error of the sum of the steps so far, over all steps.

    Of one coordinate, in units of the squared standard deviation of z: the squared Frobenius norm
    of B C^-1 over `steps`, where B is the prefix-sum matrix. Independent noise has
    (steps + 1) / 2.
    """
    require_count("steps", steps)
    impulse = torch.zeros(steps, dtype=torch.float64)
    impulse[0] = 1
    inverse = torch.from_numpy(lfilter([1.0], coefficients.numpy(), impulse.numpy()))
    weights = torch.arange(steps, 0, -1, dtype=torch.float64)
    return float(weights @ inverse.cumsum(0) ** 2) / steps
