"""How the weights that ship with the package were made, from public synthetic people only."""

from discreet.recipes.perceiver import fit_perceiver
from discreet.recipes.projector import align_projector

__all__ = ["align_projector", "fit_perceiver"]
