import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.people import LIGHTS, Camera, Light, LightKind
from discreet.studio.lighting import PRESETS, _on_a_face, light_view, shared_values, towards

CAMERA = Camera(yaw_degrees=20.0, pitch_degrees=0.0, distance=1.0, framing="portrait", size_px=64)
WINDOW = Light(
    kind="window", azimuth_degrees=60.0, elevation_degrees=20.0, warmth=0.0, contrast=0.7
)


def test_every_kind_of_light_has_a_preset() -> None:
    assert set(PRESETS) == set(LIGHTS)


@given(st.floats(-180, 180), st.floats(-30, 90), st.floats(-90, 90))
def test_light_turns_with_the_camera(azimuth: float, elevation: float, yaw: float) -> None:
    light = dataclasses.replace(WINDOW, azimuth_degrees=azimuth, elevation_degrees=elevation)
    camera = dataclasses.replace(CAMERA, yaw_degrees=yaw)
    here = towards(light, camera)
    assert np.linalg.norm(here) == pytest.approx(1)
    back = np.array([np.sin(np.deg2rad(yaw)), 0, np.cos(np.deg2rad(yaw))])
    right = np.array([back[2], 0, -back[0]])
    flat = np.cos(np.deg2rad(elevation))
    assert here @ right == pytest.approx(flat * np.sin(np.deg2rad(azimuth)), abs=1e-9)
    assert here @ back == pytest.approx(flat * np.cos(np.deg2rad(azimuth)), abs=1e-9)


def test_a_warm_light_has_more_red_than_blue() -> None:
    warm = shared_values(dataclasses.replace(WINDOW, warmth=1.0), CAMERA)["keyColour"]
    cool = shared_values(dataclasses.replace(WINDOW, warmth=-1.0), CAMERA)["keyColour"]
    assert warm[0] / warm[2] > cool[0] / cool[2]  # type: ignore[index]


@pytest.mark.parametrize("kind", LIGHTS)
def test_contrast_moves_light_from_all_sides_to_one(kind: LightKind) -> None:
    low, high = (
        shared_values(dataclasses.replace(WINDOW, kind=kind, contrast=c), CAMERA)
        for c in (0.3, 0.8)
    )
    assert sum(high["keyColour"]) > sum(low["keyColour"])  # type: ignore[arg-type]
    assert sum(high["skyColour"]) < sum(low["skyColour"])  # type: ignore[arg-type]


@given(st.sampled_from(LIGHTS), st.floats(-80, 80), st.floats(0.3, 0.75))
def test_a_face_gets_about_the_same_light_from_every_window(
    kind: LightKind, azimuth: float, contrast: float
) -> None:
    light = dataclasses.replace(WINDOW, kind=kind, azimuth_degrees=azimuth, contrast=contrast)
    values = shared_values(light, CAMERA)
    names = ("key", "fill")
    directions = {name: np.array(values[f"{name}Dir"]) for name in names}
    colours = {n: np.array(values[f"{n}Colour"]) for n in (*names, "sky", "ground")}
    assert 0.7 < _on_a_face(directions, colours, CAMERA) < 1.1


def test_the_key_light_sees_what_it_lights() -> None:
    centre = np.array([0.0, 15.0, 0.0])
    view = light_view(WINDOW, CAMERA, centre, reach=4.0)
    assert view.parallel
    assert view.near < view.distance < view.far
    assert view.height >= 8
