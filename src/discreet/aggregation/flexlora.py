"""FlexLoRA: the mean of the products, cut to its best part of rank r by singular values.

Exact up to the cut. Owners may have lower ranks: values are sorted, so that the first q rows of A
and columns of B are the best part of rank q. Directions an owner has no room for are zero in that
owner's product, and fade by its share.

Both factors get the root of each singular value. A direction without one keeps its row of the
previous A beside a zero column of B: with both zero, no gradient would lead out.

Source: Bai et al. 2024, *Federated Fine-tuning of Large Language Models under Heterogeneous Tasks
and Client Resources* (arXiv:2402.11505).
"""

import torch

from discreet.aggregation.product_rules import LayerRound, ProductRule
from discreet.aggregation.rule import Compatibility
from discreet.aggregation.states import Kind


def _write(layer: LayerRound) -> dict[Kind, torch.Tensor]:
    """Return balanced factors of the best part of rank r."""
    old = layer.previous["A"].double()
    u, s, vh = layer.products.decompose(len(old))
    is_empty = s <= torch.finfo(torch.float32).eps * s[0]
    root = s.sqrt()
    return {
        "A": torch.where(is_empty[:, None], old, root[:, None] * vh),
        "B": torch.where(is_empty, 0.0, u * root),
    }


FLEXLORA = ProductRule(
    name="flexlora",
    write=_write,
    compatibility=Compatibility(
        example_dp=True,
        owner_dp=False,
        secure_aggregation=False,
        mixed_ranks=True,
        adapter_only=True,
    ),
)
