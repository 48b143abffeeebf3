"""A whole round in one process: members, a collector, and who drops out when."""

from collections.abc import Mapping

import numpy as np

from discreet.secagg import Collector, Group, Member
from discreet.secagg.primitives import Words

KEYS, SHARES, MASKED, UNMASK, STAYS = range(5)
"""The first step in which a member is not heard of; a member who `STAYS` answers each."""


def group_of(count: int, *, neighbours: int, threshold: int, size: int = 8) -> Group:
    return Group(
        ids=tuple(range(10, 10 + count)),
        neighbours=neighbours,
        threshold=threshold,
        size=size,
        round_id=b"a round",
    )


def random_values(group: Group, seed: int = 0) -> dict[int, Words]:
    draw = np.random.default_rng(seed)
    return {i: draw.integers(0, 2**32, group.size, dtype=np.uint32) for i in group.ids}


def members_of(group: Group) -> dict[int, Member]:
    return {i: Member.create(i, group.round_id) for i in group.ids}


def reload(member: Member) -> Member:
    """Between two messages a member is bytes."""
    return Member.from_bytes(member.to_bytes())


def mask_with(member: Member, values: Words, sealed: Mapping[int, bytes]) -> Words:
    """The two steps of a request for numbers."""
    member.receive(sealed)
    return member.mask(values)


def run_round(
    group: Group,
    values: Mapping[int, Words],
    leaves: Mapping[int, int] | None = None,
    members: Mapping[int, Member] | None = None,
) -> Collector:
    """Return the collector when every answer is there; `leaves` names steps of `KEYS` and on."""
    leaves, collector = leaves or {}, Collector(group)
    made = dict(members or members_of(group))

    def here(step: int) -> list[int]:
        return [i for i in group.ids if leaves.get(i, STAYS) > step]

    for i in here(KEYS):
        collector.add_keys(i, made[i].advertise())
    keys = {i: collector.keys_for(i) for i in here(KEYS)}
    made = {i: reload(member) for i, member in made.items()}
    for i in here(SHARES):
        collector.add_shares(i, made[i].share(group, keys[i]))
    sealed = {i: collector.shares_for(i) for i in here(SHARES)}
    made = {i: reload(member) for i, member in made.items()}
    for i in here(MASKED):
        collector.add_masked(i, mask_with(made[i], values[i], sealed[i]))
    requests = {i: collector.unmask_request(i) for i in here(MASKED)}
    made = {i: reload(member) for i, member in made.items()}
    for i in here(UNMASK):
        collector.add_unmask(i, made[i].unmask(*requests[i]))
    return collector


def sum_of(values: Mapping[int, Words], members: list[int]) -> list[int]:
    """Return the sum of some members' values in whole numbers, modulo 2**32: the slow route."""
    columns = zip(*(values[i].tolist() for i in members), strict=True)
    return [sum(column) % 2**32 for column in columns]
