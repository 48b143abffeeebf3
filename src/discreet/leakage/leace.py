"""Erase concepts from features so that no linear classifier finds them, changing least: LEACE.

It erases what is linear and nothing else: a probe that bends may still read a concept, and on
people that the eraser was not fitted to a linear one may, too (`leakage/findings.py` measures
both).

>>> draw = np.random.default_rng(0)
>>> z = one_hot([str(n % 2) for n in range(100)])
>>> x = draw.normal(size=(100, 3)) + z[:, :1]
>>> erased = fit_eraser(x, z)(x)
>>> bool(np.abs((erased - erased.mean(0)).T @ (z - z.mean(0))).max() < 1e-9)
True
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

Floats = npt.NDArray[np.floating[Any]]
_RIDGE = 1e-10
"""Of the mean variance: what counts as no variance at all."""
_NOTHING = 1e-9
"""Share of the most readable direction below which a direction of the labels is a repetition."""
_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Eraser:
    """An affine map that takes concepts out of features: x - ((x - mean) reads) writes^T."""

    mean: npt.NDArray[np.float64]
    """(D,) of the features that it was fitted to."""
    reads: npt.NDArray[np.float64]
    """(D, r): how far a row lies in each direction that tells a concept."""
    writes: npt.NDArray[np.float64]
    """(D, r): what such a direction adds to a row, and what is taken away."""

    def __call__(self, x: Floats) -> Floats:
        """Return features without the concepts, (N, D), in the type that they came in."""
        parts = [x[start : start + _AT_ONCE] for start in range(0, len(x), _AT_ONCE)]
        done = [part - ((part - self.mean) @ self.reads) @ self.writes.T for part in parts]
        return np.concatenate(done).astype(x.dtype) if done else x.copy()


def one_hot(*labels: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return labels as columns of 0 and 1, (N, K), those of several labels side by side."""
    found = []
    for values in labels:
        _, place = np.unique(np.asarray(values), return_inverse=True)
        found.append(np.eye(int(place.max()) + 1)[place])
    return np.concatenate(found, axis=1)


def fit_eraser(x: Floats, z: Floats, *, shrinkage: float = 0.0) -> Eraser:
    """Return the map that takes all linear information about z out of x and changes x least.

    With B the (pseudo-)inverse of the covariance of x and C its cross-covariance with z, the map is
    x - C (C^T B C)^+ C^T B (x - mean): Belrose et al.'s W^+ P_{WC} W with W the square root of B,
    written without a root. B decides what "least" means; whatever it is, C becomes zero.

    Args:
        x: (N, D) features.
        z: (N, K) concepts, numbers or `one_hot` columns; several are erased together.
        shrinkage: In [0, 1], how far the covariance is drawn towards a multiple of the identity. 0
            is the paper's map. Where D is not far below N, some of it carries over better to rows
            that were not fitted to; 1 projects the directions of C away at right angles.

    Guarantee:
        On the rows that it is fitted to, features and concepts have no covariance left, so that no
        linear classifier with a convex loss does better on them than the best constant.

    Raises:
        ValueError: if x and z differ in length, hold fewer than two rows or a number that is not
            finite, or if `shrinkage` is out of range.

    Source: Belrose et al. 2023, *LEACE: Perfect linear concept erasure in closed form*
    (arXiv:2306.03819), Theorem 4.2 and Equation 1.
    """
    _check(x, z, shrinkage)
    mean = x.mean(0, dtype=np.float64)
    centred, told = x - mean, z - z.mean(0, dtype=np.float64)
    cross = centred.T @ told / len(x)  # (D, K)
    weighed = _solve(centred, told, cross, shrinkage)
    strength, turn = np.linalg.eigh((cross.T @ weighed + weighed.T @ cross) / 2)
    kept = strength > _NOTHING * max(float(strength.max()), np.finfo(float).tiny)
    turn = turn[:, kept] / np.sqrt(strength[kept])
    return Eraser(mean=mean, reads=weighed @ turn, writes=cross @ turn)


def _check(x: Floats, z: Floats, shrinkage: float) -> None:
    if x.ndim != 2 or z.ndim != 2 or len(x) != len(z) or len(x) < 2 or not z.size:
        raise ValueError(
            f"Expected features (N, D) and concepts (N, K) of the same two or more rows, got "
            f"{x.shape} and {z.shape}. Give labels to one_hot() first."
        )
    if not 0 <= shrinkage <= 1:
        raise ValueError(
            f"Expected 0 <= shrinkage <= 1, got shrinkage={shrinkage}. 0 is the paper's map."
        )
    if not (np.isfinite(x).all() and np.isfinite(z).all()):
        raise ValueError("Expected finite numbers, got others. Leave those rows out.")


def _solve(
    centred: npt.NDArray[np.float64],
    told: npt.NDArray[np.float64],
    cross: npt.NDArray[np.float64],
    shrinkage: float,
) -> npt.NDArray[np.float64]:
    """Return the inverse covariance times the cross-covariance, (D, K).

    By the smaller of the (D, D) covariance and the (N, N) matrix of inner products:
    (X^T X + r I)^-1 X^T = X^T (X X^T + r I)^-1. A ridge of `_RIDGE` stands for the pseudo-inverse.
    """
    count, width = centred.shape
    variance = float(np.square(centred).sum()) / count / width
    ridge = max((shrinkage + _RIDGE) * variance, np.finfo(float).tiny)
    wide = width > count
    matrix = (centred @ centred.T if wide else centred.T @ centred) * ((1 - shrinkage) / count)
    matrix[np.diag_indices_from(matrix)] += ridge
    factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    if wide:
        return np.asarray(centred.T @ cho_solve(factor, told / count))
    return np.asarray(cho_solve(factor, cross))
