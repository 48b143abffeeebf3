"""A small square core between two frozen factors: `scale * B R A`, of which R alone learns.

The mean of several owners' Rs gives the mean of what they add, as with a frozen A, and r^2 numbers
of a layer cross the network and take noise. What it can reach is what A and B let through, so that
r should be larger than for LoRA.

A and B have orthonormal rows and columns drawn from the public seed. Fed-SB takes singular vectors
of a first gradient, which is made of somebody's examples. Those of the base weight need no data,
and are no better a guess: in the upper half of `small`, the 8 leading ones of `v_proj` let 0.0001
of a gradient's squared length through and random ones 0.0006, which is r^2 / (in out)
(`tests/model/test_core.py`). A packed weight has none at hand, and machines differ in their signs.

Source: Singhal et al. 2025, Fed-SB (arXiv:2502.15436); the base's singular vectors: Balazy et al.
2024, LoRA-XS (arXiv:2405.17604).

    >>> from discreet.model.base import load
    >>> from discreet.model.lora import LoraSpec, attach_lora
    >>> vlm = attach_lora(load("tiny"), LoraSpec(r=4, layers=1, core=True))
    >>> [tuple(p.shape) for p in vlm.model.parameters() if p.requires_grad]
    [(4, 4)]
"""

from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import LoraVariant
from torch import nn


class Core(LoraVariant):
    """How PEFT computes a layer with a core. It does not merge one: `save_adapter` writes LoRA."""

    def supports_lora_conversion(self) -> bool:
        """Say that PEFT's own conversion would lose the core."""
        return False

    @staticmethod
    def merge_unsafe(module: LoraLayer, active_adapter: str, orig_weight: torch.Tensor) -> None:
        """Refuse to merge in place, as PEFT does by itself where it merges into a copy."""
        raise NotImplementedError(
            "Expected plain LoRA to merge, got a core. Write it with save_adapter() and merge what "
            "load_adapter() reads."
        )

    @staticmethod
    def forward(
        module: Any, active_adapter: str, x: torch.Tensor, result: torch.Tensor, **told: Any
    ) -> torch.Tensor:
        """Return `result + scale * B R A x`."""
        inner = module.lora_A[active_adapter](module.lora_dropout[active_adapter](x))
        inner = module.lora_R[active_adapter](inner) * module.scaling[active_adapter]
        whole: torch.Tensor = result + module.lora_B[active_adapter](inner)
        return whole


@torch.no_grad()
def put_core(layer: Any, adapter: str, draw: torch.Generator) -> None:
    """Give a LoRA layer a core of zeros between an A and a B that are drawn anew.

    Args:
        layer: With an adapter of rank r, at most as large as the layer is narrow.
        adapter: Its name.
        draw: Public.
    """
    down, up = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
    rank, width = down.shape
    down.copy_(_orthonormal(width, rank, draw).T)
    up.copy_(_orthonormal(len(up), rank, draw))
    core = nn.Linear(rank, rank, bias=False, device=down.device, dtype=down.dtype)
    core.weight.zero_()
    layer.lora_R = nn.ModuleDict({adapter: core})
    layer.lora_variant[adapter] = Core()


def _orthonormal(rows: int, columns: int, draw: torch.Generator) -> torch.Tensor:
    """Return (rows, columns) float32 with orthonormal columns, to 8 bits.

    Machines differ in the last bits of a factorisation, and owners compare hashes of A and B.
    """
    numbers = torch.rand(rows, columns, generator=draw, dtype=torch.float64) - 0.5
    found: torch.Tensor = torch.linalg.qr(numbers).Q.bfloat16().float()
    return found
