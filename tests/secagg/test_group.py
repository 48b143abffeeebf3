"""Who is whose neighbour, and settings that make no group."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.secagg import Group
from secagg.rounds import group_of


def ring(count: int, neighbours: int, round_id: bytes = b"a round") -> Group:
    ids = tuple(range(count))
    return Group(ids=ids, neighbours=neighbours, threshold=2, size=1, round_id=round_id)


@given(st.integers(2, 30), st.integers(1, 12), st.binary(min_size=1, max_size=16))
def test_neighbours_are_mutual_and_as_many_as_said(count: int, half: int, round_id: bytes) -> None:
    group = ring(count, 2 * half, round_id)
    for member in group.ids:
        neighbours = group.neighbours_of(member)
        assert len(set(neighbours)) == len(neighbours) == min(2 * half, count - 1)
        assert member not in neighbours
        assert all(member in group.neighbours_of(other) for other in neighbours)
        assert group.holders_of(member) == tuple(sorted((member, *neighbours)))


@given(st.integers(6, 30), st.integers(1, 4), st.data())
def test_a_ring_holds_together_until_half_a_neighbourhood_in_a_row_is_missing(
    count: int, half: int, data: st.DataObject
) -> None:
    """What `choose_degree` counts on: with at most 2 * half - 1 missing nobody is cut off."""
    group = ring(count, 2 * half)
    most = min(2 * half - 1, count - 2)
    missing = set(data.draw(st.lists(st.integers(0, count - 1), max_size=most)))
    left = set(group.ids) - missing
    reached, todo = set[int](), [min(left)]
    while todo:
        if (member := todo.pop()) not in reached:
            reached.add(member)
            todo += [other for other in group.neighbours_of(member) if other in left]
    assert reached == left


def test_the_ring_follows_from_the_round_and_not_from_the_order_of_ids() -> None:
    here, there = ring(30, 2), ring(30, 2, b"another round")
    assert any(here.neighbours_of(i) != there.neighbours_of(i) for i in here.ids)
    turned = Group(ids=here.ids[::-1], neighbours=2, threshold=2, size=1, round_id=b"a round")
    assert turned == here
    assert turned.digest == here.digest
    assert all(turned.neighbours_of(i) == here.neighbours_of(i) for i in here.ids)


def test_every_setting_is_in_the_digest() -> None:
    settings = {"ids": (1, 2, 3, 4), "neighbours": 2, "threshold": 2, "size": 4, "round_id": b"r"}
    others = {"ids": (1, 2, 3, 5), "neighbours": 3, "threshold": 3, "size": 5, "round_id": b"s"}
    digests = {Group(**settings | {name: value}).digest for name, value in others.items()}  # type: ignore[arg-type]
    assert len(digests | {Group(**settings).digest}) == 6  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ids": (1,)}, "two ids or more"),
        ({"ids": (1, 1, 2)}, "each once"),
        ({"ids": (-1, 2)}, "from 0 to"),
        ({"ids": (1, 2**64)}, "from 0 to"),
        ({"neighbours": 3, "ids": (1, 2, 3, 4, 5)}, "neighbours even"),
        ({"neighbours": 0}, "neighbours even"),
        ({"threshold": 1}, "2 <= threshold <= 3"),
        ({"threshold": 4}, "2 <= threshold <= 3"),
        ({"size": 0}, "size >= 1"),
        ({"round_id": b""}, "round_id"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_settings_that_make_no_group_are_refused(change: dict[str, object], words: str) -> None:
    settings = {"ids": (1, 2, 3, 4), "neighbours": 2, "threshold": 2, "size": 4, "round_id": b"r"}
    with pytest.raises(ValueError, match=re.escape(words)):
        Group(**settings | change)  # type: ignore[arg-type]


def test_everybody_is_a_neighbour_where_there_are_enough_places() -> None:
    group = group_of(5, neighbours=9, threshold=5)
    assert all(len(group.neighbours_of(i)) == 4 for i in group.ids)
