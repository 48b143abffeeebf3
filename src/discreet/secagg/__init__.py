"""Add up what owners send without seeing what any one of them sent.

Secure aggregation by masks that cancel in the sum: SecAgg+ (Bell et al. 2020, eprint 2020/704),
after Bonawitz et al. 2017 (eprint 2017/281). Numbers are whole, modulo 2**32. The room
holds the protocol only: what a `Member` and the `Collector` say to each other is bytes and arrays,
and whoever has a network carries them.

Guarantee: a server that follows the protocol, together with fewer than `threshold` members of each
neighbourhood, learns the sum over the members who stayed and nothing else of the others' numbers,
as long as the members who neither dropped nor collude are connected as neighbours; `choose_degree`
bounds the chance that they are not.

What it does not protect:

- The sum. With one other member who colludes it may be as good as the number itself; noise is for
  that.
- Against a server that invents members (Sybils) or stands between them, unless keys are signed:
  `Member.create(signing_key=...)` and the roster of owners, `Member.share(roster=...)`. A member
  sees its neighbours' signatures: on a ring, an owner who colludes can be a neighbour of several.
- Against a server that tells members different things about who stayed, or that chooses the round's
  id, and so who is whose neighbour, to suit members who collude. One member never gives both shares
  of anybody; with 2 * threshold > neighbours + 1 + colluders no two groups of them do either, and
  by one story, true or not, one sum is opened (`choose_degree`, `Group.least_threshold`). Many
  stories may open parts of it, down to one member's numbers: for that, members would have to
  compare what they were told (Bonawitz et al. 2017, section 6, round 3).
- Against members who send wrong numbers, or nothing. Shares that do not fit are found and named
  (`Collector.faults`); where enough that do are left the sum is right, else there is none.

    >>> import numpy as np
    >>> group = Group(ids=(1, 2, 3), neighbours=2, threshold=2, size=4, round_id=b"run 7, round 1")
    >>> members = {i: Member.create(i, group.round_id) for i in group.ids}
    >>> collector = Collector(group)
    >>> for i, member in members.items():
    ...     collector.add_keys(i, member.advertise())
    >>> for i, member in members.items():
    ...     collector.add_shares(i, member.share(group, collector.keys_for(i)))
    >>> for i in (1, 2):  # the third is not heard of again
    ...     values = np.full(4, i, np.uint32)
    ...     members[i].receive(collector.shares_for(i))
    ...     collector.add_masked(i, members[i].mask(values))
    >>> for i in (1, 2):
    ...     collector.add_unmask(i, members[i].unmask(*collector.unmask_request(i)))
    >>> collector.total(), collector.survivors
    (array([3, 3, 3, 3], dtype=uint32), (1, 2))
"""

from discreet.secagg.collector import Collector
from discreet.secagg.degree import Degree, choose_degree
from discreet.secagg.group import Group
from discreet.secagg.member import Member

__all__ = ["Collector", "Degree", "Group", "Member", "choose_degree"]
