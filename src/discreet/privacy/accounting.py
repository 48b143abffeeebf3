"""Epsilon of a history of Poisson-subsampled Gaussian steps.

What is stored elsewhere is the history (noise, rate, steps); epsilon is always composed again from
all of it, because the epsilons of two rounds may not be added and the last one may not stand for
the whole. Nothing here draws noise.

>>> from collections import namedtuple
>>> Round = namedtuple("Round", "noise_multiplier sample_rate steps")
>>> one = Round(noise_multiplier=1.0, sample_rate=0.025, steps=40)
>>> round(epsilon_of([one], delta=1e-5, accountant="rdp"), 2)
1.78
>>> round(epsilon_of([one] * 10, delta=1e-5, accountant="rdp"), 2)
3.59

Source: Gopi et al. 2021, PRV (arXiv:2106.02848); Mironov 2017, RDP (arXiv:1702.07476).
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
from opacus.accountants import PRVAccountant, RDPAccountant  # noqa: E402

logging.root.handlers[:] = _handlers

Accountant = Literal["prv", "rdp"]
"""`prv`: tight numerical composition; `rdp`: closed form, 10 to 40 % looser."""

History = tuple[tuple[float, float, int], ...]
"""(noise_multiplier, sample_rate, steps), one for each distinct mechanism."""

_ACCOUNTANTS = {"prv": PRVAccountant, "rdp": RDPAccountant}
_LARGEST_EPSILON = 200.0
"""Beyond it the grid of the PRV accountant outgrows memory, and no privacy is left to account."""

_FEW_ORDERS = (1.1, 1.2, 1.5, *range(2, 64))
"""Renyi orders for a bound that costs little: whole ones are closed sums."""


class SubsampledGaussian(Protocol):
    """Steps of one mechanism: a `PrivacyPlan` and a `LedgerEntry` both are this."""

    @property
    def noise_multiplier(self) -> float:
        """Standard deviation of the noise, in units of the clipping norm."""

    @property
    def sample_rate(self) -> float:
        """Chance of each example to be in a step."""

    @property
    def steps(self) -> int:
        """How many steps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Steps that were or will be taken, as far as accounting has to know."""

    noise_multiplier: float
    """Standard deviation of the noise, in units of the clipping norm."""
    sample_rate: float
    """Chance of each sampled thing (example or user) to be in a step; 1: no amplification."""
    steps: int
    """How many compositions, 1 or more."""
    contributions: int = 1
    """Most sampled things of one protected unit; more than 1 where examples are drawn and users
    are protected."""


class OutOfRange(ValueError):
    """No sound epsilon can be computed for these settings."""


def epsilon_of(
    entries: Sequence[SubsampledGaussian], delta: float, accountant: Accountant
) -> float:
    """Return an upper bound on the epsilon of all entries together; 0 for none.

    Steps with the same noise and rate are one run of steps: the order of composition is free.

    Raises:
        ValueError: if `delta` is not in (0, 1), `accountant` is unknown, or the settings are so
            extreme that the accountant has no sound answer.
    """
    if not 0 < delta < 1:
        raise ValueError(f"Expected 0 < delta < 1, got delta={delta}. Use well below 1 / people.")
    if accountant not in _ACCOUNTANTS:
        known = ", ".join(_ACCOUNTANTS)
        raise ValueError(f"Expected an accountant of {known}, got accountant={accountant!r}.")
    if not entries:
        return 0.0
    history = _merged(entries)
    try:
        with _doubt_is_an_error():
            epsilon = _compose(history, delta, accountant)
    except (Warning, RuntimeError, ValueError, ArithmeticError) as error:
        raise OutOfRange(_advice(history, delta, accountant, str(error))) from error
    if not math.isfinite(epsilon):
        raise OutOfRange(_advice(history, delta, accountant, f"epsilon={epsilon}"))
    return max(0.0, epsilon)


def _merged(entries: Sequence[SubsampledGaussian]) -> History:
    """Return the entries with their steps added up by mechanism, sorted."""
    steps: Counter[tuple[float, float]] = Counter()
    for entry in entries:
        steps[entry.noise_multiplier, entry.sample_rate] += entry.steps
    return tuple((noise, rate, count) for (noise, rate), count in sorted(steps.items()))


@lru_cache(maxsize=256)
def _compose(history: History, delta: float, accountant: str) -> float:
    """Return epsilon by Opacus, after a check that its grid stays of bearable size."""
    rdp = RDPAccountant()
    rdp.history = list(history)
    bound = rdp.get_epsilon(delta=delta, alphas=list(_FEW_ORDERS))
    if not bound <= _LARGEST_EPSILON:
        raise OutOfRange(f"epsilon may be as large as {bound:.0f}")
    chosen = _ACCOUNTANTS[accountant]()
    chosen.history = list(history)
    return float(chosen.get_epsilon(delta=delta))


@contextmanager
def _doubt_is_an_error() -> Iterator[None]:
    """Turn every numerical warning into an error, save two that leave the bound sound."""
    with warnings.catch_warnings(), np.errstate(divide="ignore"):
        # errstate: at sample_rate = 1 the loss has no lower end, and log(1 - 1) = -inf says so.
        warnings.simplefilter("error")
        # Every Renyi order gives a valid bound; the warning says that another might be tighter.
        warnings.filterwarnings("ignore", message="Optimal order is the (largest|smallest) alpha")
        yield


def _advice(history: History, delta: float, accountant: str, reason: str) -> str:
    """Return a message that names the settings and the way out."""
    settings = "; ".join(
        f"noise_multiplier={noise:g}, sample_rate={rate:g}, steps={steps}"
        for noise, rate, steps in history[:4]
    )
    return (
        f"Expected settings whose epsilon can be computed, got {settings} at delta={delta:g} "
        f"with the {accountant} accountant ({reason}). Raise noise_multiplier, or lower "
        "sample_rate or steps."
    )
