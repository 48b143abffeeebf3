import dataclasses
import hashlib
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from discreet.figures import Assets
from discreet.people import Place, Scene, TwinKind, sample_scene, sample_twins
from discreet.studio import render, render_masks
from discreet.studio.render import Studio

pytestmark = pytest.mark.people


def _pixels(scene: Scene, assets: Assets) -> npt.NDArray[np.int16]:
    return np.asarray(render(scene, assets), np.int16)


def _face(scene: Scene, **changes: Any) -> Scene:
    """Return a scene with a part of its first figure replaced."""
    figure = dataclasses.replace(scene.figures[0], **changes)
    return dataclasses.replace(scene, figures=(figure, *scene.figures[1:]))


def test_importing_the_studio_does_not_import_vtk() -> None:
    code = "import sys, discreet.studio; sys.exit(any('vtk' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_picture_does_not_depend_on_those_before_it(assets: Assets) -> None:
    scene = sample_scene(0, 9, 1)
    first = _pixels(scene, assets)
    for identity in (2, 3, 12, 19):
        render(sample_scene(0, identity, 2, size_px=64), assets)
    assert np.array_equal(_pixels(scene, assets), first)


def test_the_order_in_which_figures_came_in_does_not_matter(assets: Assets) -> None:
    scenes = [sample_scene(2, identity, shot) for identity, shot in ((259, 0), (851, 2), (0, 0))]
    here, there = Studio(assets), Studio(assets)
    drawn = [np.asarray(here.shoot(scene)) for scene in scenes]
    for scene, pixels in reversed(list(zip(scenes, drawn, strict=True))):
        assert np.array_equal(np.asarray(there.shoot(scene)), pixels)


def test_another_process_draws_the_same_pixels(assets: Assets) -> None:
    code = (
        "import sys, hashlib; from pathlib import Path; from discreet.figures import open_assets;"
        "from discreet.people import sample_scene; from discreet.studio import render;"
        "image = render(sample_scene(0, 4, 1, size_px=48), open_assets(Path(sys.argv[1])));"
        "print(hashlib.sha256(image.tobytes()).hexdigest())"
    )
    command = [sys.executable, "-c", code, str(assets.folder)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    here = render(sample_scene(0, 4, 1, size_px=48), assets)
    assert told == hashlib.sha256(here.tobytes()).hexdigest()


def test_a_picture_is_rgb_of_the_size_asked_for(assets: Assets) -> None:
    picture = render(sample_scene(0, 4, 0, size_px=96), assets)
    assert (picture.mode, picture.size) == ("RGB", (96, 96))


def test_skin_tone_darkens_the_face(assets: Assets) -> None:
    scene = sample_scene(0, 18, 0, size_px=64)
    person = scene.figures[0].person
    means = []
    for tone in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0):
        toned = _face(scene, person=dataclasses.replace(person, skin_tone_value=tone))
        means.append(_pixels(toned, assets)[26:40, 26:38].mean())
    assert means == sorted(means, reverse=True)


def test_masks_share_out_the_figure(assets: Assets) -> None:
    scene = sample_scene(0, 9, 0)
    masks = render_masks(scene, assets)
    total = np.sum(list(masks.values()), axis=0)
    assert total.max() <= 1 + 1e-6
    for name in ("skin", "hair", "clothes", "eyes"):
        assert masks[name].sum() > 4
    assert total[64, 64] > 0.99
    assert total[2, 2] == 0


@pytest.mark.parametrize(("kind", "part"), [("clothing_colour", "clothes"), ("skin_tone", "skin")])
def test_twins_differ_where_the_attribute_is_and_nowhere_else(
    kind: TwinKind, part: str, assets: Assets
) -> None:
    """The lens spreads a pixel over four standard deviations; noise and backdrop are the same."""
    for identity in (1, 7, 18):
        twins = sample_twins(0, identity, kind, size_px=96)
        differs = (_pixels(twins.first, assets) != _pixels(twins.second, assets)).any(2)
        reach = int(np.ceil(4 * twins.first.sensor.blur_px * 96 / 128)) + 1
        near = ndimage.binary_dilation(
            render_masks(twins.first, assets)[part] > 0, iterations=reach, structure=np.ones((3, 3))
        )
        assert differs.any()
        assert not (differs & ~near).any()


@pytest.mark.parametrize("kind", ["expression", "hair", "body_weight"])
def test_twins_keep_backdrop_and_noise_where_nobody_is(kind: TwinKind, assets: Assets) -> None:
    twins = sample_twins(0, 7, kind, size_px=96)
    covered = sum(
        sum(render_masks(scene, assets).values()) for scene in (twins.first, twins.second)
    )
    free = ~ndimage.binary_dilation(covered > 0, iterations=6)
    first, second = _pixels(twins.first, assets), _pixels(twins.second, assets)
    assert free.sum() > 500
    assert np.array_equal(first[free], second[free])
    assert not np.array_equal(first, second)


def test_two_people_are_in_one_picture(assets: Assets) -> None:
    scene, other = sample_scene(0, 9, 0), sample_scene(0, 2, 1)
    alone = dataclasses.replace(
        scene,
        camera=dataclasses.replace(scene.camera, framing="half", yaw_degrees=0.0, shift_right=0.0),
    )
    aside = dataclasses.replace(other.figures[0], place=Place(right_m=0.38, turn_degrees=-10.0))
    both = dataclasses.replace(alone, figures=(alone.figures[0], aside))
    one, two = (sum(render_masks(s, assets).values()) for s in (alone, both))
    assert two[:, :40].sum() == pytest.approx(one[:, :40].sum(), rel=0.02)
    assert two[:, 90:].sum() > one[:, 90:].sum() + 500
    assert render_masks(both, assets)["hair"][:, 84:].sum() > 20


def test_a_wider_framing_shows_more_of_the_body(assets: Assets) -> None:
    scene = sample_scene(0, 9, 0, size_px=64)
    shares = []
    for framing in ("portrait", "bust", "half", "full"):
        camera = dataclasses.replace(scene.camera, framing=framing)
        masks = render_masks(dataclasses.replace(scene, camera=camera), assets)
        shares.append(masks["skin"].sum() / masks["clothes"].sum())
    assert shares == sorted(shares, reverse=True)


def test_the_key_light_comes_from_its_side(assets: Assets) -> None:
    scene = sample_scene(0, 13, 0, size_px=64)
    figure = dataclasses.replace(
        scene.figures[0], pose=dataclasses.replace(scene.figures[0].pose, head_yaw_degrees=0.0)
    )
    camera = dataclasses.replace(scene.camera, yaw_degrees=0.0, shift_right=0.0)
    halves = []
    for azimuth in (-60.0, 60.0):
        light = dataclasses.replace(
            scene.light, kind="window", azimuth_degrees=azimuth, contrast=0.75
        )
        lit = _pixels(
            dataclasses.replace(scene, figures=(figure,), camera=camera, light=light), assets
        )
        halves.append(lit[24:42, 20:32].mean() - lit[24:42, 33:45].mean())
    assert halves[0] > 8
    assert halves[1] < -8


@pytest.mark.timeout(60)
def test_hair_seen_edge_on_does_not_hold_up_the_driver(assets: Assets) -> None:
    """With anisotropic reads of its texture, hair can take Mesa's driver minutes."""
    for hair in ("braid", "short_thick", "afro"):
        scene = sample_scene(0, 380, 2)
        look = dataclasses.replace(scene.figures[0].look, hair=hair)
        assert _pixels(_face(scene, look=look), assets).std() > 15
