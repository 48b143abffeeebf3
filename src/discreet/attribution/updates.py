"""What training added to a model, matrix by matrix, and how two such updates compare.

An update is a product of LoRA's factors or a whole difference of weights; either way it is compared
as what it adds, so that a change of basis of the factors changes nothing. Products of factors are
never multiplied out. It knows no model, no file and no data set.

>>> down, up = np.array([[1.0, 0.0, 0.0]]), np.array([[0.0], [2.0]])
>>> one = Update(changes={"layer": Change(left=up, right=down)})
>>> same = Update(changes={"layer": Change(left=up / 4, right=4 * down)})
>>> one.norm, one.inner(same), one.singular("layer", rank=2).values
(2.0, 4.0, array([2.]))
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Numbers = npt.NDArray[np.float64]
_NOTHING = 1e-10
"""Of the largest singular value: below it a direction is made of rounding."""
_FACTOR = re.compile(r"(?P<layer>.+)\.lora_(?P<kind>embedding_[AB]|[AB])(\.weight)?")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Singular:
    """The strongest directions of one matrix, strongest first."""

    left: Numbers
    """(O, R) orthonormal columns, directions of outputs."""
    values: Numbers
    """(R,) above 0, in falling order."""
    right: Numbers
    """(I, R) orthonormal columns, directions of inputs."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Change:
    """What was added to one matrix of O rows (outputs) and I columns (inputs)."""

    left: Numbers
    """(O, R) factor with the scale in it, LoRA's B; or (O, I) all of it."""
    right: Numbers | None = None
    """(R, I) factor, LoRA's A; None: `left` is all of it."""

    def __post_init__(self) -> None:
        """Refuse what is no matrix, does not fit, or holds a number that is not finite."""
        parts = [self.left] if self.right is None else [self.left, self.right]
        if any(part.ndim != 2 or not part.size for part in parts):
            raise ValueError(
                f"Expected matrices with something in them, got shapes {[p.shape for p in parts]}. "
                "Flatten kernels to (outputs, rest)."
            )
        if self.right is not None and self.left.shape[1] != len(self.right):
            raise ValueError(
                f"Expected factors (O, R) and (R, I), got {self.left.shape} and "
                f"{self.right.shape}. Check which is A and which is B."
            )
        if not all(np.isfinite(part).all() for part in parts):
            raise ValueError(
                "Expected finite weights, got NaN or infinity. The training that made them failed: "
                "take an earlier state."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Return outputs and inputs."""
        return len(self.left), (self.left if self.right is None else self.right).shape[1]

    @property
    def transposed(self) -> "Change":
        """Return the same with outputs and inputs changed over."""
        if self.right is None:
            return Change(left=self.left.T)
        return Change(left=self.right.T, right=self.left.T)

    def inner(self, other: "Change", rows: slice = slice(None)) -> float:
        """Return the sum over entries of the product of both, for some rows of outputs.

        For factors, sum((B^T B') * (A A'^T)), in O((O + I) R R') steps.
        """
        left, others = self.left[rows], other.left[rows]
        if self.right is None and other.right is None:
            return float((left * others).sum())
        between = left.T @ others
        if self.right is None:
            return float((between * _right(other).T).sum())
        if other.right is None:
            return float((between * self.right).sum())
        return float((between * (self.right @ other.right.T)).sum())

    def singular(self, rank: int) -> Singular:
        """Return at most `rank` directions; those made of rounding are left out.

        Source: the product of two thin matrices by QR of each and the SVD of an (R, R) core (Golub
        and Van Loan 2013, *Matrix Computations*, 4th ed., section 5.2).
        """
        if rank < 1:
            raise ValueError(f"Expected rank >= 1, got {rank}. Ask for one direction or more.")
        if self.right is None:
            left, values, right = np.linalg.svd(self.left, full_matrices=False)
            right = right.T
        else:
            basis, upper = np.linalg.qr(self.left)
            across, lower = np.linalg.qr(self.right.T)
            inside, values, outside = np.linalg.svd(upper @ lower.T, full_matrices=False)
            left, right = basis @ inside, across @ outside.T
        kept = min(rank, int((values > _NOTHING * max(values[0], np.finfo(float).tiny)).sum()))
        return Singular(left=left[:, :kept], values=values[:kept], right=right[:, :kept])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Update:
    """What was added to each of several matrices, by name."""

    changes: Mapping[str, Change]

    def __post_init__(self) -> None:
        """Refuse an update of nothing."""
        if not self.changes:
            raise ValueError("Expected one matrix or more, got none. Check the names of weights.")

    @property
    def norm(self) -> float:
        """Return the Euclidean (Frobenius) length of all of it."""
        return math.sqrt(max(0.0, self.inner(self)))

    def singular(self, layer: str, rank: int) -> Singular:
        """Return at most `rank` strongest directions of one matrix."""
        return self.changes[layer].singular(rank)

    def inner(self, other: "Update") -> float:
        """Return the sum over all entries of the product of both.

        Raises:
            ValueError: if the matrices of both differ in name or shape.
        """
        check_alike([self, other])
        return sum(self.changes[name].inner(other.changes[name]) for name in self.changes)

    def only(self, layers: Collection[str]) -> "Update":
        """Return the part on some matrices, in the order that they have here.

        Raises:
            ValueError: if one of them is not there.
        """
        if missing := set(layers) - set(self.changes):
            raise ValueError(
                f"Expected matrices of this update, got {sorted(missing)[:3]}. "
                f"It has, for example, {sorted(self.changes)[:3]}."
            )
        return Update(changes={k: v for k, v in self.changes.items() if k in set(layers)})


def check_alike(updates: Sequence[Update]) -> None:
    """Refuse updates whose matrices differ in name or shape: nothing about them compares.

    Raises:
        ValueError: naming one matrix that differs.
    """
    shapes = [{name: change.shape for name, change in u.changes.items()} for u in updates]
    for found in shapes[1:]:
        if different := sorted(found.items() ^ shapes[0].items()):
            raise ValueError(
                f"Expected the same matrices in all updates, got {different[0][0]!r} of shape "
                f"{different[0][1]} in some only. They are of different bases, or ask "
                "`Update.only` for what all have."
            )


def update_of_lora(state: Mapping[str, torch.Tensor], *, scale: float) -> Update:
    """Return the update of a LoRA state: scale B A for each layer.

    Args:
        state: `NAME.lora_A.weight` (R, I) and `NAME.lora_B.weight` (O, R) of each layer; kernels of
            convolutions are flattened.
        scale: alpha / R, or alpha / sqrt(R) where LoRA is rank-stabilised.

    Raises:
        ValueError: if a name is not of this form, or one of a pair is missing.
    """
    pairs = factors_of(state)
    return Update(
        changes={n: Change(left=scale * up, right=down) for n, (up, down) in pairs.items()}
    )


def factors_of(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[Numbers, Numbers]]:
    """Return B (O, R) and A (R, I) of each layer, of factors of embeddings too.

    Raises:
        ValueError: if a name is not of this form, or one of a pair is missing.
    """
    found: dict[str, dict[str, Numbers]] = {}
    for name, value in state.items():
        match = _FACTOR.fullmatch(name)
        if match is None:
            raise ValueError(
                f"Expected names that end in `.lora_A.weight` or `.lora_B.weight`, got {name!r}. "
                "Leave out what is not LoRA."
            )
        found.setdefault(match["layer"], {})[match["kind"][-1]] = matrix_of(value)
    for layer, pair in found.items():
        if len(pair) < 2:
            raise ValueError(
                f"Expected A and B of each layer, got {[*pair]} of {layer!r}. The state is not "
                "whole: save it again."
            )
    return {layer: (pair["B"], pair["A"]) for layer, pair in found.items()}


def update_of_weights(
    before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]
) -> Update:
    """Return the difference of two sets of weights; kernels are flattened, vectors are columns.

    Raises:
        ValueError: if names or shapes differ.
    """
    if (
        different := {k: v.shape for k, v in before.items()}.items()
        ^ {k: v.shape for k, v in after.items()}.items()
    ):
        raise ValueError(
            f"Expected the same weights in both, got {sorted(n for n, _ in different)[:3]} in one "
            "only, or in another shape. Compare models of one base."
        )
    whole = {name: matrix_of(after[name]) - matrix_of(value) for name, value in before.items()}
    return Update(changes={name: Change(left=value) for name, value in whole.items()})


def update_of_gradients(gradients: Mapping[str, torch.Tensor]) -> Update:
    """Return the step down a loss: minus its gradient with respect to each matrix, (O, I) each."""
    return Update(changes={name: Change(left=-matrix_of(g)) for name, g in gradients.items()})


def update_of_trajectories(before: Mapping[str, Numbers], after: Mapping[str, Numbers]) -> Update:
    """Return how paths of latents moved: from the base's to the adapted model's, of one start each.

    The rows take the place of outputs: left directions are profiles over steps, right ones are
    directions of latents.

    Args:
        before: (T, D) latents at T steps, by name of the start (a seed, a prompt).
        after: The same of the adapted model, from the same starts.
    """
    as_tensors = [{k: torch.as_tensor(v) for k, v in paths.items()} for paths in (before, after)]
    return update_of_weights(*as_tensors)


def mean_update(updates: Sequence[Update], weights: Sequence[float] | None = None) -> Update:
    """Return the weighted sum of updates, weights 1/N unless given; factors stay factors.

    Raises:
        ValueError: if there is none, matrices differ, or weights do not fit.
    """
    chosen = [1 / len(updates)] * len(updates) if weights is None and updates else weights
    if not updates or chosen is None or len(chosen) != len(updates):
        raise ValueError(
            f"Expected one update or more and a weight for each, got {len(updates)} updates. "
            "Give as many weights."
        )
    check_alike(updates)
    return Update(
        changes={
            name: _sum([update.changes[name] for update in updates], chosen)
            for name in updates[0].changes
        }
    )


def matrix_of(value: torch.Tensor) -> Numbers:
    """Return a tensor as a matrix in double precision: (O, rest), a vector as a column."""
    flat = value.detach().to("cpu", torch.float64)
    return np.asarray(flat.reshape(len(flat), -1).numpy() if flat.ndim else flat.reshape(1, 1))


def _sum(changes: Sequence[Change], weights: Sequence[float]) -> Change:
    """Return a weighted sum: factors side by side, unless one is whole."""
    pairs = list(zip(weights, changes, strict=True))
    if all(change.right is not None for change in changes):
        return Change(
            left=np.concatenate([weight * change.left for weight, change in pairs], axis=1),
            right=np.concatenate([_right(change) for change in changes]),
        )
    return Change(
        left=np.sum(
            [w * (c.left if c.right is None else c.left @ c.right) for w, c in pairs], axis=0
        )
    )


def _right(change: Change) -> Numbers:
    assert change.right is not None
    return change.right
