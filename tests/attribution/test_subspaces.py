"""Angles with known values, invariances, and what random subspaces share."""

import warnings

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from discreet.attribution import (
    Change,
    Update,
    centred,
    chordal_distance,
    compare_subspaces,
    cosine,
    overlap,
    principal_angles,
    projection_energy,
)


def basis(draw: np.random.Generator, size: int, rank: int) -> np.ndarray:
    return np.linalg.qr(draw.normal(size=(size, rank)))[0]


def update(left: np.ndarray, right: np.ndarray | None = None) -> Update:
    return Update(changes={"w": Change(left=left, right=right)})


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 4))
def test_angles_are_scipys_and_turn_with_nothing(seed: int, r: int, s: int) -> None:
    draw = np.random.default_rng(seed)
    one, other, turn = basis(draw, 9, r), basis(draw, 9, s), basis(draw, 9, 9)
    found = principal_angles(one, other)
    assert found == pytest.approx(np.sort(scipy.linalg.subspace_angles(one, other)), abs=1e-9)
    assert found == pytest.approx(principal_angles(other, one), abs=1e-9)
    assert found == pytest.approx(
        principal_angles(turn @ one, turn @ other @ basis(draw, s, s)), abs=1e-7
    )


def test_a_turn_by_a_known_angle_is_found_even_where_the_cosine_rounds_to_one() -> None:
    """cos(1e-9) is 1 in double precision: an arc cosine would say 0."""
    for angle in (1e-9, 0.3, 1.2):
        one = np.eye(3)[:, :1]
        other = np.array([[np.cos(angle)], [np.sin(angle)], [0]])
        assert principal_angles(one, other) == pytest.approx([angle], rel=1e-6)
        assert chordal_distance(one, other) == pytest.approx(np.sin(angle), rel=1e-6)


def test_chordal_distance_is_that_of_projectors() -> None:
    """|P - Q|_F / sqrt 2, Conway, Hardin and Sloane 1996."""
    draw = np.random.default_rng(0)
    one, other = basis(draw, 8, 3), basis(draw, 8, 3)
    gap = np.linalg.norm(one @ one.T - other @ other.T) / 2**0.5
    assert chordal_distance(one, other) == pytest.approx(gap)


def test_random_subspaces_share_rank_over_dimension() -> None:
    """Mean of 200 overlaps, expectation 3 / 30; their deviation is below 0.01: 10 deviations."""
    draw = np.random.default_rng(0)
    found = [
        overlap(
            update(draw.normal(size=(30, 3)), draw.normal(size=(3, 20))),
            update(draw.normal(size=(30, 3)), draw.normal(size=(3, 20))),
            rank=3,
        )
        for _ in range(200)
    ]
    assert np.mean(found) == pytest.approx(0.1, abs=0.01)


def test_ranks_are_matched_and_sides_are_kept_apart() -> None:
    draw = np.random.default_rng(0)
    left, right = draw.normal(size=(12, 4)), draw.normal(size=(4, 9))
    one, other = update(left, right), update(left[:, :2], draw.normal(size=(2, 9)))
    (found,) = compare_subspaces(one, other, rank=4)
    assert found.rank == 2
    assert found.overlap < 1
    (same,) = compare_subspaces(update(left[:, :2], draw.normal(size=(2, 9))), other, rank=4)
    assert same.overlap == pytest.approx(1)
    assert same.distance == pytest.approx(0, abs=1e-7)
    dense = compare_subspaces(update(left @ right), update(left @ right), side="right")
    assert dense[0].overlap == pytest.approx(1)


def test_inputs_of_lora_are_warned_of() -> None:
    draw = np.random.default_rng(0)
    start = draw.normal(size=(2, 9))
    one, other = (update(draw.normal(size=(12, 2)), start) for _ in range(2))
    with pytest.warns(UserWarning, match="starts at random"):
        (found,) = compare_subspaces(one, other, side="right")
    assert found.overlap == pytest.approx(1)  # one start, and nothing else in common
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert overlap(one, other, side="right") == pytest.approx(1)


def test_energy_counts_both_sides() -> None:
    draw = np.random.default_rng(0)
    u, v = basis(draw, 10, 4), basis(draw, 8, 4)
    whole = 3 * np.outer(u[:, 0], v[:, 0]) + 4 * np.outer(u[:, 1], v[:, 1])
    assert projection_energy(update(whole), update(np.outer(u[:, 0], v[:, 0]))) == pytest.approx(
        0.36
    )
    assert projection_energy(update(u[:, :1] * 3, v[:, :1].T), update(whole)) == pytest.approx(1)
    assert projection_energy(update(whole), update(np.outer(u[:, 0], v[:, 1]))) == pytest.approx(
        0, abs=1e-12
    )


def test_cosines_weigh_matrices_alike_and_centring_takes_off_what_is_shared() -> None:
    same, apart = Change(left=np.eye(2)), Change(left=np.array([[0.0, 1], [1, 0]]))
    one = Update(changes={"a": Change(left=100 * np.eye(2)), "b": same})
    other = Update(changes={"a": same, "b": apart})
    assert cosine(one, other) == pytest.approx(0.5)
    shared = np.ones((2, 2)) * 5
    pair = centred([update(shared + np.eye(2)), update(shared - np.eye(2))])
    assert cosine(*pair) == pytest.approx(-1)
    with pytest.raises(ValueError, match="two references"):
        centred(pair[:1])


def test_what_cannot_be_compared_is_refused() -> None:
    still, moved = update(np.zeros((3, 2))), update(np.ones((3, 2)))
    for call in (compare_subspaces, cosine):
        with pytest.raises(ValueError, match="zero"):
            call(still, moved)
    with pytest.raises(ValueError, match="zeros"):
        projection_energy(still, moved)
    with pytest.raises(ValueError, match="orthonormal"):
        principal_angles(np.ones((3, 1)), np.eye(3)[:, :1])
    with pytest.raises(ValueError, match="one rank"):
        chordal_distance(np.eye(3)[:, :1], np.eye(3)[:, :2])
