"""Which tokens a gradient names: those whose vectors lie in the span of its rows.

The gradient of a linear map's weight is a sum of outer products, one a token, so that its rows lie
in the span of what entered. Where fewer tokens entered than the rows are wide, few other vectors
lie there, and no optimisation is needed. Of a LoRA pair the rows of A's gradient lie in the span of
the inputs x, but number at most r, and those of B's lie in the span of A x, which is all of R^r as
soon as r different tokens entered: then nothing is named.

>>> inputs = torch.eye(8)[:3]
>>> gradient = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)) @ inputs
>>> tokens_in_span(gradient, torch.eye(8)).nonzero().flatten().tolist()
[0, 1, 2]
"""

from collections.abc import Collection
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenRecovery:
    """How many of the tokens that there were are named, and how many named ones there were."""

    named: int
    right: int
    there: int

    @property
    def precision(self) -> float:
        """Share of named tokens that were there; 0 if none was named."""
        return self.right / self.named if self.named else 0.0

    @property
    def recall(self) -> float:
        """Share of the tokens that were there which are named."""
        return self.right / self.there if self.there else 0.0


def rows_that_moved(gradient: torch.Tensor) -> torch.Tensor:
    """Return which rows of an embedding's gradient (V, D) are not zero, (V,) bool.

    Source: Melis et al. 2019 (arXiv:1805.04049), on embeddings; nothing is hidden by them.
    """
    return gradient.ne(0).any(1)


def row_space(gradient: torch.Tensor, *, tolerance: float = 1e-5) -> torch.Tensor:
    """Return an orthonormal basis of the span of a gradient's rows, (K, D) float64.

    Args:
        gradient: (out, D).
        tolerance: Directions shorter than this part of the longest count as rounding.
    """
    directions: torch.Tensor
    _, lengths, directions = torch.linalg.svd(gradient.double(), full_matrices=False)
    if not len(lengths) or lengths[0] == 0:
        return directions[:0]
    return directions[lengths > tolerance * lengths[0]]


def tokens_in_span(
    gradient: torch.Tensor, vectors: torch.Tensor, *, tolerance: float = 1e-3
) -> torch.Tensor:
    """Return which tokens' vectors lie in the span of a gradient's rows, (V,) bool.

    No token is named where the rows span all there is: then every vector lies there.

    Args:
        gradient: (out, D).
        vectors: (V, D) what each token of the vocabulary is where it enters the layer.
        tolerance: Part of a vector's length that may lie outside.

    Raises:
        ValueError: if widths differ.

    Source: Petrov et al. 2024, *DAGER* (arXiv:2405.15586), the span check of single tokens.
    """
    if gradient.dim() != 2 or vectors.dim() != 2 or gradient.shape[1] != vectors.shape[1]:
        raise ValueError(
            f"Expected a gradient (out, D) and vectors (V, D), got {tuple(gradient.shape)} and "
            f"{tuple(vectors.shape)}. Project vectors as the layer does."
        )
    basis = row_space(gradient)
    if len(basis) in (0, gradient.shape[1]):
        return torch.zeros(len(vectors), dtype=torch.bool)
    whole = vectors.double()
    outside = whole - whole @ basis.T @ basis
    inside: torch.Tensor = outside.norm(dim=1) <= tolerance * whole.norm(dim=1)
    return inside


def measure_recovery(named: torch.Tensor, there: Collection[int]) -> TokenRecovery:
    """Return how well named tokens, (V,) bool, are those that there were; each counts once."""
    chosen = set(named.nonzero().flatten().tolist())
    return TokenRecovery(named=len(chosen), right=len(chosen & set(there)), there=len(set(there)))
