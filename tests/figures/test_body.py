import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.figures import Assets
from discreet.figures.body import Body, age_shares, macro_weights
from discreet.people import sample_person


@pytest.fixture(scope="module")
def body(assets: Assets) -> Body:
    return Body(assets)


@given(st.floats(1, 91))
def test_age_shares_sum_to_one(years: float) -> None:
    shares = age_shares(years)
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= 0


@given(st.floats(1, 11), st.floats(0.1, 1))
def test_a_child_leaves_the_shape_of_a_baby_with_the_years(years: float, more: float) -> None:
    assert age_shares(years + more)["baby"] < age_shares(years)["baby"]


@given(st.integers(0, 500))
def test_shares_of_the_face_morphs_sum_to_one(identity: int) -> None:
    weights = macro_weights(sample_person(0, identity))
    faces = [value for name, value in weights.items() if "universal" not in name]
    builds = [value for name, value in weights.items() if "universal" in name]
    assert sum(faces) == pytest.approx(1)
    assert sum(builds) == pytest.approx(1)


@pytest.mark.people
def test_every_face_shape_axis_has_its_targets(body: Body) -> None:
    for identity in range(4):
        calm, scale = body.calm(sample_person(0, identity))
        assert np.isfinite(calm).all()
        assert 0.4 < scale < 1.3


@pytest.mark.people
def test_an_unknown_face_shape_axis_is_refused(body: Body) -> None:
    person = dataclasses.replace(sample_person(0, 1), face_shape={"nose-of-gold": 0.5})
    with pytest.raises(ValueError, match="known face shape axis, got 'nose-of-gold'"):
        body.calm(person)


@pytest.mark.people
@pytest.mark.parametrize("name", ["nope", "cheek/nope", "breast/breast-dist-incr"])
def test_an_unknown_facial_unit_is_refused(name: str, body: Body) -> None:
    calm, scale = body.calm(sample_person(0, 1))
    with pytest.raises(ValueError, match="known facial unit"):
        body.express(calm, {name: 0.5}, (1.0, 0.0, 0.0), scale)


@pytest.mark.people
def test_a_face_shape_names_no_other_part_of_a_body(body: Body) -> None:
    person = dataclasses.replace(sample_person(0, 1), face_shape={"breast-dist": 0.5})
    with pytest.raises(ValueError, match="known face shape axis"):
        body.calm(person)


@pytest.mark.people
def test_a_child_is_smaller_than_the_adult_of_the_same_face(body: Body) -> None:
    child = sample_person(0, 0)
    adult = dataclasses.replace(child, age_band="young_adult", age_years=30.0)
    heights = [np.ptp(body.calm(person)[0][:, 1]) for person in (child, adult)]
    assert heights[0] < 0.85 * heights[1]


@pytest.mark.people
def test_weight_widens_the_waist(body: Body) -> None:
    slim, stout = (dataclasses.replace(sample_person(0, 1), body_weight=w) for w in (0.2, 0.9))
    waist = np.abs(body.vertices[:, 1]) < 1
    vertices = [body.calm(person)[0][waist] for person in (slim, stout)]
    assert np.ptp(vertices[0][:, 2]) < 0.95 * np.ptp(vertices[1][:, 2])


@pytest.mark.people
def test_hidden_and_low_faces_are_left_out(body: Body) -> None:
    whole = body.part("body")
    assert set(body.part("body", lowest=5.0).corners) < set(whole.corners)
    hidden = np.zeros(len(body.vertices), bool)
    hidden[body.vertices[:, 1] < 4] = True
    assert len(body.part("body", hidden).triangles) < len(whole.triangles)


@pytest.mark.people
def test_what_bones_move_sums_to_the_whole_vertex(body: Body) -> None:
    np.testing.assert_allclose(np.asarray(body.rig.weights.sum(1)), 1, atol=1e-5)
    assert all(parent < bone for bone, parent in enumerate(body.rig.parents))
