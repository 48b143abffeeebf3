"""Trade-off curves: how seldom an event can be without somebody, if it is likely with them.

A curve takes the chance of an event with one data set and returns the least chance that it can have
with its neighbour. It is `f(1 - chance)` for the trade-off function f of Dong, Roth and Su 2022
(arXiv:1905.02383, definition 2.1). Epsilon and delta of a mechanism are one line below its curve;
the Gaussian mechanism's whole curve has one number, mu. Nothing here looks at data.

>>> round(gaussian_curve(1.0)(0.5), 4)
0.1587
>>> round(epsilon_of_mu(1.0, delta=1e-5), 2)
4.38
>>> round(pairs_curve([math.log(3)], [0.0])(0.75), 4)
0.25
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, ndtri

from discreet.privacy import Event, OutOfRange, epsilon_of

Numbers = npt.NDArray[np.float64]
Curve = Callable[[float], float]
"""Chance of an event with one data set -> the least that it is with the neighbour; convex,
increasing, and no more than its argument."""

_DELTAS = tuple(float(delta) for delta in np.geomspace(0.7, 1e-6, 20))
"""Where the curve of a sampled mechanism is held up: more of them only make it a little higher."""
_LARGEST = 1e6
"""Of a parameter that is searched."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """Curves of one kind, lower and lower as the parameter grows."""

    name: str
    """What has such a curve."""
    curve: Callable[[float], Curve]
    """The curve of a parameter, 0 or more."""
    epsilon: Callable[[float, float], float]
    """Epsilon of a parameter at a delta."""
    tolerance: float = 1e-6
    """How finely a parameter is worth searching; each look may cost a composition."""


def gaussian_curve(mu: float) -> Curve:
    """Return the curve of N(0, 1) against N(mu, 1) (arXiv:1905.02383, equation 6)."""
    return lambda chance: float(ndtr(ndtri(chance) - mu))


def pairs_curve(epsilons: Sequence[float], deltas: Sequence[float]) -> Curve:
    """Return the curve of a mechanism that is (epsilon, delta)-private for each of the pairs.

    Source: Dong, Roth and Su 2022, proposition 2.5 (arXiv:1905.02383).
    """
    grow, chances = np.exp(np.array(epsilons)), np.array(deltas)

    def least(chance: float) -> float:
        falls = 1 - chances - grow * (1 - chance)
        rises = (chance - chances) / grow
        return max(0.0, float(falls.max()), float(rises.max()))

    return least


def gaussian_family() -> Family:
    """Return the curves of Gaussian mechanisms, by mu; with everything in each step they are exact.

    Steps of one noise multiplier have together mu = sqrt(steps) / noise_multiplier.
    """
    return Family(name="a Gaussian mechanism", curve=gaussian_curve, epsilon=epsilon_of_mu)


def sampled_gaussian_family(sample_rate: float, steps: int) -> Family:
    """Return curves of steps on sampled data, by 1 / noise_multiplier.

    A curve is held up by pairs of epsilon and delta that the accountant gives, so that it is
    nowhere above the true one. Beyond the accountant's range the curve is 0: nothing is claimed.
    """

    def event(parameter: float) -> list[Event]:
        noise = 1 / parameter if parameter else math.inf
        return [Event(noise_multiplier=min(noise, 1e6), sample_rate=sample_rate, steps=steps)]

    @lru_cache(maxsize=256)
    def curve(parameter: float) -> Curve:
        try:
            epsilons = [epsilon_of(event(parameter), delta, "pld") for delta in _DELTAS]
        except OutOfRange:
            return lambda chance: 0.0
        return pairs_curve(epsilons, _DELTAS)

    return Family(
        name=f"a Gaussian mechanism on samples of {sample_rate:g}, {steps} times",
        curve=curve,
        epsilon=lambda parameter, delta: epsilon_of(event(parameter), delta, "pld"),
        tolerance=2**-6,
    )


def delta_of_mu(mu: float, epsilon: float) -> float:
    """Return the delta of a Gaussian mechanism at an epsilon (arXiv:1905.02383, corollary 2.13)."""
    if mu <= 0:
        return 0.0
    more = log_ndtr(mu / 2 - epsilon / mu)
    less = epsilon + log_ndtr(-mu / 2 - epsilon / mu)
    return float(np.exp(more) * -np.expm1(min(less - more, 0.0)))


def epsilon_of_mu(mu: float, delta: float) -> float:
    """Return the epsilon at which a Gaussian mechanism has `delta`; 0 where delta covers it all.

    Raises:
        ValueError: if mu is not finite, or delta not between 0 and 1.
    """
    check_delta(delta)
    if not math.isfinite(mu):
        raise ValueError(f"Expected a finite mu, got mu={mu}. Take more canaries.")
    if delta_of_mu(mu, 0.0) <= delta:
        return 0.0
    most = mu * mu / 2 - mu * float(ndtri(delta))
    return float(brentq(lambda epsilon: delta_of_mu(mu, epsilon) - delta, 0.0, most, xtol=1e-9))


def mu_of_epsilon(epsilon: float, delta: float) -> float:
    """Return the mu of the Gaussian mechanism that has `epsilon` at `delta`.

    Raises:
        ValueError: if epsilon is not finite and 0 or more, or delta not between 0 and 1.
    """
    check_delta(delta)
    if not 0 <= epsilon < math.inf:
        raise ValueError(f"Expected a finite epsilon, 0 or more, got epsilon={epsilon}.")
    most = 1.0
    while delta_of_mu(most, epsilon) < delta:
        most *= 2
    return float(brentq(lambda mu: delta_of_mu(mu, epsilon) - delta, 0.0, most, xtol=1e-12))


def largest_refuted(is_refuted: Callable[[float], bool], tolerance: float) -> float:
    """Return a parameter that is refuted, with none beyond it by `tolerance`; 0 if none is.

    What is refuted has to go from 0 up to somewhere without a gap.
    """
    if not is_refuted(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while is_refuted(high) and high < _LARGEST:
        low, high = high, 2 * high
    while high - low > tolerance:
        middle = (low + high) / 2
        low, high = (middle, high) if is_refuted(middle) else (low, middle)
    return low


def check_delta(delta: float) -> None:
    """Refuse a delta that is no probability between 0 and 1."""
    if not 0 < delta < 1:
        raise ValueError(f"Expected 0 < delta < 1, got delta={delta}. Use well below 1 / canaries.")
