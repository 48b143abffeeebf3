"""What a curious server sees: does an update carry the gradient of an example?

Vectors in, scores out; higher: a member. The server knows the adapter at the round's start, so that
it can compute the gradient of any candidate, and compare it with what an owner sent.

>>> update = np.array([3.0, 4.0, 0.0])  # a step down: minus a sum of gradients
>>> alignment_scores(update, -np.eye(3)).round(3) + 0.0
array([0.6, 0.8, 0. ])
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

Numbers = npt.NDArray[np.float64]


def alignment_scores(update: Numbers, gradients: Numbers) -> Numbers:
    """Return the cosine of an update with the step down each candidate's loss, (N,).

    Args:
        update: (P,) what the owner's adapter changed by.
        gradients: (N, P) of the candidates' losses at the adapter before; a gradient of zero has
            the score 0.

    Raises:
        ValueError: if lengths differ, or a number is not finite.

    Source: Li et al. 2023, *Effective passive membership inference attacks in federated learning
    against overparameterized models* (ICLR 2023), the attack by cosines.
    """
    _check(update, gradients)
    lengths = np.linalg.norm(gradients, axis=1) * np.linalg.norm(update)
    return np.asarray(-(gradients @ update) / np.where(lengths > 0, lengths, 1.0))


def clipped_scores(update: Numbers, gradients: Numbers, *, max_grad_norm: float) -> Numbers:
    """Return the inner product of an update with each clipped candidate step, (N,).

    Against Gaussian noise this is the best test of one candidate, were the others known
    (Neyman and Pearson); `power_of_one_example` says how much it finds then.

    Arguments and errors are those of `alignment_scores`, and `max_grad_norm`: to which training
    clips, above 0.
    """
    _check(update, gradients)
    if not max_grad_norm > 0:
        raise ValueError(f"Expected max_grad_norm > 0, got {max_grad_norm}. Use the plan's.")
    lengths = np.linalg.norm(gradients, axis=1)
    scale = np.minimum(1.0, max_grad_norm / np.where(lengths > 0, lengths, 1.0))
    return np.asarray(-(gradients @ update) * scale)


def residual_scores(update: Numbers, gradients: Numbers, population: Numbers) -> Numbers:
    """Return the cosine of an update with each candidate's step, in what others do not share, (N,).

    Gradients of all examples have much in common, and what they have in common says nothing of
    who was there. What lies in the span of a population's gradients is taken out of the update and
    of each candidate first.

    Args:
        update: (P,) what the owner's adapter changed by.
        gradients: (N, P) of the candidates; one without a residual has the score 0.
        population: (M, P) gradients of examples that are surely not in it, M below P.

    Raises:
        ValueError: if lengths differ, a number is not finite, or the population spans everything.
    """
    _check(update, gradients)
    _check(update, population)
    if len(population) >= len(update):
        raise ValueError(
            f"Expected a population of fewer gradients than the {len(update)} weights, got "
            f"{len(population)}. Take some of it."
        )
    shared, _ = np.linalg.qr(population.T)
    left = update - shared @ (shared.T @ update)
    own = gradients - (gradients @ shared) @ shared.T
    lengths = np.linalg.norm(own, axis=1) * np.linalg.norm(left)
    small = lengths <= 1e-9 * np.linalg.norm(gradients, axis=1) * np.linalg.norm(update)
    return np.asarray(np.where(small, 0.0, -(own @ left) / np.where(small, 1.0, lengths)))


def power_of_one_example(fpr: float, *, noise_multiplier: float, times: int = 1) -> float:
    """Return the share of members that the best test finds, were all other examples known.

    Args:
        fpr: Rate of false alarms, between 0 and 1.
        noise_multiplier: Standard deviation of the noise over the clipping norm, above 0.
        times: Steps that the example is in.

    Source: Dong et al. 2019, *Gaussian Differential Privacy* (arXiv:1905.02383), with
    mu = sqrt(times) / noise_multiplier.
    """
    if not (0 < fpr < 1 and noise_multiplier > 0 and times >= 1):
        raise ValueError(
            f"Expected 0 < fpr < 1, noise_multiplier > 0 and times >= 1, got {fpr}, "
            f"{noise_multiplier} and {times}. Correct them."
        )
    return float(norm.cdf(norm.ppf(fpr) + np.sqrt(times) / noise_multiplier))


def over_rounds(scores: Sequence[Numbers]) -> Numbers:
    """Return one score of each candidate from those of several rounds, (N,).

    In each round scores are brought to mean 0 and spread 1, so that none drowns the others.

    Raises:
        ValueError: if there is no round, or rounds differ in length.
    """
    if not scores or len({len(one) for one in scores}) > 1:
        raise ValueError(
            "Expected scores of the same candidates in one round or more, got others. Score the "
            "same list in each."
        )
    every = np.stack([np.asarray(one, dtype=np.float64) for one in scores])
    spread = every.std(1, keepdims=True)
    return np.asarray(((every - every.mean(1, keepdims=True)) / np.where(spread, spread, 1)).sum(0))


def _check(update: Numbers, gradients: Numbers) -> None:
    if gradients.ndim != 2 or gradients.shape[1:] != update.shape:
        raise ValueError(
            f"Expected gradients (N, P) and an update (P,), got {gradients.shape} and "
            f"{update.shape}. Flatten the same tensors in one order."
        )
    if not (np.isfinite(update).all() and np.isfinite(gradients).all()):
        raise ValueError("Expected finite numbers, got others. Leave out what failed.")
