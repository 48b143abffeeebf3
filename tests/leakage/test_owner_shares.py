"""The share of a group is guessed from updates that hold it, and from no others."""

import numpy as np
import numpy.typing as npt
import pytest

from discreet.leakage import ShareInference, guess_shares, infer_shares

Floats = npt.NDArray[np.float64]


def drawn(owners: int, signal: float, seed: int) -> tuple[Floats, Floats]:
    """Return updates of owners, wider than there are owners, and the share of a group in each."""
    draw = np.random.default_rng(seed)
    shares = draw.integers(0, 11, size=owners) / 10
    direction = np.random.default_rng(99).normal(size=80)
    return signal * np.outer(shares, direction) + draw.normal(size=(owners, 80)), shares


def inferred(signal: float, seed: int, owners: int = 30) -> ShareInference:
    return infer_shares(*drawn(60, signal, seed), *drawn(owners, signal, seed + 1000))


def test_a_planted_share_is_found() -> None:
    found = inferred(2.0, 0)
    assert found.error < 0.1 < found.constant_error
    assert found.is_above_chance
    assert found.advantage == pytest.approx(found.constant_error - found.error)
    assert (found.owners, found.shadows) == (30, 60)


def test_noise_on_the_update_takes_it_away() -> None:
    assert inferred(2.0, 0).advantage > inferred(0.2, 0).advantage > inferred(0.0, 0).advantage


def test_updates_that_tell_nothing_are_never_above_the_best_constant() -> None:
    """One-sided at 0.025 and against a constant that knows the answers: 4 or more of 40 have chance
    0.02 at the most, and far less as no attack beats that constant by luck often."""
    assert sum(inferred(0.0, seed).is_above_chance for seed in range(40)) < 4


def test_the_interval_holds_the_mean_over_owners() -> None:
    """Given what was learned; of 100 draws of owners 12 or more misses have chance 0.004."""
    shadows = drawn(60, 0.3, 0)
    found = [infer_shares(*shadows, *drawn(40, 0.3, seed)) for seed in range(1, 101)]
    truth = np.mean([one.advantage for one in found])
    assert sum(not one.low <= truth <= one.high for one in found) < 12


def test_errors_by_hand() -> None:
    shadows = drawn(60, 2.0, 0)
    updates, shares = drawn(9, 2.0, 5)
    guesses = guess_shares(*shadows, updates)
    found = infer_shares(*shadows, updates, shares)
    assert found.error == pytest.approx(np.abs(guesses - shares).mean())
    others = [np.abs(shares - constant).mean() for constant in np.linspace(0, 1, 101)]
    assert found.constant_error == pytest.approx(min(others))
    assert ((guesses >= 0) & (guesses <= 1)).all()


@pytest.mark.parametrize(
    ("updates", "shares", "said"),
    [
        (np.ones((5, 80)), np.ones(5), "at least 8 updates"),
        (np.ones((9, 80)), np.ones(8), "a share each"),
        (np.ones((9, 7)), np.ones(9), "one width"),
        (np.full((9, 80), np.nan), np.ones(9), "finite"),
        (np.ones((9, 80)), np.full(9, 1.1), "from 0 to 1"),
    ],
)
def test_what_cannot_be_guessed_is_refused(updates: Floats, shares: Floats, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        infer_shares(*drawn(20, 1.0, 0), updates, shares)
