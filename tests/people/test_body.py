import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.people import Assets, sample_person
from discreet.people.body import EXPRESSION_UNITS, Body, age_shares, compute_normals, macro_weights
from discreet.types import EXPRESSIONS


@given(st.floats(1, 90))
def test_age_shares_sum_to_one(years: float) -> None:
    assert sum(age_shares(years).values()) == pytest.approx(1)


@given(st.integers(0, 500))
def test_shares_of_the_face_morphs_sum_to_one(identity: int) -> None:
    weights = macro_weights(sample_person(0, identity))
    faces = [value for name, value in weights.items() if "universal" not in name]
    builds = [value for name, value in weights.items() if "universal" in name]
    assert sum(faces) == pytest.approx(1)
    assert sum(builds) == pytest.approx(1)


def test_normals_of_an_octahedron_point_away_from_its_centre() -> None:
    corners = np.array(
        [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float32
    )
    triangles = np.array(
        [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
    )
    np.testing.assert_allclose(compute_normals(corners, triangles), corners, atol=1e-6)


def test_every_expression_has_its_units() -> None:
    assert set(EXPRESSION_UNITS) == set(EXPRESSIONS)


@pytest.mark.people
def test_every_target_that_an_expression_or_a_face_names_exists(assets: Assets) -> None:
    names = Body(assets).target_names
    for units in EXPRESSION_UNITS.values():
        for people in ("african", "asian", "caucasian"):
            assert {f"expression/units/{people}/{unit}" for unit in units} <= names


@pytest.mark.people
def test_a_neutral_face_is_the_calm_face_and_others_are_not(assets: Assets) -> None:
    body, person = Body(assets), sample_person(0, 3)
    for expression in EXPRESSIONS:
        posed, calm = body.morph(dataclasses.replace(person, expression=expression))
        assert np.array_equal(posed, calm) == (expression == "neutral")


@pytest.mark.people
def test_a_child_is_smaller_than_the_adult_of_the_same_face(assets: Assets) -> None:
    body, child = Body(assets), sample_person(0, 0)
    adult = dataclasses.replace(child, age_band="young_adult", age_years=30.0)
    heights = [np.ptp(body.morph(spec)[1][:, 1]) for spec in (child, adult)]
    assert heights[0] < 0.85 * heights[1]
