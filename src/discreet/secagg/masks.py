"""What a member adds to its numbers, and the keys that it has with a neighbour.

A member adds a mask of its own, and one for each neighbour that the neighbour takes away again
(Bonawitz et al. 2017, eprint 2017/281, section 4). A key of a pair is bound to the group, to both
members and to both of their public keys, so that one key shown twice makes no mask twice.
"""

from discreet.secagg.group import ID_BYTES, Group
from discreet.secagg.primitives import Words, agree, derive, keystream

Party = tuple[int, bytes]
"""A member and a public key of it."""


def own_mask(seed: bytes, size: int) -> Words:
    """Return (size,) words that a member adds for itself."""
    return keystream(derive(seed, b"discreet/secagg/own/1"), size)


def shared_mask(secret: bytes, group: Group, own: Party, other: Party) -> Words:
    """Return (size,) words that `own`, whose secret it is, adds; `other` adds what undoes them."""
    key = _pair_key(secret, b"discreet/secagg/mask/1", group, own, other)
    words = keystream(key, group.size)
    return words if own[0] < other[0] else -words


def channel_key(secret: bytes, group: Group, own: Party, other: Party) -> bytes:
    """Return the key by which two members seal what they send each other."""
    return _pair_key(secret, b"discreet/secagg/share/1", group, own, other)


def direction(sender: int, recipient: int) -> bytes:
    """Return the context of a sealed message, so that none can be turned round."""
    return sender.to_bytes(ID_BYTES) + recipient.to_bytes(ID_BYTES)


def _pair_key(secret: bytes, purpose: bytes, group: Group, own: Party, other: Party) -> bytes:
    pair = b"".join(member.to_bytes(ID_BYTES) + key for member, key in sorted((own, other)))
    return agree(secret, other[1], purpose + group.digest + pair)
