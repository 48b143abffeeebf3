import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.people import Place, Scene, labels, read_plain, sample_scene
from discreet.people.wardrobe import YEARS
from discreet.types import AGE_BANDS

NAN = float("nan")
scenes = st.builds(
    sample_scene, st.integers(0, 2**32 - 1), st.integers(0, 5000), st.integers(0, 50)
)


def _changed(scene: Scene, part: str, **changes: Any) -> Scene:
    """Return a scene with a part of its first figure changed, or of itself."""
    figure = scene.figures[0]
    if part in {"person", "look", "face", "pose", "place"}:
        new = dataclasses.replace(getattr(figure, part), **changes)
        return dataclasses.replace(scene, figures=(dataclasses.replace(figure, **{part: new}),))
    return dataclasses.replace(
        scene, **{part: dataclasses.replace(getattr(scene, part), **changes)}
    )


@given(scenes)
def test_json_holds_all_of_a_scene(scene: Scene) -> None:
    assert Scene.from_json(scene.to_json()) == scene


@given(scenes, scenes)
def test_json_holds_scenes_of_several_figures(one: Scene, other: Scene) -> None:
    aside = dataclasses.replace(other.figures[0], place=Place(right_m=0.6, turn_degrees=-20.0))
    both = dataclasses.replace(one, figures=(one.figures[0], aside))
    assert Scene.from_json(both.to_json()) == both
    assert labels(both, 1)["identity_id"] == other.figures[0].person.identity_id


@given(scenes, scenes)
def test_two_scenes_have_one_json_only_if_they_are_equal(one: Scene, other: Scene) -> None:
    assert (one.to_json() == other.to_json()) == (one == other)


@given(scenes)
def test_labels_are_those_of_the_scene(scene: Scene) -> None:
    truth, figure = labels(scene), scene.figures[0]
    assert truth["expression"] == figure.face.expression
    assert truth["age_band"] == figure.person.age_band
    assert truth["clothing"] == figure.look.garments[0].kind
    assert truth["hair"] == figure.look.hair
    assert truth["light"] == scene.light.kind
    assert truth["skin_tone"] in range(1, 7)


@given(scenes, st.floats(-20, 20))
def test_the_turn_of_a_face_is_against_the_camera(scene: Scene, turn: float) -> None:
    turned = _changed(scene, "pose", head_yaw_degrees=turn)
    expected = scene.camera.yaw_degrees - turn
    assert labels(turned)["yaw_degrees"] == pytest.approx(expected, abs=1e-3)


def test_nobody_is_a_teenager() -> None:
    assert set(YEARS) == set(AGE_BANDS)
    assert not any(low < 18 and high > 13 for low, high in YEARS.values())
    with pytest.raises(ValueError, match="age_years"):
        _changed(sample_scene(0, 0, 0), "person", age_years=13.0)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("person", {"age_years": 15.0}),
        ("person", {"ethnicity_mix": (0.5, 0.2, 0.2)}),
        ("person", {"face_shape": {"chin-width": 1.5}}),
        ("person", {"eye_colour": "gold"}),
        ("person", {"ethnicity_mix": (NAN, 0.5, 0.5)}),
        ("person", {"ethnicity_mix": (0.5, 0.5, NAN)}),
        ("person", {"ethnicity_mix": (1.5, -0.5, 0.0)}),
        ("person", {"face_shape": {"chin-width": NAN}}),
        ("person", {"face_shape": {f"axis-{n}": 0.1 for n in range(300)}}),
        ("person", {"identity_id": ""}),
        ("person", {"identity_id": "p" * 65}),
        ("person", {"identity_id": "p\x1b[31m"}),
        ("person", {"identity_id": "p1\n"}),
        ("person", {"identity_id": "\ud800"}),
        ("person", {"identity_id": "p\u202e1"}),
        ("place", {"right_m": NAN}),
        ("place", {"right_m": 1e308}),
        ("place", {"towards_m": float("-inf")}),
        ("place", {"turn_degrees": 361.0}),
        ("face", {"units": {"mouth-open": NAN}}),
        ("face", {"units": {"mouth-open": 2.5}}),
        ("face", {"variant": -1}),
        ("face", {"variant": 10**40}),
        ("face", {"strength": NAN}),
        ("backdrop", {"seed": -1}),
        ("backdrop", {"seed": 2**63}),
        ("look", {"hair": "mohawk"}),
        ("look", {"hair_colour": "pink"}),
        ("look", {"garments": ()}),
        ("face", {"expression": "bored"}),
        ("face", {"gaze_yaw_degrees": 80.0}),
        ("pose", {"head_roll_degrees": 60.0}),
        ("camera", {"framing": "feet"}),
        ("camera", {"size_px": 4}),
        ("light", {"kind": "strobe"}),
        ("backdrop", {"rgb": (0, 0, 300)}),
        ("sensor", {"jpeg_quality": 5}),
    ],
)
def test_a_value_that_cannot_be_is_refused(part: str, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        _changed(sample_scene(0, 1, 0), part, **change)


def test_a_garment_that_does_not_exist_is_refused() -> None:
    garment = sample_scene(0, 1, 0).figures[0].look.garments[0]
    for change in ({"kind": "cape"}, {"colour": "gold"}, {"pattern": "dots"}):
        with pytest.raises(ValueError, match="Expected"):
            dataclasses.replace(garment, **change)


def test_a_child_wears_nothing_of_an_adult_and_has_no_beard() -> None:
    scene = sample_scene(0, 0, 0)
    assert labels(scene)["age_band"] == "child"
    garment = dataclasses.replace(scene.figures[0].look.garments[0], kind="suit", colour="navy")
    with pytest.raises(ValueError, match="clothing for a child"):
        _changed(scene, "look", garments=(garment,))
    with pytest.raises(ValueError, match="stubble=0"):
        _changed(scene, "look", stubble=0.5)


def test_a_scene_without_figures_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one figure"):
        dataclasses.replace(sample_scene(0, 0, 0), figures=())


def test_more_figures_than_a_room_holds_and_an_odd_seed_are_refused() -> None:
    scene = sample_scene(0, 0, 0)
    for change in ({"figures": scene.figures * 33}, {"seed": -1}, {"seed": 10**30}):
        with pytest.raises(ValueError, match="Expected"):
            dataclasses.replace(scene, **change)


def _numbers(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every number of plain values."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, item in items:
        if isinstance(item, dict | list):
            found += _numbers(item, (*path, key))
        elif isinstance(item, int | float):
            found.append((*path, key))
    return found


@pytest.mark.parametrize("wrong", [NAN, float("inf"), -1e308, 1e308, 10**400])
def test_no_number_of_a_scene_may_be_absurd(wrong: float) -> None:
    """Each number in turn, by its place in the JSON, so that no new field is forgotten."""
    text = sample_scene(0, 0, 0).to_json()
    paths = _numbers(json.loads(text))
    assert len(paths) > 60
    for path in paths:
        plain = json.loads(text)
        at = plain
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = wrong
        with pytest.raises(ValueError, match="Expected"):
            read_plain(Scene, plain)
        with pytest.raises(ValueError, match="Expected"):
            Scene.from_json(json.dumps(plain))


def test_json_with_missing_or_unknown_fields_is_refused() -> None:
    plain = json.loads(sample_scene(0, 0, 0).to_json())
    for wrong in (
        {name: value for name, value in plain.items() if name != "light"},
        plain | {"mood": "calm"},
        plain | {"camera": plain["camera"] | {"zoom": 2}},
    ):
        with pytest.raises(ValueError, match="Expected the fields"):
            Scene.from_json(json.dumps(wrong))
