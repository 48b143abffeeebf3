"""The privacy loss of steps of a (subsampled) Gaussian: its distribution, and its Renyi moments.

A step in which a protected unit has several sampled things, each drawn on its own coin, is a
mixture of Gaussians: the sum moves by k clipping norms with the chance of k heads (Charles et al.
2024, arXiv:2407.07737; Choquette-Choo et al. 2023, Corollary 4.7, arXiv:2310.15526). With one
sampled thing it is the Poisson-subsampled Gaussian. Distributions are made and composed by Google's
dp-accounting; this file chooses their grid and bounds what rounding can do to them. It knows no
plan and no ledger, and speaks of epsilon to nobody but `accounting`.

>>> history = {Mechanism(noise_multiplier=1.0, sample_rate=0.032, contributions=1): 310}
>>> round(distribution_of(history).epsilon_at(1e-4), 2)
3.05

Source: Doroshenko et al. 2022, connect-the-dots (arXiv:2207.04380); Koskela et al. 2020, Fourier
accountant (arXiv:1906.03049).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from dp_accounting.pld import privacy_loss_distribution as pld
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import logsumexp
from scipy.stats import binom

_Reals = NDArray[np.float64]

_FINEST = 1e-4
"""Grid of dp-accounting's own accountant."""
_COARSEST, _COARSEST_MIXTURE = 1e-3, 2e-2
"""Widest grid for one sampled thing a unit, and for several: the grid of a mixture is inverted
point by point, which takes 40 microseconds each."""
_MOST_POINTS, _MOST_POINTS_MIXTURE = 100_000, 20_000
"""Of the grid of one step; they widen it only where its losses are of very different size."""
_MOST_CONTRIBUTIONS = 256
_ROUNDING, _TRUNCATION = 1e-15, 1e-14
"""What the Fourier transform may take away from delta: for each composition, and in all. Measured
against the closed form of composed Gaussians it is some 5e-17 for each."""


class Mechanism(NamedTuple):
    """One step, as far as its privacy loss goes."""

    noise_multiplier: float
    sample_rate: float
    contributions: int


@dataclass(frozen=True, slots=True)
class LossDistribution:
    """A composed privacy loss, rounded so that every number it gives is an upper bound."""

    _pld: pld.PrivacyLossDistribution
    _slack: float
    """Chance that rounding may have lost."""

    def epsilon_at(self, delta: float) -> float:
        """Return the smallest epsilon at `delta`.

        Raises:
            ValueError: if `delta` is within ten times the rounding of the composition.
        """
        if delta < 10 * self._slack:
            raise ValueError(f"delta is too near to rounding, which is {self._slack:.0e}")
        return float(self._pld.get_epsilon_for_delta(delta - self._slack))

    def delta_at(self, epsilon: float) -> float:
        """Return the smallest delta at `epsilon`, which may be negative."""
        return float(self._pld.get_delta_for_epsilon(float(epsilon))) + self._slack

    def best_tpr(self, fpr: float) -> float:
        """Return the highest true-positive rate of a test at a false-positive rate.

        Each epsilon, of either sign, bounds it by e^epsilon fpr + delta(epsilon), and the least of
        these is reached (Dong, Roth, Su 2022, arXiv:1905.02383). The bound is convex in
        e^epsilon, and no value of it is wrong, only loose.
        """
        found = minimize_scalar(
            lambda factor: factor * fpr + self.delta_at(math.log(factor)),
            bounds=(1e-9, 1 / fpr),
            method="bounded",
            options={"xatol": 1e-7},
        )
        return min(1.0, float(found.fun))


def distribution_of(history: Mapping[Mechanism, int]) -> LossDistribution:
    """Return the composed privacy loss of steps counted by mechanism; at least one."""
    alone, sampled = _full_participation(history)
    interval = _interval(sampled)
    composed = pld.identity(value_discretization_interval=interval)
    if alone is not None:
        composed = composed.compose(
            pld.from_gaussian_mechanism(alone, value_discretization_interval=interval)
        )
    for mechanism, steps in sampled.items():
        composed = composed.compose(_one_step(mechanism, interval).self_compose(steps))
    return LossDistribution(composed, _TRUNCATION + _ROUNDING * sum(sampled.values()))


def _full_participation(
    history: Mapping[Mechanism, int],
) -> tuple[float | None, dict[Mechanism, int]]:
    """Return the one Gaussian that all steps with sample_rate 1 are together, and the rest."""
    precision = sum(
        steps * (one.contributions / one.noise_multiplier) ** 2
        for one, steps in history.items()
        if one.sample_rate == 1
    )
    rest = {one: steps for one, steps in history.items() if one.sample_rate < 1}
    return (1 / math.sqrt(precision) if precision else None), rest


@lru_cache(maxsize=32)
def _one_step(mechanism: Mechanism, interval: float) -> pld.PrivacyLossDistribution:
    """Return the privacy loss of a step, for adding and for removing a unit."""
    if mechanism.contributions == 1:
        return pld.from_gaussian_mechanism(
            mechanism.noise_multiplier,
            sampling_prob=mechanism.sample_rate,
            value_discretization_interval=interval,
        )
    moved, chances = _moves(mechanism)
    return pld.from_mixture_gaussian_mechanism(
        mechanism.noise_multiplier,
        moved.tolist(),
        chances.tolist(),
        value_discretization_interval=interval,
    )


def _interval(sampled: Mapping[Mechanism, int]) -> float:
    """Return a grid on which rounding widens the composed loss by half a percent at most.

    A grid of width h adds at most some h^2 / 6 to the variance of each step, so h has to be small
    beside the loss of a typical step: an eighth, which is 0.13 %. It stays as wide as
    dp-accounting's own as long as that does no harm, so that epsilon is not below theirs.
    """
    if not sampled:
        return _FINEST
    count = sum(sampled.values())
    spread = math.sqrt(sum(n * _typical_loss(one) ** 2 for one, n in sampled.items()) / count)
    several = any(one.contributions > 1 for one in sampled)
    coarsest, points = (
        (_COARSEST_MIXTURE, _MOST_POINTS_MIXTURE) if several else (_COARSEST, _MOST_POINTS)
    )
    wanted = min(coarsest, max(_FINEST, spread / 8), spread / 4)
    return _round_down(max(wanted, max(map(_largest_loss, sampled)) / points))


def _round_down(value: float) -> float:
    """Return 1, 2 or 5 times a power of ten, so that grids, and with them steps, come back."""
    power = 10.0 ** math.floor(math.log10(value))
    return max(factor for factor in (1, 2, 5) if factor * power <= value * (1 + 1e-9)) * power


def _moves(mechanism: Mechanism) -> tuple[_Reals, _Reals]:
    """Return by how many clipping norms a unit may move the sum, and with what chance."""
    if mechanism.contributions > _MOST_CONTRIBUTIONS:
        raise ValueError(f"more than {_MOST_CONTRIBUTIONS} contributions of a unit")
    moved = np.arange(mechanism.contributions + 1)
    chances = binom.pmf(moved, mechanism.contributions, mechanism.sample_rate)
    return moved[chances > 0].astype(float), chances[chances > 0]


def _losses(mechanism: Mechanism, x: _Reals) -> _Reals:
    """Return log P/Q at x: Q is the noise alone, P what it is with the unit's data."""
    moved, chances = _moves(mechanism)
    exponents = moved * (2 * x[:, None] - moved) / (2 * mechanism.noise_multiplier**2)
    return np.asarray(logsumexp(exponents, b=chances, axis=1))


def _typical_loss(mechanism: Mechanism) -> float:
    """Return the root of the mean squared loss where the unit is absent."""
    noise = np.linspace(-10, 10, 401)
    weights = np.exp(-(noise**2) / 2)
    losses = _losses(mechanism, noise * mechanism.noise_multiplier)
    return float(np.sqrt(weights @ losses**2 / weights.sum()))


def _largest_loss(mechanism: Mechanism) -> float:
    """Return the loss that a step passes with a chance below e^-50."""
    far = 10 * mechanism.noise_multiplier + mechanism.contributions
    return float(_losses(mechanism, np.array([far]))[0])


@lru_cache(maxsize=32)
def renyi_of(mechanism: Mechanism, orders: tuple[float, ...]) -> _Reals:
    """Return the Renyi divergence of one step at each order > 1, the larger of both directions.

    By quadrature, for any number of contributions; Opacus' closed sums are for one. Integrands are
    smooth and at least as wide as the steps of the trapezoidal rule are fine, eight to a width, so
    that it converges to rounding.

    Source: Mironov 2017, Definition 3 (arXiv:1702.07476).
    """
    return np.array([max(_renyi_added(mechanism, a), _renyi_removed(mechanism, a)) for a in orders])


def _renyi_added(mechanism: Mechanism, order: float) -> float:
    """Return D(P || Q); the loss is convex, so P^a Q^(1-a) is nowhere narrower than the noise."""
    noise = mechanism.noise_multiplier
    end = order * mechanism.contributions + 12 * noise
    x = np.arange(-12 * noise, end, noise / 8)
    exponents = order * _losses(mechanism, x) - (x / noise) ** 2 / 2
    return _log_integral(exponents, noise / 8, noise) / (order - 1)


def _renyi_removed(mechanism: Mechanism, order: float) -> float:
    """Return D(Q || P); Q^a P^(1-a) has one peak, which may be narrower than the noise."""
    noise, most = mechanism.noise_multiplier, mechanism.contributions
    moved, chances = _moves(mechanism)

    def slope(x: float) -> float:
        weights = np.log(chances) + moved * (2 * x - moved) / (2 * noise**2)
        mean = float(np.exp(weights - logsumexp(weights)) @ moved)
        return x + (order - 1) * mean

    peak = brentq(slope, -(order - 1) * most - noise, noise)
    fine = noise / 8 / math.sqrt(1 + (order - 1) * most**2 / (4 * noise**2))
    x = peak + np.arange(-12 * noise, 12 * noise, fine)
    exponents = (1 - order) * _losses(mechanism, x) - (x / noise) ** 2 / 2
    return _log_integral(exponents, fine, noise) / (order - 1)


def _log_integral(exponents: _Reals, step: float, noise: float) -> float:
    """Return the log of an integral against the density of the noise, by the trapezoidal rule."""
    return float(logsumexp(exponents)) + math.log(step / (noise * math.sqrt(2 * math.pi)))
