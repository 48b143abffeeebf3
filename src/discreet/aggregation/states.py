"""Adapters as tensors by name: which tensor is which factor, and what a layer's factors add.

It knows the names that PEFT gives, and no model, message or rule.

>>> a, b = "q.lora_A.default.weight", "q.lora_B.default.weight"
>>> product({a: torch.ones(1, 2), b: torch.ones(2, 1)}, "q")
tensor([[1., 1.],
        [1., 1.]])
"""

from collections.abc import Mapping
from typing import Literal

import torch

State = dict[str, torch.Tensor]
"""Adapter tensors by name, float32 on the CPU."""

Shapes = Mapping[str, tuple[int, ...]]
"""The names and shapes an adapter has."""

Kind = Literal["A", "B", "R", "delta"]
"""A (r, in) and B (out, r); R (r, r), the core between them; delta (out, in), a dense sum."""

_MARKS: dict[Kind, str] = {"A": ".lora_A.", "B": ".lora_B.", "R": ".lora_R."}
_DELTA = ".delta"


def kind_of(name: str) -> Kind | None:
    """Return which part of a layer's adapter a tensor is; `None` for any other tensor."""
    if name.endswith(_DELTA):
        return "delta"
    return next((kind for kind, mark in _MARKS.items() if mark in name), None)


def layers_of(state: Mapping[str, object]) -> dict[str, dict[Kind, str]]:
    """Return the names of each layer's tensors by kind; other tensors are left out."""
    layers: dict[str, dict[Kind, str]] = {}
    for name in state:
        if kind := kind_of(name):
            layer = name.partition(_MARKS[kind])[0] if kind in _MARKS else name[: -len(_DELTA)]
            layers.setdefault(layer, {})[kind] = name
    return layers


def delta_name(layer: str) -> str:
    """Return the name of a layer's dense sum."""
    return layer + _DELTA


def product(state: State, layer: str) -> torch.Tensor:
    """Return (out, in) float32, what an adapter adds to a layer before LoRA's scale.

    That is delta + B R A, where a missing delta is zero and a missing R the identity.

    Raises:
        ValueError: if the layer has a delta or A and B neither.
    """
    found = {kind: state[name].double() for kind, name in layers_of(state).get(layer, {}).items()}
    terms = [found["delta"]] if "delta" in found else []
    if "A" in found and "B" in found:
        left = found["B"] @ found["R"] if "R" in found else found["B"]
        terms.append(left @ found["A"])
    if not terms:
        raise ValueError(
            f"Expected A and B or a delta of the layer '{layer}', got {', '.join(found) or 'none'}."
            " Add the factors that do not travel to the state."
        )
    return sum(terms[1:], terms[0]).float()


def shapes_of(state: State) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a state."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def check_shapes(update: State, shapes: Shapes) -> None:
    """Refuse an update that has other names or shapes.

    Raises:
        ValueError: on the first difference; no value of it is named.
    """
    if set(update) != set(shapes):
        raise ValueError(
            f"Expected the {len(shapes)} tensors that learn in this round, got {len(update)}, "
            f"{len(set(update) ^ set(shapes))} of which differ. Send what the rule lets learn."
        )
    for name, shape in shapes.items():
        if tuple(update[name].shape) != tuple(shape):
            raise ValueError(
                f"Expected '{name}' of shape {tuple(shape)}, got {tuple(update[name].shape)}. "
                "All owners need the same adapter settings."
            )
