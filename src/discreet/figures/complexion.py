"""The colour of skin and lips, and which MakeHuman texture it is laid over. Colours are sRGB."""

from pathlib import Path

import numpy as np

from discreet.figures.surface import Rgb, triple
from discreet.figures.textures import skin_mean
from discreet.people import Person

SKIN_SCALE: tuple[Rgb, ...] = (
    (226, 194, 176), (213, 175, 152), (194, 152, 126), (161, 117, 92), (121, 83, 64), (82, 57, 46),
)  # fmt: skip
"""Mean colour of a face for each skin tone from 1 to 6, sRGB, before light."""
_LIPS, _ROSY_LIPS = np.array([0.84, 0.63, 0.60]), np.array([0.82, 0.55, 0.54])
"""Linear light of lips over that of the face."""


def skin_colour(path: Path, person: Person) -> tuple[Rgb, Rgb, Rgb]:
    """Return the power and tint that give a skin texture a person's colour, and their lips'."""
    tone, under = person.skin_tone_value, person.undertone
    low = int(np.clip(tone, 1, 5.999)) - 1
    share = np.clip(tone - 1 - low, -0.5, 1.5)
    scale = np.array(SKIN_SCALE) / 255
    target = scale[low] * (1 - share) + scale[low + 1] * share
    target = target * (1 + under * np.array([0.005, 0.012, -0.05]))
    power = np.log(np.clip(target, 0.05, 0.97)) / np.log(skin_mean(path))
    even = power.mean()
    mild = 0.5 * power + 0.5 * even
    tint = target / skin_mean(path) ** mild
    rosy = person.gender_presentation == "feminine" and person.age_band != "child"
    lips = target**2.2 * (_ROSY_LIPS if rosy else _LIPS)
    return triple(mild), triple(tint), triple(lips)


def skin_path(folder: Path, person: Person) -> Path:
    """Return the skin texture of a person; children have the one without traces of a beard."""
    age = {"child": "young", "young_adult": "young", "middle_aged": "middleage"}.get(
        person.age_band, "old"
    )
    people = "caucasian" if person.complexion == "european" else person.complexion
    feminine = person.gender_presentation == "feminine" or person.age_band == "child"
    gender = "female" if feminine else "male"
    folder_of = folder / "skins" / f"{age}_{people}_{gender}" / "textures"
    return sorted(folder_of.glob("*_diffuse*.png"))[0]
