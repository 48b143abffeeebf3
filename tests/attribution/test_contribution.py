"""Parts of owners: against dense algebra, retrying by hand, and known mixtures of sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.attribution import (
    Change,
    Update,
    contributions,
    contributions_of_sums,
    leave_one_out,
    mean_update,
)


def update(left: np.ndarray) -> Update:
    return Update(changes={"w": Change(left=left)})


@given(st.integers(0, 10_000), st.integers(2, 5))
def test_parts_are_projections_that_sum_to_one(seed: int, owners: int) -> None:
    draw = np.random.default_rng(seed)
    shared = draw.normal(size=(20, 3))
    dense = {f"owner-{n}": shared + draw.normal(size=(20, 3)) for n in range(owners)}
    weights = {owner: float(draw.uniform(0.5, 2)) for owner in dense}
    found = contributions({owner: update(value) for owner, value in dense.items()}, weights)
    total = sum(weights[owner] * value for owner, value in dense.items())
    assert sum(part.share for part in found) == pytest.approx(1)
    for part in found:
        own = weights[part.owner] * dense[part.owner]
        assert part.share == pytest.approx((own * total).sum() / (total**2).sum())
        rest = (total - own) * sum(weights.values()) / (sum(weights.values()) - weights[part.owner])
        assert part.without == pytest.approx(np.linalg.norm(total - rest) / np.linalg.norm(total))
        assert part.low <= part.share + 1e-9
        assert part.high >= part.share - 1e-9


def test_an_update_against_the_rest_has_a_part_below_zero() -> None:
    one = np.ones((32, 2))
    parts = {
        p.owner: p for p in contributions({"a": update(one), "b": update(one), "c": update(-one)})
    }
    assert [parts[owner].share for owner in "abc"] == pytest.approx([1, 1, -1])
    assert parts["c"].high < 0


def test_intervals_hold_the_part_without_noise_as_often_as_they_say() -> None:
    """150 rounds with noise on one owner's update, 0.95 expected: 0.018 a deviation.

    Noise of one owner adds its square to the sum, which the truth here has in it.
    """
    draw = np.random.default_rng(0)
    shared, spread = draw.normal(size=(64, 8)), 0.4
    clean = {"a": shared, "b": shared + draw.normal(size=(64, 8))}
    a, b = (clean[owner] / 2 for owner in "ab")
    chance = spread**2 * a.size / 4
    truth = ((a * (a + b)).sum() + chance) / (((a + b) ** 2).sum() + chance)
    inside = []
    for _ in range(150):
        noisy = {**clean, "a": shared + spread * draw.normal(size=shared.shape)}
        part = contributions({owner: update(value) for owner, value in noisy.items()}, blocks=32)[0]
        inside.append(part.low <= truth <= part.high)
    assert np.mean(inside) >= 0.9


def test_leave_one_out_is_retrying_without() -> None:
    draw = np.random.default_rng(0)
    dense = {owner: draw.normal(size=(4, 3)) for owner in "abc"}
    weights = {"a": 1.0, "b": 2.0, "c": 3.0}
    goal = update(draw.normal(size=(4, 3)))

    def worth(mean: Update) -> float:
        return -(mean_update([mean, goal], [1, -1]).norm ** 2)

    found = leave_one_out({owner: update(value) for owner, value in dense.items()}, worth, weights)
    target = goal.changes["w"].left
    everyone = sum(weights[owner] * dense[owner] for owner in "abc")
    without_b = (dense["a"] + 3 * dense["c"]) * 6 / 4
    slow = ((without_b - target) ** 2).sum() - ((everyone - target) ** 2).sum()
    assert found["b"] == pytest.approx(slow)
    plain = leave_one_out({owner: update(value) for owner, value in dense.items()}, worth)
    assert set(plain) == {"a", "b", "c"}
    with pytest.raises(ValueError, match="Nobody"):
        leave_one_out({"a": goal}, worth)


def test_sums_of_rounds_are_unmixed_one_by_one_and_together() -> None:
    draw = np.random.default_rng(0)
    laws = {owner: draw.normal(size=(64, 5)) for owner in "abc"}
    laws = {owner: law / np.linalg.norm(law) for owner, law in laws.items()}
    candidates = {
        owner: [update(law + draw.normal(size=law.shape) / 200) for _ in range(2)]
        for owner, law in laws.items()
    }
    sums = {2: update(laws["b"]), 1: update(3 * laws["a"])}
    found = contributions_of_sums(sums, candidates)
    assert [one.server_round for one in found] == [1, 2, None]
    shares = [[share.share for share in one.mixture.shares] for one in found]
    assert shares[0] == pytest.approx([1, 0, 0], abs=0.05)
    assert shares[1] == pytest.approx([0, 1, 0], abs=0.05)
    assert shares[2] == pytest.approx([0.75, 0.25, 0], abs=0.05)
    with pytest.raises(ValueError, match="one round"):
        contributions_of_sums({}, candidates)


def test_sums_of_adapters_are_unmixed_by_gradients_of_owners_kinds_of_data() -> None:
    """One step of B from each owner at a common A: the gradients' mix, seen through A."""
    draw = np.random.default_rng(0)
    laws = {owner: draw.normal(size=(64, 30)) for owner in "abc"}
    laws["a again"] = laws["a"]
    start = draw.normal(size=(4, 30))
    candidates = {
        owner: [update(law + draw.normal(size=law.shape) / 10) for _ in range(2)]
        for owner, law in laws.items()
    }
    basis = np.linalg.qr(start.T)[0]
    sizes = {owner: np.linalg.norm(law @ basis) for owner, law in laws.items()}
    up = (0.75 * laws["a"] / sizes["a"] + 0.25 * laws["b"] / sizes["b"]) @ basis
    sums = {1: Update(changes={"w": Change(left=up, right=basis.T)})}
    whole = contributions_of_sums(sums, candidates)[-1].mixture
    assert [share.candidates for share in whole.shares] == [("a", "a again"), ("b",), ("c",)]
    assert [share.share for share in whole.shares] == pytest.approx([0.75, 0.25, 0], abs=0.04)


def test_rounds_without_parts_are_refused() -> None:
    one = np.ones((32, 2))
    with pytest.raises(ValueError, match="two owners"):
        contributions({"a": update(one)})
    with pytest.raises(ValueError, match="weight above 0"):
        contributions({"a": update(one), "b": update(one)}, {"a": 1.0})
    with pytest.raises(ValueError, match="zero"):
        contributions({"a": update(one), "b": update(-one)})
    with pytest.raises(ValueError, match="16 blocks"):
        contributions({"a": update(one), "b": update(one)}, blocks=4)
