"""RMIA, against its definition written out pair by pair."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.membership import relative_scores
from tests.membership.test_likelihood import FPR, tpr_at, world


@given(
    st.integers(0, 10_000),
    st.integers(1, 3),
    st.floats(1, 4),
    st.none() | st.floats(0, 1),
)
def test_it_is_the_share_of_pairs_that_dominate(
    seed: int, models: int, gamma: float, offline: float | None
) -> None:
    draw = np.random.default_rng(seed)
    target, population = draw.gamma(2, 1, 5), draw.gamma(2, 1, 7)
    references, of_population = draw.gamma(2, 1, (models, 5)), draw.gamma(2, 1, (models, 7))

    def ratio(loss: float, known: np.ndarray) -> float:
        mean = np.exp(-known).mean()
        chance = mean if offline is None else ((1 + offline) * mean + (1 - offline)) / 2
        return float(np.exp(-loss) / chance)

    expected = [
        np.mean(
            [
                ratio(target[x], references[:, x]) >= gamma * ratio(z, of_population[:, place])
                for place, z in enumerate(population)
            ]
        )
        for x in range(5)
    ]
    found = relative_scores(
        target, references, population, of_population, gamma=gamma, offline=offline
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_one_reference_is_enough_to_beat_a_threshold_on_the_loss() -> None:
    target, losses, inside, truth = world(1)
    known = np.where(inside, np.nan, losses)[0]  # one model, which saw none of them
    assert np.isfinite(known).all()
    half = np.arange(len(truth)) % 2 == 0
    population = ~truth & half
    asked = truth | (~truth & ~half)
    scores = relative_scores(target[asked], known[asked], target[population], known[population])
    found = tpr_at(scores, truth[asked], FPR)
    assert found > 2 * tpr_at(-target[asked], truth[asked], FPR)


def test_where_members_are_as_others_it_finds_nothing() -> None:
    target, losses, _, truth = world(1, shift=0.0)
    scores = relative_scores(target, losses[0], target[~truth], losses[0][~truth])
    assert abs(tpr_at(scores, truth, FPR) - FPR) < 0.028


def test_what_does_not_fit_is_refused() -> None:
    one, two = np.ones(1), np.ones(2)
    with pytest.raises(ValueError, match="gamma >= 1"):
        relative_scores(one, one, one, one, gamma=0.5)
    with pytest.raises(ValueError, match="offline from 0 to 1"):
        relative_scores(one, one, one, one, offline=2.0)
    with pytest.raises(ValueError, match="of one list"):
        relative_scores(one, two, one, one)
    with pytest.raises(ValueError, match="got none"):
        relative_scores(one, one, np.ones(0), np.ones(0))
    with pytest.raises(ValueError, match="finite losses"):
        relative_scores(one, one * np.inf, one, one)
