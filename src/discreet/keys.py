"""Keys that say who an owner is, and the roster of owners who know each other, as files.

Members of a secure sum sign what they show of themselves with a key that outlives the round
(Ed25519, RFC 8032), and take part with those alone whose keys are on their roster. A roster is
public: PEM keys, each with the owner's name before it. What an owner hands to the others is a
roster of one. Whose a key is no file can say: owners compare fingerprints by telephone. This file
makes, reads and checks files; sums are `secagg`'s, a node's other key is `deployment`'s.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> make_signing_key(folder / "signing.key", folder / "a.pem", owner="clinic-a")
    >>> write_roster(folder / "roster.pem", read_roster(folder / "a.pem"))
    >>> len(read_credentials(folder / "signing.key", folder / "roster.pem").roster.keys)
    1

Guarantee: private keys are written with mode 0600, in one step; no message holds any part of one.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from discreet.artifacts import write_bytes
from discreet.errors import ArtifactCorrupt, DeploymentError

MOST_BYTES = 2**20
"""Largest roster that is read: about 7,000 owners."""
_ENTRY = re.compile(
    r"owner: (?P<owner>[A-Za-z0-9_-]{1,64})\n"
    r"(?P<pem>-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]+-----END PUBLIC KEY-----\n)"
)


@dataclass(frozen=True)
class Roster:
    """Who may be in a sum."""

    owners: Mapping[str, bytes]
    """Raw public keys, 32 bytes each, by the owner's name."""

    def __post_init__(self) -> None:
        """Refuse an empty roster, and one key under two names: it would count twice."""
        if not self.owners or len(self.keys) != len(self.owners):
            raise ValueError(
                f"Expected a key of its own for each owner, got {len(self.keys)} keys of "
                f"{len(self.owners)} owners. Ask the owners for their keys again."
            )

    @cached_property
    def keys(self) -> frozenset[bytes]:
        """The raw keys."""
        return frozenset(self.owners.values())

    @classmethod
    def joined(cls, rosters: Iterable["Roster"]) -> "Roster":
        """Return one roster of many.

        Raises:
            ValueError: if two have different keys under one name, or one key under two.
        """
        owners: dict[str, bytes] = {}
        for roster in rosters:
            for owner, key in roster.owners.items():
                if owners.setdefault(owner, key) != key:
                    raise ValueError(
                        f"Expected one key of '{owner}', got two. Ask that owner, by telephone, "
                        "for the fingerprint of the right one."
                    )
        return cls(owners)

    def fingerprints(self) -> dict[str, str]:
        """Return what to compare over the telephone, by owner: SHA-256 of each key's DER form."""
        return {owner: _fingerprint(key) for owner, key in self.owners.items()}


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who an owner is in a secure sum, and whom it takes part with."""

    key: Ed25519PrivateKey = field(repr=False)
    roster: Roster


def read_credentials(signing_key: Path, roster: Path) -> Credentials:
    """Return an owner's key and roster.

    Raises:
        ArtifactCorrupt: if a file is missing or damaged.
        DeploymentError: if others can read the key, or the roster does not hold it.
    """
    key, known = read_signing_key(signing_key), read_roster(roster)
    if key.public_key().public_bytes_raw() not in known.keys:
        raise DeploymentError(
            f"Expected the key of '{signing_key.name}' in '{roster.name}', found it missing: no "
            "other owner would take part in a sum with it. Ask for a roster with your key."
        )
    return Credentials(key, known)


def make_signing_key(private: Path, public: Path, *, owner: str) -> None:
    """Write an owner's signing key, and a roster of that owner alone; a key that is there is kept.

    Raises:
        ArtifactCorrupt: if the private key that is there is damaged.
        DeploymentError: if others can read it.
    """
    if not private.exists():
        form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        key = Ed25519PrivateKey.generate()
        write_private(private, key.private_bytes(serialization.Encoding.PEM, form, plain))
    shown = read_signing_key(private).public_key().public_bytes_raw()
    write_roster(public, Roster({owner: shown}))


def read_signing_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in a PEM file.

    Raises:
        ArtifactCorrupt: if there is none.
        DeploymentError: if others can read it.
    """
    check_private(path)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_signing_key(path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_signing_key(path)
    return key


def write_roster(path: Path, roster: Roster) -> None:
    """Replace a file by a roster; anybody may read it."""
    text = "".join(
        f"owner: {owner}\n{_pem(key).decode()}" for owner, key in sorted(roster.owners.items())
    )
    write_bytes(path, text.encode())
    os.chmod(path, 0o644)


def read_roster(path: Path) -> Roster:
    """Return the owners in a file; nothing but names and public keys may stand in it.

    Raises:
        ArtifactCorrupt: if there is no such file, or anything else in it.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1).decode("ascii")
        found = list(_ENTRY.finditer(text))
        if len(text) > MOST_BYTES or "".join(entry[0] for entry in found) != text:
            raise ValueError("Expected names and keys, got more.")
        if len({entry["owner"] for entry in found}) != len(found):
            raise ValueError("Expected each owner once.")
        return Roster({entry["owner"]: _raw(entry["pem"]) for entry in found})
    except (FileNotFoundError, IsADirectoryError, ValueError, UnsupportedAlgorithm) as error:
        raise ArtifactCorrupt(
            f"Expected a roster in '{path.name}', each owner's name with an Ed25519 public key of "
            "its own, could not read one. `discreet federation roster` writes it; get it from "
            "somebody you trust."
        ) from error


def write_private(path: Path, data: bytes) -> None:
    """Replace a file by a private key: temporary files are made with mode 0600, and keep it."""
    write_bytes(path, data)
    os.chmod(path, 0o600)


def check_private(path: Path) -> None:
    """Refuse a private key that is missing, or that others on this machine can read.

    Raises:
        ArtifactCorrupt: if there is no such file.
        DeploymentError: if its mode is wider than 0600.
    """
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError as error:
        raise ArtifactCorrupt(
            f"Expected a private key in '{path.name}', found none. Restore it from a copy."
        ) from error
    if mode & 0o077:
        raise DeploymentError(
            f"Expected a private key that its owner alone can read, got '{path.name}' with mode "
            f"{mode:04o}. Set it to 0600, and make a new key if others had access."
        )


def _raw(pem: str) -> bytes:
    key = serialization.load_pem_public_key(pem.encode())
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("Expected an Ed25519 key, got another.")
    return key.public_bytes_raw()


def _pem(raw: bytes) -> bytes:
    return Ed25519PublicKey.from_public_bytes(raw).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _fingerprint(raw: bytes) -> str:
    """Return the SHA-256 of a key in groups of four, as `openssl pkey -outform DER` feeds it."""
    der = Ed25519PublicKey.from_public_bytes(raw).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digits = hashlib.sha256(der).hexdigest()
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def _no_signing_key(path: Path) -> ArtifactCorrupt:
    return ArtifactCorrupt(
        f"Expected an Ed25519 key without a passphrase in '{path.name}', could not read one. "
        "Restore it from a copy, or remove it and give the others your new public key."
    )
