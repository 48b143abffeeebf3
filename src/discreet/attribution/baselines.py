"""What attribution has to beat: the spectrum, the length, the fall of a loss, and a coin.

Each returns one score for each candidate, higher for "was used". Nothing here compares directions,
which is what the rest of the room is for.

>>> loss_drop_scores(np.array([2.0, 2.0]), np.array([1.0, 1.9])).tolist()
[0.5, 0.050000000000000044]
"""

from collections.abc import Mapping, Sequence

import numpy as np

from discreet.attribution.updates import Numbers, Update, check_alike


def loss_drop_scores(before: Numbers, after: Numbers) -> Numbers:
    """Return how far the mean loss on each candidate fell, as a share of what it was.

    What dataset inference does with a loss (Maini et al. 2021, arXiv:2104.10706, compare distances
    to a boundary): it needs the model to be run.

    Args:
        before: (K,) mean losses of the base, above 0.
        after: (K,) of the adapted model, on the same examples.

    Raises:
        ValueError: if a loss is not finite, or one before is not above 0.
    """
    if before.shape != after.shape or not np.isfinite([before, after]).all() or (before <= 0).any():
        raise ValueError(
            "Expected finite losses of each candidate before and after, above 0 before. Leave out "
            "candidates without a loss."
        )
    return (before - after) / before


def spectrum_scores(
    suspect: Update, candidates: Mapping[str, Sequence[Update]], *, rank: int = 8
) -> dict[str, float]:
    """Return minus the mean gap of singular values to those of each candidate's references.

    Singular values alone, as DSiRe (Salama et al. 2024, arXiv:2406.19395) reads how many images
    were trained on.

    Args:
        suspect: The update that is asked about.
        candidates: References of each.
        rank: How many values for each matrix; missing ones are 0.
    """
    check_alike([suspect, *(u for draws in candidates.values() for u in draws)])
    own = _spectrum(suspect, rank)
    means = {k: np.mean([_spectrum(u, rank) for u in v], axis=0) for k, v in candidates.items()}
    return {name: -float(np.abs(own - mean).mean()) for name, mean in means.items()}


def norm_scores(suspect: Update, candidates: Sequence[str]) -> dict[str, float]:
    """Return the length of the update, the same for each candidate: it cannot tell them apart."""
    return dict.fromkeys(candidates, suspect.norm)


def random_scores(candidates: Sequence[str], draw: np.random.Generator) -> dict[str, float]:
    """Return a number for each candidate that knows nothing."""
    return dict(zip(candidates, draw.random(len(candidates)).tolist(), strict=True))


def _spectrum(update: Update, rank: int) -> Numbers:
    """Return (L, rank) singular values of each matrix, filled up with 0."""
    found = np.zeros((len(update.changes), rank))
    for row, name in enumerate(update.changes):
        values = update.singular(name, rank).values
        found[row, : len(values)] = values
    return found
