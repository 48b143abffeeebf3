"""Clipped sums: exact in any order, no longer than the bound, and close to the real ones."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from discreet.privacy import CounterGenerator
from discreet.privacy.clipping import clip_and_sum, grid_of

size = st.integers(1, 40)
bound = st.floats(1e-3, 1e3)
matrix = st.tuples(st.integers(1, 6), size, st.integers(0, 2**31), st.floats(-12, 12))


def draw(shape: tuple[int, int, int, float], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return (N, P) numbers of very different sizes."""
    rows, columns, seed, exponent = shape
    numbers = CounterGenerator.seeded(str(seed)).normal(rows * columns).view(rows, columns)
    spread = CounterGenerator.seeded(f"{seed} spread").normal(rows)[:, None].exp()
    return (numbers * spread * 10.0**exponent).to(dtype)


@settings(deadline=None)
@given(shape=matrix, max_grad_norm=bound)
def test_one_gradient_is_never_longer_than_the_bound(
    shape: tuple[int, int, int, float], max_grad_norm: float
) -> None:
    for row in draw(shape):
        total = clip_and_sum(row[None].clone(), max_grad_norm).total
        length = math.sqrt(math.fsum(float(x) ** 2 for x in total))  # rounded once, at the end
        assert length <= max_grad_norm


@settings(deadline=None)
@given(shape=matrix, max_grad_norm=bound)
def test_sums_are_the_same_to_the_last_bit_in_any_order_and_in_any_parts(
    shape: tuple[int, int, int, float], max_grad_norm: float
) -> None:
    """One example less takes away its own clipped gradient and nothing else."""
    gradients = draw(shape)
    whole = clip_and_sum(gradients.clone(), max_grad_norm).total
    assert torch.equal(clip_and_sum(gradients.flip(0), max_grad_norm).total, whole)
    parts = [clip_and_sum(row[None].clone(), max_grad_norm).total for row in gradients]
    assert torch.equal(sum(parts, torch.zeros_like(whole)), whole)


@settings(deadline=None)
@given(shape=matrix, max_grad_norm=bound)
def test_the_sum_is_on_the_grid_and_near_the_real_one(
    shape: tuple[int, int, int, float], max_grad_norm: float
) -> None:
    gradients = draw(shape).double()
    total = clip_and_sum(gradients.clone(), max_grad_norm).total
    in_steps = total / grid_of(max_grad_norm, gradients.shape[1])
    assert torch.equal(in_steps, in_steps.round())
    shares = (max_grad_norm / gradients.norm(dim=1).clamp(min=max_grad_norm))[:, None]
    error = float((total - (gradients * shares).sum(0)).norm())
    assert error <= len(gradients) * max_grad_norm / 500


@given(columns=size, max_grad_norm=bound)
def test_rounding_costs_at_most_a_thousandth(columns: int, max_grad_norm: float) -> None:
    grid = grid_of(max_grad_norm, columns)
    assert math.log2(grid).is_integer()
    assert math.sqrt(columns) * grid / 2 <= max_grad_norm / 1000


def test_a_gradient_too_long_to_square_in_float32_is_clipped_and_not_lost() -> None:
    huge = torch.tensor([[3e30, 4e30]])
    found = clip_and_sum(huge, 1.0)
    assert not found.is_bad.any()
    torch.testing.assert_close(found.total, torch.tensor([0.6, 0.8]).double(), rtol=3e-3, atol=0)


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_rows_that_are_not_finite_or_named_bad_add_nothing(poison: float) -> None:
    rows = torch.tensor([[1.0, 2.0], [poison, 0.0], [5.0, 6.0]])
    alone = clip_and_sum(rows[:1].clone(), 9.0).total
    found = clip_and_sum(rows, 9.0, bad=torch.tensor([False, False, True]))
    assert torch.equal(found.total, alone)
    assert found.is_bad.tolist() == [False, True, True]
    assert rows[1:].eq(0).all()


def test_gradients_within_the_bound_are_counted() -> None:
    rows = torch.tensor([[0.6, 0.8], [0.7, 0.8], [0.0, 0.0], [math.nan, 0.0]])
    assert clip_and_sum(rows, 1.0001).within == 2


def test_shares_of_a_bound_add_up_to_it() -> None:
    """Two layers, half of the squared bound each: together no longer than the whole."""
    layers = draw((1, 30, 5, 6.0)), draw((1, 7, 6, 6.0))
    parts = [clip_and_sum(g, 0.3, share=0.5**0.5, size=37).total for g in layers]
    assert 0.299 <= torch.cat(parts).norm() <= 0.3


def test_many_columns_are_taken_in_pieces_without_a_difference() -> None:
    gradients = draw((3, 700_000, 1, 0.0))
    found = clip_and_sum(gradients.clone(), 1.0).total
    grid = grid_of(1.0, 700_000)
    reach = 1 - 2**-20 - 700_000**0.5 * grid / 2
    shares = reach / gradients.double().norm(dim=1, keepdim=True)
    wanted = (gradients.double() * shares / grid).round().sum(0) * grid
    assert (found - wanted).abs().max() <= grid  # a number in the middle may round either way
    assert (found != wanted).double().mean() < 1e-6


def test_the_low_order_bits_of_a_noisy_sum_do_not_tell_what_is_below_the_noise() -> None:
    """Mironov (2012): with plain floats the released number often cannot come from a neighbour.

    Every release has to be possible from either data set: both sums and the noise are whole
    numbers of one grid, so that for each release there is a noise that leads there from the other.
    """
    mine, other = torch.tensor([[0.3, 0.1]]), torch.tensor([[0.3, 0.1], [1e-3, 2e-3]])
    grid = grid_of(1.0, 2)
    noise = CounterGenerator.seeded("mironov").normal(2_000).view(-1, 2)
    sums = [clip_and_sum(g.clone(), 1.0).total for g in (mine, other)]
    released = sums[0] + (noise / grid).round() * grid
    needed = released - sums[1]
    assert torch.equal(needed / grid, (needed / grid).round())
    assert torch.equal(sums[1] + needed, released)


def test_sums_of_plain_floats_would_depend_on_who_else_is_there() -> None:
    """What the grid is for: taking one row out of a float32 sum changes more than that row."""
    rows = draw((6, 1000, 3, 0.0))
    taken = rows.sum(0) - rows[1:].sum(0)
    assert (taken != rows[0]).double().mean() > 0.1
