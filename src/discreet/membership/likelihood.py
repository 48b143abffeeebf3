"""The likelihood-ratio attack: how an example's confidence compares with models that saw it or not.

Losses in, scores out; higher: a member. The auditor trains reference models on halves of a pool, so
that each example is in some and out of others. With few models, spreads are shared by all examples:
those of single ones could not be told.

>>> draw = np.random.default_rng(0)
>>> inside = draw.random((8, 50)) < 0.5
>>> losses = np.where(inside, 0.5, 1.0) + draw.normal(0, 0.1, (8, 50))
>>> target = np.where(np.arange(50) < 25, 0.5, 1.0)  # the first half are members
>>> scores = likelihood_scores(target, losses, inside)
>>> bool(scores[:25].min() > scores[25:].max())
True
"""

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
MODELS_FOR_OWN_SPREAD = 32
"""Models below which all examples share one spread."""


def confidence_of(losses: Numbers) -> Numbers:
    """Return log(p / (1 - p)) of losses of any shape, p = exp(-loss): close to normal over models.

    Source: Carlini et al. 2022 (arXiv:2112.03570), section 5; of a mean loss over tokens, p is the
    geometric mean of their probabilities.
    """
    kept = np.maximum(np.asarray(losses, dtype=np.float64), 1e-12)
    return np.asarray(-kept - np.log(-np.expm1(-kept)))


def likelihood_scores(target: Numbers, losses: Numbers, inside: Flags) -> Numbers:
    """Return the log-likelihood ratio of in and out, (N,) (LiRA, online).

    Args:
        target: (N,) losses under the model that is asked.
        losses: (M, N) under reference models.
        inside: (M, N) whether a model was trained on an example; each at least once and not always.

    Raises:
        ValueError: if shapes differ, a loss is not finite, or an example was always in or out.

    Source: Carlini et al. 2022 (arXiv:2112.03570), Algorithm 1.
    """
    asked, known = _checked(target, losses, inside)
    if not (inside.any(0).all() and (~inside).any(0).all()):
        raise ValueError(
            "Expected each example in some models and out of others, got one that was always in or "
            "always out. Train more models, or compare with models that were out alone."
        )
    mean_in, spread_in = _moments(known, inside)
    mean_out, spread_out = _moments(known, ~inside)
    return _log_normal(asked, mean_in, spread_in) - _log_normal(asked, mean_out, spread_out)


def surprise_scores(target: Numbers, losses: Numbers, inside: Flags) -> Numbers:
    """Return how many standard deviations above the out models' an example's confidence is, (N,).

    LiRA, offline: only models that did not see an example are asked about it.

    Arguments and errors are those of `likelihood_scores`; an example must be out at least once.

    Source: Carlini et al. 2022 (arXiv:2112.03570), section 4, on offline attacks.
    """
    asked, known = _checked(target, losses, inside)
    if not (~inside).any(0).all():
        raise ValueError(
            "Expected each example out of one model or more, got one that was always in. Train "
            "more models."
        )
    mean, spread = _moments(known, ~inside)
    return np.asarray((asked - mean) / spread)


def _checked(target: Numbers, losses: Numbers, inside: Flags) -> tuple[Numbers, Numbers]:
    """Return confidences under the target and under the models."""
    if losses.ndim != 2 or losses.shape != inside.shape or target.shape != losses.shape[1:]:
        raise ValueError(
            f"Expected losses (M, N) and flags of one shape, and N of the target, got "
            f"{losses.shape}, {inside.shape} and {target.shape}. Take them of one list of examples."
        )
    if not (np.isfinite(losses).all() and np.isfinite(target).all()):
        raise ValueError("Expected finite losses, got others. Leave out examples without a loss.")
    return confidence_of(target), confidence_of(losses)


def _moments(known: Numbers, chosen: Flags) -> tuple[Numbers, Numbers]:
    """Return mean and spread over chosen models for each example; few models share one spread."""
    count = chosen.sum(0)
    mean = (known * chosen).sum(0) / count
    squares = (chosen * (known - mean) ** 2).sum(0)
    freedom = count - 1
    own = np.sqrt(squares / np.maximum(freedom, 1))
    shared = np.sqrt(squares.sum() / freedom.sum()) if freedom.sum() else 1.0
    spread = own if len(known) >= MODELS_FOR_OWN_SPREAD else np.full_like(own, shared)
    return mean, np.maximum(spread, 1e-6)


def _log_normal(values: Numbers, mean: Numbers, spread: Numbers) -> Numbers:
    return np.asarray(-0.5 * ((values - mean) / spread) ** 2 - np.log(spread))
