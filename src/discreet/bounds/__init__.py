"""Lower bounds on epsilon from attacks that were tried: what a promise cannot be better than."""

from discreet.bounds.canaries import Canaries, draw_canaries, likelihood_scores, summed_scores
from discreet.bounds.curves import (
    Curve,
    Family,
    epsilon_of_mu,
    gaussian_curve,
    gaussian_family,
    mu_of_epsilon,
    pairs_curve,
    sampled_gaussian_family,
)
from discreet.bounds.f_dp import f_dp_bound, f_dp_epsilon, is_curve_refuted
from discreet.bounds.gaussian import SCORES_NEEDED, Estimate, gaussian_estimate
from discreet.bounds.guessing import (
    CANARIES_NEEDED,
    Bound,
    Choice,
    Guesses,
    default_choices,
    guess,
)
from discreet.bounds.mechanism import (
    MechanismCheck,
    Release,
    check_mechanism,
    full_participation,
    owners_release,
    simulated_release,
    training_release,
)
from discreet.bounds.one_run import one_run_bound, one_run_epsilon, one_run_p_value
from discreet.bounds.owners import CanaryOwners, epsilon_of_gaussians, owner_estimate
from discreet.bounds.pairs import (
    Errors,
    count_errors,
    gaussian_pairs_bound,
    lowest_mu,
    pairs_bound,
)
from discreet.bounds.verdict import Verdict, judge

__all__ = [
    "CANARIES_NEEDED",
    "SCORES_NEEDED",
    "Bound",
    "Canaries",
    "CanaryOwners",
    "Choice",
    "Curve",
    "Errors",
    "Estimate",
    "Family",
    "Guesses",
    "MechanismCheck",
    "Release",
    "Verdict",
    "check_mechanism",
    "count_errors",
    "default_choices",
    "draw_canaries",
    "epsilon_of_gaussians",
    "epsilon_of_mu",
    "f_dp_bound",
    "f_dp_epsilon",
    "full_participation",
    "gaussian_curve",
    "gaussian_estimate",
    "gaussian_family",
    "gaussian_pairs_bound",
    "guess",
    "is_curve_refuted",
    "judge",
    "likelihood_scores",
    "lowest_mu",
    "mu_of_epsilon",
    "one_run_bound",
    "one_run_epsilon",
    "one_run_p_value",
    "owner_estimate",
    "owners_release",
    "pairs_bound",
    "pairs_curve",
    "sampled_gaussian_family",
    "simulated_release",
    "summed_scores",
    "training_release",
]
