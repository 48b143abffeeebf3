import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from discreet.people import Assets, contact_sheet, render, sample_person, sample_shot


def test_importing_people_does_not_import_pyvista() -> None:
    code = "import sys, discreet.people; sys.exit('pyvista' in sys.modules or 'vtk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.people
def test_a_picture_does_not_depend_on_those_before_it(assets: Assets) -> None:
    first = np.asarray(render(sample_person(0, 9), assets))
    for identity in (2, 3, 12):
        render(sample_person(0, identity), assets, size_px=64)
    assert np.array_equal(np.asarray(render(sample_person(0, 9), assets)), first)


@pytest.mark.people
def test_a_picture_is_rgb_of_the_size_asked_for(assets: Assets) -> None:
    picture = render(sample_person(0, 4), assets, size_px=96)
    assert (picture.mode, picture.size) == ("RGB", (96, 96))


@pytest.mark.people
def test_skin_tone_darkens_the_face(assets: Assets) -> None:
    person = dataclasses.replace(sample_person(0, 18), yaw_degrees=0.0, light="soft")
    means = [
        np.asarray(render(dataclasses.replace(person, skin_tone_value=tone), assets))[
            50:75, 52:76
        ].mean()
        for tone in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    ]
    assert means == sorted(means, reverse=True)


@pytest.mark.people
def test_a_contact_sheet_holds_all_pictures(assets: Assets) -> None:
    person = sample_person(0, 1)
    pictures = [render(sample_shot(person, shot), assets, size_px=64) for shot in range(3)]
    sheet = np.asarray(contact_sheet(pictures, columns=2, size_px=64))
    assert sheet.shape == (128, 128, 3)
    assert np.array_equal(sheet[64:, :64], np.asarray(pictures[2]))
    assert not sheet[64:, 64:].any()


@pytest.mark.people
@pytest.mark.timeout(60)
def test_hair_seen_edge_on_does_not_hold_up_the_driver(assets: Assets) -> None:
    """With anisotropic reads of its texture, this picture takes Mesa's driver minutes."""
    picture = render(sample_shot(sample_person(0, 380), 2), assets)
    assert np.asarray(picture).std() > 15
