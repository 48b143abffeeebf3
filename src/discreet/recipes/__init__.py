"""How the weights that ship with the package were made, from public synthetic people only."""

from discreet.intervals import ratio_interval
from discreet.recipes.eraser import EraserSettings, teach_eraser
from discreet.recipes.instruct import InstructSettings, tune_language
from discreet.recipes.perceiver import fit_perceiver
from discreet.recipes.prefer import PreferSettings, teach_preferences
from discreet.recipes.projector import AlignSettings, align_projector
from discreet.recipes.scores import AUDITED
from discreet.recipes.stages import read_settings

__all__ = [
    "AUDITED",
    "AlignSettings",
    "EraserSettings",
    "InstructSettings",
    "PreferSettings",
    "align_projector",
    "fit_perceiver",
    "ratio_interval",
    "read_settings",
    "teach_eraser",
    "teach_preferences",
    "tune_language",
]
