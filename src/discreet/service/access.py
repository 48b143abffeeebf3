"""Who may ask: keys, of which only hashes are on disk, and how often each may ask.

A key is 32 random bytes, so that its plain SHA-256 gives nothing away. The file has one line for
each key, its name and hash; a line that is taken out ends that key at the next start.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "keys.txt"
>>> key = add_key(path, "robot")
>>> name_of(key, read_keys(path)), name_of("dsc-guess", read_keys(path))
('robot', None)
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from discreet.errors import ArtifactCorrupt
from discreet.keys import check_private, write_private

_LINE = re.compile(r"([A-Za-z0-9_-]{1,64}) ([0-9a-f]{64})")


def add_key(path: Path, name: str) -> str:
    """Return a new key, and add its hash to a file; the key itself is nowhere else.

    Raises:
        ValueError: if the name is taken, or has anything but letters, digits, - and _.
        ArtifactCorrupt: if the file holds anything else.
        DeploymentError: if others can read it.
    """
    known = dict(read_keys(path)) if path.exists() else {}
    key = f"dsc-{secrets.token_urlsafe(32)}"
    line = f"{name} {_hash(key)}"
    if name in known or not _LINE.fullmatch(line):
        raise ValueError(
            "Expected a name of letters, digits, - and _ that no key has yet, got another. Choose "
            "another, or take its line out of the file."
        )
    text = "".join(f"{old} {digest}\n" for old, digest in known.items())
    write_private(path, f"{text}{line}\n".encode())
    return key


def read_keys(path: Path) -> Mapping[str, str]:
    """Return the hash of each key in a file, by the key's name.

    Raises:
        ArtifactCorrupt: if it is missing, or holds anything else.
        DeploymentError: if others can read it.
    """
    check_private(path)
    found = [_LINE.fullmatch(line) for line in path.read_text("utf-8", "replace").splitlines()]
    keys = {line[1]: line[2] for line in found if line}
    if not keys or len(keys) != len(found):
        raise ArtifactCorrupt(
            f"Expected a name and a hash in each line of '{path.name}', each name once, got "
            "something else. Make the file anew with `discreet serve --new-key NAME`."
        )
    return keys


def name_of(key: str, keys: Mapping[str, str]) -> str | None:
    """Return the name of a key, or None; how long it takes says nothing about the hashes."""
    digest = _hash(key)
    names = [name for name, known in keys.items() if hmac.compare_digest(digest, known)]
    return names[0] if names else None


class Allowance:
    """How often each name may ask: so many a minute, as many at once (a token bucket)."""

    def __init__(self, per_minute: int, *, seconds: Callable[[], float] = time.monotonic) -> None:
        """Begin with full buckets; `seconds` is a clock that never goes back."""
        if per_minute < 1:
            raise ValueError(f"Expected per_minute >= 1, got {per_minute}.")
        self._per_minute = per_minute
        self._seconds = seconds
        self._left: dict[str, tuple[float, float]] = {}

    def wait_seconds(self, name: str) -> float:
        """Take one request of a name, and return 0; or how long it has to wait for the next."""
        now = self._seconds()
        left, then = self._left.get(name, (float(self._per_minute), now))
        left = min(self._per_minute, left + (now - then) * self._per_minute / 60)
        if left < 1:
            self._left[name] = left, now
            return (1 - left) * 60 / self._per_minute
        self._left[name] = left - 1, now
        return 0.0


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
