import dataclasses
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.people import CLOTHING_COLOURS, PATTERNS, sample_person, sample_scene, split_of
from discreet.people.sampling import NUM_CELLS, cell_of, identity_index, identity_name
from discreet.people.wardrobe import ADULT_CLOTHING, YEARS
from discreet.types import EXPRESSIONS

identities = st.integers(0, 20000)
GREY = {"grey", "white", "salt_and_pepper"}


@given(st.integers(0, 2**32 - 1), identities, st.integers(0, 20))
def test_a_scene_depends_on_seed_identity_and_shot_alone(
    seed: int, identity: int, shot: int
) -> None:
    scene = sample_scene(seed, identity, shot)
    sample_scene(seed, identity, shot + 1)
    sample_scene(seed + 1, identity, shot)
    assert sample_scene(seed, identity, shot) == scene


@given(identities, st.integers(1, 20))
def test_a_person_stays_who_they_are_from_shot_to_shot(identity: int, shot: int) -> None:
    first, other = (sample_scene(0, identity, s).figures[0] for s in (0, shot))
    assert first.person == other.person == sample_person(0, identity)
    assert first.look.hair_colour == other.look.hair_colour


@given(identities)
def test_a_larger_picture_is_of_the_same_scene(identity: int) -> None:
    small, large = (sample_scene(0, identity, 1, size_px=side) for side in (64, 256))
    camera = dataclasses.replace(small.camera, size_px=256)
    assert dataclasses.replace(small, camera=camera) == large


@given(identities)
def test_age_is_inside_its_band(identity: int) -> None:
    person = sample_person(3, identity)
    low, high = YEARS[person.age_band]
    assert low <= person.age_years < high


def test_hair_and_clothes_of_a_person_change() -> None:
    looks = [sample_scene(0, 8, shot).figures[0].look for shot in range(20)]
    assert len({look.hair for look in looks}) > 1
    assert len({look.garments[0].kind for look in looks}) > 3
    assert len({look.garments[0].colour for look in looks}) > 3


def test_two_people_have_two_faces() -> None:
    assert len({str(sample_person(0, identity).face_shape) for identity in range(480)}) == 480


def test_another_seed_is_another_person_with_the_same_dealt_labels() -> None:
    one, other = sample_person(0, 5), sample_person(1, 5)
    assert one.face_shape != other.face_shape
    assert (one.age_band, one.gender_presentation, one.ethnicity) == cell_of(5)
    assert (other.age_band, other.gender_presentation, other.ethnicity) == cell_of(5)


def test_five_shots_show_every_expression_once() -> None:
    for identity in range(NUM_CELLS):
        shown = {sample_scene(0, identity, shot).figures[0].face.expression for shot in range(5)}
        assert shown == set(EXPRESSIONS)


def test_children_wear_nothing_that_is_for_adults_and_have_no_beard() -> None:
    looks = [sample_scene(0, identity, 0).figures[0].look for identity in range(0, 2400, 4)]
    assert not {garment.kind for look in looks for garment in look.garments} & ADULT_CLOTHING
    assert {look.stubble for look in looks} == {0.0}


def test_only_older_adults_and_some_in_middle_age_are_grey() -> None:
    figures = [sample_scene(0, identity, 0).figures[0] for identity in range(480)]
    grey = {f.person.age_band for f in figures if f.look.hair_colour in GREY}
    assert grey == {"middle_aged", "older_adult"}


def test_every_colour_and_pattern_is_worn() -> None:
    worn = [sample_scene(0, identity, 0).figures[0].look.garments[0] for identity in range(480)]
    assert {garment.colour for garment in worn} == set(CLOTHING_COLOURS)
    assert {garment.pattern for garment in worn} == set(PATTERNS)


def test_most_people_look_into_the_camera() -> None:
    scenes = [sample_scene(0, identity, 2) for identity in range(300)]
    off = [
        abs(s.camera.yaw_degrees - s.figures[0].pose.head_yaw_degrees
            - s.figures[0].face.gaze_yaw_degrees)
        for s in scenes
    ]  # fmt: skip
    assert sum(angle < 5 for angle in off) > 0.7 * len(off)


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_every_cell_is_split_seventy_ten_twenty(seed: int) -> None:
    splits = split_of(seed, 480)
    for cell in range(NUM_CELLS):
        assert Counter(splits[cell::NUM_CELLS]) == {"train": 14, "validation": 2, "test": 4}


@given(identities)
def test_an_identity_name_gives_its_index(identity: int) -> None:
    assert identity_index(identity_name(identity)) == identity
