"""FLoRA: all owners' factors stacked, which is the sum of their products, and a fresh adapter.

The sum, divided by the number of owners, goes into a dense delta of each layer; A is drawn anew and
B is zero. Exact at any ranks; what an owner sends is of its own rank. The delta is as large as the
layer and travels down.

A is drawn from a hash of the previous A and the round. The first A is of the public seed, so that
every A follows from it, and a round that is repeated draws the same.

Source: Wang et al. 2024, *FLoRA* (arXiv:2409.05976).
"""

import hashlib

import numpy as np
import torch

from discreet.aggregation.product_rules import LayerRound, ProductRule
from discreet.aggregation.rule import Compatibility
from discreet.aggregation.states import Kind


def _write(layer: LayerRound) -> dict[Kind, torch.Tensor]:
    """Return the delta with the mean of the products, and an adapter that changes nothing."""
    return {
        "A": _draw(layer.previous["A"], layer.server_round),
        "B": torch.zeros_like(layer.previous["B"]),
        "delta": layer.previous["delta"].double() + layer.products.dense(),
    }


def _draw(old: torch.Tensor, server_round: int) -> torch.Tensor:
    """Return a new A (r, in), uniform within in**-0.5 as PEFT draws the first."""
    digest = hashlib.sha256(old.numpy().tobytes() + str(server_round).encode()).digest()
    bound = old.shape[1] ** -0.5
    generator = np.random.default_rng(int.from_bytes(digest, "big"))
    return torch.from_numpy(generator.uniform(-bound, bound, tuple(old.shape)))


FLORA = ProductRule(
    name="flora",
    write=_write,
    compatibility=Compatibility(
        example_dp=True,
        owner_dp=False,
        secure_aggregation=False,
        mixed_ranks=True,
        adapter_only=False,
    ),
)
