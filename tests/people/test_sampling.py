import dataclasses
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.people import sample_person, sample_shot, split_of
from discreet.people.sampling import CLOTHING_COLOURS, NUM_CELLS, cell_of, identity_index
from discreet.people.spec import ADULT_CLOTHING, YEARS
from discreet.types import EXPRESSIONS

CHANGES = {
    "shot", "expression", "expression_strength", "clothing_colour", "yaw_degrees", "pitch_degrees",
    "camera_distance", "light", "background", "background_rgb",
}  # fmt: skip
identities = st.integers(0, 2000)


@given(st.integers(0, 2**32 - 1), identities, st.integers(0, 20))
def test_a_picture_depends_on_seed_identity_and_shot_alone(
    seed: int, identity: int, shot: int
) -> None:
    by_way = sample_shot(sample_shot(sample_person(seed, identity), shot + 3), shot)
    assert sample_shot(sample_person(seed, identity), shot) == by_way


@given(identities, st.integers(1, 20))
def test_an_identity_stays_who_they_are_from_shot_to_shot(identity: int, shot: int) -> None:
    person = sample_person(0, identity)
    other = dataclasses.asdict(sample_shot(person, shot))
    same = {name for name, value in dataclasses.asdict(person).items() if other[name] == value}
    assert same >= set(other) - CHANGES


@given(identities)
def test_age_is_inside_its_band(identity: int) -> None:
    spec = sample_person(3, identity)
    low, high = YEARS[spec.age_band]
    assert low <= spec.age_years < high


def test_two_people_have_two_faces() -> None:
    assert len({str(sample_person(0, identity).face_shape) for identity in range(480)}) == 480


def test_another_seed_is_another_person_with_the_same_dealt_labels() -> None:
    one, other = sample_person(0, 5), sample_person(1, 5)
    assert one.face_shape != other.face_shape
    assert (one.age_band, one.gender_presentation, one.ethnicity) == cell_of(5)
    assert (other.age_band, other.gender_presentation, other.ethnicity) == cell_of(5)


def test_five_shots_show_every_expression_once() -> None:
    for identity in range(NUM_CELLS):
        person = sample_person(0, identity)
        assert {sample_shot(person, shot).expression for shot in range(5)} == set(EXPRESSIONS)


def test_children_wear_nothing_that_is_for_adults() -> None:
    children = [sample_person(0, identity) for identity in range(0, 2400, 4)]
    assert {child.age_band for child in children} == {"child"}
    assert not {child.clothing for child in children} & ADULT_CLOTHING


def test_only_older_adults_and_some_in_middle_age_are_grey() -> None:
    people = [sample_person(0, identity) for identity in range(480)]
    grey = {person.age_band for person in people if person.hair_colour in {"grey", "white"}}
    assert grey == {"middle_aged", "older_adult"}


def test_every_clothing_colour_is_a_colour() -> None:
    people = [sample_person(0, identity) for identity in range(480)]
    assert {person.clothing_colour for person in people} == set(CLOTHING_COLOURS)


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_every_cell_is_split_seventy_ten_twenty(seed: int) -> None:
    splits = split_of(seed, 480)
    for cell in range(NUM_CELLS):
        assert Counter(splits[cell::NUM_CELLS]) == {"train": 14, "validation": 2, "test": 4}


def test_an_identity_name_gives_its_index() -> None:
    assert identity_index(sample_person(0, 41).identity_id) == 41


def test_hair_over_an_eye_is_seen_from_the_other_side() -> None:
    for identity in range(480):
        person = sample_person(0, identity)
        if person.hair in {"bob", "bob_fringe", "parted"}:
            assert all(sample_shot(person, shot).yaw_degrees >= 6 for shot in range(7))
