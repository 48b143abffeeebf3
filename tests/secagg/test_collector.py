"""The sum is exact for whoever stays, or there is none."""

import os
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from discreet.errors import AggregationRefused, FederationError, RosterMismatch
from discreet.secagg import Collector, Group, Member
from secagg.rounds import (
    KEYS,
    MASKED,
    SHARES,
    STAYS,
    UNMASK,
    group_of,
    mask_with,
    members_of,
    random_values,
    run_round,
    sum_of,
)


def has_enough(group: Group, leaves: dict[int, int]) -> bool:
    """Tell by counting whether each question finds the threshold where it needs it."""

    def here(step: int) -> set[int]:
        return {i for i in group.ids if leaves.get(i, STAYS) > step}

    def each(whose: set[int], present: set[int]) -> bool:
        return all(len(present & set(group.holders_of(i))) >= group.threshold for i in whose)

    left = here(SHARES) - here(MASKED)
    missed = {i for i in left if here(MASKED) & set(group.neighbours_of(i))}
    return (
        bool(here(MASKED))
        and all(each(here(step), here(step)) for step in (KEYS, SHARES, MASKED))
        and each(here(MASKED) | missed, here(UNMASK))
    )


@st.composite
def rounds(draw: st.DrawFn) -> tuple[Group, dict[int, int]]:
    count = draw(st.integers(2, 8))
    neighbours = draw(st.sampled_from([*range(2, count - 1, 2), count - 1]))
    least = count // 2 + 1 if neighbours == count - 1 else neighbours // 2 + 2
    threshold = draw(st.integers(least, neighbours + 1))
    steps = st.sampled_from([STAYS] * 5 + [KEYS, SHARES, MASKED, UNMASK])
    group = group_of(count, neighbours=neighbours, threshold=threshold, size=5)
    return group, {i: draw(steps) for i in group.ids}


@given(rounds())
@settings(max_examples=100)
def test_the_sum_is_that_of_who_stayed_or_there_is_none(case: tuple[Group, dict[int, int]]) -> None:
    group, leaves = case
    values = random_values(group)
    if not has_enough(group, leaves):
        with pytest.raises(FederationError):
            run_round(group, values, leaves).total()
        return
    collector = run_round(group, values, leaves)
    stayed = [i for i in group.ids if leaves[i] > MASKED]
    assert collector.survivors == tuple(stayed)
    assert collector.total().tolist() == sum_of(values, stayed)
    assert collector.total().tolist() == sum_of(values, stayed), "asking again changes nothing"


@pytest.mark.parametrize("step", [KEYS, SHARES, MASKED, UNMASK])
def test_one_more_dropout_than_the_threshold_bears_ends_the_round(step: int) -> None:
    group = group_of(6, neighbours=5, threshold=4)
    values = random_values(group)
    two, three = (dict.fromkeys(group.ids[:count], step) for count in (2, 3))
    stayed = list(group.ids) if step == UNMASK else list(group.ids[2:])
    assert run_round(group, values, two).total().tolist() == sum_of(values, stayed)
    with pytest.raises(FederationError, match="threshold=4|Expected 4 shares"):
        run_round(group, values, three).total()


def test_a_ring_of_neighbours_adds_up_too() -> None:
    group = group_of(20, neighbours=6, threshold=5)
    values = random_values(group)
    leaves = {group.ids[3]: MASKED, group.ids[11]: UNMASK, group.ids[17]: SHARES}
    stayed = [i for i in group.ids if i not in (group.ids[3], group.ids[17])]
    assert run_round(group, values, leaves).total().tolist() == sum_of(values, stayed)


def collected(group: Group) -> tuple[Collector, dict[int, Member]]:
    """Return a round in which everybody has sent masked numbers."""
    members, collector, values = members_of(group), Collector(group), random_values(group)
    for i, member in members.items():
        collector.add_keys(i, member.advertise())
    for i, member in members.items():
        collector.add_shares(i, member.share(group, collector.keys_for(i)))
    for i, member in members.items():
        collector.add_masked(i, mask_with(member, values[i], collector.shares_for(i)))
    return collector, members


def unmasked(collector: Collector, members: dict[int, Member], wrong: set[int]) -> Collector:
    """Answer the last question; some answer with every share wrong."""
    for i, member in members.items():
        shares = bytearray(member.unmask(*collector.unmask_request(i)))
        if i in wrong:
            shares = bytearray(os.urandom(len(shares)))
        collector.add_unmask(i, bytes(shares))
    return collector


def test_too_many_wrong_shares_give_no_sum_rather_than_a_wrong_one() -> None:
    group = group_of(4, neighbours=3, threshold=3)
    collector = unmasked(*collected(group), wrong=set(group.ids[:2]))
    with pytest.raises(FederationError, match="too many wrong ones .* or changed by holders"):
        collector.total()
    assert collector.faults == {}, "whoever they are"


@given(count=st.integers(3, 8), data=st.data())
@settings(max_examples=25)
def test_who_gives_wrong_shares_is_named_and_the_sum_is_right(
    count: int, data: st.DataObject
) -> None:
    """All who are wrong, if one was needed and so few are that it can be told; else none."""
    threshold = data.draw(st.integers(count // 2 + 1, count - 1))
    group = group_of(count, neighbours=count - 1, threshold=threshold)
    most = count - threshold
    wrong = data.draw(st.sets(st.sampled_from(group.ids), min_size=1, max_size=most))
    is_told = wrong & set(group.ids[:threshold]) and 2 * len(wrong) <= most + 1
    collector = unmasked(*collected(group), wrong=wrong)
    assert collector.total().tolist() == sum_of(random_values(group), list(group.ids))
    assert set(collector.faults) == (wrong if is_told else set())


def test_in_a_large_neighbourhood_one_who_is_wrong_is_found_too() -> None:
    """There are 3,003 sets of 8 in 14; not all are tried."""
    group = group_of(14, neighbours=13, threshold=8)
    wrong = set(group.ids[1:4])
    collector = unmasked(*collected(group), wrong=wrong)
    assert collector.total().tolist() == sum_of(random_values(group), list(group.ids))
    assert set(collector.faults) == wrong


def test_a_member_who_deals_wrong_shares_is_told_from_one_who_gives_them() -> None:
    """The first: one name beside several members. The second: several names beside one."""
    group = group_of(7, neighbours=6, threshold=4)
    collector, members = collected(group)
    dealer, *others = group.ids
    for i in others[:2]:
        members[i]._held[dealer] = os.urandom(64)
    unmasked(collector, members, wrong=set())
    assert collector.total().tolist() == sum_of(random_values(group), list(group.ids))
    assert collector.faults == {others[0]: (dealer,), others[1]: (dealer,)}
    collector = unmasked(*collected(group), wrong={dealer})
    collector.total()
    assert collector.faults == {dealer: group.ids}
    collector = unmasked(*collected(group), wrong={others[1]})
    collector.total()
    assert collector.faults == {others[1]: group.ids}


@pytest.mark.parametrize("is_dropped", [False, True], ids=["its seed", "its mask"])
@pytest.mark.parametrize("place", [0, 3])
def test_a_member_who_deals_shares_of_another_secret_is_named(
    place: int, *, is_dropped: bool
) -> None:
    """They fit each other, and not what it showed: so the sum is none, and it is known by whom."""
    group = group_of(6, neighbours=5, threshold=4)
    dealer = group.ids[place]
    members, other = members_of(group), {"mask" if is_dropped else "seed": os.urandom(32)}
    members[dealer]._secrets = replace(members[dealer]._secrets, **other)
    leaves = {dealer: MASKED} if is_dropped else {}
    collector = run_round(group, random_values(group), leaves, members)
    with pytest.raises(FederationError, match=f"member {dealer} .* this member dealt them so"):
        collector.total()
    assert collector.faults == {dealer: (dealer,)}


def test_numbers_that_come_after_the_question_who_stayed_are_refused() -> None:
    group = group_of(4, neighbours=3, threshold=3)
    members, collector = members_of(group), Collector(group)
    for i, member in members.items():
        collector.add_keys(i, member.advertise())
    for i, member in members.items():
        collector.add_shares(i, member.share(group, collector.keys_for(i)))
    *early, late = group.ids
    for i in early:
        masked = mask_with(members[i], np.ones(8, np.uint32), collector.shares_for(i))
        collector.add_masked(i, masked)
    for i in early:
        collector.add_unmask(i, members[i].unmask(*collector.unmask_request(i)))
    masked = mask_with(members[late], np.ones(8, np.uint32), collector.shares_for(late))
    with pytest.raises(AggregationRefused, match="in time"):
        collector.add_masked(late, masked)
    assert collector.total().tolist() == [3] * 8


def test_parts_that_cannot_be_used_change_nothing() -> None:
    group = group_of(3, neighbours=2, threshold=2)
    members, collector = members_of(group), Collector(group)
    first, second, third = group.ids
    stranger = Member.create(99, group.round_id)
    for i, data in ((99, stranger.advertise()), (first, b"short")):
        with pytest.raises(AggregationRefused):
            collector.add_keys(i, data)
    for i in (first, second):
        collector.add_keys(i, members[i].advertise())
    with pytest.raises(AggregationRefused, match="once"):
        collector.add_keys(first, members[third].advertise())
    with pytest.raises(AggregationRefused, match="twice"):
        collector.add_keys(third, members[first].advertise())
    collector.add_keys(third, members[third].advertise())
    sealed = members[first].share(group, collector.keys_for(first))
    for bad in ({}, {**sealed, 99: sealed[second]}, {second: b"", third: sealed[third]}):
        with pytest.raises(AggregationRefused, match="2 messages"):
            collector.add_shares(first, bad)
    collector.add_shares(first, sealed)
    for i in (second, third):
        collector.add_shares(i, members[i].share(group, collector.keys_for(i)))
    ones = np.ones(8, np.uint32)
    masked = {i: mask_with(members[i], ones, collector.shares_for(i)) for i in group.ids}
    for wrong in (masked[first].astype(np.int64), masked[first][:-1]):
        with pytest.raises(AggregationRefused, match="uint32"):
            collector.add_masked(first, wrong)
    for i in group.ids:
        collector.add_masked(i, masked[i])
    with pytest.raises(AggregationRefused, match="once"):
        collector.add_masked(first, masked[first])
    answers = {i: members[i].unmask(*collector.unmask_request(i)) for i in group.ids}
    with pytest.raises(AggregationRefused, match="for each"):
        collector.add_unmask(first, answers[first][:-1])
    for i in group.ids:
        collector.add_unmask(i, answers[i])
    assert collector.total().tolist() == [3] * 8


def test_nobody_who_stays_makes_no_sum() -> None:
    group = group_of(3, neighbours=2, threshold=2)
    with pytest.raises(FederationError, match="got none"):
        Collector(group).total()


def test_a_collector_with_the_roster_refuses_whom_members_would_refuse() -> None:
    """And what it refuses it forgets: the same member may still show keys of its own."""
    group = group_of(4, neighbours=3, threshold=3)
    keys = {i: Ed25519PrivateKey.generate() for i in group.ids}
    roster = frozenset(key.public_key().public_bytes_raw() for key in keys.values())
    collector = Collector(group, roster=roster)
    first, second, third, _ = group.ids
    members = {i: Member.create(i, group.round_id, signing_key=keys[i]) for i in group.ids}
    collector.add_keys(first, members[first].advertise())
    strange = [
        Member.create(second, group.round_id),
        Member.create(second, group.round_id, signing_key=Ed25519PrivateKey.generate()),
        Member.create(second, b"an earlier round", signing_key=keys[second]),
        Member.create(third, group.round_id, signing_key=keys[second]),
        Member.create(second, group.round_id, signing_key=keys[first]),
    ]
    for member in strange:
        with pytest.raises(RosterMismatch):
            collector.add_keys(second, member.advertise())
    for i in (second, third):
        collector.add_keys(i, members[i].advertise())
    assert set(collector.keys_for(first)) == {second, third}


def test_a_group_is_narrowed_to_those_whose_keys_came_and_to_nothing_else() -> None:
    group = group_of(4, neighbours=3, threshold=3)
    collector, members = Collector(group), members_of(group)
    for i in group.ids[:3]:
        collector.add_keys(i, members[i].advertise())
    three = replace(group, ids=group.ids[:3])
    for other in (
        group,
        replace(three, ids=group.ids[1:]),
        replace(three, round_id=b"another"),
        replace(three, size=9),
    ):
        with pytest.raises(ValueError, match="whose keys came"):
            collector.narrow(other)
    collector.narrow(three)
    for i in three.ids:
        collector.add_shares(i, members[i].share(three, collector.keys_for(i)))
    with pytest.raises(ValueError, match="whose keys came"):
        collector.narrow(three)
    values = random_values(three)
    for i in three.ids:
        collector.add_masked(i, mask_with(members[i], values[i], collector.shares_for(i)))
    for i in three.ids:
        collector.add_unmask(i, members[i].unmask(*collector.unmask_request(i)))
    assert collector.total().tolist() == sum_of(values, list(three.ids))
