"""What a member refuses, and what becomes of one who does not check keys."""

from collections.abc import Mapping

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from discreet.errors import AggregationRefused, ArtifactCorrupt
from discreet.secagg import Collector, Group, Member
from discreet.secagg.advertisement import Advertisement, Secrets
from discreet.secagg.primitives import Words
from secagg.rounds import group_of, mask_with, members_of, random_values, reload, run_round

LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]
"""The five of the list at cr.yp.to/ecdh.html#validate that are below the prime."""


def keys_of(members: dict[int, Member], but: int) -> dict[int, bytes]:
    return {i: member.advertise() for i, member in members.items() if i != but}


def shared(group: Group) -> tuple[dict[int, Member], dict[int, dict[int, bytes]]]:
    """Return members who have handed out shares, and the shares by recipient and sender."""
    members = members_of(group)
    sent = {i: member.share(group, keys_of(members, i)) for i, member in members.items()}
    return members, {i: {j: sent[j][i] for j in group.ids if j != i} for i in group.ids}


def masked(group: Group) -> dict[int, Member]:
    members, sealed = shared(group)
    for i, member in members.items():
        mask_with(member, np.zeros(group.size, np.uint32), sealed[i])
    return members


GROUP = group_of(4, neighbours=3, threshold=3)
A, B, C, D = GROUP.ids
ALL = set(GROUP.ids)


@pytest.mark.parametrize(
    ("alive", "dropped"),
    [
        (ALL, {B}),
        ({A, B, C}, {C, D}),
        ({A, B, C}, set()),
        (ALL | {99}, set()),
        ({A, B, C}, {D, 99}),
        ({B, C, D}, {A}),
        ({A, B}, {C, D}),
        (set(), ALL),
    ],
    ids=["both", "both too", "neither", "more", "stranger", "itself", "too few", "nobody"],
)
def test_a_member_refuses_requests_that_would_take_masks_off(
    alive: set[int], dropped: set[int]
) -> None:
    with pytest.raises(AggregationRefused):
        masked(GROUP)[A].unmask(alive, dropped)


def test_a_second_different_request_to_unmask_is_refused_also_after_a_restart() -> None:
    member = masked(GROUP)[A]
    first = member.unmask({A, B, C}, {D})
    again = reload(member)
    assert again.unmask({A, B, C}, {D}) == first
    for alive, dropped in ((ALL, set[int]()), ({A, B, D}, {C})):
        with pytest.raises(AggregationRefused, match="different"):
            again.unmask(alive, dropped)


def test_two_requests_would_give_both_shares_of_one_member() -> None:
    """Why the second is refused: it can fail."""
    member = masked(GROUP)[A]
    forgetful = reload(member)
    first, second = member.unmask({A, B, C}, {D}), forgetful.unmask({A, B, D}, {C})
    place = sorted(ALL).index(D) * 32
    assert first[place : place + 32] != second[place : place + 32]


def test_keys_that_repeat_are_refused() -> None:
    members = members_of(GROUP)
    keys = keys_of(members, A)
    with pytest.raises(AggregationRefused, match="twice"):
        members[A].share(GROUP, keys | {C: keys[B]})
    with pytest.raises(AggregationRefused, match="twice"):
        members[A].share(GROUP, keys | {C: members[A].advertise()})
    swapped = keys[B][32:64] + keys[B][:32] + keys[B][64:]
    with pytest.raises(AggregationRefused, match="twice"):
        members[A].share(GROUP, keys | {C: swapped})
    one = keys[B][:32] * 2 + keys[B][64:]
    with pytest.raises(AggregationRefused, match="one twice"):
        members[A].share(GROUP, keys | {B: one})
    assert len(members[A].share(GROUP, keys)) == 3, "refusals changed nothing"


@pytest.mark.parametrize("point", LOW_ORDER)
@pytest.mark.parametrize("place", [0, 32], ids=["cipher", "mask"])
def test_points_of_low_order_are_refused(point: str, place: int) -> None:
    members = members_of(GROUP)
    keys = keys_of(members, A)
    weak = keys[B][:place] + bytes.fromhex(point) + keys[B][place + 32 :]
    with pytest.raises(AggregationRefused, match="low order"):
        members[A].share(GROUP, keys | {B: weak})


def test_a_second_writing_of_a_point_is_refused() -> None:
    members = members_of(GROUP)
    keys = keys_of(members, A)
    high = bytearray(keys[B])
    high[31] |= 0x80
    prime = (2**255 - 19 + 9).to_bytes(32, "little")
    for other in (bytes(high), prime + keys[B][32:]):
        with pytest.raises(AggregationRefused, match="canonical"):
            members[A].share(GROUP, keys | {C: other})


@pytest.mark.parametrize("place", [0, 11, 12, 40, 75, 91])
def test_a_changed_bit_in_sealed_shares_is_found(place: int) -> None:
    members, sealed = shared(GROUP)
    damaged = bytearray(sealed[A][B])
    damaged[place] ^= 1
    with pytest.raises(AggregationRefused, match="as a peer sealed"):
        members[A].receive(sealed[A] | {B: bytes(damaged)})


def test_sealed_shares_fit_one_sender_and_one_recipient_only() -> None:
    members, sealed = shared(GROUP)
    for other in (sealed[A][C], sealed[B][A], sealed[C][B], b""):
        with pytest.raises(AggregationRefused, match="as a peer sealed"):
            members[A].receive(sealed[A] | {B: other})


def test_members_who_were_told_of_different_groups_do_not_add_up() -> None:
    members = members_of(GROUP)
    stricter = group_of(4, neighbours=3, threshold=4)
    sent = {i: members[i].share(stricter, keys_of(members, i)) for i in (B, C, D)}
    members[A].share(GROUP, keys_of(members, A))
    with pytest.raises(AggregationRefused, match="as a peer sealed"):
        members[A].receive({i: sent[i][A] for i in sent})


def test_a_group_below_the_threshold_is_refused_at_each_step() -> None:
    members, sealed = shared(GROUP)
    lonely = Member.create(A, GROUP.round_id)
    with pytest.raises(AggregationRefused, match="threshold=3"):
        lonely.share(GROUP, {B: members[B].advertise()})
    with pytest.raises(AggregationRefused, match="threshold=3"):
        members[A].receive({B: sealed[A][B]})
    mask_with(members[A], np.zeros(8, np.uint32), sealed[A])
    with pytest.raises(AggregationRefused, match="threshold=3"):
        members[A].unmask({A, B}, {C, D})


@pytest.mark.parametrize(("neighbours", "least"), [(2, 3), (4, 4), (6, 5), (7, 5), (9, 5)])
def test_a_threshold_with_which_several_sums_could_be_opened_is_refused(
    neighbours: int, least: int
) -> None:
    for threshold in (least - 1, least):
        group = group_of(8, neighbours=neighbours, threshold=threshold)
        members, first = members_of(group), group.ids[0]
        near = {i: members[i].advertise() for i in group.neighbours_of(first)}
        if threshold == least:
            assert set(members[first].share(group, near)) == set(near)
        else:
            with pytest.raises(AggregationRefused, match=f"threshold >= {least}, got"):
                members[first].share(group, near)


def test_ids_outside_the_group_or_neighbourhood_are_refused() -> None:
    ring = group_of(6, neighbours=2, threshold=3)
    members = members_of(ring)
    first = ring.ids[0]
    with pytest.raises(AggregationRefused, match="neighbours only"):
        members[first].share(ring, keys_of(members, first))
    with pytest.raises(AggregationRefused, match="with the member in it"):
        Member.create(99, ring.round_id).share(ring, {})
    with pytest.raises(AggregationRefused, match="of this round"):
        Member.create(first, b"another round").share(ring, {})
    members, sealed = shared(GROUP)
    with pytest.raises(AggregationRefused, match="got some of others"):
        members[A].receive(sealed[A] | {99: sealed[A][B]})


def test_each_step_is_taken_once_and_in_order() -> None:
    members, sealed = shared(GROUP)
    fresh = Member.create(A, GROUP.round_id)
    zeros = np.zeros(8, np.uint32)
    with pytest.raises(AggregationRefused, match="after that for shares"):
        fresh.mask(zeros)
    with pytest.raises(AggregationRefused, match="after those of its own"):
        fresh.receive({})
    with pytest.raises(AggregationRefused, match="after that for shares"):
        reload(members[A]).mask(zeros)
    with pytest.raises(AggregationRefused, match="after that for numbers"):
        members[A].unmask(ALL, set())
    with pytest.raises(AggregationRefused, match="another"):
        members[A].share(GROUP, keys_of(members, A))
    mask_with(members[A], zeros, sealed[A])
    with pytest.raises(AggregationRefused, match="once"):
        reload(members[A]).receive(sealed[A])
    with pytest.raises(AggregationRefused):
        reload(members[A]).mask(zeros + np.uint32(1))


@pytest.mark.parametrize("values", [np.zeros(8), np.zeros(7, np.uint32), np.zeros(8, np.int64)])
def test_values_of_another_form_are_refused(values: Words) -> None:
    members, sealed = shared(GROUP)
    with pytest.raises(ValueError, match="uint32 values of shape"):
        mask_with(members[A], values, sealed[A])


def test_a_damaged_state_is_refused_and_names_no_secret() -> None:
    member = masked(GROUP)[A]
    state = member.to_bytes()
    for damaged in (b"", b"{}", b"[1]", state[:-9], state.replace(b'"neighbours": 3', b'"n": 3')):
        with pytest.raises(ArtifactCorrupt, match="Leave this round out"):
            Member.from_bytes(damaged)
    assert Member.from_bytes(state).to_bytes() == state
    assert member._secrets.seed.hex() not in repr(member) + repr(member._secrets)


# --- a server that lies about keys -------------------------------------------------------------


def signers(group: Group) -> dict[int, Ed25519PrivateKey]:
    return {i: Ed25519PrivateKey.generate() for i in group.ids}


def read_by_invented_members(group: Group, victim: Member, values: Words) -> Words:
    """Return what a server makes of a member whose every neighbour is one that it invented."""
    invented = {i: Member.create(i, group.round_id) for i in group.ids if i != victim.id}
    nothing = {i: np.zeros(group.size, np.uint32) for i in invented}
    return run_round(
        group, nothing | {victim.id: values}, members={victim.id: victim} | invented
    ).total()


def test_a_server_that_invents_members_reads_an_update_whose_keys_nobody_signs() -> None:
    """What the docstring of the room says is not protected."""
    values = random_values(GROUP)[A]
    found = read_by_invented_members(GROUP, Member.create(A, GROUP.round_id), values)
    assert found.tolist() == values.tolist()


def roster_of(keys: Mapping[int, Ed25519PrivateKey]) -> frozenset[bytes]:
    return frozenset(key.public_key().public_bytes_raw() for key in keys.values())


def signed(keys: Mapping[int, Ed25519PrivateKey], group: Group = GROUP) -> dict[int, Member]:
    return {i: Member.create(i, group.round_id, signing_key=keys[i]) for i in group.ids}


def test_an_invented_member_is_refused_where_the_owner_has_a_roster() -> None:
    """The same server as above; it has keys of its own, and one of an owner who colludes."""
    keys = signers(GROUP)
    invented = signers(GROUP)
    victim = Member.create(A, GROUP.round_id, signing_key=keys[A])
    for signing in ({}, invented, dict.fromkeys(GROUP.ids, keys[B])):
        others = {i: Member.create(i, GROUP.round_id, signing_key=signing.get(i)) for i in ALL}
        with pytest.raises(AggregationRefused, match="on the roster only|each owner once"):
            victim.share(GROUP, keys_of(others, A), roster=roster_of(keys))


def test_a_server_in_the_middle_is_found_where_the_owner_has_a_roster() -> None:
    keys = signers(GROUP)
    roster, honest = roster_of(keys), signed(keys)
    shown = keys_of(honest, A)
    unsigned = Member.create(B, GROUP.round_id)
    elsewhere = Member.create(B, b"an earlier round", signing_key=keys[B])
    replayed = Member.create(C, GROUP.round_id, signing_key=keys[B])
    signed_by_server = Member.create(B, GROUP.round_id, signing_key=Ed25519PrivateKey.generate())
    spliced = unsigned.advertise() + shown[B][-96:]
    for lie in (elsewhere.advertise(), replayed.advertise(), spliced):
        with pytest.raises(AggregationRefused, match="signed by the owner"):
            honest[A].share(GROUP, shown | {B: lie}, roster=roster)
    for lie in (unsigned.advertise(), signed_by_server.advertise()):
        with pytest.raises(AggregationRefused, match="on the roster only"):
            honest[A].share(GROUP, shown | {B: lie}, roster=roster)
    with pytest.raises(AggregationRefused, match="signed by the owner"):
        honest[A].share(GROUP, {B: shown[C], C: shown[B], D: shown[D]}, roster=roster)
    assert set(honest[A].share(GROUP, shown, roster=roster)) == {B, C, D}


def test_an_owner_is_one_member_of_a_sum() -> None:
    """Also the owner itself: a server may not ask it twice, under two ids."""
    keys = signers(GROUP)
    for twin in (A, B):
        members = signed(keys | {C: keys[twin]})
        with pytest.raises(AggregationRefused, match="each owner once"):
            members[A].share(GROUP, keys_of(members, A), roster=roster_of(keys))


def test_whoever_has_a_roster_is_on_it() -> None:
    keys = signers(GROUP)
    members = signed(keys) | {A: Member.create(A, GROUP.round_id)}
    with pytest.raises(AggregationRefused, match="on the roster only"):
        members[A].share(GROUP, keys_of(members, A), roster=roster_of(keys))


def test_a_sum_of_more_than_the_roster_is_refused() -> None:
    """On a ring nobody sees all members; that there are too many, everybody sees."""
    ring = group_of(6, neighbours=2, threshold=3)
    keys = signers(ring)
    members, first = signed(keys, ring), ring.ids[0]
    near = {i: members[i].advertise() for i in ring.neighbours_of(first)}
    five = roster_of({i: keys[i] for i in [*near, first, *ring.ids][:5]})
    few = frozenset([*roster_of({i: keys[i] for i in (first, *near)})])
    for roster in (five, few):
        with pytest.raises(AggregationRefused, match="sum of 6"):
            members[first].share(ring, near, roster=roster)
    assert set(members[first].share(ring, near, roster=roster_of(keys))) == set(near)


def test_a_signed_round_gives_the_sum() -> None:
    keys = signers(GROUP)
    roster, members, collector = roster_of(keys), signed(keys), Collector(GROUP)
    for i, member in members.items():
        collector.add_keys(i, member.advertise())
    for i, member in members.items():
        sealed = reload(member).share(GROUP, collector.keys_for(i), roster=roster)
        assert set(sealed) == ALL - {i}
        collector.add_shares(i, member.share(GROUP, collector.keys_for(i), roster=roster))
    for i, member in members.items():
        masked = mask_with(member, np.ones(8, np.uint32), collector.shares_for(i))
        collector.add_masked(i, masked)
    for i, member in members.items():
        collector.add_unmask(i, member.unmask(*collector.unmask_request(i)))
    assert collector.total().tolist() == [4] * 8


def test_a_signing_key_is_not_kept() -> None:
    key = Ed25519PrivateKey.generate()
    member = Member.create(A, GROUP.round_id, signing_key=key)
    assert key.private_bytes_raw().hex().encode() not in member.to_bytes()


def test_an_advertisement_of_another_length_is_refused() -> None:
    shown = Advertisement.make(A, b"a round", Secrets.draw(), signing_key=None).to_bytes()
    for damaged in (b"", shown[:-1], shown + b"x"):
        with pytest.raises(AggregationRefused, match="bytes of keys"):
            Advertisement.read(damaged)


@given(
    place=st.integers(0, 191), bit=st.integers(0, 7), cut=st.one_of(st.none(), st.integers(0, 191))
)
def test_no_changed_advertisement_passes(place: int, bit: int, cut: int | None) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    shown = Advertisement.make(A, b"a round", Secrets.draw(), signing_key=key).to_bytes()
    damaged = bytearray(shown)
    damaged[place] ^= 1 << bit
    with pytest.raises(AggregationRefused):
        Advertisement.read(bytes(damaged)[:cut]).verify(A, b"a round", roster_of({A: key}))
    Advertisement.read(shown).verify(A, b"a round", roster_of({A: key}))


def test_a_signature_is_for_one_member_and_one_round() -> None:
    key = Ed25519PrivateKey.generate()
    shown = Advertisement.make(A, b"a round", Secrets.draw(), signing_key=key)
    shown.verify(A, b"a round", roster_of({A: key}))
    for member, round_id in ((B, b"a round"), (A, b"another")):
        with pytest.raises(AggregationRefused, match="signed by the owner"):
            shown.verify(member, round_id, roster_of({A: key}))
