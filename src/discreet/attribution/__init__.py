"""Whose data shaped an adapter: subspaces of its update, and mixtures of candidates."""

from discreet.attribution.baselines import (
    loss_drop_scores,
    norm_scores,
    random_scores,
    spectrum_scores,
)
from discreet.attribution.calibration import calibrated_intervals
from discreet.attribution.contribution import (
    Contribution,
    RoundMixture,
    contributions,
    contributions_of_sums,
    leave_one_out,
)
from discreet.attribution.folders import load_adapter_folder
from discreet.attribution.identifiability import Identifiability, Pair, tell_apart
from discreet.attribution.scoring import Estimate, Judgement, judge
from discreet.attribution.subspaces import (
    Likeness,
    centred,
    chordal_distance,
    compare_subspaces,
    cosine,
    overlap,
    principal_angles,
    projection_energy,
)
from discreet.attribution.unmixing import Mixture, Share, influence_scores, seen_through, unmix
from discreet.attribution.updates import (
    Change,
    Singular,
    Update,
    mean_update,
    update_of_gradients,
    update_of_lora,
    update_of_trajectories,
    update_of_weights,
)

__all__ = [
    "Change",
    "Contribution",
    "Estimate",
    "Identifiability",
    "Judgement",
    "Likeness",
    "Mixture",
    "Pair",
    "RoundMixture",
    "Share",
    "Singular",
    "Update",
    "calibrated_intervals",
    "centred",
    "chordal_distance",
    "compare_subspaces",
    "contributions",
    "contributions_of_sums",
    "cosine",
    "influence_scores",
    "judge",
    "leave_one_out",
    "load_adapter_folder",
    "loss_drop_scores",
    "mean_update",
    "norm_scores",
    "overlap",
    "principal_angles",
    "projection_energy",
    "random_scores",
    "seen_through",
    "spectrum_scores",
    "tell_apart",
    "unmix",
    "update_of_gradients",
    "update_of_lora",
    "update_of_trajectories",
    "update_of_weights",
]
