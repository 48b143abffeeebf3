"""A server that says that both sides of an arc left, to open the sum of the arc alone."""

from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from discreet.errors import AggregationRefused
from discreet.secagg import Collector, Group, Member
from discreet.secagg.advertisement import Advertisement
from discreet.secagg.masks import own_mask, shared_mask
from discreet.secagg.primitives import SECRET_BYTES, Words, join
from secagg.rounds import group_of, mask_with, members_of, random_values, sum_of

NEIGHBOURS, HALF, COUNT = 8, 4, 30
Story = Callable[[int, set[int]], set[int]]
"""Who left, as a member with a neighbourhood is told."""


def masked(group: Group, values: Mapping[int, Words]) -> tuple[dict[int, Member], dict[int, Words]]:
    members, collector = members_of(group), Collector(group)
    for i, member in members.items():
        collector.add_keys(i, member.advertise())
    for i, member in members.items():
        collector.add_shares(i, member.share(group, collector.keys_for(i)))
    sent = {i: mask_with(members[i], values[i], collector.shares_for(i)) for i in group.ids}
    return members, sent


def told(group: Group, members: dict[int, Member], story: Story) -> dict[tuple[int, bool], bytes]:
    """Return secrets of which enough shares came: by member, and whether it was said to leave."""
    shares = defaultdict[tuple[int, bool], dict[int, bytes]](dict)
    for i, member in members.items():
        near = set(group.holders_of(i))
        left = story(i, near)
        try:
            answer = member.unmask(near - left, left)
        except AggregationRefused:
            continue
        for place, j in enumerate(sorted(near)):
            share = answer[place * SECRET_BYTES : (place + 1) * SECRET_BYTES]
            shares[j, j in left][group.holders_of(j).index(i) + 1] = share
    enough = group.threshold
    return {
        of: join(dict(list(some.items())[:enough]))
        for of, some in shares.items()
        if len(some) >= enough
    }


def opened(
    group: Group, values: Mapping[int, Words], arc: list[int], gaps: list[int], story: Story
) -> Words | None:
    """Return what a server makes of the numbers of an arc, or None: too few shares came."""
    members, sent = masked(group, values)
    found = told(group, members, story)
    if any((i, False) not in found for i in arc) or any((i, True) not in found for i in gaps):
        return None
    total = sum((sent[i] - own_mask(found[i, False], group.size) for i in arc), np.uint32(0))
    key = {i: Advertisement.read(members[i].advertise()).mask_key for i in group.ids}
    for gone in gaps:
        for i in set(group.neighbours_of(gone)) & set(arc):
            total = total + shared_mask(found[gone, True], group, (gone, key[gone]), (i, key[i]))
    return total


def arc_of(group: Group, length: int) -> tuple[list[int], list[int]]:
    """Return an arc, and half a neighbourhood at each of its ends."""
    ring = group._ring
    return list(ring[HALF : HALF + length]), [
        *ring[:HALF],
        *ring[HALF + length : 2 * HALF + length],
    ]


def test_with_a_threshold_of_half_one_story_opens_an_arc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why such a group is refused."""
    monkeypatch.setattr(Group, "least_threshold", 2)
    group = group_of(COUNT, neighbours=NEIGHBOURS, threshold=HALF + 1)
    values = random_values(group)
    arc, gaps = arc_of(group, HALF + 1)
    total = opened(group, values, arc, gaps, lambda _, near: near & set(gaps))
    assert total is not None
    assert total.tolist() == sum_of(values, arc)


@pytest.mark.parametrize("length", [1, 2, HALF + 1, 2 * HALF + 1, 14])
@pytest.mark.parametrize("is_arc_told", [True, False])
def test_with_the_least_threshold_no_arc_is_opened(length: int, *, is_arc_told: bool) -> None:
    """Nor where those on the arc, or all others, are told that the rest of its ends stayed."""
    group = group_of(COUNT, neighbours=NEIGHBOURS, threshold=HALF + 2)
    values = random_values(group)
    arc, gaps = arc_of(group, length)
    stories: list[Story] = [
        lambda _, near: near & set(gaps),
        lambda i, near: near & set(gaps) if (i in arc) == is_arc_told else set(),
        lambda i, near: near & (set(gaps) if i in arc else set(arc)),
    ]
    for story in stories:
        assert opened(group, values, arc, gaps, story) is None


def test_stories_of_which_each_is_small_still_open_an_arc() -> None:
    """What the docstring of the room says is not protected: no member is told of a whole gap."""
    group = group_of(COUNT, neighbours=NEIGHBOURS, threshold=HALF + 2)
    values = random_values(group)
    arc, gaps = arc_of(group, 2 * HALF + 1)
    named = dict.fromkeys(gaps, 0)

    def story(i: int, near: set[int]) -> set[int]:
        least = sorted((near & set(gaps)) - {i}, key=lambda j: named[j])
        left = set(least[: NEIGHBOURS + 1 - group.threshold])
        for j in left:
            named[j] += 1
        return left

    total = opened(group, values, arc, gaps, story)
    assert total is not None
    assert total.tolist() == sum_of(values, arc)
