"""Who adds up with whom in a round: public settings, the same at the server and at every member.

Neighbours stand near each other on a ring whose order follows from the round's id (a Harary graph;
Bell et al. 2020, eprint 2020/704, section 3). Members share masks and secrets with neighbours
only, so that a round costs n * neighbours and not n * n. The group holds no secret.

    >>> group = Group(ids=(1, 2, 3, 4, 5), neighbours=2, threshold=3, size=8, round_id=b"a round")
    >>> [len(group.neighbours_of(i)) for i in group.ids]
    [2, 2, 2, 2, 2]
"""

import hashlib
from dataclasses import dataclass, field

_LABEL = b"discreet/secagg/group/1"
ID_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class Group:
    """The members of one round and how they add up."""

    ids: tuple[int, ...]
    """Each below 2**64; kept in ascending order."""
    neighbours: int
    """Of each member: even, or n - 1 and more for everybody."""
    threshold: int
    """Members of a neighbourhood, the one in its middle included, who have to stay; fewer than that
    who collude learn nothing."""
    size: int
    """Numbers in the vector of each member."""
    round_id: bytes
    """Drawn anew for each round: the ring follows from it, and keys are bound to it."""
    digest: bytes = field(init=False, repr=False, compare=False)
    """SHA-256 of all of the above; every key that members agree on is bound to it."""
    _ring: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _places: dict[int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the settings and lay out the ring."""
        object.__setattr__(self, "ids", tuple(sorted(self.ids)))
        self._check()
        ring = sorted(self.ids, key=lambda i: hashlib.sha256(self.round_id + _id_bytes(i)).digest())
        object.__setattr__(self, "_ring", tuple(ring))
        object.__setattr__(self, "_places", {member: place for place, member in enumerate(ring)})
        object.__setattr__(self, "digest", self._digest())

    @property
    def least_threshold(self) -> int:
        """Return what the threshold has to be for one sum only; more where members collude.

        On a ring, more than half a neighbourhood and the one in its middle: with fewer, an arc
        whose neighbours on both sides are said to have left can be opened alone. Else more than
        half of all: with fewer, two halves give both secrets of somebody. `choose_degree` adds
        what colluders need.
        """
        count = len(self.ids)
        return count // 2 + 1 if self.neighbours >= count - 1 else self.neighbours // 2 + 2

    def neighbours_of(self, member: int) -> tuple[int, ...]:
        """Return the other members that one shares masks and secrets with, in ascending order."""
        ring, count = self._ring, len(self._ring)
        if self.neighbours >= count - 1:
            return tuple(other for other in self.ids if other != member)
        place, half = self._places[member], self.neighbours // 2
        steps = [*range(-half, 0), *range(1, half + 1)]
        return tuple(sorted(ring[(place + step) % count] for step in steps))

    def holders_of(self, member: int) -> tuple[int, ...]:
        """Return who holds a share of a member's secrets: the neighbours and the member itself."""
        return tuple(sorted((*self.neighbours_of(member), member)))

    def _digest(self) -> bytes:
        numbers = (self.neighbours, self.threshold, self.size, len(self.ids), *self.ids)
        return hashlib.sha256(_LABEL + b"".join(map(_id_bytes, numbers)) + self.round_id).digest()

    def _check(self) -> None:
        count = len(self.ids)
        if count < 2 or len(set(self.ids)) != count:
            raise ValueError(f"Expected two ids or more, each once, got {count}.")
        if not 0 <= self.ids[0] <= self.ids[-1] < 2 ** (8 * ID_BYTES):
            raise ValueError("Expected ids from 0 to 2**64 - 1, got some outside.")
        if self.neighbours < 1 or (self.neighbours % 2 and self.neighbours < count - 1):
            raise ValueError(
                f"Expected neighbours even, or at least {count - 1} for everybody, got "
                f"neighbours={self.neighbours}. Use choose_degree."
            )
        most = min(self.neighbours, count - 1) + 1
        if not 2 <= self.threshold <= most:
            raise ValueError(
                f"Expected 2 <= threshold <= {most}, got threshold={self.threshold}. Each "
                "neighbourhood has that many members."
            )
        if self.size < 1 or not self.round_id:
            raise ValueError("Expected size >= 1 and a round_id, got none. Draw an id per round.")


def _id_bytes(number: int) -> bytes:
    return number.to_bytes(ID_BYTES)
