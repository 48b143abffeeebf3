"""Draw identities and their pictures; a pure function of (seed, identity, shot).

Nothing here renders. Age band, gender presentation, ethnicity and expression are dealt out in turn
rather than drawn, so every combination is equally common.
"""

import dataclasses
from collections.abc import Mapping
from typing import TypedDict

import numpy as np

from discreet.people.spec import (
    ADULT_CLOTHING,
    BACKGROUNDS,
    CLOTHING,
    ETHNICITIES,
    GENDER_PRESENTATIONS,
    LIGHTS,
    YEARS,
    Ethnicity,
    GenderPresentation,
    PersonSpec,
)
from discreet.types import AGE_BANDS, EXPRESSIONS, AgeBand, Expression, Split


class _Shot(TypedDict):
    """What changes from picture to picture."""

    shot: int
    expression: Expression
    expression_strength: float
    clothing_colour: str
    yaw_degrees: float
    pitch_degrees: float
    camera_distance: float
    light: str
    background: str
    background_rgb: tuple[int, int, int]


NUM_CELLS = len(AGE_BANDS) * len(GENDER_PRESENTATIONS) * len(ETHNICITIES)
"""Combinations of age band, gender presentation and ethnicity."""

FACE_AXES = (
    "cheek-bones", "cheek-inner", "cheek-volume", "chin-bones", "chin-height", "chin-jaw-drop",
    "chin-prominent", "chin-width", "ear-scale", "ear-wing", "eye-bag", "eye-height2", "eye-scale",
    "forehead-nubian", "forehead-scale-vert", "forehead-temple", "head-fat", "head-scale-depth",
    "head-scale-horiz", "head-scale-vert", "mouth-cupidsbow", "mouth-lowerlip-height",
    "mouth-lowerlip-volume", "mouth-scale-horiz", "mouth-upperlip-height", "mouth-upperlip-volume",
    "neck-scale-horiz", "nose-curve", "nose-hump", "nose-nostrils-width", "nose-point-width",
    "nose-scale-depth", "nose-scale-horiz", "nose-scale-vert", "nose-volume", "nose-width1",
)  # fmt: skip
"""Face shape axes; each has a target that lessens and one that increases it."""

_TONES: dict[Ethnicity, tuple[float, float]] = {
    "african": (3.8, 6.2),
    "asian": (1.3, 4.2),
    "european": (1.0, 3.4),
}
_HAIR: dict[tuple[str, str], dict[str, float]] = {
    ("feminine", "child"): {"ponytail": 3, "braid": 1.2, "long": 3, "bob": 0.3, "bob_fringe": 0.4},
    ("feminine", "adult"): {"ponytail": 3, "braid": 1.2, "long": 3, "bob": 0.3, "bob_fringe": 0.4,
                            "short_trimmed": 0.6},
    ("feminine", "older"): {"ponytail": 3, "long": 1, "bob": 0.3, "bob_fringe": 0.4, "braid": 0.5,
                            "short_trimmed": 2, "short_thick": 1},
    ("masculine", "child"): {"short_thick": 3, "short_trimmed": 3, "short_combed": 2,
                             "parted": 0.15},
    ("masculine", "adult"): {"short_thick": 3, "short_trimmed": 3, "short_combed": 3, "bald": 0.8,
                             "parted": 0.15},
    ("masculine", "older"): {"short_thick": 1, "short_trimmed": 3, "short_combed": 3, "bald": 3},
}  # fmt: skip
_HAIR_COLOURS: dict[Ethnicity, dict[str, float]] = {
    "african": {"black": 6, "dark_brown": 3},
    "asian": {"black": 6, "dark_brown": 3},
    "european": {"dark_brown": 3, "brown": 3, "blond": 2, "black": 1, "red": 1},
}
_EYE_COLOURS: dict[Ethnicity, dict[str, float]] = {
    "african": {"brown": 1},
    "asian": {"brown": 1},
    "european": {"brown": 3, "brownlight": 2, "blue": 2, "bluegreen": 1, "green": 1, "grey": 2},
}
_GREYING: dict[AgeBand, dict[str, float]] = {
    "child": {"own": 1},
    "young_adult": {"own": 1},
    "middle_aged": {"own": 7, "grey": 3},
    "older_adult": {"own": 0.4, "grey": 5, "white": 4.6},
}
CLOTHING_COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (52, 52, 56), "beige": (196, 178, 150), "blue": (66, 98, 150), "brown": (118, 88, 66),
    "burgundy": (120, 50, 62), "cream": (222, 214, 196), "green": (78, 112, 84),
    "grey": (136, 138, 142), "mustard": (186, 148, 70), "navy": (46, 58, 92),
    "rose": (188, 132, 134), "teal": (62, 118, 122), "white": (226, 226, 224),
}  # fmt: skip

_FRINGES = frozenset({"bob", "bob_fringe", "parted"})
"""Hair that covers the right eye; the camera comes from the other side."""
_SUIT_COLOURS = frozenset({"black", "brown", "grey", "navy"})
_BLANK_SHOT: _Shot = {
    "shot": 0,
    "expression": "neutral",
    "expression_strength": 1.0,
    "clothing_colour": "grey",
    "yaw_degrees": 0.0,
    "pitch_degrees": 0.0,
    "camera_distance": 1.0,
    "light": LIGHTS[0],
    "background": BACKGROUNDS[0],
    "background_rgb": (128, 128, 128),
}


def identity_name(identity_index: int) -> str:
    """Return the name of an identity, `p0001` for index 0."""
    return f"p{identity_index + 1:04d}"


def identity_index(identity_id: str) -> int:
    """Return the index of an identity's name, the inverse of `identity_name`."""
    return int(identity_id.removeprefix("p")) - 1


def cell_of(identity: int) -> tuple[AgeBand, GenderPresentation, Ethnicity]:
    """Return the labels that an identity is dealt, the same for any seed."""
    cell = identity % NUM_CELLS
    return AGE_BANDS[cell % 4], GENDER_PRESENTATIONS[cell // 4 % 2], ETHNICITIES[cell // 8]


def split_of(seed: int, num_identities: int) -> list[Split]:
    """Return the split of each identity: 70 % train, 10 % validation, 20 % test in every cell.

    A cell is a combination of age band, gender presentation and ethnicity; an identity is in one
    split with all its pictures.
    """
    splits: list[Split] = ["train"] * num_identities
    for cell in range(NUM_CELLS):
        members = list(range(cell, num_identities, NUM_CELLS))
        np.random.default_rng([seed, 2, cell]).shuffle(members)
        num_test, num_validation = round(0.2 * len(members)), round(0.1 * len(members))
        for place, member in enumerate(members[: num_test + num_validation]):
            splits[member] = "test" if place < num_test else "validation"
    return splits


def sample_person(seed: int, identity: int) -> PersonSpec:
    """Return an identity in its first picture (shot 0).

    Args:
        seed: Seed of the portrait set.
        identity: Index of the identity, from 0.
    """
    rng = np.random.default_rng([seed, 0, identity])
    band, gender, ethnicity = cell_of(identity)
    phase = {"child": "child", "older_adult": "older"}.get(band, "adult")
    hair = _pick(rng, _hair_of(gender, phase, ethnicity))
    grey, own = _pick(rng, _GREYING[band]), _pick(rng, _HAIR_COLOURS[ethnicity])
    person = PersonSpec(
        seed=seed,
        identity_id=identity_name(identity),
        age_years=_number(rng.uniform(YEARS[band][0], YEARS[band][1] - 0.1), 1),
        age_band=band,
        gender_presentation=gender,
        masculinity=_number(rng.uniform(0.85, 1.0) - (gender == "feminine") * 0.85),
        ethnicity=ethnicity,
        ethnicity_mix=_mixture(rng, ethnicity),
        skin_tone_value=_number(rng.uniform(*_TONES[ethnicity])),
        face_shape={axis: _number(np.clip(rng.normal(0, 0.25), -0.6, 0.6)) for axis in FACE_AXES},
        body_weight=_number(rng.uniform(0.35, 0.75)),
        hair=hair,
        hair_colour="none" if hair == "bald" else own if grey == "own" else grey,
        eye_colour=_pick(rng, _EYE_COLOURS[ethnicity]),
        eyebrows=f"eyebrow{rng.choice([1, 2, 4, 5, 8, 10]):03d}",
        clothing=_pick(rng, dict.fromkeys(_wardrobe(gender, band), 1.0)),
        **_BLANK_SHOT,
    )
    return sample_shot(person, 0)


def sample_shot(person: PersonSpec, shot: int) -> PersonSpec:
    """Return the identity in another picture.

    Age, body, face, hair and kind of clothing stay; expression, direction, distance, light,
    background and the colour of the clothing change.
    """
    identity = identity_index(person.identity_id)
    rng = np.random.default_rng([person.seed, 1, identity, shot])
    level, tint = rng.uniform(80, 205), rng.normal(1, 0.045, size=3)
    red, green, blue = (int(np.clip(level * t, 20, 235)) for t in tint)
    return dataclasses.replace(
        person,
        shot=shot,
        expression=EXPRESSIONS[(2 * identity + shot) % len(EXPRESSIONS)],
        expression_strength=_number(rng.uniform(0.85, 1.15)),
        clothing_colour=_pick(rng, dict.fromkeys(_palette(person.clothing), 1.0)),
        yaw_degrees=_turn(rng, person.hair),
        pitch_degrees=_number(np.clip(rng.normal(1, 4), -9, 10), 1),
        camera_distance=_number(rng.uniform(0.92, 1.12)),
        light=LIGHTS[rng.integers(len(LIGHTS))],
        background=BACKGROUNDS[rng.integers(len(BACKGROUNDS))],
        background_rgb=(red, green, blue),
    )


def _hair_of(gender: str, phase: str, ethnicity: Ethnicity) -> dict[str, float]:
    styles = dict(_HAIR[gender, phase])
    if ethnicity == "african":
        styles = {k: v * (0.3 if k in {"long", "bob", "parted"} else 1) for k, v in styles.items()}
        styles["afro"] = 4
        if gender == "masculine" and phase != "child":
            styles["bald"] = 2
    return styles


def _wardrobe(gender: str, band: AgeBand) -> list[str]:
    worn = set(CLOTHING) - ({"tshirt_fitted", "blouse"} if gender == "masculine" else {"tshirt"})
    return sorted(worn - ADULT_CLOTHING if band == "child" else worn - {"dungarees"})


def _palette(clothing: str) -> frozenset[str]:
    return _SUIT_COLOURS if clothing == "suit" else frozenset(CLOTHING_COLOURS)


def _turn(rng: np.random.Generator, hair: str) -> float:
    yaw = float(np.clip(rng.normal(0, 11), -28, 28))
    return _number(min(abs(yaw) + 6, 28) if hair in _FRINGES else yaw, 1)


def _mixture(rng: np.random.Generator, dominant: Ethnicity) -> tuple[float, float, float]:
    main = _number(rng.uniform(0.75, 1.0))
    other = rng.integers(1, 3)
    shares = [0.0, 0.0, 0.0]
    place = ETHNICITIES.index(dominant)
    shares[place] = main
    shares[(place + int(other)) % 3] = round(1 - main, 3)
    return shares[0], shares[1], shares[2]


def _pick(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    names = sorted(weights)
    share = np.array([weights[name] for name in names], dtype=float)
    return names[int(rng.choice(len(names), p=share / share.sum()))]


def _number(value: float, digits: int = 3) -> float:
    return round(float(value), digits)
