"""The mean of products B A of several owners, kept as factors: dense only where a rule needs that.

Factors stand side by side, (out, k) and (k, in), until k is more than the smaller side; then they
are multiplied out. Everything is float64, in which products of float32 numbers are exact.

>>> mean = ProductMean()
>>> mean.add(torch.ones(2, 1).double(), torch.ones(1, 2).double())
>>> mean.add(torch.zeros(2, 1).double(), torch.ones(1, 2).double())
>>> mean.dense()
tensor([[0.5000, 0.5000],
        [0.5000, 0.5000]], dtype=torch.float64)
"""

from dataclasses import dataclass, field

import torch
from torch.nn.functional import pad

Factors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(slots=True)
class ProductMean:
    """A mean of (out, in) matrices; memory: at most 16 min(out, in) (out + in) bytes and one owner.

    For a layer of 4,096 x 4,096 that is 0.5 GB at most; four owners of rank 8 take 2 MB.
    """

    count: int = 0
    _left: torch.Tensor = field(default_factory=lambda: torch.empty(0, 0), repr=False)
    _right: torch.Tensor = field(default_factory=lambda: torch.empty(0, 0), repr=False)

    def add(self, left: torch.Tensor, right: torch.Tensor) -> None:
        """Count one more product of (out, q) and (q, in), float64."""
        self._left = torch.cat([self._left, left], 1) if self.count else left
        self._right = torch.cat([self._right, right]) if self.count else right
        self.count += 1
        sides = self._left.shape[0], self._right.shape[1]
        if self._left.shape[1] <= min(sides):
            return
        whole = self._left @ self._right
        unit = torch.eye(min(sides), dtype=torch.float64)
        self._left, self._right = (unit, whole) if sides[0] < sides[1] else (whole, unit)

    def dense(self) -> torch.Tensor:
        """Return the mean, (out, in) float64."""
        return self._left @ self._right / self.count

    def decompose(self, r: int) -> Factors:
        """Return the r largest singular values of the mean and their vectors, largest first.

        The stacks are reduced to triangles first, so that the decomposition is of a matrix of at
        most k x k. Where the rank is below r, values are zero up to rounding and vectors arbitrary.

        Returns:
            (out, r), (r,) and (r, in) float64.
        """
        left, core_left = torch.linalg.qr(self._left)
        right, core_right = torch.linalg.qr(self._right.T)
        u, s, vh = torch.linalg.svd(core_left @ core_right.T / self.count, full_matrices=False)
        u, s, vh = left @ u[:, :r], s[:r], vh[:r] @ right.T
        missing = r - len(s)
        return pad(u, (0, missing)), pad(s, (0, missing)), pad(vh, (0, 0, 0, missing))
