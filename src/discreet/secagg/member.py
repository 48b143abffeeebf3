"""One member of a round of secure aggregation: its secrets, and what it says of them, in order.

    advertise -> share -> receive -> mask -> unmask

Each step is taken once. A member refuses what would give its numbers away to a server that follows
the protocol as far as it is seen; what one member cannot see stands in the docstring of the room.
The state goes to bytes between two messages and stays on the device. Write it before the message
leaves: an older state that is used again would mask other numbers by the same masks.

Guarantee: of no member both shares are handed out, whatever is asked and however often; numbers
leave once, under a mask of the member's own and one for each neighbour that shared.
"""

import json
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from discreet.errors import AggregationRefused, ArtifactCorrupt, RosterMismatch
from discreet.secagg.advertisement import Advertisement, Secrets
from discreet.secagg.group import Group
from discreet.secagg.masks import channel_key, direction, own_mask, shared_mask
from discreet.secagg.primitives import SECRET_BYTES, Words, seal, split, unseal


@dataclass(repr=False, slots=True)
class Member:
    """What one owner knows in one round; made by `create`, never used for a second round."""

    id: int
    round_id: bytes
    _secrets: Secrets
    _shown: Advertisement
    _group: Group | None = None
    _peers: dict[int, Advertisement] = field(default_factory=dict)
    """Neighbours whose keys came, and after `receive` those whose shares came."""
    _held: dict[int, bytes] = field(default_factory=dict)
    """By whose they are: a share of the seed, then one of the mask's secret; its own among them."""
    _has_received: bool = False
    _is_masked: bool = False
    _request: tuple[list[int], list[int]] | None = None

    @classmethod
    def create(
        cls, id: int, round_id: bytes, *, signing_key: Ed25519PrivateKey | None = None
    ) -> Self:
        """Return a member with secrets of its own from the operating system.

        Args:
            id: its number in the group, below 2**64.
            round_id: that of the group; no other round has it.
            signing_key: signs what is advertised; it is not kept.
        """
        drawn = Secrets.draw()
        return cls(
            id, round_id, drawn, Advertisement.make(id, round_id, drawn, signing_key=signing_key)
        )

    @property
    def size(self) -> int:
        """Numbers that are to be masked; 0 before `share`."""
        return self._group.size if self._group else 0

    def advertise(self) -> bytes:
        """Return the public keys of this round, for the server and the neighbours."""
        return self._shown.to_bytes()

    def share(
        self,
        group: Group,
        keys: Mapping[int, bytes],
        *,
        roster: Set[bytes] | None = None,
    ) -> dict[int, bytes]:
        """Return shares of the member's secrets, sealed for each neighbour whose keys came.

        Args:
            group: who adds up with whom, as the plan has it.
            keys: what neighbours advertised, from the server.
            roster: raw Ed25519 keys of the owners who may take part. With it, what anybody shows,
                this member included, has to be signed by one of them, each of whom counts once,
                and a server can neither invent members nor stand between them.

        Raises:
            AggregationRefused: if the group is of another round, lacks the member or has a
                threshold with which more sums than one could be opened; if keys are of nobody in
                the neighbourhood, equal, damaged or fewer than the threshold; or if shares were
                handed out before.
            RosterMismatch: if, where there is a roster, keys are of somebody not on it or of one
                owner twice, or the group has more members than the roster.
        """
        if self._group is not None:
            raise AggregationRefused("Expected one request for shares, got another.")
        if group.round_id != self.round_id or self.id not in group.ids:
            raise AggregationRefused("Expected a group of this round with the member in it.")
        if group.threshold < group.least_threshold:
            raise AggregationRefused(
                f"Expected threshold >= {group.least_threshold}, got {group.threshold}: a server "
                "could open several sums. Use choose_degree."
            )
        self._peers = self._read_keys(group, keys, roster)
        self._group = group
        count = group.neighbours_of(self.id)
        halves = [
            split(secret, group.threshold, len(count) + 1)
            for secret in (self._secrets.seed, self._secrets.mask)
        ]
        pairs = zip(group.holders_of(self.id), *halves, strict=True)
        shares = {holder: of_seed + of_mask for holder, of_seed, of_mask in pairs}
        self._held[self.id] = shares[self.id]
        return {
            peer: seal(self._channel(group, peer), shares[peer], direction(self.id, peer))
            for peer in self._peers
        }

    def receive(self, received: Mapping[int, bytes]) -> None:
        """Open the shares that neighbours sealed; masks are made with those who sent some.

        Nothing leaves by it, so that it is done before anything is computed that costs.

        Args:
            received: sealed shares by sender.

        Raises:
            AggregationRefused: if shares come from somebody whose keys did not, are damaged or for
                another, or are fewer than the threshold; or if some were received before.
        """
        group = self._group
        if group is None or self._has_received:
            raise AggregationRefused("Expected to receive shares once, after those of its own.")
        if not set(received) <= set(self._peers):
            raise AggregationRefused("Expected shares of neighbours only, got some of others.")
        self._check_enough(group, len(received) + 1)
        opened = {peer: self._open(group, peer, received[peer]) for peer in received}
        self._held |= opened
        self._peers = {peer: self._peers[peer] for peer in received}
        self._has_received = True

    def mask(self, values: Words) -> Words:
        """Return the values, (size,) uint32, under masks, modulo 2**32.

        Raises:
            ValueError: if the values have another shape or dtype.
            AggregationRefused: if no shares were received, or numbers were masked before.
        """
        group = self._group
        if group is None or not self._has_received or self._is_masked:
            raise AggregationRefused("Expected one request for numbers, after that for shares.")
        if values.dtype != np.uint32 or values.shape != (group.size,):
            raise ValueError(
                f"Expected uint32 values of shape ({group.size},), got {values.dtype} of shape "
                f"{values.shape}. Round and scale them first."
            )
        self._is_masked = True
        masked = values + own_mask(self._secrets.seed, group.size)
        for peer, shown in self._peers.items():
            own, other = (self.id, self._shown.mask_key), (peer, shown.mask_key)
            masked += shared_mask(self._secrets.mask, group, own, other)
        return masked

    def unmask(self, alive: Set[int], dropped: Set[int]) -> bytes:
        """Return a share of the seed of each who stayed, and of the mask's secret of each who left.

        Shares stand in ascending order of the members whose they are.

        Args:
            alive: of the neighbours that masks were made with, and the member itself, those whose
                masked numbers came.
            dropped: the others of them.

        Raises:
            AggregationRefused: if somebody is in both sets, in none or unknown, if the member is
                said to have left, if too few stayed, or if another request was answered before.
        """
        group = self._group
        if group is None or not self._is_masked:
            raise AggregationRefused("Expected a request for shares after that for numbers.")
        if alive & dropped or alive | dropped != set(self._held):
            raise AggregationRefused("Expected each neighbour who shared in one of two sets.")
        if self.id not in alive:
            raise AggregationRefused("Expected the member itself among those who stayed.")
        self._check_enough(group, len(alive))
        request = (sorted(alive), sorted(dropped))
        if self._request is not None and self._request != request:
            raise AggregationRefused("Expected one request to unmask, got a different one.")
        self._request = request
        return b"".join(
            self._held[i][:SECRET_BYTES] if i in alive else self._held[i][SECRET_BYTES:]
            for i in sorted(self._held)
        )

    def to_bytes(self) -> bytes:
        """Return the whole state, secrets included; it stays on the device."""
        group = self._group
        state = {
            "id": self.id,
            "round_id": self.round_id.hex(),
            "secrets": {name: secret.hex() for name, secret in asdict(self._secrets).items()},
            "shown": self._shown.to_bytes().hex(),
            "group": None if group is None else _settings(group),
            "peers": {peer: shown.to_bytes().hex() for peer, shown in self._peers.items()},
            "held": {owner: share.hex() for owner, share in self._held.items()},
            "has_received": self._has_received,
            "is_masked": self._is_masked,
            "request": self._request,
        }
        return json.dumps(state).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the member that `to_bytes` wrote.

        Raises:
            ArtifactCorrupt: if the bytes are damaged.
        """
        try:
            return cls._from_state(json.loads(data))
        except (ValueError, TypeError, KeyError, AttributeError, AggregationRefused) as error:
            raise ArtifactCorrupt(
                "Expected the state of a member of a secure sum, got something else. Leave this "
                "round out; the next begins with a new state."
            ) from error

    @classmethod
    def _from_state(cls, state: dict[str, Any]) -> Self:
        round_id, group = bytes.fromhex(state["round_id"]), state["group"]
        request = state["request"]
        return cls(
            id=int(state["id"]),
            round_id=round_id,
            _secrets=Secrets(**{k: bytes.fromhex(v) for k, v in state["secrets"].items()}),
            _shown=Advertisement.read(bytes.fromhex(state["shown"])),
            _group=group and Group(**group | {"ids": tuple(group["ids"]), "round_id": round_id}),
            _peers={
                int(peer): Advertisement.read(bytes.fromhex(shown))
                for peer, shown in state["peers"].items()
            },
            _held={int(owner): bytes.fromhex(share) for owner, share in state["held"].items()},
            _has_received=bool(state["has_received"]),
            _is_masked=bool(state["is_masked"]),
            _request=request and (list(request[0]), list(request[1])),
        )

    def _read_keys(
        self, group: Group, keys: Mapping[int, bytes], roster: Set[bytes] | None
    ) -> dict[int, Advertisement]:
        """Return what neighbours advertised, all of it checked."""
        if not set(keys) <= set(group.neighbours_of(self.id)):
            raise AggregationRefused("Expected keys of neighbours only, got some of others.")
        self._check_enough(group, len(keys) + 1)
        peers = {peer: Advertisement.read(keys[peer]) for peer in sorted(keys)}
        shown = [self._shown, *peers.values()]
        if len({key for one in shown for key in (one.cipher_key, one.mask_key)}) < 2 * len(shown):
            raise AggregationRefused("Expected keys of its own for each member, got some twice.")
        if roster is not None:
            self._check_signers(group, peers, roster)
        return peers

    def _check_signers(
        self, group: Group, peers: Mapping[int, Advertisement], roster: Set[bytes]
    ) -> None:
        """Refuse members who are nobody's, and one owner who is several members."""
        if len(group.ids) > len(roster):
            raise RosterMismatch(
                f"Expected at most the {len(roster)} owners of the roster, got a sum of "
                f"{len(group.ids)}. They need a roster of all."
            )
        shown = {self.id: self._shown, **peers}
        for member, one in shown.items():
            one.verify(member, self.round_id, roster)
        if len({one.signer for one in shown.values()}) < len(shown):
            raise RosterMismatch("Expected each owner once in a sum, got one twice.")

    def _channel(self, group: Group, peer: int) -> bytes:
        own, other = (self.id, self._shown.cipher_key), (peer, self._peers[peer].cipher_key)
        return channel_key(self._secrets.cipher, group, own, other)

    def _open(self, group: Group, peer: int, sealed: bytes) -> bytes:
        """Return both shares of a peer's secrets."""
        try:
            both = unseal(self._channel(group, peer), sealed, direction(peer, self.id))
        except (InvalidTag, ValueError) as error:
            raise AggregationRefused(
                "Expected shares as a peer sealed them, got others."
            ) from error
        if len(both) != 2 * SECRET_BYTES:
            raise AggregationRefused("Expected a share of each of two secrets, got another length.")
        return both

    def _check_enough(self, group: Group, count: int) -> None:
        if count < group.threshold:
            raise AggregationRefused(
                f"Expected threshold={group.threshold} members of the neighbourhood or more, got "
                f"{count}. With fewer, those who collude could take the masks off."
            )


def _settings(group: Group) -> dict[str, Any]:
    """Return what makes the group again, beside the round's id."""
    names = ("ids", "neighbours", "threshold", "size")
    return {name: getattr(group, name) for name in names}
