import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.figures import Assets
from discreet.figures.body import MORPH_NAMES, Body
from discreet.figures.face import FOLD_YEARS, FOLDS_BY_AGE, VARIANTS, fold_weights, units_of
from discreet.people import Figure, sample_scene
from discreet.types import EXPRESSIONS, Expression


def _with(figure: Figure, expression: Expression, variant: int = 0, **changes: object) -> Figure:
    face = dataclasses.replace(figure.face, expression=expression, variant=variant, **changes)
    return dataclasses.replace(figure, face=face)


FIGURE = sample_scene(0, 1, 0).figures[0]


def test_every_expression_has_its_variants_and_folds_have_their_years() -> None:
    assert set(VARIANTS) == set(EXPRESSIONS)
    assert all(len(depths) == len(FOLD_YEARS) for depths in FOLDS_BY_AGE.values())
    assert all(list(depths) == sorted(depths) for depths in FOLDS_BY_AGE.values())


@given(st.integers(0, 300), st.integers(0, 6))
def test_folds_are_shares(identity: int, shot: int) -> None:
    depths = fold_weights(sample_scene(0, identity, shot).figures[0])
    assert len(depths) == 4
    assert all(0 <= depth <= 1 for depth in depths)


def test_a_calm_face_is_symmetric() -> None:
    for expression in EXPRESSIONS:
        units = units_of(_with(FIGURE, expression))
        for name, weight in units.items():
            assert units[name.replace("left", "right")] == weight


def test_a_frown_folds_between_the_brows_and_a_smile_beside_the_mouth() -> None:
    calm, angry, happy = (fold_weights(_with(FIGURE, e)) for e in ("neutral", "angry", "happy"))
    assert angry[3] > calm[3]
    assert happy[2] > calm[2]


def test_own_units_are_added_to_those_of_the_expression() -> None:
    spoken = _with(FIGURE, "happy", units={"mouth-open": 0.3, "mouth-corner-puller": 0.1})
    before, after = units_of(_with(FIGURE, "happy")), units_of(spoken)
    assert after["mouth-corner-puller"] == pytest.approx(before["mouth-corner-puller"] + 0.1)
    assert after["mouth-open"] == pytest.approx(before.get("mouth-open", 0) + 0.3)


@pytest.mark.people
def test_every_morph_that_an_expression_names_exists(assets: Assets) -> None:
    names = Body(assets).target_names
    for expression, variants in VARIANTS.items():
        for variant in range(len(variants)):
            for name in units_of(_with(FIGURE, expression, variant)):
                for people in MORPH_NAMES:
                    full = name if "/" in name else f"expression/units/{people}/{name}"
                    assert full in names


@pytest.mark.people
def test_expressions_move_the_face_and_not_the_hands(assets: Assets) -> None:
    body = Body(assets)
    calm, scale = body.calm(FIGURE.person)
    for expression in EXPRESSIONS:
        units = units_of(_with(FIGURE, expression))
        posed = body.express(calm, units, FIGURE.person.ethnicity_mix, scale)
        moved = np.linalg.norm(posed - calm, axis=1) > 1e-4
        assert moved.any()
        assert body.vertices[moved, 1].min() > 5
