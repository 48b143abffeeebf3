"""Twins: two scenes of one person that differ in exactly one attribute.

Everything else is the same, down to the noise of the sensor, so that whatever a model says of one
picture and not of the other comes from that attribute. Twins are for audits and are made of
held-out people only.

>>> pair = sample_twins(0, 7, "expression")
>>> sorted(differences(pair.first, pair.second))
['figures[0].face.expression']
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from discreet.people.sampling import hair_styles_of, palette_of, sample_scene, wardrobe_of
from discreet.people.scene import Figure, Look, Person, Scene
from discreet.people.wardrobe import ETHNICITIES, GENDER_PRESENTATIONS, YEARS
from discreet.types import AGE_BANDS, EXPRESSIONS

_T = TypeVar("_T")
TwinKind = Literal[
    "age", "gender_presentation", "ethnicity", "skin_tone", "expression", "hair",
    "clothing_colour", "body_weight",
]  # fmt: skip
TWIN_KINDS: tuple[TwinKind, ...] = get_args(TwinKind)

CHANGED: Mapping[TwinKind, frozenset[str]] = {
    "age": frozenset({"figures[0].person.age_years", "figures[0].person.age_band"}),
    "gender_presentation": frozenset(
        {"figures[0].person.gender_presentation", "figures[0].person.masculinity"}
    ),
    "ethnicity": frozenset({"figures[0].person.ethnicity", "figures[0].person.ethnicity_mix"}),
    "skin_tone": frozenset({"figures[0].person.skin_tone_value"}),
    "expression": frozenset({"figures[0].face.expression"}),
    "hair": frozenset({"figures[0].look.hair"}),
    "clothing_colour": frozenset({"figures[0].look.garments[0].colour"}),
    "body_weight": frozenset({"figures[0].person.body_weight"}),
}
"""The fields that each kind of twins differs in; they are one attribute."""
FIRST_SHOT = 100
"""Twins are other pictures than the portraits of the same people."""
_UNISEX_HAIR = ("chin_length", "parted", "short_thick", "short_trimmed", "shoulder_length")
_GREY = frozenset({"grey", "salt_and_pepper", "white"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Twins:
    """Two scenes that differ in one attribute."""

    kind: TwinKind
    first: Scene
    second: Scene


def sample_twins(seed: int, identity: int, kind: TwinKind, *, size_px: int = 128) -> Twins:
    """Return the twins of a kind of an identity.

    Args:
        seed: Seed of the portrait set that the identity is from.
        identity: Index of the identity, from 0.
        kind: The attribute that differs.
        size_px: Side of the pictures.
    """
    place = TWIN_KINDS.index(kind)
    scene = sample_scene(seed, identity, FIRST_SHOT + place, size_px=size_px)
    rng = np.random.default_rng([seed, 4, identity, place])
    first, second = _MADE_BY[kind](rng, scene.figures[0])
    return Twins(
        kind=kind,
        first=dataclasses.replace(scene, figures=(first, *scene.figures[1:])),
        second=dataclasses.replace(scene, figures=(second, *scene.figures[1:])),
    )


def differences(first: Any, second: Any, path: str = "") -> set[str]:
    """Return the paths of the plain values in which two descriptions differ."""
    if dataclasses.is_dataclass(first) and type(first) is type(second):
        names = [field.name for field in dataclasses.fields(first)]
        pairs = {n: (getattr(first, n), getattr(second, n)) for n in names}
        dot = f"{path}." if path else ""
        return set().union(*(differences(a, b, f"{dot}{n}") for n, (a, b) in pairs.items()))
    nested = isinstance(first, tuple) and any(dataclasses.is_dataclass(item) for item in first)
    if nested and len(first) == len(second):
        items = enumerate(zip(first, second, strict=True))
        return set().union(*(differences(a, b, f"{path}[{n}]") for n, (a, b) in items))
    return set() if first == second else {path}


def _by_age(rng: np.random.Generator, figure: Figure) -> tuple[Figure, Figure]:
    person = figure.person
    band = _other(rng, AGE_BANDS, person.age_band)
    low, high = YEARS[band]
    years = round(float(rng.uniform(low, high - 0.1)), 1)
    second = dataclasses.replace(person, age_band=band, age_years=years)
    look = _ageless(rng, figure.look, person, second)
    return (
        dataclasses.replace(figure, look=look),
        dataclasses.replace(figure, look=look, person=second),
    )


def _by_gender(rng: np.random.Generator, figure: Figure) -> tuple[Figure, Figure]:
    person = figure.person
    other = GENDER_PRESENTATIONS[1 - GENDER_PRESENTATIONS.index(person.gender_presentation)]
    masculinity = round(1 - person.masculinity, 3)
    second = dataclasses.replace(person, gender_presentation=other, masculinity=masculinity)
    look = _unisex(rng, figure.look, person)
    return (
        dataclasses.replace(figure, look=look),
        dataclasses.replace(figure, look=look, person=second),
    )


def _by_ethnicity(rng: np.random.Generator, figure: Figure) -> tuple[Figure, Figure]:
    person = figure.person
    other = _other(rng, ETHNICITIES, person.ethnicity)
    mix = list(person.ethnicity_mix)
    here, there = ETHNICITIES.index(person.ethnicity), ETHNICITIES.index(other)
    mix[here], mix[there] = mix[there], mix[here]
    return _of_two(figure, person, ethnicity=other, ethnicity_mix=(mix[0], mix[1], mix[2]))


def _by_skin_tone(rng: np.random.Generator, figure: Figure) -> tuple[Figure, Figure]:
    tone, step = figure.person.skin_tone_value, rng.uniform(1.5, 2.5)
    other = round(float(tone + step if tone < 3.5 else tone - step), 3)
    return _of_two(figure, figure.person, skin_tone_value=other)


def _by_weight(rng: np.random.Generator, figure: Figure) -> tuple[Figure, Figure]:
    weight, step = figure.person.body_weight, rng.uniform(0.3, 0.45)
    other = round(float(weight + step if weight < 0.5 else weight - step), 3)
    return _of_two(figure, figure.person, body_weight=other)


def _by_expression(rng: np.random.Generator, figure: Figure) -> tuple[Figure, Figure]:
    other = _other(rng, EXPRESSIONS, figure.face.expression)
    face = dataclasses.replace(figure.face, expression=other)
    return figure, dataclasses.replace(figure, face=face)


def _by_hair(rng: np.random.Generator, figure: Figure) -> tuple[Figure, Figure]:
    styles = sorted(set(hair_styles_of(figure.person)) - {"bald"})
    look = dataclasses.replace(figure.look, hair=_other(rng, styles, figure.look.hair))
    return figure, dataclasses.replace(figure, look=look)


def _by_clothing_colour(rng: np.random.Generator, figure: Figure) -> tuple[Figure, Figure]:
    worn, *others = figure.look.garments
    taken = {worn.second_colour} if worn.pattern != "plain" else set()
    colours = sorted(set(palette_of(worn.kind)) - taken)
    changed = dataclasses.replace(worn, colour=_other(rng, colours, worn.colour))
    look = dataclasses.replace(figure.look, garments=(changed, *others))
    return figure, dataclasses.replace(figure, look=look)


_MADE_BY: Mapping[TwinKind, Callable[[np.random.Generator, Figure], tuple[Figure, Figure]]] = {
    "age": _by_age,
    "gender_presentation": _by_gender,
    "ethnicity": _by_ethnicity,
    "skin_tone": _by_skin_tone,
    "expression": _by_expression,
    "hair": _by_hair,
    "clothing_colour": _by_clothing_colour,
    "body_weight": _by_weight,
}


def _of_two(figure: Figure, person: Person, **changes: Any) -> tuple[Figure, Figure]:
    """Return a figure as it is and as another person."""
    other = dataclasses.replace(person, **changes)
    return figure, dataclasses.replace(figure, person=other)


def _ageless(rng: np.random.Generator, look: Look, first: Person, second: Person) -> Look:
    """Return a look that both may have: nothing grey, no beard, clothes of both wardrobes."""
    gender = first.gender_presentation
    both = set(wardrobe_of(gender, first.age_band)) & set(wardrobe_of(gender, second.age_band))
    colour = look.hair_colour if look.hair_colour not in _GREY else "dark_brown"
    hair = look.hair if look.hair != "bald" else "short_trimmed"
    return dataclasses.replace(
        _dressed(rng, look, both), hair=hair, hair_colour=colour, stubble=0.0
    )


def _unisex(rng: np.random.Generator, look: Look, person: Person) -> Look:
    """Return a look that does not go with either gender presentation."""
    band = person.age_band
    both = set(wardrobe_of("feminine", band)) & set(wardrobe_of("masculine", band))
    styles = [*_UNISEX_HAIR, *(["afro"] if look.hair == "afro" else [])]
    hair = look.hair if look.hair in styles else styles[int(rng.integers(len(styles)))]
    return dataclasses.replace(_dressed(rng, look, both - {"suit"}), hair=hair, stubble=0.0)


def _dressed(rng: np.random.Generator, look: Look, kinds: set[str]) -> Look:
    first, *others = look.garments
    if first.kind in kinds:
        return look
    kind = sorted(kinds)[int(rng.integers(len(kinds)))]
    return dataclasses.replace(look, garments=(dataclasses.replace(first, kind=kind), *others))


def _other(rng: np.random.Generator, values: Sequence[_T], taken: _T) -> _T:
    others = [value for value in values if value != taken]
    return others[int(rng.integers(len(others)))]
