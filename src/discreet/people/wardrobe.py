"""What synthetic people may wear and look like: names, and the MakeHuman assets behind them.

Everyday, modest things only. What is not named here cannot be put into a scene.
"""

from dataclasses import dataclass
from typing import Literal

from discreet.types import AgeBand

GenderPresentation = Literal["feminine", "masculine"]
"""Which of the two body morphs dominates; how a picture reads, not who somebody is."""

Ethnicity = Literal["african", "asian", "european"]
"""Which of the three face morphs dominates; for audits only."""

GENDER_PRESENTATIONS: tuple[GenderPresentation, ...] = ("feminine", "masculine")
ETHNICITIES: tuple[Ethnicity, ...] = ("african", "asian", "european")

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
"""Everyday, modest outfits by their MakeHuman asset; everything else in that store is left out."""

ADULT_CLOTHING = frozenset({"blouse", "suit"})
"""Garments that nobody under 18 wears."""

CLOTHING_COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (46, 46, 50), "beige": (192, 174, 146), "blue": (64, 96, 152), "brown": (108, 80, 60),
    "burgundy": (116, 44, 58), "cream": (222, 214, 196), "green": (70, 108, 80),
    "grey": (136, 138, 142), "mustard": (190, 148, 66), "navy": (40, 52, 86),
    "red": (170, 52, 52), "rose": (196, 136, 140), "sky": (136, 172, 204), "teal": (52, 112, 118),
    "white": (228, 228, 226),
}  # fmt: skip
"""Mean colour of a fabric, sRGB, before light."""

PATTERNS = ("plain", "stripes", "pinstripes", "checks", "melange")
"""How a second colour lies over the first one of a fabric."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HairCut:
    """A hair style: an asset, and where it is cut."""

    asset: str
    """MakeHuman's name; empty draws no hair over the scalp."""
    shortest: float = -100.0
    """Height in the base mesh below which hair is cut off, in decimetres; the chin is at 6.2."""
    fringe: float = -100.0
    """The same before the face; the brows are at 7.4."""


HAIR: dict[str, HairCut] = {
    "afro": HairCut(asset="afro01"),
    "bald": HairCut(asset=""),
    "bob": HairCut(asset="bob02", fringe=7.46),
    "bob_fringe": HairCut(asset="bob01", fringe=7.46),
    "braid": HairCut(asset="Braid01", fringe=7.46),
    "chin_length": HairCut(asset="long01", shortest=6.3),
    "long": HairCut(asset="long01"),
    "parted": HairCut(asset="short03", fringe=7.52),
    "ponytail": HairCut(asset="ponytail01"),
    "short_combed": HairCut(asset="short04"),
    "short_thick": HairCut(asset="short01"),
    "short_trimmed": HairCut(asset="short02"),
    "shoulder_length": HairCut(asset="long01", shortest=5.85),
}
"""Hair styles; several are cuts of one asset."""

HAIR_COLOURS: dict[str, tuple[int, int, int]] = {
    "auburn": (96, 52, 36), "black": (30, 27, 27), "blond": (170, 141, 102),
    "brown": (92, 64, 45), "dark_blond": (132, 101, 68), "dark_brown": (58, 42, 34),
    "grey": (140, 138, 136), "red": (124, 70, 46), "salt_and_pepper": (92, 88, 86),
    "white": (206, 203, 198),
}  # fmt: skip
"""Mean colour of hair, sRGB, before light."""

EYE_COLOURS = ("blue", "bluegreen", "brown", "brownlight", "green", "grey")
EYEBROWS = ("eyebrow001", "eyebrow002", "eyebrow004", "eyebrow005", "eyebrow008", "eyebrow010")
