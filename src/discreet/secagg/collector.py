"""The server of a round of secure aggregation: passes on what it cannot read, and takes the sum.

    add_keys ... narrow, keys_for -> add_shares ... shares_for -> add_masked ... unmask_request
    -> add_unmask ... total

Who does not answer is left out of what comes after. The first question of a step closes the step
before it: masked numbers that come after `unmask_request` would be open to the server and are
refused. Memory does not grow with masked vectors, only with keys and shares.

Guarantee: `total` is the sum of what `survivors` masked, modulo 2**32, or there is none: what
shares make is compared with what the member committed to. A wrong share is left out where others
are left that do, and `faults` says whose it was.
"""

import math
import random
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from itertools import combinations

import numpy as np

from discreet.errors import AggregationRefused, FederationError, RosterMismatch
from discreet.secagg.advertisement import Advertisement, commit
from discreet.secagg.group import Group
from discreet.secagg.masks import own_mask, shared_mask
from discreet.secagg.primitives import (
    SEALING_BYTES,
    SECRET_BYTES,
    Words,
    join,
    public_key,
)

MOST_TRIES = 200
"""Sets of shares that are tried for one secret; a third of a minute where 18 are a secret."""
_STEPS = ("keys", "shares", "masked numbers", "shares of those who stayed and left")


class Collector:
    """What the server knows of one round."""

    def __init__(self, group: Group, *, roster: Set[bytes] | None = None) -> None:
        """Begin a round.

        Args:
            group: Who adds up with whom.
            roster: Raw Ed25519 keys of the owners who may take part, where the server knows them
                too: then one whom the others would refuse is refused before they hear of it.
        """
        self.group = group
        self._roster = roster
        self._step = 0
        self._keys: dict[int, Advertisement] = {}
        self._seen: set[bytes] = set()
        self._sealed: dict[int, dict[int, bytes]] = {}
        self._masked: set[int] = set()
        self._sum: Words = np.zeros(group.size, np.uint32)
        self._shares: dict[int, dict[int, bytes]] = {}
        """By whose secret it is a share of, then by number of the share."""
        self._answered: set[int] = set()
        self._faults: dict[int, set[int]] = {}

    @property
    def survivors(self) -> tuple[int, ...]:
        """Members whose numbers are in the sum, in ascending order."""
        return tuple(sorted(self._masked))

    @property
    def faults(self) -> dict[int, tuple[int, ...]]:
        """Members whose shares were found wrong by `total`, each with those whose secrets they are.

        Either the one gave what it was not given, or the others gave it what was wrong: one member
        beside many names is the first, many members beside one name are the second. A member beside
        itself gave a wrong share of its own secret, or dealt shares that fit each other and not
        what it committed to. Nobody is named by shares that were not needed, or where so many are
        wrong that those who gave them could have put it on others: of m shares, more than
        (m - threshold + 1) / 2.
        """
        return {member: tuple(sorted(of)) for member, of in sorted(self._faults.items())}

    def add_keys(self, member: int, advertised: bytes) -> None:
        """Take what a member advertises.

        Raises:
            AggregationRefused: as each `add_...` does: this member's part cannot be used, nothing
                was changed by it, and the member counts as one who left.
            RosterMismatch: if, where there is a roster, no owner on it signed these keys, or one
                who is another member already.
        """
        self._expect(0, member, set(self.group.ids), self._keys.keys())
        shown = Advertisement.read(advertised)
        if self._roster is not None:
            shown.verify(member, self.group.round_id, self._roster)
            if shown.signer in {other.signer for other in self._keys.values()}:
                raise RosterMismatch("Expected each owner once in a sum, got one twice.")
        if self._seen & (keys := {shown.cipher_key, shown.mask_key}):
            raise AggregationRefused("Expected keys of its own for each member, got some twice.")
        self._seen |= keys
        self._keys[member] = shown

    def narrow(self, group: Group) -> None:
        """Go on with a group of this round that has those alone whose keys came.

        Members compare the number of a group's with their roster, and would refuse one in which
        somebody counts who is not on it.

        Raises:
            ValueError: if it is another round's or size's, or has other members.
        """
        about = (self.group.round_id, self.group.size, set(self._keys))
        if (group.round_id, group.size, set(group.ids)) != about or self._step:
            raise ValueError("Expected a group of all whose keys came, before they are asked for.")
        self.group = group

    def keys_for(self, member: int) -> dict[int, bytes]:
        """Return what the neighbours of a member advertised.

        Raises:
            FederationError: as the later questions do, if fewer than the threshold of its
                neighbourhood are left: this round makes no sum.
        """
        return {i: self._keys[i].to_bytes() for i in self._left_of(member, 1, self._keys)}

    def add_shares(self, member: int, sealed: Mapping[int, bytes]) -> None:
        """Take what a member sealed for its neighbours, one message for each who has its keys."""
        self._expect(1, member, self._keys.keys(), self._sealed.keys())
        wanted = {i for i in self.group.neighbours_of(member) if i in self._keys}
        size_bytes = 2 * SECRET_BYTES + SEALING_BYTES
        if set(sealed) != wanted or any(len(one) != size_bytes for one in sealed.values()):
            raise AggregationRefused(
                f"Expected {len(wanted)} messages of {size_bytes} bytes, got others."
            )
        self._sealed[member] = dict(sealed)

    def shares_for(self, member: int) -> dict[int, bytes]:
        """Return what neighbours sealed for a member, by sender; those it makes masks with."""
        return {i: self._sealed[i][member] for i in self._left_of(member, 2, self._sealed)}

    def add_masked(self, member: int, values: Words) -> None:
        """Add a member's masked numbers, (size,) uint32, to the sum."""
        self._expect(2, member, self._sealed.keys(), self._masked)
        if values.dtype != np.uint32 or values.shape != (self.group.size,):
            raise AggregationRefused(
                f"Expected uint32 numbers of shape ({self.group.size},), got others."
            )
        self._sum += values
        self._masked.add(member)

    def unmask_request(self, member: int) -> tuple[set[int], set[int]]:
        """Return who of a member's neighbourhood stayed and who left after it had shared."""
        alive = {member, *self._left_of(member, 3, self._masked)}
        shared = {i for i in self.group.neighbours_of(member) if i in self._sealed}
        return alive, shared - alive

    def add_unmask(self, member: int, shares: bytes) -> None:
        """Take a member's shares, in the order of `Member.unmask`."""
        self._expect(3, member, self._masked, self._answered)
        owners = [i for i in self.group.holders_of(member) if i in self._sealed]
        if len(shares) != SECRET_BYTES * len(owners):
            raise AggregationRefused(f"Expected a share for each of {len(owners)}, got others.")
        self._answered.add(member)
        for place, owner in enumerate(owners):
            number = self.group.holders_of(owner).index(member) + 1
            share = shares[place * SECRET_BYTES : (place + 1) * SECRET_BYTES]
            self._shares.setdefault(owner, {})[number] = share

    def total(self) -> Words:
        """Return the sum of what the survivors masked, (size,) uint32, modulo 2**32.

        Raises:
            FederationError: if nobody stayed, or if of somebody's secret too few shares came that
                were right.
        """
        if not self._masked:
            raise FederationError("Expected masked numbers of some members, got none.")
        result = self._sum.copy()
        for member in self.survivors:
            result -= own_mask(self._secret_of(member), self.group.size)
        for member in self._sealed.keys() - self._masked:
            alive = [i for i in self.group.neighbours_of(member) if i in self._masked]
            own = (member, self._keys[member].mask_key)
            secret = self._secret_of(member) if alive else b""
            for peer in alive:
                other = (peer, self._keys[peer].mask_key)
                result += shared_mask(secret, self.group, own, other)
        return result

    def _secret_of(self, member: int) -> bytes:
        """Return a survivor's seed, or the mask's secret of one who left."""
        shares, threshold = self._shares.get(member, {}), self.group.threshold
        if len(shares) < threshold:
            raise FederationError(
                f"Expected {threshold} shares of each secret, got {len(shares)} of one. Too many "
                "members left; ask again with a lower threshold or more neighbours."
            )
        holders = self.group.holders_of(member)
        suspects = [number for number in shares if holders[number - 1] in self._faults]
        order = [*sorted(shares.keys() - set(suspects)), *suspects]
        for tried, numbers in enumerate(_choices(order, threshold)):
            used = {number: shares[number] for number in numbers}
            secret = join(used)
            if self._is_right(member, secret):
                self._note_faults(member, secret, used, among=shares if tried else suspects)
                return secret
        is_dealt_so = self._is_dealt_so(shares)
        if is_dealt_so:
            self._faults.setdefault(member, set()).add(member)
        cause = "this member dealt them so" if is_dealt_so else "dealt so, or changed by holders"
        raise FederationError(
            f"Expected {threshold} shares of what member {member} committed to, got too many wrong "
            f"ones among {len(shares)}: {cause}. Ask again, or other members."
        )

    def _is_dealt_so(self, shares: Mapping[int, bytes]) -> bool:
        """Tell whether shares of no right secret fit each other: more of them than make one.

        The dealer gave them, or more holders than shares can be spared changed theirs together:
        two polynomials of degree threshold - 1 agree on threshold - 1 shares at most.
        """
        numbers, threshold = sorted(shares), self.group.threshold
        known = {number: shares[number] for number in numbers[1:threshold]}
        made = {join({**known, n: shares[n]}) for n in (numbers[0], *numbers[threshold:])}
        return len(numbers) > threshold and len(made) == 1

    def _is_right(self, member: int, secret: bytes) -> bool:
        """Compare what shares make with what a member showed of its secrets."""
        shown = self._keys[member]
        if member in self._masked:
            return commit(secret) == shown.commitment
        return public_key(secret) == shown.mask_key

    def _note_faults(
        self, member: int, secret: bytes, right: Mapping[int, bytes], *, among: Collection[int]
    ) -> None:
        """Note who gave wrong shares of a secret that is known, if no other telling has as few.

        All but one of enough right shares and another one make the same secret only if that one is
        right too: the value at 0 of a polynomial through them moves with it. Two polynomials that
        agree at 0 agree on threshold - 2 shares at most, so that fewer wrong ones than half of
        the others have one telling only (McEliece and Sarwate 1981, with the secret as one share).
        """
        known = dict(list(right.items())[1:])
        holders, shares = self.group.holders_of(member), self._shares[member]
        others = [number for number in among if number not in right]
        wrong = [n for n in others if join({**known, n: shares[n]}) != secret]
        if 2 * len(wrong) <= len(shares) - self.group.threshold + 1:
            for number in wrong:
                self._faults.setdefault(holders[number - 1], set()).add(member)

    def _expect(self, step: int, member: int, wanted: Set[int], there: Set[int]) -> None:
        """Close the step before; refuse what comes late, from somebody who left, or twice."""
        if self._step > step or member not in wanted or member in there:
            raise AggregationRefused(
                f"Expected {_STEPS[step]} in time, once, and from members who are left."
            )
        self._step = step

    def _left_of(self, member: int, step: int, left: Collection[int]) -> list[int]:
        """Close the step before, and return who of a member's neighbours is left."""
        self._step = max(self._step, step)
        neighbours = [i for i in self.group.neighbours_of(member) if i in left]
        if member not in left or len(neighbours) + 1 < self.group.threshold:
            raise FederationError(
                f"Expected threshold={self.group.threshold} members in each neighbourhood, got "
                f"{len(neighbours) + (member in left)} in one. Ask again."
            )
        return neighbours


def _choices(numbers: Sequence[int], count: int) -> Iterator[tuple[int, ...]]:
    """Yield sets of `count` numbers, the first of them first: all, or some at random if many."""
    if math.comb(len(numbers), count) <= MOST_TRIES:
        yield from combinations(numbers, count)
        return
    yield tuple(numbers[:count])
    draw = random.SystemRandom()
    for _ in range(MOST_TRIES - 1):
        yield tuple(draw.sample(numbers, count))
