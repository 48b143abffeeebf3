"""Updates against dense algebra, and against another basis of the same factors."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from discreet.attribution import (
    Change,
    Update,
    mean_update,
    update_of_gradients,
    update_of_lora,
    update_of_trajectories,
    update_of_weights,
)
from discreet.attribution.grams import grams

SHAPES = {"wide": (5, 11), "tall": (12, 4)}


def factored(draw: np.random.Generator, rank: int) -> Update:
    return Update(
        changes={
            name: Change(left=draw.normal(size=(out, rank)), right=draw.normal(size=(rank, into)))
            for name, (out, into) in SHAPES.items()
        }
    )


def dense(update: Update) -> dict[str, np.ndarray]:
    return {n: c.left if c.right is None else c.left @ c.right for n, c in update.changes.items()}


def whole(update: Update) -> Update:
    return Update(changes={name: Change(left=value) for name, value in dense(update).items()})


def flat(update: Update) -> np.ndarray:
    return np.concatenate([value.ravel() for value in dense(update).values()])


@given(st.integers(0, 10_000), st.integers(1, 7), st.integers(1, 7))
def test_products_and_lengths_are_those_of_the_dense_matrices(seed: int, r: int, s: int) -> None:
    draw = np.random.default_rng(seed)
    one, other = factored(draw, r), factored(draw, s)
    for left in (one, whole(one)):
        assert left.norm == pytest.approx(np.linalg.norm(flat(one)))
        for right in (other, whole(other)):
            assert left.inner(right) == pytest.approx(flat(one) @ flat(other))


@given(st.integers(0, 10_000), st.integers(1, 7))
def test_directions_are_those_of_the_dense_matrices(seed: int, rank: int) -> None:
    update = factored(np.random.default_rng(seed), rank)
    for name, value in dense(update).items():
        found = update.singular(name, rank)
        most = min(rank, *value.shape)
        assert found.values == pytest.approx(np.linalg.svd(value)[1][:most])
        assert found.left * found.values @ found.right.T == pytest.approx(value)
        assert found.left.T @ found.left == pytest.approx(np.eye(most))
        assert whole(update).singular(name, 2).values == pytest.approx(found.values[:2])


@given(st.integers(0, 10_000))
def test_another_basis_of_the_factors_changes_nothing(seed: int) -> None:
    """B R^-1 and R A are the same adapter, for any invertible R."""
    draw = np.random.default_rng(seed)
    one, other = factored(draw, 3), factored(draw, 2)
    basis = draw.normal(size=(3, 3)) + 3 * np.eye(3)
    same = Update(
        changes={
            name: Change(left=c.left @ np.linalg.inv(basis), right=basis @ c.right)
            for name, c in one.changes.items()
            if c.right is not None
        }
    )
    assert same.norm == pytest.approx(one.norm)
    assert same.inner(other) == pytest.approx(one.inner(other))
    for name in SHAPES:
        first, second = one.singular(name, 3), same.singular(name, 3)
        assert first.values == pytest.approx(second.values)
        assert first.left @ first.left.T == pytest.approx(second.left @ second.left.T)
        assert first.right @ first.right.T == pytest.approx(second.right @ second.right.T)


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_blocks_of_rows_add_up_to_the_products(seed: int, blocks: int) -> None:
    draw = np.random.default_rng(seed)
    updates = [factored(draw, 2), whole(factored(draw, 3)), factored(draw, 4)]
    rows = np.array([flat(update) for update in updates])
    found = grams(updates, blocks=blocks)
    assert found.products.sum(0) == pytest.approx(rows @ rows.T)
    assert len(found.products) == min(blocks, 5) + min(blocks, 12)
    by = draw.normal(size=(2, 3))
    assert found.mixed(by).products.sum(0) == pytest.approx(by @ rows @ rows.T @ by.T)


def test_levelled_updates_have_length_one_in_each_matrix_and_zero_stays_zero() -> None:
    draw = np.random.default_rng(0)
    one = factored(draw, 2)
    still = Update(changes=dict(one.changes) | {"tall": Change(left=np.zeros((12, 4)))})
    lengths = np.einsum("lnn->ln", grams([one, still]).levelled().by_layer())
    assert lengths == pytest.approx(np.array([[1, 1], [1, 0]]))


def test_directions_made_of_rounding_are_left_out() -> None:
    one = np.random.default_rng(0).normal(size=(6, 1))
    update = Update(changes={"w": Change(left=np.repeat(one, 3, axis=1), right=np.ones((3, 4)))})
    assert update.singular("w", 3).values.shape == (1,)
    still = Update(changes={"w": Change(left=np.zeros((6, 4)))})
    assert still.singular("w", 3).values.shape == (0,)


def test_a_state_of_lora_is_scaled_and_kernels_are_flattened() -> None:
    down, up = torch.randn(2, 3, 3, 3), torch.randn(5, 2, 1, 1)
    found = update_of_lora({"c.lora_A.weight": down, "c.lora_B.weight": up}, scale=2.0)
    slow = 2 * torch.einsum("or,rikl->oikl", up[:, :, 0, 0], down).reshape(5, -1).double().numpy()
    assert dense(found)["c"] == pytest.approx(slow, rel=1e-5)


def test_weights_gradients_and_trajectories_are_differences() -> None:
    before, after = (
        {"w": torch.ones(2, 3), "b": torch.zeros(2)},
        {"w": torch.zeros(2, 3), "b": torch.ones(2)},
    )
    found = dense(update_of_weights(before, after))
    assert found["w"] == pytest.approx(-np.ones((2, 3)))
    assert found["b"] == pytest.approx(np.ones((2, 1)))
    assert dense(update_of_gradients({"w": torch.ones(2, 3)}))["w"] == pytest.approx(
        -np.ones((2, 3))
    )
    paths = update_of_trajectories({"seed 1": np.zeros((4, 2))}, {"seed 1": np.eye(4, 2)})
    assert paths.singular("seed 1", 5).values == pytest.approx([1, 1])


@given(st.integers(0, 10_000))
def test_a_mean_of_factors_is_the_mean_of_the_dense_matrices_and_stays_factored(seed: int) -> None:
    draw = np.random.default_rng(seed)
    one, other = factored(draw, 2), factored(draw, 3)
    assert flat(mean_update([one, other])) == pytest.approx((flat(one) + flat(other)) / 2)
    weighted = mean_update([one, other], [2, -1])
    assert flat(weighted) == pytest.approx(2 * flat(one) - flat(other))
    assert all(change.right is not None for change in weighted.changes.values())
    assert flat(mean_update([one, whole(other)], [2, -1])) == pytest.approx(flat(weighted))


def test_what_is_no_update_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        Change(left=np.array([[np.nan]]))
    with pytest.raises(ValueError, match="which is A"):
        Change(left=np.ones((3, 2)), right=np.ones((3, 2)))
    with pytest.raises(ValueError, match="Flatten"):
        Change(left=np.ones(3))
    with pytest.raises(ValueError, match="got none"):
        Update(changes={})
    with pytest.raises(ValueError, match="rank >= 1"):
        Change(left=np.ones((3, 2))).singular(0)
    with pytest.raises(ValueError, match="A and B of each"):
        update_of_lora({"x.lora_A.weight": torch.ones(1, 2)}, scale=1)
    with pytest.raises(ValueError, match="what is not LoRA"):
        update_of_lora({"x.weight": torch.ones(1, 2)}, scale=1)
    with pytest.raises(ValueError, match="one base"):
        update_of_weights({"w": torch.ones(1, 2)}, {"w": torch.ones(2, 1)})
    with pytest.raises(ValueError, match="a weight for each"):
        mean_update([])


def test_updates_of_other_matrices_do_not_compare_until_cut_to_the_same() -> None:
    draw = np.random.default_rng(0)
    one = factored(draw, 2)
    part = one.only(["wide"])
    with pytest.raises(ValueError, match="'tall'"):
        one.inner(part)
    assert part.inner(one.only({"wide"})) == pytest.approx(part.norm**2)
    with pytest.raises(ValueError, match="nowhere"):
        one.only(["nowhere"])
