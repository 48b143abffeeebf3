"""Draw people and their pictures; a pure function of (seed, identity, shot).

Nothing here renders. Age band, gender presentation, ethnicity and expression are dealt out in turn
rather than drawn, so every combination is equally common.
"""

from collections.abc import Mapping

import numpy as np

from discreet.people.scene import (
    BACKDROPS,
    LIGHTS,
    Backdrop,
    Camera,
    Face,
    Figure,
    Framing,
    Garment,
    Light,
    LightKind,
    Look,
    Person,
    Pose,
    Scene,
    Sensor,
)
from discreet.people.wardrobe import (
    ADULT_CLOTHING,
    CLOTHING,
    CLOTHING_COLOURS,
    ETHNICITIES,
    EYEBROWS,
    GENDER_PRESENTATIONS,
    YEARS,
    Ethnicity,
    GenderPresentation,
)
from discreet.types import AGE_BANDS, EXPRESSIONS, AgeBand, Split

NUM_CELLS = len(AGE_BANDS) * len(GENDER_PRESENTATIONS) * len(ETHNICITIES)
"""Combinations of age band, gender presentation and ethnicity."""

FACE_AXES: dict[str, tuple[str, ...]] = {
    "length": ("head-scale-vert", "chin-height", "nose-scale-vert", "forehead-scale-vert"),
    "width": ("head-scale-horiz", "chin-width", "cheek-bones", "neck-scale-horiz"),
    "nose": ("nose-scale-horiz", "nose-nostrils-width", "nose-volume", "nose-point-width"),
    "lips": ("mouth-lowerlip-volume", "mouth-upperlip-volume", "mouth-lowerlip-height",
             "mouth-upperlip-height"),
    "fullness": ("head-fat", "cheek-volume", "cheek-inner"),
    "": ("chin-bones", "chin-jaw-drop", "chin-prominent", "ear-scale", "ear-wing", "eye-bag",
         "eye-height2", "eye-scale", "forehead-nubian", "forehead-temple", "head-scale-depth",
         "mouth-cupidsbow", "mouth-scale-horiz", "nose-curve", "nose-hump", "nose-scale-depth",
         "nose-width1"),
}  # fmt: skip
"""Face shape axes by what they share; each has a target that lessens and one that increases it."""

_SPREAD = 0.17
"""Standard deviation of an axis; the morphs reach to 1."""
_TONES: dict[Ethnicity, tuple[float, float]] = {
    "african": (3.6, 6.2),
    "asian": (1.4, 4.2),
    "european": (0.9, 3.4),
}
_HAIR: dict[tuple[str, str], dict[str, float]] = {
    ("feminine", "child"): {"ponytail": 1.6, "braid": 1, "long": 3, "shoulder_length": 3,
                            "chin_length": 2, "bob": 1, "bob_fringe": 1.2},
    ("feminine", "adult"): {"ponytail": 1.6, "braid": 0.6, "long": 3, "shoulder_length": 3,
                            "chin_length": 1.6, "bob": 1, "bob_fringe": 1, "short_trimmed": 0.4},
    ("feminine", "older"): {"ponytail": 1.2, "long": 0.5, "shoulder_length": 2, "chin_length": 3,
                            "bob": 2, "bob_fringe": 1, "short_trimmed": 1.4, "short_thick": 1.2},
    ("masculine", "child"): {"short_thick": 3, "short_trimmed": 3, "short_combed": 1.2,
                             "parted": 1},
    ("masculine", "adult"): {"short_thick": 3, "short_trimmed": 3, "short_combed": 2.5,
                             "bald": 0.7, "parted": 0.8, "shoulder_length": 0.25},
    ("masculine", "older"): {"short_thick": 1, "short_trimmed": 3, "short_combed": 2, "bald": 3},
}  # fmt: skip
_HAIR_COLOURS: dict[Ethnicity, dict[str, float]] = {
    "african": {"black": 7, "dark_brown": 3},
    "asian": {"black": 7, "dark_brown": 3, "brown": 0.4},
    "european": {"dark_brown": 3, "brown": 3, "dark_blond": 2, "blond": 1.6, "black": 1,
                 "auburn": 0.7, "red": 0.6},
}  # fmt: skip
_EYE_COLOURS: dict[Ethnicity, dict[str, float]] = {
    "african": {"brown": 1},
    "asian": {"brown": 1},
    "european": {"brown": 3, "brownlight": 2, "blue": 2.5, "bluegreen": 1, "green": 1, "grey": 1},
}
_GREYING: dict[AgeBand, dict[str, float]] = {
    "child": {"own": 1},
    "young_adult": {"own": 1},
    "middle_aged": {"own": 7, "salt_and_pepper": 2.4, "grey": 0.8},
    "older_adult": {"own": 0.6, "salt_and_pepper": 2, "grey": 4.2, "white": 3.4},
}
_SMOOTH = frozenset({
    "long", "shoulder_length", "chin_length", "bob", "bob_fringe", "parted", "short_combed",
})  # fmt: skip
_SUIT_COLOURS = frozenset({"black", "brown", "grey", "navy"})
_PATTERNED: dict[str, dict[str, float]] = {
    "shirt": {"plain": 5, "stripes": 0.7, "pinstripes": 2, "checks": 2.5},
    "striped_shirt": {"plain": 3, "stripes": 1, "pinstripes": 2, "checks": 3},
    "blouse": {"plain": 5, "pinstripes": 1.5, "melange": 1},
    "coat": {"plain": 3, "melange": 2},
    "dungarees": {"plain": 3, "melange": 1},
    "suit": {"plain": 4, "pinstripes": 1.5, "melange": 1},
}
_KNITTED = {"plain": 5.0, "stripes": 1.6, "melange": 2.4}
_BACKDROPS = {"plain": 1.6, "gradient": 1.2, "wall": 2.4, "shelves": 1.6, "window": 1.4,
              "foliage": 1.2, "bokeh": 1.0}  # fmt: skip


def identity_name(identity: int) -> str:
    """Return the name of an identity, `p00001` for index 0."""
    return f"p{identity + 1:05d}"


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


def sample_person(seed: int, identity: int) -> Person:
    """Return what stays of an identity.

    Args:
        seed: Seed of the portrait set.
        identity: Index of the identity, from 0.
    """
    rng = np.random.default_rng([seed, 0, identity])
    band, gender, ethnicity = cell_of(identity)
    light_skin = ethnicity == "european" or band == "older_adult"
    return Person(
        identity_id=identity_name(identity),
        age_years=_number(rng.uniform(YEARS[band][0], YEARS[band][1] - 0.1), 1),
        age_band=band,
        gender_presentation=gender,
        masculinity=_number(
            rng.uniform(0.86, 1.0) if gender == "masculine" else rng.uniform(0, 0.1)
        ),
        ethnicity=ethnicity,
        ethnicity_mix=_mixture(rng, ethnicity),
        complexion=ethnicity,
        skin_tone_value=_number(rng.uniform(*_TONES[ethnicity])),
        undertone=_number(np.clip(rng.normal(0, 0.45), -1, 1)),
        freckles=_number(rng.beta(1, 5) if light_skin else rng.beta(1, 14)),
        face_shape=_face_shape(rng),
        body_weight=_number(np.clip(rng.normal(0.52, 0.13), 0.2, 0.9)),
        eye_colour=_pick(rng, _EYE_COLOURS[ethnicity]),
        eyebrows=EYEBROWS[rng.integers(len(EYEBROWS))],
    )


def sample_scene(seed: int, identity: int, shot: int, *, size_px: int = 128) -> Scene:
    """Return a portrait of an identity.

    The person stays; hair, clothes, expression, direction, light, backdrop and sensor change.
    Five shots in a row show every expression once.

    Args:
        seed: Seed of the portrait set.
        identity: Index of the identity, from 0.
        shot: Number of the picture of this identity, from 0.
        size_px: Side of the picture.
    """
    person = sample_person(seed, identity)
    rng = np.random.default_rng([seed, 1, identity, shot])
    look = _look(seed, person, rng)
    camera = _camera(rng, size_px)
    pose = _pose(rng)
    figure = Figure(
        person=person,
        look=look,
        face=_face(rng, (2 * identity + shot) % len(EXPRESSIONS), camera, pose),
        pose=pose,
    )
    return Scene(
        seed=int(rng.integers(2**31)),
        figures=(figure,),
        camera=camera,
        light=_light(rng),
        backdrop=_backdrop(rng),
        sensor=_sensor(rng),
    )


def _look(seed: int, person: Person, rng: np.random.Generator) -> Look:
    """Return hair, mostly the usual one of the identity, and clothes, which are new."""
    band, gender = person.age_band, person.gender_presentation
    own = np.random.default_rng([seed, 3, identity_index(person.identity_id)])
    styles = hair_styles_of(person)
    hair, grey = _pick(own, styles), _pick(own, _GREYING[band])
    colour, bearded = _pick(own, _HAIR_COLOURS[person.ethnicity]), own.beta(0.7, 1.6)
    if rng.random() < 0.3 and hair != "bald":
        hair = _pick(rng, {k: v for k, v in styles.items() if k != "bald"})
    stubble = 0.0
    if gender == "masculine" and band != "child":
        stubble = _number(np.clip(bearded + rng.normal(0, 0.1), 0, 1))
    kind = _pick(rng, dict.fromkeys(wardrobe_of(gender, band), 1.0))
    return Look(
        hair=hair,
        hair_colour=colour if grey == "own" else grey,
        stubble=stubble,
        garments=(_garment(rng, kind),),
    )


def wardrobe_of(gender: str, band: AgeBand) -> list[str]:
    """Return the kinds of clothing that somebody may wear, sorted."""
    worn = set(CLOTHING) - ({"tshirt_fitted", "blouse"} if gender == "masculine" else {"tshirt"})
    return sorted(worn - ADULT_CLOTHING if band == "child" else worn - {"dungarees"})


def palette_of(kind: str) -> list[str]:
    """Return the colours that a kind of clothing comes in, sorted."""
    return sorted(_SUIT_COLOURS if kind == "suit" else CLOTHING_COLOURS)


def hair_styles_of(person: Person) -> dict[str, float]:
    """Return the hair styles that somebody may have, and how common they are."""
    gender, band = person.gender_presentation, person.age_band
    phase = {"child": "child", "older_adult": "older"}.get(band, "adult")
    styles = dict(_HAIR[gender, phase])
    if person.ethnicity == "african":
        styles = {k: v * (0.35 if k in _SMOOTH else 1) for k, v in styles.items()}
        styles["afro"] = 3.0
        if gender == "masculine" and phase != "child":
            styles["bald"] = max(2.0, styles["bald"])
    return styles


def _garment(rng: np.random.Generator, kind: str) -> Garment:
    colour = _pick(rng, dict.fromkeys(palette_of(kind), 1.0))
    others = {name: 3.0 if name in {"white", "cream", "navy", "grey"} else 1.0
              for name in CLOTHING_COLOURS if name != colour}  # fmt: skip
    return Garment(
        kind=kind,
        colour=colour,
        pattern=_pick(rng, _PATTERNED.get(kind, _KNITTED)),
        second_colour=_pick(rng, others),
    )


def _face_shape(rng: np.random.Generator) -> dict[str, float]:
    shape: dict[str, float] = {}
    for family, axes in FACE_AXES.items():
        shared = rng.normal() if family else 0.0
        share = 0.6 if family else 0.0
        for axis in axes:
            value = share * shared + np.sqrt(1 - share**2) * rng.normal()
            shape[axis] = _number(np.clip(_SPREAD * value, -0.45, 0.45), 2)
    return shape


def _face(rng: np.random.Generator, expression: int, camera: Camera, pose: Pose) -> Face:
    away = rng.random() < 0.15
    spread = 7.0 if away else 1.6
    yaw = camera.yaw_degrees - pose.head_yaw_degrees + rng.normal(0, spread)
    pitch = camera.pitch_degrees - pose.head_pitch_degrees + rng.normal(0, spread / 2)
    return Face(
        expression=EXPRESSIONS[expression],
        strength=_number(rng.uniform(0.95, 1.2)),
        variant=int(rng.integers(6)),
        gaze_yaw_degrees=_number(np.clip(yaw, -24, 24), 1),
        gaze_pitch_degrees=_number(np.clip(pitch, -12, 12), 1),
    )


def _pose(rng: np.random.Generator) -> Pose:
    return Pose(
        head_yaw_degrees=_number(np.clip(rng.normal(0, 6), -15, 15), 1),
        head_pitch_degrees=_number(np.clip(rng.normal(0, 3), -8, 7), 1),
        head_roll_degrees=_number(np.clip(rng.normal(0, 3), -8, 8), 1),
    )


def _camera(rng: np.random.Generator, size_px: int) -> Camera:
    yaw = float(np.clip(rng.normal(0, 10), -26, 26))
    framing: Framing = "portrait"
    return Camera(
        yaw_degrees=_number(yaw, 1),
        pitch_degrees=_number(np.clip(rng.normal(1, 4), -9, 10), 1),
        distance=_number(rng.uniform(0.84, 1.04)),
        framing=framing,
        size_px=size_px,
        shift_right=_number(np.clip(rng.normal(0, 0.02), -0.05, 0.05)),
        shift_up=_number(np.clip(rng.normal(0, 0.015), -0.03, 0.03)),
    )


def _light(rng: np.random.Generator) -> Light:
    kind: LightKind = LIGHTS[rng.integers(len(LIGHTS))]
    azimuth, elevation, contrast = {
        "soft": (rng.normal(0, 30), rng.uniform(20, 50), rng.uniform(0.4, 0.6)),
        "window": (
            rng.choice([-1, 1]) * rng.uniform(35, 80),
            rng.uniform(5, 35),
            rng.uniform(0.55, 0.78),
        ),
        "lamp": (rng.normal(0, 40), rng.uniform(35, 60), rng.uniform(0.5, 0.72)),
        "overcast": (rng.normal(0, 40), rng.uniform(50, 75), rng.uniform(0.25, 0.45)),
        "screen": (rng.normal(0, 12), rng.uniform(-4, 14), rng.uniform(0.4, 0.62)),
    }[kind]
    return Light(
        kind=kind,
        azimuth_degrees=_number(np.clip(azimuth, -110, 110), 1),
        elevation_degrees=_number(elevation, 1),
        warmth=_number(np.clip(rng.normal(0, 0.35), -1, 1)),
        contrast=_number(contrast),
    )


def _backdrop(rng: np.random.Generator) -> Backdrop:
    level, tint = rng.uniform(60, 215), rng.normal(1, 0.06, size=3)
    red, green, blue = (int(np.clip(level * t, 20, 240)) for t in tint)
    kind = BACKDROPS[[*BACKDROPS].index(_pick(rng, _BACKDROPS))]  # type: ignore[arg-type]
    return Backdrop(kind=kind, rgb=(red, green, blue), seed=int(rng.integers(2**31)))


def _sensor(rng: np.random.Generator) -> Sensor:
    return Sensor(
        exposure=_number(np.clip(rng.normal(0.02, 0.2), -0.35, 0.45)),
        noise=_number(min(rng.gamma(2.0, 0.75), 4.5), 2),
        blur_px=_number(rng.uniform(0.15, 0.5)),
        white_balance=_number(np.clip(rng.normal(0, 0.25), -1, 1)),
        vignette=_number(rng.uniform(0, 0.28)),
        jpeg_quality=int(68 + 23 * rng.beta(1, 3.2)),
    )


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
