"""Epsilon of a history of Gaussian steps on sampled data, and what an attacker can do with it.

What is stored elsewhere is the history (noise, rate, steps, contributions); epsilon is always
composed again from all of it, because the epsilons of two rounds may not be added and the last one
may not stand for the whole. Nothing here draws noise.

>>> one = Event(noise_multiplier=1.0, sample_rate=0.025, steps=40)
>>> round(epsilon_of([one], delta=1e-5, accountant="rdp"), 2)
1.78
>>> round(epsilon_of([one] * 10, delta=1e-5, accountant="rdp"), 2)
3.59
>>> round(epsilon_of([one] * 10, delta=1e-5, accountant="pld"), 2)
3.17
>>> round(best_tpr([one] * 10, fpr=0.01), 2)
0.05

Source: Doroshenko et al. 2022, PLD (arXiv:2207.04380); Gopi et al. 2021, PRV (arXiv:2106.02848);
Mironov 2017, RDP (arXiv:1702.07476).
"""

import logging
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np

# Opacus 1.6 calls logging.basicConfig when imported; a library may not decide that for its user.
_handlers = logging.root.handlers[:]
from opacus.accountants import PRVAccountant  # noqa: E402
from opacus.accountants.analysis.rdp import compute_rdp, get_privacy_spent  # noqa: E402

logging.root.handlers[:] = _handlers

from discreet.privacy.privacy_loss import (  # noqa: E402
    LossDistribution,
    Mechanism,
    distribution_of,
    renyi_of,
)

Accountant = Literal["pld", "prv", "rdp"]
"""`pld`: numerical composition of the privacy loss, tight for every history; `prv`: the same by
another library, some 0.01 above it, for one contribution a unit; `rdp`: Renyi moments, 10 to 40 %
looser, for any delta."""

History = tuple[tuple[Mechanism, int], ...]
"""Distinct mechanisms, each with its number of compositions."""

_LARGEST_EPSILON = 200.0
"""By the cheap bound. Beyond it grids outgrow memory, and no privacy is left to account."""
_MOST_PRV_POINTS = 2_000_000
"""About two seconds and 300 MB in Opacus, which makes a grid for each mechanism."""

_ORDERS = (*(order / 10 for order in range(11, 110)), *range(12, 64))
"""Renyi orders, those of Opacus."""

_FEW_ORDERS = (1.1, 1.2, 1.5, *range(2, 64))
"""Orders for a bound that costs little: whole ones are closed sums."""

_ORDERS_MIXTURE = (1.1, 1.2, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 63)
"""Orders where a unit has several contributions: each is an integral."""


class SubsampledGaussian(Protocol):
    """Steps of one mechanism; `Event` is this, and so is an entry of a ledger.

    A `contributions` that is missing counts as 1. What has an `event` method of its own, as
    `PrivacyPlan` has, is asked for it: only a plan knows how many compositions its steps are.
    """

    @property
    def noise_multiplier(self) -> float:
        """Standard deviation of the noise, in units of the clipping norm."""

    @property
    def sample_rate(self) -> float:
        """Chance of each sampled thing to be in a step."""

    @property
    def steps(self) -> int:
        """How many steps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Steps that were or will be taken, as far as accounting has to know."""

    noise_multiplier: float
    """Standard deviation of the noise, in units of the clipping norm; finite and above 0."""
    sample_rate: float
    """Chance of each sampled thing (example or user) to be in a step, in (0, 1]; 1: no
    amplification."""
    steps: int
    """How many compositions, 1 or more."""
    contributions: int = 1
    """Most sampled things of one protected unit, 1 or more; more than 1 where examples are drawn
    and users are protected."""

    def __post_init__(self) -> None:
        """Refuse what is no event."""
        for name in ("noise_multiplier", "sample_rate"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"Expected {name} > 0, got {name}={value!r}.")
        if not (math.isfinite(self.noise_multiplier) and self.sample_rate <= 1):
            raise ValueError(
                f"Expected a finite noise_multiplier and sample_rate <= 1, got "
                f"{self.noise_multiplier} and {self.sample_rate}."
            )
        for name in ("steps", "contributions"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"Expected {name} >= 1, a whole number, got {name}={value!r}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossCheck:
    """The epsilon of one history by every accountant that can tell it."""

    pld: float
    """By dp-accounting; the figure to report."""
    prv: float | None
    """By Opacus; None where a unit has several contributions, or beyond its range."""
    rdp: float
    """By Renyi moments; never below `pld`."""


class OutOfRange(ValueError):
    """No sound epsilon can be computed for these settings."""


def epsilon_of(
    entries: Sequence[SubsampledGaussian], delta: float, accountant: Accountant
) -> float:
    """Return an upper bound on the epsilon of all entries together; 0 for none.

    Steps of one mechanism are one run of steps: the order of composition is free.

    Raises:
        ValueError: if `delta` is not in (0, 1), or `accountant` is unknown.
        OutOfRange: if the settings are so extreme that the accountant has no sound answer.
    """
    if not 0 < delta < 1:
        raise ValueError(f"Expected 0 < delta < 1, got delta={delta}. Use well below 1 / people.")
    if accountant not in _EPSILON:
        known = ", ".join(_EPSILON)
        raise ValueError(f"Expected an accountant of {known}, got accountant={accountant!r}.")
    if not entries:
        return 0.0
    history = _merged(entries)
    with _sound(history, f"delta={delta:g} with the {accountant} accountant"):
        epsilon = _compose(history, delta, accountant)
        if not math.isfinite(epsilon):
            raise OutOfRange(f"epsilon={epsilon}")
    return max(0.0, epsilon)


def cross_check(entries: Sequence[SubsampledGaussian], delta: float) -> CrossCheck:
    """Return epsilon by all accountants, after a check that they do not contradict each other.

    Raises:
        ArithmeticError: if the loose bound is below the tight one: one of them is wrong.
        OutOfRange: if the settings are too extreme.
    """
    by_pld, by_rdp = epsilon_of(entries, delta, "pld"), epsilon_of(entries, delta, "rdp")
    if by_rdp < by_pld:
        raise ArithmeticError(
            f"Expected the rdp bound to be no less than the pld one, got {by_rdp:.6g} < "
            f"{by_pld:.6g} at delta={delta:g}. Trust neither, and report the settings."
        )
    try:
        by_prv = epsilon_of(entries, delta, "prv")
    except OutOfRange:
        by_prv = None
    return CrossCheck(pld=by_pld, prv=by_prv, rdp=by_rdp)


def best_tpr(entries: Sequence[SubsampledGaussian], *, fpr: float = 0.01) -> float:
    """Return the highest true-positive rate that any membership attack can have; `fpr` for none.

    The attacker may know everything but whether one unit was in the data, see every step, and
    choose the test. An upper bound, reached only by attacks on the worst case.

    Args:
        entries: What was done.
        fpr: False-positive rate that the attacker allows, in (0, 1).

    Raises:
        ValueError: if `fpr` is not in (0, 1).
        OutOfRange: if the settings are too extreme.
    Source: Dong, Roth, Su 2022, trade-off functions and their dual (arXiv:1905.02383).
    """
    if not 0 < fpr < 1:
        raise ValueError(
            f"Expected 0 < fpr < 1, got fpr={fpr}. Use 0.01 for one false alarm in 100."
        )
    if not entries:
        return fpr
    history = _merged(entries)
    with _sound(history, f"fpr={fpr:g}"):
        _check_bound(history, 1e-6)
        return max(fpr, _distribution(history).best_tpr(fpr))


def _merged(entries: Sequence[SubsampledGaussian]) -> History:
    """Return the entries with their steps added up by mechanism, sorted."""
    steps: Counter[Mechanism] = Counter()
    for entry in entries:
        planned = getattr(entry, "event", None)
        event = planned(entry.steps) if callable(planned) else entry
        contributions = getattr(event, "contributions", 1)
        noise, rate = event.noise_multiplier, event.sample_rate
        if rate == 1:  # all things of a unit are in every step: one thing of their joint size
            noise, contributions = noise / contributions, 1
        steps[Mechanism(noise, rate, contributions)] += event.steps
    return tuple(sorted(steps.items()))


@lru_cache(maxsize=256)
def _compose(history: History, delta: float, accountant: Accountant) -> float:
    """Return epsilon, after a check that the grid of the accountant stays of bearable size."""
    if accountant == "prv" and any(one.contributions > 1 for one, _ in history):
        raise OutOfRange("it knows one contribution a unit; use pld or rdp")
    _check_bound(history, delta)
    return float(_EPSILON[accountant](history, delta))


def _check_bound(history: History, delta: float) -> None:
    """Refuse a history whose epsilon may be beyond what can be computed, or of any use."""
    bound = _by_renyi(history, delta, _FEW_ORDERS)
    if not bound <= _LARGEST_EPSILON:
        raise OutOfRange(f"epsilon may be as large as {bound:.0f}")


@lru_cache(maxsize=8)
def _distribution(history: History) -> LossDistribution:
    """Return the composed privacy loss."""
    return distribution_of(dict(history))


def _by_pld(history: History, delta: float) -> float:
    """Return epsilon by dp-accounting's privacy loss distributions."""
    return _distribution(history).epsilon_at(delta)


def _by_prv(history: History, delta: float) -> float:
    """Return epsilon by Opacus' PRV accountant, if its grid is of bearable size."""
    total = sum(steps for _, steps in history)
    reach = max(
        _by_renyi(history, delta / 4000, _FEW_ORDERS),
        *(_by_renyi(((one, 1),), delta / (8000 * total), _FEW_ORDERS) for one, _ in history),
    )
    points = 2 * (reach + 3) / (0.01 / math.sqrt(total * math.log(12000 / delta) / 2))
    if not points * len(history) <= _MOST_PRV_POINTS:
        raise OutOfRange(f"its grid would have {points:.0f} points; use pld")
    accountant = PRVAccountant()
    accountant.history = [(one.noise_multiplier, one.sample_rate, n) for one, n in history]
    return float(accountant.get_epsilon(delta=delta))


def _by_rdp(history: History, delta: float) -> float:
    """Return epsilon by Renyi moments."""
    return _by_renyi(history, delta, _ORDERS)


def _by_renyi(history: History, delta: float, orders: tuple[float, ...]) -> float:
    """Return epsilon by Renyi moments: Opacus' for one contribution, quadrature for several."""
    if any(one.contributions > 1 for one, _ in history):
        orders = _ORDERS_MIXTURE
    moments = np.zeros(len(orders))
    for one, steps in history:
        if one.contributions == 1:
            moments += compute_rdp(
                q=one.sample_rate,
                noise_multiplier=one.noise_multiplier,
                steps=steps,
                orders=orders,
            )
        else:
            moments += steps * renyi_of(one, orders)
    return float(get_privacy_spent(orders=orders, rdp=moments, delta=delta)[0])


_EPSILON = {"pld": _by_pld, "prv": _by_prv, "rdp": _by_rdp}


@contextmanager
def _sound(history: History, where: str) -> Iterator[None]:
    """Turn every numerical doubt into an `OutOfRange`, save two that leave the bound sound."""
    try:
        with warnings.catch_warnings(), np.errstate(divide="ignore"):
            # errstate: at sample_rate = 1 the loss has no lower end, and log(1 - 1) = -inf says so.
            warnings.simplefilter("error")
            # Every Renyi order is a valid bound; the warning says that another may be tighter.
            warnings.filterwarnings("ignore", message="Optimal order is the (largest|smallest)")
            yield
    except (Warning, RuntimeError, ValueError, ArithmeticError, MemoryError) as error:
        raise OutOfRange(_advice(history, where, str(error))) from error


def _advice(history: History, where: str, reason: str) -> str:
    """Return a message that names the settings and the way out."""
    settings = "; ".join(
        f"noise_multiplier={one.noise_multiplier:g}, sample_rate={one.sample_rate:g}, "
        f"contributions={one.contributions}, steps={steps}"
        for one, steps in history[:4]
    )
    return (
        f"Expected settings whose epsilon can be computed, got {settings} at {where} ({reason}). "
        "Raise noise_multiplier or delta, or lower sample_rate or steps."
    )
