"""RMIA: is an example likelier under the model, against references, than others of the population?

Losses in, scores in [0, 1] out; higher: a member. It works with one reference model, which may be
the base that the adapter is on: it costs nothing and saw none of the examples.

>>> population, of_base = np.array([1.0, 1.1, 0.9, 1.2]), np.array([1.1, 1.1, 1.0, 1.2])
>>> relative_scores(np.array([0.3, 1.0]), np.array([1.2, 1.0]), population, of_base)
array([1. , 0.5])
"""

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def relative_scores(
    target: Numbers,
    references: Numbers,
    population_target: Numbers,
    population_references: Numbers,
    *,
    gamma: float = 1.0,
    offline: float | None = None,
) -> Numbers:
    """Return the share of the population that each example dominates, (N,).

    An example dominates another if its ratio of probabilities, under the model over the mean of
    the references, is at least `gamma` times the other's.

    Args:
        target: (N,) losses under the model that is asked.
        references: (N,) or (M, N) losses under models of reference.
        population_target: (Z,) losses of examples of the population, not of those asked about.
        population_references: (Z,) or (M, Z).
        gamma: 1 or more.
        offline: The paper's a, from 0 to 1, where no reference saw the examples: what a model that
            did would say is guessed from those that did not. None takes the references as they are.

    Raises:
        ValueError: if shapes differ, a loss is not finite, or a number is out of range.

    Source: Zarifzadeh et al. 2024, *Low-Cost High-Power Membership Inference Attacks*
    (arXiv:2312.03262).
    """
    if gamma < 1 or (offline is not None and not 0 <= offline <= 1):
        raise ValueError(
            f"Expected gamma >= 1 and offline from 0 to 1, got {gamma} and {offline}. Correct them."
        )
    own = _log_ratio(target, references, offline)
    others = np.sort(_log_ratio(population_target, population_references, offline))
    if not len(others):
        raise ValueError("Expected examples of the population, got none. Hold some out.")
    reached = np.searchsorted(others, own - np.log(gamma), "right")
    return np.asarray(reached / len(others))


def _log_ratio(target: Numbers, references: Numbers, offline: float | None) -> Numbers:
    """Return log Pr(x | model) - log Pr(x), (N,), with Pr = exp(-loss)."""
    every = np.atleast_2d(np.asarray(references, dtype=np.float64))
    if target.shape != every.shape[1:]:
        raise ValueError(
            f"Expected references (M, N) for (N,), got {every.shape} for {target.shape}. Take both "
            "of one list of examples."
        )
    if not (np.isfinite(every).all() and np.isfinite(target).all()):
        raise ValueError("Expected finite losses, got others. Leave out examples without a loss.")
    mean = np.exp(-every).mean(0)
    known = mean if offline is None else ((1 + offline) * mean + (1 - offline)) / 2
    return np.asarray(-target - np.log(np.maximum(known, 1e-300)))
