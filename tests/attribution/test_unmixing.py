"""Planted mixtures, twins, strangers, and how often intervals are right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls

from discreet.attribution import (
    Change,
    Update,
    calibrated_intervals,
    influence_scores,
    mean_update,
    seen_through,
    tell_apart,
    unmix,
)

Laws = dict[str, dict[str, np.ndarray]]
SHAPES = {"one": (24, 6), "two": (16, 8)}


def laws_of(draw: np.random.Generator, names: str) -> Laws:
    return {n: {k: draw.normal(size=shape) for k, shape in SHAPES.items()} for n in names}


def update(parts: dict[str, np.ndarray]) -> Update:
    return Update(changes={name: Change(left=part) for name, part in parts.items()})


def noisy(parts: dict[str, np.ndarray], draw: np.random.Generator, spread: float) -> Update:
    return update({k: v + spread * draw.normal(size=v.shape) for k, v in parts.items()})


def mixed(laws: Laws, shares: dict[str, float]) -> dict[str, np.ndarray]:
    """Return a mixture of laws that are of length 1 in each matrix, as `unmix` sees them."""
    return {
        k: np.sum([s * laws[n][k] / np.linalg.norm(laws[n][k]) for n, s in shares.items()], axis=0)
        for k in SHAPES
    }


@given(st.integers(0, 10_000))
def test_shares_are_those_of_a_dense_least_squares(seed: int) -> None:
    """The same by stacking unit matrices and asking scipy, factors or not."""
    draw = np.random.default_rng(seed)
    found = {}
    dense = {}
    for name in ("a", "b", "c", "suspect"):
        parts = {
            k: (draw.normal(size=(o, 2)), draw.normal(size=(2, i))) for k, (o, i) in SHAPES.items()
        }
        found[name] = Update(changes={k: Change(left=b, right=a) for k, (b, a) in parts.items()})
        dense[name] = np.concatenate(
            [(b @ a / np.linalg.norm(b @ a)).ravel() for b, a in parts.values()]
        )
    columns = np.stack([dense[name] for name in "abc"], axis=1)
    slow = nnls(columns, dense["suspect"])[0]
    slow = slow / slow.sum() if slow.sum() > 0 else np.full(3, 1 / 3)
    fast = influence_scores(found["suspect"], {name: [found[name]] for name in "abc"})
    assert [*fast.values()] == pytest.approx(slow, abs=1e-6)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_a_planted_mixture_is_found_whatever_the_size_of_the_update(size: float) -> None:
    draw = np.random.default_rng(0)
    laws = laws_of(draw, "abcd")
    candidates = {n: [noisy(law, draw, 0.05) for _ in range(2)] for n, law in laws.items()}
    suspect = update({k: size * v for k, v in mixed(laws, {"a": 0.6, "c": 0.4}).items()})
    found = unmix(suspect, candidates)
    assert [s.candidates for s in found.shares] == [("a",), ("b",), ("c",), ("d",)]
    assert [s.share for s in found.shares] == pytest.approx([0.6, 0, 0.4, 0], abs=0.02)
    assert sum(s.share for s in found.shares) == pytest.approx(1)
    assert found.agreement > 0.95


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """120 suspects with errors of rows, 0.95 expected; a deviation of 120 suspects is 0.02."""
    draw = np.random.default_rng(1)
    inside = []
    for _ in range(120):
        laws = laws_of(draw, "abc")
        candidates = {n: [update(law)] for n, law in laws.items()}
        suspect = noisy(mixed(laws, {"a": 0.5, "b": 0.3, "c": 0.2}), draw, 0.08)
        found = unmix(suspect, candidates, groups=["a", "b", "c"])
        inside += [s.low <= p <= s.high for s, p in zip(found.shares, (0.5, 0.3, 0.2), strict=True)]
    assert 0.89 <= np.mean(inside) <= 0.995


def test_a_stranger_gets_no_shares() -> None:
    """Of 200 updates that share nothing with the candidates, 2.5 % are expected to get shares.

    More than 12 of 200 at that rate: 0.2 %. Agreement is 0 on average, 0.005 a deviation; tried on
    the rows that it was fitted to, it would be near 0.07.
    """
    draw = np.random.default_rng(2)
    laws = laws_of(draw, "abc")
    candidates = {n: [update(law)] for n, law in laws.items()}
    nothing = {k: np.zeros(shape) for k, shape in SHAPES.items()}
    found = [unmix(noisy(nothing, draw, 1), candidates, groups=["a", "b", "c"]) for _ in range(200)]
    assert sum(bool(mixture.shares) for mixture in found) <= 12
    assert np.mean([mixture.agreement for mixture in found]) == pytest.approx(0, abs=0.02)


def test_twins_are_one_group_and_others_are_not() -> None:
    draw = np.random.default_rng(3)
    laws = laws_of(draw, "abc")
    laws["a again"] = laws["a"]
    candidates = {n: [noisy(law, draw, 0.7) for _ in range(2)] for n, law in laws.items()}
    known = tell_apart(candidates)
    assert known.groups == (("a", "a again"), ("b",), ("c",))
    assert known.warning is not None
    assert "a = a again" in known.warning
    found = unmix(noisy(mixed(laws, {"a": 0.5, "b": 0.5}), draw, 0.02), candidates)
    assert found.shares[0].candidates == ("a", "a again")
    assert found.shares[0].share == pytest.approx(0.5, abs=0.1)


def test_differences_are_those_of_laws_without_what_chance_adds() -> None:
    """2 (1 - cosine) of the laws, for draws of which half is noise; with it, above 1."""
    draw = np.random.default_rng(4)
    one = draw.normal(size=(400, 10))
    other = draw.normal(size=(400, 10))
    law = {"a": one, "b": 0.8 * one + 0.6 * other}
    draws = {
        n: [Update(changes={"w": Change(left=v + draw.normal(size=v.shape))}) for _ in range(2)]
        for n, v in law.items()
    }
    (pair,) = tell_apart(draws).pairs
    cosine = (law["a"] * law["b"]).sum() / np.prod([np.linalg.norm(v) for v in law.values()])
    assert pair.difference == pytest.approx(2 * (1 - cosine), abs=0.1)
    assert pair.low < 2 * (1 - cosine) < pair.high
    assert pair.is_told_apart


def test_twins_are_told_apart_no_more_often_than_the_interval_says() -> None:
    """200 pairs of one law, at most 2.5 % expected; more than 12 at that rate: 0.2 %."""
    draw = np.random.default_rng(5)
    wrong = 0
    for _ in range(200):
        law = laws_of(draw, "a")["a"]
        wrong += (
            len(tell_apart({n: [noisy(law, draw, 0.5) for _ in range(2)] for n in "ab"}).groups) > 1
        )
    assert wrong <= 12


def test_draws_that_share_nothing_are_not_told_apart() -> None:
    draw = np.random.default_rng(6)
    nothing = {k: np.zeros(shape) for k, shape in SHAPES.items()}
    candidates = {n: [noisy(nothing, draw, 1) for _ in range(2)] for n in "ab"}
    assert tell_apart(candidates).groups == (("a", "b"),)


def test_coherence_and_condition_are_those_of_the_columns() -> None:
    one, other = np.eye(16)[:, :1], np.full((16, 1), 0.25)
    known = tell_apart({"a": [update({"w": one})] * 2, "b": [update({"w": other})] * 2})
    assert known.groups == (("a",), ("b",))
    assert known.coherence == pytest.approx(0.25)
    assert known.condition == pytest.approx((1.25 / 0.75) ** 0.5)


@given(st.integers(0, 10_000))
def test_gradients_are_cut_to_what_the_factors_read_in_any_basis(seed: int) -> None:
    draw = np.random.default_rng(seed)
    down, turn = draw.normal(size=(3, 7)), draw.normal(size=(3, 3)) + 3 * np.eye(3)
    gradient = {"a": [update({"w": draw.normal(size=(5, 7))})]}
    project = np.linalg.pinv(down) @ down
    for right in (down, turn @ down, np.concatenate([down, down])):
        suspect = Update(changes={"w": Change(left=np.ones((5, len(right))), right=right)})
        change = seen_through(gradient, suspect)["a"][0].changes["w"]
        assert change.right is not None
        slow = gradient["a"][0].changes["w"].left @ project
        assert change.left @ change.right == pytest.approx(slow, abs=1e-8)
    assert seen_through(gradient, gradient["a"][0])["a"][0].changes["w"].right is None


def test_what_cannot_be_unmixed_is_refused() -> None:
    draw = np.random.default_rng(0)
    laws = laws_of(draw, "ab")
    once = {n: [update(law)] for n, law in laws.items()}
    with pytest.raises(ValueError, match="two draws"):
        unmix(once["a"][0], once)
    with pytest.raises(ValueError, match="one group"):
        unmix(once["a"][0], once, groups=["a"])
    with pytest.raises(ValueError, match="one group"):
        unmix(once["a"][0], once | {"c": []}, groups=["a", "b", "c"])
    with pytest.raises(ValueError, match="zeros"):
        unmix(mean_update([once["a"][0]] * 2, [1, -1]), once, groups=["a", "b"])
    with pytest.raises(ValueError, match="16 blocks"):
        unmix(once["a"][0], once, groups=["a", "b"], blocks=2)


def test_calibrated_intervals_hold_all_shares_at_once() -> None:
    """2,000 suspects, 39 known each time: exactly 0.95 expected, 0.005 a deviation."""
    draw = np.random.default_rng(7)
    inside = []
    for _ in range(2000):
        truth = draw.dirichlet(np.ones(3), size=40)
        told = truth + draw.standard_t(3, size=truth.shape) / 20
        low, high = calibrated_intervals(told[:1], told[1:], truth[1:])
        inside.append(((low <= truth[:1]) & (truth[:1] <= high)).all())
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)


def test_too_few_known_mixtures_are_refused_with_the_number_needed() -> None:
    shares = np.full((18, 2), 0.5)
    with pytest.raises(ValueError, match="at least 19"):
        calibrated_intervals(shares, shares, shares)
    assert calibrated_intervals(shares, shares, shares, confidence=0.9)[0].shape == (18, 2)
    with pytest.raises(ValueError, match="same candidates"):
        calibrated_intervals(shares[:, :1], np.full((19, 2), 0.5), np.full((19, 2), 0.5))
    with pytest.raises(ValueError, match="confidence < 1"):
        calibrated_intervals(shares, shares, shares, confidence=1)
