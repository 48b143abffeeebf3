"""FedEx-LoRA: A and B averaged for themselves, and what that misses added to the base.

The residual mean(B A) - mean(B) mean(A) goes into a dense delta of each layer, so that the result
is exactly the mean of the products. The delta is as large as the layer and travels down.

Source: Singhal et al. 2024 (arXiv:2410.09432).
"""

import torch

from discreet.aggregation.product_rules import LayerRound, ProductRule
from discreet.aggregation.rule import Compatibility
from discreet.aggregation.states import Kind


def _write(layer: LayerRound) -> dict[Kind, torch.Tensor]:
    """Return the means as they are in float32, and the delta with what they miss."""
    a, b = (layer.means[kind].float().double() for kind in ("A", "B"))
    residual = layer.products.dense() - b @ a
    return {"A": a, "B": b, "delta": layer.previous["delta"].double() + residual}


FEDEX = ProductRule(
    name="fedex",
    write=_write,
    compatibility=Compatibility(
        example_dp=True,
        owner_dp=False,
        secure_aggregation=False,
        mixed_ranks=False,
        adapter_only=False,
    ),
)
