"""The Gaussian mechanism on one grid: clipped vectors are added, a noisy mean comes out.

What is added has been clipped by `clipping.clip_and_sum` to `max_grad_norm` of the moment. One draw
makes the noise, one division by the expected batch size makes the mean (Abadi et al. 2016,
Algorithm 1, arXiv:1607.00133). Sum and noise are on one grid, so that no low-order bit of the
result depends on the data alone. It knows neither models nor owners, and accounts for nothing.

    >>> from discreet.privacy.clipping import clip_and_sum
    >>> plan = PrivacyPlan(target_epsilon=8.0, delta=1e-5, max_grad_norm=1.0, noise_multiplier=1e-9,
    ...                    sample_rate=0.1, steps=10, expected_batch_size=2)
    >>> mean = GaussianMean(plan, 2, CounterGenerator.seeded("a test"))
    >>> clipped = clip_and_sum(torch.tensor([[0.3, 0.4]]), mean.max_grad_norm)
    >>> mean.total += clipped.total
    >>> mean.count(drawn=1, within=clipped.within)
    >>> mean.release()
    tensor([0.1499, 0.2002], dtype=torch.float64)
"""

import math

import torch

from discreet.privacy.banded import BandedNoise, banded_coefficients
from discreet.privacy.clipping import grid_of
from discreet.privacy.plan import PrivacyPlan
from discreet.privacy.randomness import CounterGenerator

CLIP_RATE = 0.2
"""How fast an adaptive clipping norm follows; that of Andrew et al. 2021, section 3."""
_COUNT_GRID = 2**20
"""Parts of 1 to which the noise of a count is rounded; the count is a multiple of 1/2."""
_LOSS_BITS = 20
"""Bits to which losses are rounded, and their noise."""
_ALARM = 8.0
"""Standard errors that the noise's variance may be off; beyond lies a chance below 1e-12."""
_ENOUGH = 1000
"""Numbers from which a variance says something."""


class GaussianMean:
    """The sum of a step, and what is released of it.

    With `plan.clip_quantile` the clipping norm follows that quantile of the norms, by a count that
    has noise of its own (Andrew et al. 2021, Algorithm 1, arXiv:1905.03871). With `plan.bands` the
    noise of a step takes back part of the noise of the steps before it. With `plan.loss_noise` the
    sum of losses is released beside that of gradients: what one example adds to both, each over its
    noise, is no longer than 1 / noise_multiplier, so that both are one Gaussian mechanism.
    """

    def __init__(
        self,
        plan: PrivacyPlan,
        size: int,
        noise_generator: CounterGenerator,
        *,
        device: torch.device | None = None,
    ) -> None:
        """Begin with an empty sum of `size` numbers, P."""
        self._plan = plan
        self._size = size
        self._generator = noise_generator
        self._banded = BandedNoise(banded_coefficients(plan.bands)) if plan.bands > 1 else None
        self.max_grad_norm = plan.max_grad_norm
        """The clipping norm of the step that is coming."""
        self.total = torch.zeros(size, dtype=torch.float64, device=device)
        """(P,) the sum so far, without noise; what is added to it is clipped, on the grid."""
        self.released_loss: float | None = None
        """Noisy sum of the losses of the last step over the expected batch size; None: the plan
        releases none."""
        self._drawn = self._within = self._losses = 0

    def count(self, *, drawn: int, within: int) -> None:
        """Say how many were added to `total`, and how many of them were within the norm."""
        self._drawn += drawn
        self._within += within

    def add_losses(self, losses: torch.Tensor) -> None:
        """Add losses (N,) to their sum, if the plan releases it.

        Each is clipped to between 0 and `loss_clip` and rounded to the grid of the sum's noise; one
        that is not finite adds nothing.
        """
        if self._plan.loss_noise is None:
            return
        grid = _loss_grid(self._plan)
        steps = (losses.detach().double() / grid).nan_to_num(0.0, 0.0, 0.0).round()
        self._losses += int(steps.clamp(0, self._plan.loss_clip // grid).sum())

    def release(self) -> torch.Tensor:
        """Return the noisy sum over the expected batch size, (P,) float64, and start a new sum."""
        mean = (self.total + self._noise()) / self._plan.expected_batch_size
        self._follow_quantile()
        self.released_loss = self._noisy_loss()
        self.forget()
        return mean

    def forget(self) -> None:
        """Start a new sum."""
        self.total.zero_()
        self._drawn = self._within = self._losses = 0

    def _noise(self) -> torch.Tensor:
        """Return (P,) float64 on the grid of the sum."""
        fresh = self._generator.normal(self._size)
        check_variance(fresh)
        if self._banded is not None:
            fresh = self._banded.correlate(fresh)
        grid = grid_of(self.max_grad_norm, self._size)
        scale = self._plan.gradient_noise_multiplier * self.max_grad_norm / grid
        return (fresh * scale).round_().mul_(grid).to(self.total.device)

    def _follow_quantile(self) -> None:
        """Move the clipping norm towards the wanted share of gradients within it, privately."""
        quantile = self._plan.clip_quantile
        if quantile is None:
            return
        noise = self._plan.clip_count_noise * float(self._generator.normal(1))
        noise = round(noise * _COUNT_GRID) / _COUNT_GRID
        half = self._within - self._drawn / 2  # one example moves it by 1/2
        share = (half + noise) / self._plan.expected_batch_size + 0.5
        self.max_grad_norm *= math.exp(-CLIP_RATE * (share - quantile))

    def _noisy_loss(self) -> float | None:
        """Return the noisy sum of losses over the expected batch size; None: none is released."""
        if self._plan.loss_noise is None:
            return None
        grid = _loss_grid(self._plan)
        scale = self._plan.loss_noise * self._plan.loss_clip / grid
        noise = round(scale * float(self._generator.normal(1)))
        return (self._losses + noise) * grid / self._plan.expected_batch_size


def _loss_grid(plan: PrivacyPlan) -> float:
    """Return the power of two to whose multiples losses and their noise are rounded."""
    return 2.0 ** (math.floor(math.log2(plan.loss_clip)) - _LOSS_BITS)


def check_variance(noise: torch.Tensor) -> None:
    """Refuse noise that is not as strong as promised: a broken generator must not go unseen."""
    error = abs(float(noise.square().mean()) - 1) / (2 / len(noise)) ** 0.5
    if len(noise) >= _ENOUGH and not error < _ALARM:
        raise RuntimeError(
            f"Expected noise of variance 1, got one that is {error:.0f} standard errors away. Do "
            "not use what this process trained; check the installation of cryptography and torch."
        )
