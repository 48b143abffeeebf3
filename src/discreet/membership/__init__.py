"""Who was in the training data: scores of attacks, and how well they tell members from others."""

from discreet.membership.curve import (
    FPRS,
    OTHERS_NEEDED,
    Membership,
    Tail,
    measure_membership,
    membership_of,
    membership_scores,
)
from discreet.membership.exposure import (
    SECRETS_NEEDED,
    Exposures,
    chance_of_exposures,
    compare_exposures,
    exposure_of,
    extrapolated_exposure,
)
from discreet.membership.extraction import Extracted, measure_extraction, read_out
from discreet.membership.likelihood import likelihood_scores, surprise_scores
from discreet.membership.promise import most_tpr, promise_of_group
from discreet.membership.relative import relative_scores
from discreet.membership.signals import (
    least_likely_score,
    loss_score,
    renyi_score,
    standardized_score,
)
from discreet.membership.units import scores_of_units
from discreet.membership.updates import (
    alignment_scores,
    clipped_scores,
    over_rounds,
    power_of_one_example,
    residual_scores,
)

__all__ = [
    "FPRS",
    "OTHERS_NEEDED",
    "SECRETS_NEEDED",
    "Exposures",
    "Extracted",
    "Membership",
    "Tail",
    "alignment_scores",
    "chance_of_exposures",
    "clipped_scores",
    "compare_exposures",
    "exposure_of",
    "extrapolated_exposure",
    "least_likely_score",
    "likelihood_scores",
    "loss_score",
    "measure_extraction",
    "measure_membership",
    "membership_of",
    "membership_scores",
    "most_tpr",
    "over_rounds",
    "power_of_one_example",
    "promise_of_group",
    "read_out",
    "relative_scores",
    "renyi_score",
    "residual_scores",
    "scores_of_units",
    "standardized_score",
    "surprise_scores",
]
