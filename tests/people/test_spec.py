import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.people import PersonSpec, labels, sample_person, sample_shot
from discreet.people.build import COLUMNS
from discreet.people.spec import YEARS
from discreet.types import AGE_BANDS

people = st.builds(
    lambda seed, identity, shot: sample_shot(sample_person(seed, identity), shot),
    st.integers(0, 2**32 - 1),
    st.integers(0, 5000),
    st.integers(0, 50),
)


@given(people)
def test_json_holds_all_of_a_person(spec: PersonSpec) -> None:
    assert PersonSpec.from_json(spec.to_json()) == spec


@given(people)
def test_labels_name_every_column_but_the_picture_and_the_split(spec: PersonSpec) -> None:
    assert set(labels(spec)) == set(COLUMNS) - {"image", "split"}


@given(people)
def test_skin_tone_is_a_label_from_one_to_six(spec: PersonSpec) -> None:
    assert spec.skin_tone in range(1, 7)
    assert abs(spec.skin_tone - spec.skin_tone_value) <= 0.5


def test_nobody_is_a_teenager() -> None:
    assert set(YEARS) == set(AGE_BANDS)
    assert not any(low < 18 and high > 13 for low, high in YEARS.values())


@pytest.mark.parametrize(
    "change",
    [{"expression": "bored"}, {"age_years": 15.0}, {"clothing": "cape"}, {"hair": "mohawk"}],
)
def test_a_value_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"Expected.*{next(iter(change))}"):
        dataclasses.replace(sample_person(0, 0), **change)  # type: ignore[arg-type]


def test_a_child_does_not_wear_what_is_for_adults() -> None:
    with pytest.raises(ValueError, match="clothing for a child"):
        dataclasses.replace(sample_person(0, 0), clothing="suit")


@pytest.mark.parametrize("change", [{"shot": None}, {"extra": 1}])
def test_json_with_missing_or_unknown_fields_is_refused(change: dict[str, object]) -> None:
    fields = json.loads(sample_person(0, 0).to_json()) | change
    wrong = {name: value for name, value in fields.items() if value is not None}
    with pytest.raises(ValueError, match="Expected the fields"):
        PersonSpec.from_json(json.dumps(wrong))
