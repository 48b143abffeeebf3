"""How alike two updates are: angles between their strongest directions, energy, cosines.

All of it is of what an update adds, so that another basis of LoRA's factors changes nothing. Being
alike is no proof of a common source: references of known data sets say what is usual.

>>> one, other = np.eye(3)[:, :2], np.eye(3)[:, 1:]
>>> principal_angles(one, other).round(3)  # a common direction, and two at right angles
array([0.   , 1.571])
>>> chordal_distance(one, other)
1.0
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from discreet.attribution.updates import Change, Numbers, Update, check_alike, mean_update

Side = Literal["left", "right"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Likeness:
    """How alike the strongest directions of one matrix are in two updates."""

    layer: str
    side: Side
    """`left`: of outputs; `right`: of inputs."""
    rank: int
    """Directions compared: asked for, or the fewer that both have."""
    angles: tuple[float, ...]
    """In radians, 0 (shared) to pi / 2 (at right angles), smallest first."""

    @property
    def overlap(self) -> float:
        """Return the mean squared cosine, 0 to 1; of random subspaces of D dimensions, rank / D."""
        return float(np.mean(np.cos(self.angles) ** 2))

    @property
    def distance(self) -> float:
        """Return the chordal distance, 0 to sqrt(rank)."""
        return float(np.linalg.norm(np.sin(self.angles)))


def principal_angles(one: Numbers, other: Numbers) -> Numbers:
    """Return the angles between two subspaces, in radians, smallest first.

    Small angles are told by their sine and large ones by their cosine, since the arc cosine of a
    number near 1 loses half of its digits.

    Args:
        one: (D, R) orthonormal columns.
        other: (D, S) orthonormal columns; min(R, S) angles come back.

    Raises:
        ValueError: if columns are not orthonormal, or of another length.

    Source: Björck and Golub 1973, *Numerical Methods for Computing Angles Between Linear
    Subspaces*, Mathematics of Computation 27(123); arc cosine and arc sine as in Knyazev and
    Argentati 2002, SIAM J. Sci. Comput. 23(6).
    """
    for basis in (one, other):
        if basis.ndim != 2 or len(basis) != len(one) or not _is_orthonormal(basis):
            raise ValueError(
                f"Expected orthonormal columns of {len(one)} numbers, got shape {basis.shape}. "
                "Take them from `Update.singular`, or from a QR."
            )
    if one.shape[1] < other.shape[1]:
        one, other = other, one
    cosines = np.linalg.svd(one.T @ other, compute_uv=False).clip(0, 1)
    sines = np.linalg.svd(other - one @ (one.T @ other), compute_uv=False)[::-1].clip(0, 1)
    return np.asarray(np.where(cosines**2 > 0.5, np.arcsin(sines), np.arccos(cosines)))


def chordal_distance(one: Numbers, other: Numbers) -> float:
    """Return the chordal distance of two subspaces of one rank: the length of the angles' sines.

    Source: Conway, Hardin and Sloane 1996 (arXiv:math/0208004), section 2.

    Raises:
        ValueError: if ranks differ: the distance would depend on which is larger.
    """
    if one.shape != other.shape:
        raise ValueError(
            f"Expected subspaces of one rank, got {one.shape} and {other.shape}. Take as many "
            "directions of both."
        )
    return float(np.linalg.norm(np.sin(principal_angles(one, other))))


def compare_subspaces(
    one: Update, other: Update, *, side: Side = "left", rank: int = 4
) -> list[Likeness]:
    """Return how alike the strongest directions are, for each matrix that both change.

    Where LoRA starts with B = 0, the inputs that an adapter reads are, early in training, those of
    its random A. The `right` side then tells of one start, and hardly of one data set: a warning
    says so where both updates are factors.

    Args:
        one: An update.
        other: One of the same matrices; a rank of its own is fine.
        side: Which directions.
        rank: How many at most.

    Raises:
        ValueError: if the matrices differ, or none is changed by both.
    """
    check_alike([one, other])
    if side == "right" and all(_has_factors(update) for update in (one, other)):
        warnings.warn(
            "Directions of inputs of LoRA are mostly those of A, which starts at random: they tell "
            "whether two adapters had one start. Compare side='left' for what they were taught.",
            stacklevel=2,
        )
    pairs = [(name, one.singular(name, rank), other.singular(name, rank)) for name in one.changes]
    found = []
    for name, first, second in pairs:
        common = min(len(first.values), len(second.values))
        if common:
            bases = [getattr(part, side)[:, :common] for part in (first, second)]
            angles = tuple(float(a) for a in principal_angles(bases[0], bases[1]))
            found.append(Likeness(layer=name, side=side, rank=common, angles=angles))
    if not found:
        raise ValueError(
            "Expected a matrix that both updates change, got none: one of them is zero. Take a "
            "state from after training."
        )
    return found


def overlap(one: Update, other: Update, *, side: Side = "left", rank: int = 4) -> float:
    """Return the mean of `Likeness.overlap` over matrices, 0 to 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = compare_subspaces(one, other, side=side, rank=rank)
    return float(np.mean([likeness.overlap for likeness in found]))


def projection_energy(update: Update, reference: Update, *, rank: int = 8) -> float:
    """Return the share of an update that lies in the strongest directions of another, 0 to 1.

    Both sides count: |U^T dW V|^2 / |dW|^2 with U, V of the reference, averaged over the matrices
    that the update changes.

    Raises:
        ValueError: if the matrices differ, or the update is zero.
    """
    check_alike([update, reference])
    shares = []
    for name, change in update.changes.items():
        whole = change.inner(change)
        if whole > 0:
            found = reference.singular(name, rank)
            left = found.left.T @ change.left
            inside = left if change.right is None else left @ change.right
            shares.append(float(((inside @ found.right) ** 2).sum()) / whole)
    if not shares:
        raise ValueError(
            "Expected an update that changes something, got zeros. Take a later state."
        )
    return float(np.mean(shares))


def cosine(one: Update, other: Update) -> float:
    """Return the mean over matrices of the cosine of both, -1 to 1.

    Every matrix counts the same, however much it was changed; those that one leaves alone are left
    out.

    Raises:
        ValueError: if the matrices differ, or none is changed by both.
    """
    check_alike([one, other])
    lengths = [(n, _length(c) * _length(other.changes[n])) for n, c in one.changes.items()]
    found = [one.changes[n].inner(other.changes[n]) / both for n, both in lengths if both > 0]
    if not found:
        raise ValueError(
            "Expected a matrix that both updates change, got none: one of them is zero. Take a "
            "state from after training."
        )
    return float(np.mean(found))


def centred(references: Sequence[Update]) -> list[Update]:
    """Return updates without what all of them share: each minus the mean of all.

    Raises:
        ValueError: if there are fewer than two, or matrices differ.
    """
    if len(references) < 2:
        raise ValueError(
            f"Expected two references or more, got {len(references)}: alone, one is its own mean. "
            "Give those of other candidates too."
        )
    mean = mean_update(references)
    return [mean_update([reference, mean], [1, -1]) for reference in references]


def _length(change: Change) -> float:
    return math.sqrt(max(0.0, change.inner(change)))


def _has_factors(update: Update) -> bool:
    return any(change.right is not None for change in update.changes.values())


def _is_orthonormal(basis: Numbers) -> bool:
    return bool(np.abs(basis.T @ basis - np.eye(basis.shape[1])).max(initial=0) < 1e-6)
