"""The keys of the consent store: one file that its owner alone can read.

Time is cut into epochs. Each has a key from which pseudonyms are made, and a key that seals its
rows. When an epoch is dropped, its pseudonyms link to nobody and its rows are noise, also in every
copy of the database that somebody kept: there is no other copy of the keys, unless the key file
was copied too. Decides nothing about when; the store does, while it holds its lock.

    >>> import tempfile
    >>> keyring = Keyring(Path(tempfile.mkdtemp()) / "keys.json")
    >>> keyring.write([Epoch.begin(1, datetime(2026, 11, 22).astimezone())])
    >>> (epoch,) = keyring.read()
    >>> epoch.unseal(epoch.seal(b"words", b"place"), b"place")
    b'words'
"""

import hmac
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from discreet.errors import ArtifactCorrupt
from discreet.keys import check_private, write_private

_KEY_BYTES = 32
_NONCE_BYTES = 12
_BLOCK_BYTES = 1024
"""Rows are filled up to a multiple of it: their size must not tell a yes from a no."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """The keys of a span of time."""

    number: int
    begun: datetime
    pseudonym_key: bytes = field(repr=False)
    """32 bytes, for HMAC-SHA256."""
    seal_keys: tuple[bytes, ...] = field(repr=False)
    """32 bytes each, for AES-256-GCM, the newest first; several only during a rotation."""

    @classmethod
    def begin(cls, number: int, now: datetime) -> "Epoch":
        """Return an epoch with new keys."""
        keys = secrets.token_bytes(_KEY_BYTES), secrets.token_bytes(_KEY_BYTES)
        return cls(number=number, begun=now, pseudonym_key=keys[0], seal_keys=keys[1:])

    def renewed(self) -> "Epoch":
        """Return the epoch with a new key to seal with, before those that it has."""
        return replace(self, seal_keys=(secrets.token_bytes(_KEY_BYTES), *self.seal_keys))

    def settled(self) -> "Epoch":
        """Return the epoch with its newest key alone."""
        return replace(self, seal_keys=self.seal_keys[:1])

    def pseudonym_of(self, person: str) -> str:
        """Return HMAC-SHA256 of a random id, as 64 hex digits."""
        return hmac.digest(self.pseudonym_key, person.encode(), "sha256").hex()

    def seal(self, data: bytes, place: bytes) -> bytes:
        """Return JSON, encrypted and bound to the place where it stands (AES-256-GCM)."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        filled = data.ljust(-(-len(data) // _BLOCK_BYTES) * _BLOCK_BYTES)  # blanks end any JSON
        return nonce + AESGCM(self.seal_keys[0]).encrypt(nonce, filled, place)

    def unseal(self, sealed: bytes, place: bytes) -> bytes:
        """Return what was sealed, without the blanks that filled it up.

        Raises:
            InvalidTag: if it was changed, moved, or sealed with another key.
        """
        nonce, data = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        for key in self.seal_keys[:-1]:
            try:
                return AESGCM(key).decrypt(nonce, data, place).rstrip()
            except InvalidTag:
                continue
        return AESGCM(self.seal_keys[-1]).decrypt(nonce, data, place).rstrip()


@dataclass(frozen=True, slots=True)
class Keyring:
    """The file."""

    path: Path

    def read(self) -> list[Epoch]:
        """Return the epochs, the oldest first; none if there is no file.

        Raises:
            ArtifactCorrupt: if the file is damaged.
            DeploymentError: if others can read it.
        """
        if not self.path.exists():
            return []
        check_private(self.path)
        try:
            return [_epoch(raw) for raw in json.loads(self.path.read_bytes())]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ArtifactCorrupt(
                f"Expected the keys of consent records in '{self.path.name}', could not read them. "
                "Restore the file from a copy."
            ) from error

    def write(self, epochs: Sequence[Epoch]) -> None:
        """Replace the file, whole or not at all; the bytes of the older one are overwritten."""
        rows = [
            {
                "number": epoch.number,
                "begun": epoch.begun.isoformat(),
                "pseudonym_key": epoch.pseudonym_key.hex(),
                "seal_keys": [key.hex() for key in epoch.seal_keys],
            }
            for epoch in epochs
        ]
        old = os.open(self.path, os.O_WRONLY) if self.path.exists() else None
        write_private(self.path, (json.dumps(rows, indent=1) + "\n").encode())
        if old is not None:
            _overwrite(old)


def _epoch(raw: dict[str, Any]) -> Epoch:
    keys = [bytes.fromhex(key) for key in (raw["pseudonym_key"], *raw["seal_keys"])]
    if len(keys) < 2 or any(len(key) != _KEY_BYTES for key in keys):
        raise ValueError(f"Expected two or more keys of {_KEY_BYTES} bytes.")
    return Epoch(
        number=int(raw["number"]),
        begun=datetime.fromisoformat(raw["begun"]),
        pseudonym_key=keys[0],
        seal_keys=tuple(keys[1:]),
    )


def _overwrite(handle: int) -> None:
    """Write zeros over a file that no name leads to any more.

    A file system that copies on write, or a flash disk, may keep what stood there all the same.
    """
    with os.fdopen(handle, "wb") as file:
        file.write(bytes(os.fstat(file.fileno()).st_size))
        file.flush()
        os.fsync(file.fileno())
