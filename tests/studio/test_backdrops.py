import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.people import BACKDROPS, Backdrop, BackdropKind
from discreet.studio.backdrops import linear, paint_backdrop

kinds = st.sampled_from(BACKDROPS)


@given(kinds, st.integers(0, 2**31), st.integers(20, 240))
def test_a_backdrop_follows_from_its_description(kind: BackdropKind, seed: int, level: int) -> None:
    backdrop = Backdrop(kind=kind, rgb=(level, level, level), seed=seed)
    painted = paint_backdrop(backdrop, 48)
    assert painted.shape == (48, 48, 3)
    assert np.isfinite(painted).all()
    assert painted.min() >= 0
    assert np.array_equal(painted, paint_backdrop(backdrop, 48))


@pytest.mark.parametrize("kind", BACKDROPS)
def test_a_larger_backdrop_is_the_same_one(kind: BackdropKind) -> None:
    backdrop = Backdrop(kind=kind, rgb=(120, 130, 140), seed=5)
    small, large = paint_backdrop(backdrop, 64), paint_backdrop(backdrop, 128)
    shrunk = large.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(shrunk - small).mean() < 0.03


@pytest.mark.parametrize("kind", BACKDROPS)
def test_a_backdrop_is_out_of_focus(kind: BackdropKind) -> None:
    painted = paint_backdrop(Backdrop(kind=kind, rgb=(128, 128, 128), seed=11), 128)
    assert np.abs(np.diff(painted, axis=1)).max() < 0.6


def test_a_plain_backdrop_has_its_colour() -> None:
    backdrop = Backdrop(kind="plain", rgb=(200, 100, 50), seed=1)
    mean = paint_backdrop(backdrop, 32).mean((0, 1))
    expected = linear(np.array([200, 100, 50]) / 255)
    np.testing.assert_allclose(mean, expected, rtol=0.15)


def test_seeds_paint_different_details() -> None:
    one = Backdrop(kind="shelves", rgb=(128, 128, 128), seed=1)
    other = dataclasses.replace(one, seed=2)
    assert not np.array_equal(paint_backdrop(one, 32), paint_backdrop(other, 32))
