"""Crowds follow from their seed, share nobody between groups, and show what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from discreet.recipes.crowds import COUNTS, GROUP_SIZE, SIDE_PX, _places, draw_crowds

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]


def portrait(colour: tuple[int, int, int]) -> Image.Image:
    """A face of one colour, and another colour round it, so that a test can find the face."""
    image = Image.new("RGB", (128, 128), (90, 90, 90))
    ImageDraw.Draw(image).ellipse((38, 30, 90, 110), fill=colour)
    return image


@pytest.fixture(scope="module")
def people() -> list[list[Image.Image]]:
    return [[portrait(COLOURS[n % 4])] for n in range(10)]


def seen(image: Image.Image) -> set[tuple[int, int, int]]:
    """Return whose colour covers more than 150 pixels, pure but for smoothing."""
    pixels = np.asarray(image).astype(int)
    return {c for c in COLOURS if (np.abs(pixels - c).max(2) < 12).sum() > 150}


def test_the_same_seed_draws_the_same_and_another_does_not(people: list[list[Image.Image]]) -> None:
    first, again, other = (
        [image.tobytes() for image, _ in draw_crowds(people, pictures=8, seed=seed)]
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_groups_of_four_share_nobody_and_have_every_number_of_faces(
    people: list[list[Image.Image]],
) -> None:
    drawn = list(draw_crowds(people, pictures=8, seed=3))
    crowds = [crowd for _, crowd in drawn]
    members = {crowd.group: crowd.members for crowd in crowds}
    assert len(crowds) == 2 * 8, "two of ten people are left over"
    everybody = [person for own in members.values() for person in own]
    assert len(set(everybody)) == len(everybody) == 2 * GROUP_SIZE
    assert all(image.size == (SIDE_PX, SIDE_PX) for image, _ in drawn)
    assert [crowd.faces for crowd in crowds] == [*COUNTS, *COUNTS]


def test_as_many_faces_are_seen_as_are_said() -> None:
    """Each member of a group has a colour of their own; a stray pattern may hide or add one."""
    people = [[portrait(colour)] for colour in COLOURS]
    drawn = draw_crowds(people, pictures=160, seed=0)
    right = [len(seen(image)) == crowd.faces for image, crowd in drawn]
    assert np.mean(right) > 0.9


@settings(max_examples=200)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 4))
def test_tiles_keep_three_quarters_inside_and_leave_each_others_middle_alone(
    seed: int, count: int
) -> None:
    places = _places(count, np.random.default_rng(seed))
    assert len(places) == count
    for n, (left, top, side) in enumerate(places):
        for start in (left, top):
            inside = min(start + side, SIDE_PX) - max(start, 0)
            assert inside >= min(0.74 * side, SIDE_PX - 1)
        for x, y, other in places[:n]:
            gap = max(abs(left + side / 2 - x - other / 2), abs(top + side / 2 - y - other / 2))
            assert gap >= 0.75 * (side + other) / 2
