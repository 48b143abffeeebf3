"""What a synthetic person looks like in one picture: words, numbers and nothing else.

A `PersonSpec` says everything that `discreet.people.render` needs, so it is the exact truth of the
picture. It goes to JSON and back without loss.

>>> from discreet.people import sample_person
>>> spec = sample_person(0, 1)
>>> PersonSpec.from_json(spec.to_json()) == spec
True
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

from discreet.types import AGE_BANDS, EXPRESSIONS, AgeBand, Expression

GenderPresentation = Literal["feminine", "masculine"]
"""Which of the two body morphs dominates; how a picture reads, not who somebody is."""

Ethnicity = Literal["african", "asian", "european"]
"""Which of the three face morphs dominates; for audits only."""

GENDER_PRESENTATIONS: tuple[GenderPresentation, ...] = get_args(GenderPresentation)
ETHNICITIES: tuple[Ethnicity, ...] = get_args(Ethnicity)

YEARS: dict[AgeBand, tuple[float, float]] = {
    "child": (4.0, 13.0),
    "young_adult": (18.0, 40.0),
    "middle_aged": (40.0, 65.0),
    "older_adult": (65.0, 91.0),
}
"""From (included) and to (excluded) age in years; nobody of 13 to 17 is drawn."""

CLOTHING: dict[str, str] = {
    "blouse": "female_elegantsuit01",
    "coat": "male_casualsuit05",
    "dungarees": "male_worksuit01",
    "long_sleeves": "male_casualsuit02",
    "plain_tshirt": "male_casualsuit06",
    "shirt": "male_casualsuit01",
    "striped_shirt": "male_casualsuit03",
    "suit": "male_elegantsuit01",
    "tshirt": "male_casualsuit04",
    "tshirt_fitted": "female_casualsuit01",
}
"""Everyday, modest garments by their MakeHuman asset; everything else in that store is left out."""

ADULT_CLOTHING = frozenset({"blouse", "suit"})
"""Garments that nobody under 18 wears."""

HAIR: dict[str, str | None] = {
    "afro": "afro01",
    "bald": None,
    "bob": "bob02",
    "bob_fringe": "bob01",
    "braid": "Braid01",
    "long": "long01",
    "parted": "short03",
    "ponytail": "ponytail01",
    "short_combed": "short04",
    "short_thick": "short01",
    "short_trimmed": "short02",
}
"""Hair styles by their MakeHuman asset; `None` draws no hair."""

LIGHTS = ("soft", "left_window", "right_window", "warm_lamp", "overcast")
BACKGROUNDS = ("plain", "gradient", "blurred_room")


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonSpec:
    """One synthetic person in one picture."""

    seed: int
    """Seed of the whole portrait set."""
    identity_id: str
    """Name of the identity, `p0001` for the first."""
    shot: int
    """Number of the picture of this identity, from 0."""
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
    skin_tone_value: float
    """Place on a scale of skin colours from 1 (lightest) to 6 (darkest)."""
    face_shape: dict[str, float]
    """Weight of each face shape axis, in [-1, 1]; what makes a face somebody's."""
    body_weight: float
    """Body weight of the morph, in [0, 1]."""
    hair: str
    hair_colour: str
    eye_colour: str
    eyebrows: str
    clothing: str
    expression: Expression
    expression_strength: float
    """Factor on the expression's morphs, about 1."""
    clothing_colour: str
    yaw_degrees: float
    """Turn of the camera around the person; positive looks from the person's left."""
    pitch_degrees: float
    """Rise of the camera; positive looks from above."""
    camera_distance: float
    """Distance over the usual one; larger is a smaller face."""
    light: str
    background: str
    background_rgb: tuple[int, int, int]

    def __post_init__(self) -> None:
        """Check the labels that a picture is judged by."""
        low, high = YEARS[self.age_band]
        if not low <= self.age_years < high:
            raise ValueError(
                f"Expected {low} <= age_years < {high} for age_band={self.age_band!r}, "
                f"got age_years={self.age_years}."
            )
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"Expected {name} in {sorted(allowed)}, got {getattr(self, name)!r}."
                )
        if self.age_band == "child" and self.clothing in ADULT_CLOTHING:
            raise ValueError(f"Expected clothing for a child, got clothing={self.clothing!r}.")

    @property
    def skin_tone(self) -> int:
        """Ordered label from 1 (lightest) to 6 (darkest); for audits only."""
        return min(6, max(1, round(self.skin_tone_value)))

    def to_json(self) -> str:
        """Return the person as one line of JSON."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "PersonSpec":
        """Return the person that `to_json` wrote.

        Raises:
            ValueError: if a field is missing, unknown, or holds a value that cannot be.
        """
        fields: dict[str, Any] = json.loads(text)
        names = {field.name for field in dataclasses.fields(cls)}
        if fields.keys() != names:
            raise ValueError(f"Expected the fields {sorted(names)}, got {sorted(fields)}.")
        for name in ("ethnicity_mix", "background_rgb"):
            fields[name] = tuple(fields[name])
        return cls(**fields)


_ALLOWED: dict[str, frozenset[str]] = {
    "age_band": frozenset(AGE_BANDS),
    "background": frozenset(BACKGROUNDS),
    "clothing": frozenset(CLOTHING),
    "ethnicity": frozenset(ETHNICITIES),
    "expression": frozenset(EXPRESSIONS),
    "gender_presentation": frozenset(GENDER_PRESENTATIONS),
    "hair": frozenset(HAIR),
    "light": frozenset(LIGHTS),
}


def labels(spec: PersonSpec) -> dict[str, str | float | int]:
    """Return what is true of the picture, by the name of its Parquet column.

    `gender_presentation`, `ethnicity` and `skin_tone` are there for audits of a model's errors and
    for nothing else.
    """
    return {
        "identity_id": spec.identity_id,
        "age_years": spec.age_years,
        "age_band": spec.age_band,
        "gender_presentation": spec.gender_presentation,
        "ethnicity": spec.ethnicity,
        "skin_tone": spec.skin_tone,
        "expression": spec.expression,
        "hair": spec.hair,
        "hair_colour": spec.hair_colour,
        "clothing": spec.clothing,
        "clothing_colour": spec.clothing_colour,
        "yaw_degrees": spec.yaw_degrees,
        "light": spec.light,
        "seed": spec.seed,
        "shot": spec.shot,
        "spec": spec.to_json(),
    }
