import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.people import TWIN_KINDS, TwinKind, differences, sample_scene, sample_twins
from discreet.people.twins import CHANGED

identities = st.integers(0, 2000)
kinds = st.sampled_from(TWIN_KINDS)


@given(st.integers(0, 2**31), identities, kinds)
def test_twins_differ_in_their_attribute_and_in_nothing_else(
    seed: int, identity: int, kind: TwinKind
) -> None:
    twins = sample_twins(seed, identity, kind)
    changed = differences(twins.first, twins.second)
    assert changed
    assert changed <= CHANGED[kind]


@given(identities, kinds)
def test_twins_are_drawn_from_seed_identity_and_kind_alone(identity: int, kind: TwinKind) -> None:
    assert sample_twins(0, identity, kind) == sample_twins(0, identity, kind)


@given(identities, kinds, st.integers(0, 50))
def test_twins_are_no_portrait_of_the_set(identity: int, kind: TwinKind, shot: int) -> None:
    assert sample_twins(0, identity, kind).first != sample_scene(0, identity, shot)


@given(identities)
def test_twins_of_age_are_of_two_bands_and_of_no_grey_child(identity: int) -> None:
    twins = sample_twins(0, identity, "age")
    first, second = twins.first.figures[0], twins.second.figures[0]
    assert first.person.age_band != second.person.age_band
    assert first.look.hair_colour not in {"grey", "white", "salt_and_pepper"}
    assert first.look.stubble == 0


@given(identities)
def test_twins_of_skin_tone_are_told_apart_by_their_label(identity: int) -> None:
    twins = sample_twins(0, identity, "skin_tone")
    first, second = (scene.figures[0].person.skin_tone for scene in (twins.first, twins.second))
    assert abs(first - second) >= 1


@given(identities)
def test_the_morph_of_ethnicity_changes_and_the_skin_does_not(identity: int) -> None:
    twins = sample_twins(0, identity, "ethnicity")
    first, second = (scene.figures[0].person for scene in (twins.first, twins.second))
    assert sorted(first.ethnicity_mix) == sorted(second.ethnicity_mix)
    assert first.complexion == second.complexion == first.ethnicity


def test_differences_are_found_at_every_depth() -> None:
    one, other = sample_scene(0, 1, 0), sample_scene(0, 1, 1)
    assert differences(one, one) == set()
    assert "seed" in differences(one, other)
    assert "figures[0].person.age_years" not in differences(one, other)


@pytest.mark.parametrize("kind", TWIN_KINDS)
def test_every_kind_says_what_it_changes(kind: TwinKind) -> None:
    assert CHANGED[kind]
