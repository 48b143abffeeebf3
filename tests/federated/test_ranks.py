"""An adapter of a lower rank is the first part of the full one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from discreet.federated.messages import shapes_of
from discreet.federated.ranks import cut, cut_shapes, keep_rank, masks

A, B = "q.lora_A.default.weight", "q.lora_B.default.weight"
OTHERS = {"q.delta": (5, 3), "q.lora_R.default.weight": (4, 4), "0.bias": (2,)}
RANKS = st.integers(1, 4)


def state() -> dict[str, torch.Tensor]:
    shapes = {A: (4, 3), B: (5, 4), **OTHERS}
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@given(rank=RANKS)
def test_a_cut_has_the_first_rows_of_a_and_columns_of_b(rank: int) -> None:
    whole, part = state(), cut(state(), rank)
    assert torch.equal(part[A], whole[A][:rank])
    assert torch.equal(part[B], whole[B][:, :rank])
    assert all(torch.equal(part[name], whole[name]) for name in OTHERS)
    assert shapes_of(part) == cut_shapes(shapes_of(whole), rank)


@given(rank=RANKS)
def test_what_is_kept_adds_what_the_cut_adds(rank: int) -> None:
    """An owner trains in full tensors; the product is that of its own rank."""
    part, kept = cut(state(), rank), keep_rank(state(), rank)
    assert torch.allclose(kept[B] @ kept[A], part[B] @ part[A], atol=1e-6)
    assert shapes_of(kept) == shapes_of(state())
    assert not kept[A][rank:].any()
    assert not kept[B][:, rank:].any()


@given(rank=RANKS)
def test_a_mask_is_one_where_the_rank_reaches(rank: int) -> None:
    found = masks(state(), rank)
    assert {name: int(mask.sum()) for name, mask in found.items()} == {
        A: rank * 3,
        B: 5 * rank,
        **{name: mask.numel() for name, mask in found.items() if name in OTHERS},
    }


@pytest.mark.parametrize("rank", [4, 9])
def test_the_full_rank_and_more_leave_a_state_as_it_is(rank: int) -> None:
    whole = state()
    assert all(torch.equal(cut(whole, rank)[name], whole[name]) for name in whole)
    assert all(torch.equal(keep_rank(whole, rank)[name], whole[name]) for name in whole)
