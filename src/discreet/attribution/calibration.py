"""Intervals of shares that hold for how training bends too: by mixtures that the auditor made.

An interval from rows of one update knows of noise and not of bias. An auditor who trains adapters
on known mixtures sees how far shares are off, and widens by that. It holds for suspects drawn and
trained as those mixtures were, and for no other.

>>> truth = np.full((19, 2), 0.5)
>>> known = truth + np.linspace(-0.09, 0.09, 19)[:, None] * [1, -1]
>>> low, high = calibrated_intervals(np.array([[0.95, 0.05]]), known, truth)
>>> low.round(2).tolist(), high.round(2).tolist()
([[0.86, 0.0]], [[1.0, 0.14]])
"""

import math

import numpy as np

from discreet.attribution.updates import Numbers


def calibrated_intervals(
    shares: Numbers, known_shares: Numbers, known_truth: Numbers, *, confidence: float = 0.95
) -> tuple[Numbers, Numbers]:
    """Return intervals that hold *all* shares of a suspect at once as often as `confidence` says.

    Args:
        shares: (S, K) of suspects.
        known_shares: (N, K) of adapters on known mixtures, made in the same way.
        known_truth: (N, K) what those were trained on.
        confidence: Below 1. 0.95 needs 19 known mixtures, 0.9 needs 9.

    Returns:
        (S, K) lower and upper ends, within 0 and 1.

    Raises:
        ValueError: if there are too few known mixtures, shapes do not fit, or a number is not
            finite.

    Source: split conformal prediction with the largest absolute error as the score, Lei et al. 2018
    (arXiv:1604.04173), section 2.2.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"Expected 0 < confidence < 1, got {confidence}. Use 0.95.")
    count = len(known_shares)
    place = math.ceil(round((count + 1) * confidence, 9))
    if place > count:
        needed = math.ceil(round(confidence / (1 - confidence), 9))
        raise ValueError(
            f"Expected at least {needed} known mixtures for a confidence of {confidence}, got "
            f"{count}. Train more, or ask for less."
        )
    every = (shares, known_shares, known_truth)
    if (
        known_shares.shape != known_truth.shape
        or any(part.ndim != 2 or part.shape[1] != shares.shape[1] for part in every)
        or not all(np.isfinite(part).all() for part in every)
    ):
        raise ValueError(
            f"Expected finite shares of the same candidates, got {[part.shape for part in every]}. "
            "Leave out mixtures without shares."
        )
    off = np.sort(np.abs(known_shares - known_truth).max(1))[place - 1]
    return (shares - off).clip(0, 1), (shares + off).clip(0, 1)
