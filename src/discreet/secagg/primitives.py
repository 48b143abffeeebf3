"""The cryptography that secure aggregation rests on, from `cryptography` and `pycryptodome`.

Keys are agreed by X25519 (RFC 7748) and derived by HKDF with SHA-256 (RFC 5869), messages sealed by
AES-256-GCM (NIST SP 800-38D), masks drawn by AES-256 in counter mode (NIST SP 800-38A), and secrets
shared by Shamir's scheme over GF(2**128) (Shamir 1979). No cipher is written here.

    >>> shares = split(bytes(range(32)), 2, 3)
    >>> join({3: shares[2], 1: shares[0]}) == bytes(range(32))
    True
"""

import secrets
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from Crypto.Protocol.SecretSharing import Shamir
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECRET_BYTES = 32
_BLOCK_BYTES = 16
_NONCE_BYTES = 12
SEALING_BYTES = _NONCE_BYTES + 16
"""What a sealed message is longer by."""

Words = npt.NDArray[np.uint32]
"""Whole numbers modulo 2**32."""


def draw_secret() -> bytes:
    """Return 32 bytes from the operating system; any of them make an X25519 key."""
    return secrets.token_bytes(SECRET_BYTES)


def public_key(secret: bytes) -> bytes:
    """Return the X25519 public key of a secret."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def derive(secret: bytes, purpose: bytes) -> bytes:
    """Return a key of 32 bytes for one purpose."""
    return HKDF(algorithm=SHA256(), length=SECRET_BYTES, salt=None, info=purpose).derive(secret)


def agree(secret: bytes, other: bytes, purpose: bytes) -> bytes:
    """Return the key that two share for one purpose.

    Raises:
        ValueError: if the other key is a point of low order, with which anybody would know it.
    """
    point = X25519PublicKey.from_public_bytes(other)
    return derive(X25519PrivateKey.from_private_bytes(secret).exchange(point), purpose)


def keystream(key: bytes, size: int) -> Words:
    """Return (size,) words that nobody without the key can tell from chance; one use of a key."""
    cipher = Cipher(algorithms.AES256(key), modes.CTR(bytes(_BLOCK_BYTES))).encryptor()
    words = np.frombuffer(cipher.update(bytes(4 * size)), dtype="<u4")
    return words.astype(np.uint32, copy=False)


def seal(key: bytes, message: bytes, context: bytes) -> bytes:
    """Return a message that only the key opens, and only in the same context."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, message, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """Return the message.

    Raises:
        cryptography.exceptions.InvalidTag: if key, context or any bit is another.
        ValueError: if it is too short for a nonce.
    """
    return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)


def split(secret: bytes, threshold: int, count: int) -> list[bytes]:
    """Return `count` shares as long as the secret; any `threshold` of them are the secret.

    Blocks of 16 bytes are shared apart from each other. Share number k stands at place k - 1.
    """
    blocks = [secret[i : i + _BLOCK_BYTES] for i in range(0, len(secret), _BLOCK_BYTES)]
    shared = [Shamir.split(threshold, count, block, ssss=False) for block in blocks]
    return [b"".join(share for _, share in row) for row in zip(*shared, strict=True)]


def join(shares: Mapping[int, bytes]) -> bytes:
    """Return the secret of exactly `threshold` shares by number; another, if a share is wrong."""
    length = len(next(iter(shares.values())))
    starts = range(0, length, _BLOCK_BYTES)
    blocks = [[(k, share[i : i + _BLOCK_BYTES]) for k, share in shares.items()] for i in starts]
    return b"".join(Shamir.combine(block, ssss=False) for block in blocks)
