"""How the weights that ship with the package were made, from public synthetic people only."""

from discreet.recipes.perceiver import fit_perceiver
from discreet.recipes.projector import AlignSettings, align_projector
from discreet.recipes.scores import AUDITED, ratio_interval

__all__ = ["AUDITED", "AlignSettings", "align_projector", "fit_perceiver", "ratio_interval"]
