"""Inner products of updates, block by block of rows: all that unmixing and its interval need.

Blocks are what intervals draw. Noise of training and of privacy is added to entries of B, and a row
of B belongs to one output: errors of different rows are apart, which those of columns, of layers of
few, or of entries of a product are not. It knows no candidate and no share.

>>> one = Update(changes={"layer": Change(left=np.array([[3.0], [0.0]]))})
>>> other = Update(changes={"layer": Change(left=np.array([[1.0], [1.0]]))})
>>> grams([one, other], blocks=2).products.tolist()
[[[9.0, 3.0], [3.0, 1.0]], [[0.0, 0.0], [0.0, 1.0]]]
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from discreet.attribution.updates import Change, Numbers, Update, check_alike

BLOCKS = 16
"""Of rows, for each matrix; matrices of fewer outputs have as many blocks as outputs."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Grams:
    """Inner products of N updates in U blocks of rows."""

    products: Numbers
    """(U, N, N)."""
    layers: npt.NDArray[np.int64]
    """(U,) which matrix a block is of, 0 to L - 1."""

    def by_layer(self) -> Numbers:
        """Return (L, N, N) inner products in each matrix."""
        sums = np.zeros((self.layers.max() + 1, *self.products.shape[1:]))
        np.add.at(sums, self.layers, self.products)
        return sums

    def mixed(self, by: Numbers) -> "Grams":
        """Return those of M sums of the updates; `by` is (M, N), or (L, M, N) for each matrix."""
        per_block = by[self.layers] if by.ndim == 3 else by
        return Grams(
            products=per_block @ self.products @ np.swapaxes(per_block, -1, -2), layers=self.layers
        )

    def levelled(self) -> "Grams":
        """Return those of updates of length 1 in each matrix; what is 0 stays 0."""
        lengths = np.sqrt(np.einsum("lnn->ln", self.by_layer()).clip(0))
        scales = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        scales = scales[self.layers]
        return Grams(
            products=self.products * scales[:, :, None] * scales[:, None, :], layers=self.layers
        )


def grams(updates: Sequence[Update], *, blocks: int = BLOCKS) -> Grams:
    """Return the inner products of updates in blocks of rows.

    Raises:
        ValueError: if the matrices differ in name or shape.
    """
    check_alike(updates)
    products, layers = [], []
    for place, name in enumerate(updates[0].changes):
        changes = [update.changes[name] for update in updates]
        edges = np.linspace(0, changes[0].shape[0], min(blocks, changes[0].shape[0]) + 1).astype(
            int
        )
        for start, end in zip(edges[:-1], edges[1:], strict=True):
            products.append(_products(changes, slice(start, end)))
            layers.append(place)
    return Grams(products=np.array(products), layers=np.array(layers))


def _products(changes: Sequence[Change], rows: slice) -> Numbers:
    """Return the inner products of each pair, (N, N)."""
    found = np.zeros((len(changes), len(changes)))
    whole = [place for place, change in enumerate(changes) if change.right is None]
    flat = np.array([changes[place].left[rows].ravel() for place in whole])
    if whole:
        found[np.ix_(whole, whole)] = flat @ flat.T
    for i, one in enumerate(changes):
        for j, other in enumerate(changes[: i + 1]):
            if one.right is not None or other.right is not None:
                found[i, j] = found[j, i] = one.inner(other, rows)
    return found
