"""What a face does: mixtures of facial action morphs, and the folds that skin makes there.

An expression is a label with several ways to show it (`variants`), each a mixture of MakeHuman's
34 action morphs; `*` stands for both sides. A face at rest has a little of some of them, because
the base mesh looks stern. What somebody feels is nobody's business here.
"""

from collections.abc import Mapping

import numpy as np

from discreet.people import Figure
from discreet.types import Expression

Units = Mapping[str, float]

REST: Units = {
    "eyebrows-*-inner-up": 0.55, "eyebrows-*-up": 0.12, "eyebrows/eyebrows-angle-up": 0.16,
    "mouth-corner-puller": 0.17,
}  # fmt: skip
"""Morphs of every face that is not angry."""
VARIANTS: Mapping[Expression, tuple[Units, ...]] = {
    "neutral": (
        {},
        {"mouth-compression": 0.15},
        {"mouth-parling": 0.12, "eye-*-slit": 0.05},
    ),
    "happy": (
        {"mouth-retraction": 0.7, "mouth-corner-puller": 0.42, "mouth-upward-retraction": 0.55,
         "eye-*-slit": 0.2, "cheek/*-cheek-trans-up": 0.4, "cheek/*-cheek-volume-incr": 0.35,
         "eyebrows-*-up": 0.3, "eyebrows-*-inner-up": 0.35},
        {"mouth-retraction": 0.75, "mouth-corner-puller": 0.45, "mouth-upward-retraction": 0.56,
         "mouth-open": 0.04, "eye-*-slit": 0.24, "cheek/*-cheek-trans-up": 0.45,
         "cheek/*-cheek-volume-incr": 0.35,
         "eyebrows-*-up": 0.3, "eyebrows-*-inner-up": 0.35},
        {"mouth-retraction": 0.8, "mouth-corner-puller": 0.60, "eye-*-slit": 0.2,
         "cheek/*-cheek-trans-up": 0.4, "cheek/*-cheek-volume-incr": 0.35,
         "eyebrows-*-up": 0.3, "eyebrows-*-inner-up": 0.35},
        {"mouth-retraction": 0.75, "mouth-corner-puller": 0.46, "mouth-upward-retraction": 0.5,
         "mouth-part-later": 0.12, "eye-*-slit": 0.22, "cheek/*-cheek-trans-up": 0.4,
         "cheek/*-cheek-volume-incr": 0.35,
         "eyebrows-*-up": 0.3, "eyebrows-*-inner-up": 0.35},
    ),
    "sad": (
        {"mouth-depression": 1.0, "eyebrows-*-inner-up": 1.7, "eye-*-slit": 0.28,
         "mouth-eversion": 0.35, "eyebrows/eyebrows-angle-up": 0.45},
        {"mouth-depression": 1.15, "eyebrows-*-inner-up": 1.5, "eye-*-slit": 0.36,
         "eyebrows/eyebrows-angle-up": 0.55},
        {"mouth-depression": 0.95, "mouth-protusion": 0.12, "eyebrows-*-inner-up": 1.9,
         "eye-*-slit": 0.22, "eyebrows/eyebrows-angle-up": 0.4},
    ),
    "angry": (
        {"eyebrows-*-down": 1.15, "mouth-depression": 0.5, "mouth-compression": 0.35,
         "nose-*-elevation": 0.5, "eye-*-slit": 0.1, "eyebrows/eyebrows-angle-down": 0.1},
        {"eyebrows-*-down": 1.25, "mouth-pursing": 0.45, "mouth-depression": 0.45,
         "nose-*-dilatation": 0.7, "eye-*-slit": 0.1, "eyebrows/eyebrows-angle-down": 0.15},
        {"eyebrows-*-down": 1.2, "mouth-elevation": 0.5, "mouth-depression-retraction": 0.45,
         "nose-*-elevation": 0.7, "eye-*-slit": 0.1, "eyebrows/eyebrows-angle-down": 0.1},
    ),
    "surprised": (
        {"eyebrows-*-up": 0.85, "eyebrows-*-inner-up": 1.5, "eyebrows/eyebrows-angle-up": 0.4,
         "mouth-open": 0.50, "eye-*-opened-up": 1.05},
        {"eyebrows-*-up": 0.9, "eyebrows-*-inner-up": 1.55, "eyebrows/eyebrows-angle-up": 0.4,
         "mouth-open": 0.40, "mouth-protusion": 0.14, "eye-*-opened-up": 1.15},
        {"eyebrows-*-up": 0.95, "eyebrows-*-inner-up": 1.6, "eyebrows/eyebrows-angle-up": 0.45,
         "mouth-open": 0.62, "eye-*-opened-up": 1.0},
    ),
}  # fmt: skip
"""Ways to show each expression; strength multiplies all weights."""

_BY_BAND = {"child": 0.74}
"""How strong expressions are on smaller faces, which the morphs distort more."""
FOLD_YEARS = (16.0, 30.0, 45.0, 60.0, 75.0, 91.0)
FOLDS_BY_AGE: Mapping[str, tuple[float, ...]] = {
    "forehead": (0.0, 0.05, 0.35, 0.60, 0.80, 0.95),
    "eyes": (0.0, 0.08, 0.45, 0.65, 0.85, 1.00),
    "mouth": (0.0, 0.12, 0.50, 0.70, 0.85, 1.00),
    "frown": (0.0, 0.05, 0.22, 0.35, 0.45, 0.55),
}
"""Depth of the folds of a face at rest, in [0, 1], at `FOLD_YEARS`."""
_FOLDED_BY: Mapping[str, Units] = {
    "forehead": {"eyebrows-*-up": 0.35, "eyebrows-*-inner-up": 0.12},
    "eyes": {"eye-*-slit": 0.9, "cheek/*-cheek-trans-up": 0.5},
    "mouth": {"mouth-corner-puller": 0.45, "mouth-retraction": 0.35,
              "mouth-depression": 0.3, "nose-*-elevation": 0.3},
    "frown": {"eyebrows-*-down": 0.6, "eyebrows/eyebrows-angle-up": 0.4},
}  # fmt: skip
"""How much each morph deepens a fold."""


def units_of(figure: Figure) -> dict[str, float]:
    """Return the weight of each facial action morph of a figure, both sides written out."""
    weights: dict[str, float] = {}
    for name, weight in _mixture(figure).items():
        for side in ("left", "right") if "*" in name else ("",):
            short = side[:1] if name.startswith(("cheek/", "eyes/")) else side
            key = name.replace("*", short)
            weights[key] = weights.get(key, 0.0) + weight
    for name, weight in figure.face.units.items():
        weights[name] = weights.get(name, 0.0) + weight
    return weights


def fold_weights(figure: Figure) -> tuple[float, float, float, float]:
    """Return how deep the folds of forehead, eyes, mouth and frown are, in [0, 1]."""
    mixture, person = _mixture(figure), figure.person
    tender = 0.3 if person.age_band == "child" else 0.6 if person.age_band == "young_adult" else 1.0
    depths = []
    for fold, by_age in FOLDS_BY_AGE.items():
        deep = float(np.interp(person.age_years, FOLD_YEARS, by_age))
        for name, share in _FOLDED_BY[fold].items():
            deep += tender * share * max(0.0, mixture.get(name, 0.0) - REST.get(name, 0.0))
        depths.append(min(1.0, deep))
    forehead, eyes, mouth, frown = depths
    return forehead, eyes, mouth, frown


def shows_lower_teeth(figure: Figure) -> bool:
    """Return whether the mouth is open so far that the lower teeth can be seen."""
    return units_of(figure).get("mouth-open", 0.0) > 0.8


def teeth_drop(figure: Figure) -> float:
    """Return how far the upper teeth come into sight, from 0 to about 1."""
    mixture = _mixture(figure)
    return min(
        1.0, mixture.get("mouth-upward-retraction", 0) + 2 * mixture.get("mouth-part-later", 0)
    )


def _mixture(figure: Figure) -> dict[str, float]:
    face = figure.face
    variants = VARIANTS[face.expression]
    rest = {} if face.expression == "angry" else REST
    mixture = dict(rest)
    strength = face.strength * _BY_BAND.get(figure.person.age_band, 1.0)
    for name, weight in variants[face.variant % len(variants)].items():
        mixture[name] = mixture.get(name, 0.0) + strength * weight
    return mixture
