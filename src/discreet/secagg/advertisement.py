"""The keys that a member shows to its neighbours for one round, by way of the server.

Two X25519 keys, one to seal shares and one for masks, a commitment to the seed of the member's own
mask, and, if the member has one, the public part of a key that outlives the round, with a signature
by it. Without signatures nobody knows whose keys the server hands on.

Guarantee: what `read` returns has keys in canonical form, of which none is of low order and no two
are equal; what `verify` passes was made by an owner on the roster for this member and this round.

    >>> secrets = Secrets.draw()
    >>> shown = Advertisement.make(1, b"a round", secrets, signing_key=None)
    >>> Advertisement.read(shown.to_bytes()) == shown
    True
"""

from collections.abc import Set
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from discreet.errors import AggregationRefused, RosterMismatch
from discreet.secagg.group import ID_BYTES
from discreet.secagg.primitives import SECRET_BYTES, agree, derive, draw_secret, public_key

_LABEL = b"discreet/secagg/keys/1"
_PRIME = 2**255 - 19
_UNSIGNED_BYTES = 3 * SECRET_BYTES
_SIGNING_BYTES = 32 + 64
"""Of a public key of Ed25519 and a signature."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a member keeps to itself, 32 bytes each."""

    cipher: bytes = field(repr=False)
    """Opens the shares that others send."""
    mask: bytes = field(repr=False)
    """Makes the masks that are shared with neighbours; itself shared among them."""
    seed: bytes = field(repr=False)
    """Makes the member's own mask; itself shared among them."""

    @classmethod
    def draw(cls) -> Self:
        """Return new secrets from the operating system."""
        return cls(draw_secret(), draw_secret(), draw_secret())


@dataclass(frozen=True, slots=True)
class Advertisement:
    """The public side of a member's secrets."""

    cipher_key: bytes
    mask_key: bytes
    commitment: bytes
    """Follows from the seed; tells whether shares make the right one."""
    signer: bytes = b""
    """Raw public key of the owner; empty: nobody signed."""
    signature: bytes = b""

    @classmethod
    def make(
        cls, member: int, round_id: bytes, own: Secrets, *, signing_key: Ed25519PrivateKey | None
    ) -> Self:
        """Return what a member shows, signed if it has a key."""
        shown = cls(public_key(own.cipher), public_key(own.mask), commit(own.seed))
        if signing_key is None:
            return shown
        signature = signing_key.sign(shown._signed(member, round_id))
        signer = signing_key.public_key().public_bytes_raw()
        return replace(shown, signer=signer, signature=signature)

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Return what was shown.

        Raises:
            AggregationRefused: if a key is missing, equal to the other, not in canonical form, or
                of low order.
        """
        if len(data) not in {_UNSIGNED_BYTES, _UNSIGNED_BYTES + _SIGNING_BYTES}:
            raise AggregationRefused(
                f"Expected {_UNSIGNED_BYTES} bytes of keys, {_SIGNING_BYTES} more if signed, got "
                f"{len(data)}. Update the member."
            )
        ends = (*range(0, 5 * SECRET_BYTES, SECRET_BYTES), len(data))
        cipher_key, mask_key, commitment, *signing = (data[a:b] for a, b in pairwise(ends))
        shown = cls(cipher_key, mask_key, commitment, *signing)
        if shown.cipher_key == shown.mask_key:
            raise AggregationRefused("Expected two keys, got one twice. Leave the member out.")
        for key in (shown.cipher_key, shown.mask_key):
            _check_point(key)
        return shown

    def verify(self, member: int, round_id: bytes, roster: Set[bytes]) -> None:
        """Check that an owner on the roster signed this for a member and a round.

        Raises:
            RosterMismatch: if not.
        """
        if self.signer not in roster:
            whose = "of somebody else" if self.signer else "that nobody signed"
            raise RosterMismatch(
                f"Expected keys of owners on the roster only, got some {whose}. The roster is not "
                "that of all owners, who need the same one, or the server put these keys there."
            )
        try:
            signer = Ed25519PublicKey.from_public_bytes(self.signer)
            signer.verify(self.signature, self._signed(member, round_id))
        except InvalidSignature as error:
            raise RosterMismatch(
                "Expected keys signed by the owner whose they are said to be, got others. The "
                "server, or somebody before it, put them there."
            ) from error

    def to_bytes(self) -> bytes:
        """Return what crosses the network."""
        return self.cipher_key + self.mask_key + self.commitment + self.signer + self.signature

    def _signed(self, member: int, round_id: bytes) -> bytes:
        keys = self.cipher_key + self.mask_key + self.commitment
        return _LABEL + member.to_bytes(ID_BYTES) + keys + round_id


def commit(seed: bytes) -> bytes:
    """Return what follows from a seed and does not tell it."""
    return derive(seed, b"discreet/secagg/commitment/1")


def _check_point(key: bytes) -> None:
    """Refuse a second writing of a point, and points with which every key agrees on zero."""
    if int.from_bytes(key, "little") >= _PRIME:
        raise AggregationRefused("Expected a key in canonical form. Leave the member out.")
    try:
        agree(draw_secret(), key, b"")
    except ValueError as error:
        raise AggregationRefused("Expected a key, got a point of low order.") from error
