"""What share of an owner's people are of a group, guessed from the update that the owner sends.

Property inference by shadow updates: an attacker who knows the base and the plan trains on owners
made up from public people, of whom the share is known, and learns to tell the share from the
update. Numbers in, a result out; it knows no model and trains nobody. Against it stands the
constant that errs least on these very owners, which is more than an attacker knows.

>>> draw = np.random.default_rng(0)
>>> shares = draw.uniform(size=80)
>>> updates = np.outer(shares, np.ones(5)) + 0.1 * draw.normal(size=(80, 5))
>>> found = infer_shares(updates[:50], shares[:50], updates[50:], shares[50:])
>>> found.is_above_chance, found.error < 0.1 < found.constant_error
(True, True)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t
from sklearn.linear_model import RidgeCV

from discreet.leakage.probes import prepare
from discreet.leakage.shares import Numbers

OWNERS_NEEDED = 8
"""Fewer shadow updates teach nothing, and fewer others make no interval."""
_PENALTIES = tuple(10.0**power for power in range(-3, 7))


@dataclass(frozen=True, kw_only=True, slots=True)
class ShareInference:
    """How well the share of a group is guessed from updates."""

    error: float
    """Mean absolute error of the attack, in shares."""
    constant_error: float
    """The same of the best constant on these owners, their median."""
    advantage: float
    """How much nearer the attack comes: `constant_error - error`."""
    low: float
    high: float
    """95 % interval of `advantage` over owners."""
    owners: int
    """Whose updates were read."""
    shadows: int
    """Shadow updates that the attacker learned from."""

    @property
    def is_above_chance(self) -> bool:
        """Tell whether the attack surely comes nearer than the best constant."""
        return self.low > 0


def infer_shares(
    shadow_updates: npt.NDArray[Any],
    shadow_shares: npt.NDArray[Any],
    updates: npt.NDArray[Any],
    shares: npt.NDArray[Any],
) -> ShareInference:
    """Return how well shares are guessed from updates of owners that no shadow has met.

    Args:
        shadow_updates: (S, D) numbers of updates of made-up owners, such as the adapter's change.
        shadow_shares: (S,) share of a group among the people of each, in [0, 1].
        updates: (T, D) of other owners, one of each.
        shares: (T,) what is true of them.

    Raises:
        ValueError: if there are fewer than `OWNERS_NEEDED` of either kind, lengths or widths
            differ, a number is not finite, or a share is outside of [0, 1].

    Source: Melis, Song, De Cristofaro, Shmatikov 2019, *Exploiting Unintended Feature Leakage in
        Collaborative Learning* (arXiv:1805.04049): a property of a participant's data, read from
        the updates by a classifier that is trained on updates with and without it.
    """
    _check(shadow_updates, shadow_shares, updates, shares)
    guesses = guess_shares(shadow_updates, shadow_shares, updates)
    constant = float(np.median(shares))
    nearer = np.abs(shares - constant) - np.abs(shares - guesses)
    advantage = float(nearer.mean())
    margin = float(t.ppf(0.975, len(nearer) - 1) * nearer.std(ddof=1) / np.sqrt(len(nearer)))
    return ShareInference(
        error=float(np.abs(shares - guesses).mean()),
        constant_error=float(np.abs(shares - constant).mean()),
        advantage=advantage,
        low=advantage - margin,
        high=advantage + margin,
        owners=len(shares),
        shadows=len(shadow_shares),
    )


def guess_shares(
    shadow_updates: npt.NDArray[Any], shadow_shares: npt.NDArray[Any], updates: npt.NDArray[Any]
) -> Numbers:
    """Return a guess for each update, (T,), by a linear fit whose penalty is chosen on shadows."""
    taught, read = prepare(shadow_updates, updates)
    model = RidgeCV(_PENALTIES).fit(taught.leading, shadow_shares)
    return np.asarray(np.clip(model.predict(read.leading), 0, 1), dtype=np.float64)


def _check(
    shadow_updates: npt.NDArray[Any],
    shadow_shares: npt.NDArray[Any],
    updates: npt.NDArray[Any],
    shares: npt.NDArray[Any],
) -> None:
    """Refuse what nothing can be learned from."""
    for seen, own in ((shadow_updates, shadow_shares), (updates, shares)):
        if seen.ndim != 2 or len(seen) != len(own) or len(own) < OWNERS_NEEDED:
            raise ValueError(
                f"Expected at least {OWNERS_NEEDED} updates (N, D) with a share each, got "
                f"{seen.shape} and {len(own)} shares. Take more owners."
            )
        if not (np.isfinite(seen).all() and ((own >= 0) & (own <= 1)).all()):
            raise ValueError(
                "Expected finite updates and shares from 0 to 1, got others. Leave out updates "
                "that are not numbers."
            )
