"""Adapters of a lower rank as the first part of one of the full rank.

An owner of rank q holds the first q rows of A and the first q columns of B; the rest of its full
adapter is zero and stays so.
"""

import torch

from discreet.aggregation import Shapes, State


def cut_shapes(shapes: Shapes, rank: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes that tensors have at a rank."""
    return {name: _cut(name, shape, rank) for name, shape in shapes.items()}


def cut(state: State, rank: int) -> State:
    """Return the part of a state that an owner of this rank has."""
    return {
        name: value[tuple(slice(0, side) for side in _cut(name, tuple(value.shape), rank))]
        for name, value in state.items()
    }


def keep_rank(state: State, rank: int) -> State:
    """Return a state of full size in which everything beyond a rank is zero."""
    kept = masks(state, rank)
    return {name: value * kept[name] for name, value in state.items()}


def masks(state: State, rank: int) -> State:
    """Return 1 where an owner of this rank learns and 0 elsewhere, by name."""
    found = {}
    for name, value in state.items():
        mask = torch.zeros_like(value)
        mask[tuple(slice(0, side) for side in _cut(name, tuple(value.shape), rank))] = 1
        found[name] = mask
    return found


def _cut(name: str, shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """Return the shape of a tensor at a rank: rows of A, columns of B."""
    if ".lora_A." in name:
        return (min(rank, shape[0]), *shape[1:])
    if ".lora_B." in name:
        return (shape[0], min(rank, shape[1]), *shape[2:])
    return shape
