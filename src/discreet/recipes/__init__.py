"""How the weights that ship with the package were made, from public synthetic people only."""

from discreet.intervals import ratio_interval
from discreet.recipes.perceiver import fit_perceiver
from discreet.recipes.projector import AlignSettings, align_projector

__all__ = ["AlignSettings", "align_projector", "fit_perceiver", "ratio_interval"]
