"""What the server sees of one member is noise; the tests would see it if it were not."""

import numpy as np
import pytest
from scipy import stats

from discreet.secagg import Collector, Group, Member, masks
from discreet.secagg.masks import shared_mask
from discreet.secagg.primitives import Words
from secagg.rounds import group_of, mask_with, members_of, run_round

ALARM = 1e-6
"""Chance of a false alarm of each test, keys being drawn anew each time."""
GROUP = group_of(4, neighbours=3, threshold=3, size=100_000)
QUIET = np.zeros(GROUP.size, np.uint32)
LOUD = (np.arange(GROUP.size) % 7 * 1_000_003 + 2**31).astype(np.uint32)


def seen_of_first(values: Words) -> Words:
    """Return the masked numbers of the first member, whose neighbours have none but zeros."""
    return transcript(values)[0]


def transcript(values: Words) -> tuple[Words, Collector, dict[int, Member]]:
    members, collector = members_of(GROUP), Collector(GROUP)
    for i, member in members.items():
        collector.add_keys(i, member.advertise())
    for i, member in members.items():
        collector.add_shares(i, member.share(GROUP, collector.keys_for(i)))
    first = GROUP.ids[0]
    return mask_with(members[first], values, collector.shares_for(first)), collector, members


def flatness(words: Words) -> float:
    """Return the chance of bytes at least as uneven as these, were they uniform."""
    counts = np.bincount(words.view(np.uint8), minlength=256)
    return float(stats.chisquare(counts).pvalue)


def likeness(one: Words, other: Words) -> float:
    """Return the chance of two samples at least as different, were they of one distribution."""
    return float(stats.ks_2samp(one, other, method="asymp").pvalue)


def test_masked_numbers_are_flat_whatever_they_are() -> None:
    quiet, loud = seen_of_first(QUIET), seen_of_first(LOUD)
    assert min(flatness(quiet), flatness(loud)) > ALARM
    assert likeness(quiet, loud) > ALARM
    assert abs(np.corrcoef(loud, LOUD)[0, 1]) < 5 / GROUP.size**0.5


def test_without_masks_the_same_tests_see_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "keystream", lambda key, size: np.zeros(size, np.uint32))
    quiet, loud = seen_of_first(QUIET), seen_of_first(LOUD)
    assert max(flatness(quiet), flatness(loud)) < ALARM
    assert likeness(quiet, loud) < ALARM
    assert np.corrcoef(loud, LOUD)[0, 1] > 0.99


def test_the_sum_of_flat_vectors_is_exact() -> None:
    values = dict.fromkeys(GROUP.ids, QUIET) | {GROUP.ids[0]: LOUD}
    assert np.array_equal(run_round(GROUP, values).total(), LOUD)


def without_shared_masks(seen: Words, members: dict[int, Member], group: Group) -> Words:
    """Return what is left when the server knows the secret behind a member's shared masks."""
    first, result = members[group.ids[0]], seen.copy()
    for peer in group.ids[1:]:
        own, other = (first.id, first._shown.mask_key), (peer, members[peer]._shown.mask_key)
        result -= shared_mask(first._secrets.mask, group, own, other)
    return result


def test_numbers_that_come_late_stay_hidden_by_the_members_own_mask() -> None:
    """Why there are two kinds of masks (Bonawitz et al. 2017, section 4)."""
    seen, _, members = transcript(LOUD)
    left = without_shared_masks(seen, members, GROUP)
    assert flatness(left) > ALARM
    assert np.array_equal(
        left - masks.own_mask(members[GROUP.ids[0]]._secrets.seed, GROUP.size), LOUD
    )


def test_numbers_stay_hidden_by_the_mask_of_one_neighbour_who_is_silent() -> None:
    seen, _, members = transcript(LOUD)
    first, last = GROUP.ids[0], GROUP.ids[-1]
    left = without_shared_masks(seen, members, GROUP)
    left -= masks.own_mask(members[first]._secrets.seed, GROUP.size)
    own, other = ((i, members[i]._shown.mask_key) for i in (first, last))
    left += shared_mask(members[first]._secrets.mask, GROUP, own, other)
    assert flatness(left) > ALARM


def test_no_two_members_or_rounds_have_one_mask() -> None:
    seen = [seen_of_first(QUIET) for _ in range(3)]
    assert all(likeness(a - b, seen[0]) > ALARM for a, b in zip(seen, seen[1:], strict=False))
    assert flatness(seen[0] - seen[1]) > ALARM
