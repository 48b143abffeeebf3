"""How often a head is right on held-out people, as a whole and for groups of them.

This is an audit: the one place of the recipes that reads what only audits may read. Nothing that is
fitted, tuned or certified depends on it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from discreet.intervals import ratio_interval

AUDITED = ("gender_presentation", "ethnicity", "skin_tone")
"""Audit labels by which errors are reported."""
_DRAWS = 1000


def scores_by_group(
    said: torch.Tensor,
    wrong: torch.Tensor,
    units: torch.Tensor,
    groups: Mapping[str, Sequence[str]],
    *,
    level: float,
) -> dict[str, dict[str, dict[str, float]]]:
    """Return coverage and error for each value of each label.

    Args:
        said: (N,) bool, whether a picture is answered.
        wrong: (N,) bool.
        units: (N,) int64.
        groups: For each label its N values.
        level: The error promised for everybody together.
    """
    return {
        label: {
            value: scores_of(said[inside], wrong[inside], units[inside], level=level)
            for value in sorted(set(values))
            if (inside := torch.tensor([one == value for one in values])).any()
        }
        for label, values in groups.items()
    }


def scores_of(
    said: torch.Tensor, wrong: torch.Tensor, units: torch.Tensor, *, level: float
) -> dict[str, float]:
    """Return coverage, error when speaking with a 95 % interval, and whether that is above `level`.

    The interval is a percentile bootstrap over units, for the pictures of one depend on each other
    (Efron and Tibshirani 1993, ch. 13). Without a single error it is [0, 0], which proves nothing.
    """
    _, place = units.unique(return_inverse=True)
    answers, errors = (
        np.bincount(place.numpy(), weights=part.double().numpy()) for part in (said, said & wrong)
    )
    low, high = ratio_interval(errors, answers, draws=_DRAWS)
    error = float(errors.sum() / max(1, answers.sum()))
    return {
        "units": float(len(answers)),
        "coverage": float(said.double().mean()),
        "error_when_answering": error,
        "error_low": low,
        "error_high": high,
        "above_promise": float(error > level),
    }
