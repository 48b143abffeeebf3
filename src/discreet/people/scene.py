"""A scene: who is in a picture, how they look, and how the picture is taken. Words and numbers.

A `Scene` says everything that `discreet.studio.render` needs, so it is the exact truth of the
picture, and labels are derived from it. It goes to JSON and back without loss. Several figures, or
a sequence of scenes that differ in `Face`, are the same description and the same renderer.

>>> from discreet.people import sample_scene
>>> scene = sample_scene(0, 1, 2)
>>> Scene.from_json(scene.to_json()) == scene
True
"""

import dataclasses
import json
from collections.abc import Sized
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from discreet.people.codec import parse_json, read_plain
from discreet.people.wardrobe import (
    ADULT_CLOTHING,
    CLOTHING,
    CLOTHING_COLOURS,
    ETHNICITIES,
    EYE_COLOURS,
    EYEBROWS,
    GENDER_PRESENTATIONS,
    HAIR,
    HAIR_COLOURS,
    PATTERNS,
    YEARS,
    Ethnicity,
    GenderPresentation,
)
from discreet.types import AGE_BANDS, EXPRESSIONS, AgeBand, Expression

LightKind = Literal["soft", "window", "lamp", "overcast", "screen"]
BackdropKind = Literal["plain", "gradient", "wall", "shelves", "window", "foliage", "bokeh"]
Framing = Literal["portrait", "bust", "half", "full"]

LIGHTS: tuple[LightKind, ...] = get_args(LightKind)
BACKDROPS: tuple[BackdropKind, ...] = get_args(BackdropKind)
FRAMINGS: tuple[Framing, ...] = get_args(Framing)
MAX_SEED = 2**63 - 1
"""What a column of int64 holds."""
_MAX_FIGURES, _MAX_GARMENTS, _MAX_ID, _MAX_WEIGHTS = 32, 8, 64, 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """What stays of somebody from picture to picture."""

    identity_id: str
    """Name of the identity, `p00001` for the first; up to 64 printable characters."""
    age_years: float
    """Age that the body is morphed to, in years."""
    age_band: AgeBand
    gender_presentation: GenderPresentation
    masculinity: float
    """Share of the masculine body morph, in [0, 1]."""
    ethnicity: Ethnicity
    """Dominant face morph; for audits only."""
    ethnicity_mix: tuple[float, float, float]
    """Shares of the African, Asian and European face morphs; they sum to 1."""
    complexion: Ethnicity
    """Which family of skin textures is coloured; follows `ethnicity` but in twins."""
    skin_tone_value: float
    """Place on a scale of skin colours from 1 (lightest) to 6 (darkest), in [0.5, 6.5]."""
    undertone: float
    """Skin colour between cool and rosy (-1) and warm and olive (1)."""
    freckles: float
    """Freckles of the young and spots of the old, in [0, 1]."""
    face_shape: dict[str, float]
    """Weight of each face shape axis, in [-1, 1]; what makes a face somebody's. Drawing refuses an
    axis that the assets do not have."""
    body_weight: float
    """Body weight of the morph, in [0, 1]."""
    eye_colour: str
    eyebrows: str

    def __post_init__(self) -> None:
        """Check the labels that a picture is judged by, and every number."""
        if not 1 <= len(self.identity_id) <= _MAX_ID or not self.identity_id.isprintable():
            raise ValueError(
                f"Expected identity_id of 1 to {_MAX_ID} printable characters, got "
                f"{len(self.identity_id)} characters, or one that cannot be printed."
            )
        low, high = YEARS[_among("age_band", self.age_band, AGE_BANDS)]
        if not low <= self.age_years < high:
            raise ValueError(
                f"Expected {low} <= age_years < {high} for age_band={self.age_band!r}, "
                f"got age_years={self.age_years}."
            )
        _among("ethnicity", self.ethnicity, ETHNICITIES)
        _among("complexion", self.complexion, ETHNICITIES)
        _among("gender_presentation", self.gender_presentation, GENDER_PRESENTATIONS)
        _among("eye_colour", self.eye_colour, EYE_COLOURS)
        _among("eyebrows", self.eyebrows, EYEBROWS)
        _within("skin_tone_value", self.skin_tone_value, 0.5, 6.5)
        _within("undertone", self.undertone, -1, 1)
        for name in ("masculinity", "body_weight", "freckles"):
            _within(name, getattr(self, name), 0, 1)
        _weights("face_shape", self.face_shape, 1)
        for share in self.ethnicity_mix:
            _within("ethnicity_mix", share, 0, 1)
        if abs(sum(self.ethnicity_mix) - 1) > 1e-6:
            raise ValueError(f"Expected shares that sum to 1, got {self.ethnicity_mix}.")

    @property
    def skin_tone(self) -> int:
        """Ordered label from 1 (lightest) to 6 (darkest); for audits only."""
        return min(6, max(1, round(self.skin_tone_value)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Garment:
    """One thing that is worn."""

    kind: str
    colour: str
    pattern: str = "plain"
    second_colour: str = "white"
    """Colour of the pattern; a plain garment does not show it."""

    def __post_init__(self) -> None:
        """Check that the garment exists."""
        _among("clothing", self.kind, CLOTHING)
        _among("clothing_colour", self.colour, CLOTHING_COLOURS)
        _among("pattern", self.pattern, PATTERNS)
        _among("second_colour", self.second_colour, CLOTHING_COLOURS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What somebody can change about themselves: hair and clothes."""

    hair: str
    hair_colour: str
    stubble: float
    """Beard shadow, from none (0) to a short full beard (1)."""
    garments: tuple[Garment, ...]

    def __post_init__(self) -> None:
        """Check that the hair exists and somebody is dressed."""
        _among("hair", self.hair, HAIR)
        _among("hair_colour", self.hair_colour, HAIR_COLOURS)
        _within("stubble", self.stubble, 0, 1)
        _count("garment", self.garments, _MAX_GARMENTS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Face:
    """What a face does at this moment."""

    expression: Expression
    """Label of the face's shape; not a claim about what somebody feels."""
    strength: float
    """Factor on the expression's morphs, in [0, 2]; about 1."""
    variant: int = 0
    """Which of the ways to show the expression, in [0, 999]; taken modulo their number."""
    units: dict[str, float] = field(default_factory=dict)
    """Weights of facial action morphs, in [-2, 2], added to those of the expression. Drawing
    refuses a name that the assets do not have."""
    gaze_yaw_degrees: float = 0.0
    """Turn of the eyes against the head; positive looks to the person's left."""
    gaze_pitch_degrees: float = 0.0
    """Rise of the eyes against the head; positive looks up."""

    def __post_init__(self) -> None:
        """Check that a face can do this."""
        _among("expression", self.expression, EXPRESSIONS)
        _within("strength", self.strength, 0, 2)
        _within("variant", self.variant, 0, 999)
        _weights("units", self.units, 2)
        _within("gaze_yaw_degrees", self.gaze_yaw_degrees, -35, 35)
        _within("gaze_pitch_degrees", self.gaze_pitch_degrees, -25, 25)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pose:
    """How the head is held against the shoulders, in degrees."""

    head_yaw_degrees: float = 0.0
    """Positive turns to the person's left."""
    head_pitch_degrees: float = 0.0
    """Positive lifts the chin."""
    head_roll_degrees: float = 0.0
    """Positive leans to the person's left shoulder."""

    def __post_init__(self) -> None:
        """Check that a neck can do this."""
        _within("head_yaw_degrees", self.head_yaw_degrees, -45, 45)
        _within("head_pitch_degrees", self.head_pitch_degrees, -25, 25)
        _within("head_roll_degrees", self.head_roll_degrees, -20, 20)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where somebody stands on the floor; the camera's first figure is at the origin."""

    right_m: float = 0.0
    """Metres to the right, as the camera sees it at yaw 0; in [-20, 20]."""
    towards_m: float = 0.0
    """Metres towards the camera; in [-20, 20]."""
    turn_degrees: float = 0.0
    """Turn of the whole body, in [-360, 360]; positive turns to the person's left."""

    def __post_init__(self) -> None:
        """Check that the place is near."""
        _within("right_m", self.right_m, -20, 20)
        _within("towards_m", self.towards_m, -20, 20)
        _within("turn_degrees", self.turn_degrees, -360, 360)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One person as they are in one picture."""

    person: Person
    look: Look
    face: Face
    pose: Pose = field(default_factory=Pose)
    place: Place = field(default_factory=Place)

    def __post_init__(self) -> None:
        """Check that a child is dressed as one."""
        if self.person.age_band == "child":
            for garment in self.look.garments:
                if garment.kind in ADULT_CLOTHING:
                    raise ValueError(
                        f"Expected clothing for a child, got clothing={garment.kind!r}."
                    )
            if self.look.stubble:
                raise ValueError(f"Expected stubble=0 for a child, got {self.look.stubble}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """Where the picture is taken from: around the first figure, at the height of the eyes."""

    yaw_degrees: float
    """Turn around the figure; positive looks from the person's left."""
    pitch_degrees: float
    """Rise of the camera; positive looks from above."""
    distance: float
    """Distance over the usual one; larger is a smaller face."""
    framing: Framing
    """How much of a body is in the picture."""
    size_px: int
    """Side of the picture."""
    shift_right: float = 0.0
    """How far right of the middle the head is, over the picture's side."""
    shift_up: float = 0.0

    def __post_init__(self) -> None:
        """Check that the picture can be taken."""
        _among("framing", self.framing, FRAMINGS)
        _within("yaw_degrees", self.yaw_degrees, -180, 180)
        _within("pitch_degrees", self.pitch_degrees, -45, 45)
        _within("distance", self.distance, 0.4, 10)
        _within("size_px", self.size_px, 16, 2048)
        _within("shift_right", self.shift_right, -0.5, 0.5)
        _within("shift_up", self.shift_up, -0.5, 0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Light:
    """What falls on the figures; angles are against the camera."""

    kind: LightKind
    """Family of the light: size, colour and contrast."""
    azimuth_degrees: float
    """Where the brightest part comes from; positive is from the right of the picture."""
    elevation_degrees: float
    warmth: float
    """From cool (-1) to warm (1), on top of the family's colour."""
    contrast: float
    """Share of the brightest part, in [0, 1]; the rest comes from all sides."""

    def __post_init__(self) -> None:
        """Check that the light exists."""
        _among("light", self.kind, LIGHTS)
        _within("azimuth_degrees", self.azimuth_degrees, -180, 180)
        _within("elevation_degrees", self.elevation_degrees, -30, 90)
        _within("warmth", self.warmth, -1, 1)
        _within("contrast", self.contrast, 0, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Backdrop:
    """What is behind the figures, out of focus."""

    kind: BackdropKind
    rgb: tuple[int, int, int]
    """Its main colour, sRGB."""
    seed: int
    """Of its details; in [0, 2**63 - 1]."""

    def __post_init__(self) -> None:
        """Check that the backdrop exists."""
        _among("backdrop", self.kind, BACKDROPS)
        for value in self.rgb:
            _within("rgb", value, 0, 255)
        _within("backdrop seed", self.seed, 0, MAX_SEED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sensor:
    """How a webcam turns light into a file."""

    exposure: float
    """Brightness in stops; 0 is right."""
    noise: float
    """Standard deviation of the noise in a mid grey, in 8-bit levels; more in the dark."""
    blur_px: float
    """Standard deviation of the lens blur for a picture of 128 px; grows with the size."""
    white_balance: float
    """From too blue (-1) to too yellow (1)."""
    vignette: float
    """Share of light lost in the corners."""
    jpeg_quality: int

    def __post_init__(self) -> None:
        """Check that the sensor exists."""
        _within("exposure", self.exposure, -3, 3)
        _within("noise", self.noise, 0, 20)
        _within("blur_px", self.blur_px, 0, 4)
        _within("white_balance", self.white_balance, -1, 1)
        _within("vignette", self.vignette, 0, 0.8)
        _within("jpeg_quality", self.jpeg_quality, 30, 100)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A picture, before it is drawn."""

    seed: int
    """Of the sensor's noise; in [0, 2**63 - 1]."""
    figures: tuple[Figure, ...]
    """The camera is aimed at the first; up to 32."""
    camera: Camera
    light: Light
    backdrop: Backdrop
    sensor: Sensor

    def __post_init__(self) -> None:
        """Check that somebody is there."""
        _count("figure", self.figures, _MAX_FIGURES)
        _within("seed", self.seed, 0, MAX_SEED)

    def to_json(self) -> str:
        """Return the scene as one line of JSON."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Scene":
        """Return the scene that `to_json` wrote.

        Raises:
            ValueError: if a field is missing, unknown, or holds a value that cannot be.
        """
        return read_plain(cls, parse_json(text))


def labels(scene: Scene, figure: int = 0) -> dict[str, str | float | int]:
    """Return what is true of a figure in the picture, by the name of its Parquet column.

    `gender_presentation`, `ethnicity` and `skin_tone` are there for audits of a model's errors and
    for nothing else.
    """
    shown = scene.figures[figure]
    person, look, garment = shown.person, shown.look, shown.look.garments[0]
    turned = shown.place.turn_degrees + shown.pose.head_yaw_degrees
    return {
        "identity_id": person.identity_id,
        "age_years": person.age_years,
        "age_band": person.age_band,
        "gender_presentation": person.gender_presentation,
        "ethnicity": person.ethnicity,
        "skin_tone": person.skin_tone,
        "body_weight": person.body_weight,
        "expression": shown.face.expression,
        "hair": look.hair,
        "hair_colour": look.hair_colour,
        "clothing": garment.kind,
        "clothing_colour": garment.colour,
        "clothing_pattern": garment.pattern,
        "yaw_degrees": round(scene.camera.yaw_degrees - turned, 3),
        "light": scene.light.kind,
        "backdrop": scene.backdrop.kind,
    }


def _among(name: str, value: Any, allowed: Any) -> Any:
    if value not in allowed:
        raise ValueError(f"Expected {name} in {sorted(allowed)}, got {value!r}.")
    return value


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # NaN fails as well
        raise ValueError(f"Expected {low} <= {name} <= {high}, got {str(value)[:60]}.")


def _weights(name: str, weights: dict[str, float], most: float) -> None:
    if len(weights) > _MAX_WEIGHTS:
        raise ValueError(f"Expected {name} of up to {_MAX_WEIGHTS} weights, got {len(weights)}.")
    for key, value in weights.items():
        _within(f"{name}[{key[:60]!r}]", value, -most, most)


def _count(name: str, items: Sized, most: int) -> None:
    if not items:
        raise ValueError(f"Expected at least one {name}, got none.")
    if len(items) > most:
        raise ValueError(f"Expected up to {most} {name}s, got {len(items)}.")
