"""A file of JSON records that only grows, each bound by a hash to all records before it.

A line holds a record and, as `sha256`, the hash of the line before it together with that record.
A record that was changed, removed or moved is therefore found, also the last one: the lock file
beside keeps the hash up to which the file was once complete. It finds accidents and edits, not
somebody who writes all hashes anew: there is no key.

>>> import tempfile
>>> chain = RecordChain(Path(tempfile.mkdtemp()) / "records.jsonl", list)
>>> with chain.locked() as file:
...     file.create({"kind": "first"})
...     file.append({"kind": "second"})
>>> [record["kind"] for record in chain.read()]
['first', 'second']

What was read once is compared byte by byte and not parsed again: a call costs what is new in the
file, and a comparison of memory. Knows nothing of what the records say.
"""

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from discreet.artifacts import append_line, read_lines_after, read_whole_lines, write_bytes
from discreet.errors import ArtifactCorrupt

Record = dict[str, Any]
"""Plain values for JSON; the key `sha256` is taken."""

_HASH = "sha256"


class Summary(Protocol):
    """What records add up to; a list of them is the plainest."""

    def append(self, record: Record, /) -> None:
        """Take in the next record."""


S = TypeVar("S", bound=Summary)


class RecordChain(Generic[S]):
    """The path of such a file and what it said last; reading it needs no right to write.

    Threads may share one. What `read` returned goes on growing with later calls.
    """

    def __init__(self, path: Path, summarise: Callable[[], S]) -> None:
        """Read nothing yet; `summarise` makes the summary of no records."""
        self.path = path.resolve()  # a link must not become a second file
        self._summarise = summarise
        self._verified = _Verified(summary=summarise())
        self._one_at_a_time = threading.Lock()

    @property
    def lock_path(self) -> Path:
        """The lock file; it is never replaced, so that all processes lock the same inode."""
        return self.path.with_name(f"{self.path.name}.lock")

    def read(self) -> S:
        """Return what all records add up to; what a crash tore off while it was added is left out.

        Raises:
            ArtifactCorrupt: if the file is missing, or is not as it was written.
            Exception: of the summary, for a record that it refuses.
        """
        try:
            lock = self.lock_path.open("rb", buffering=0)
        except FileNotFoundError:  # a copy that was handed on, or the only process
            return self._verify(head="").summary
        with lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            return self._verify(_head_of(lock)).summary

    @contextmanager
    def locked(self) -> Iterator["LockedChain[S]"]:
        """Keep all other processes out, and yield what can add to the file."""
        handle = os.open(self.lock_path, os.O_RDWR | os.O_CREAT, 0o666)
        with os.fdopen(handle, "r+b", buffering=0) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield LockedChain(self, lock)

    def _verify(self, head: str) -> "_Verified[S]":
        """Return all records and the hashes in them, among which `head` has to be.

        After an error nothing of the file is known, so that the next call reads all of it.
        """
        with self._one_at_a_time:
            verified, self._verified = self._verified, _Verified(summary=self._summarise())
            new = read_lines_after(self.path, verified.data)
            if new is None:
                verified = _Verified(summary=self._summarise())
                new = read_whole_lines(self.path)
            verified.extend(new, self.path)
            if head not in verified.hashes:
                raise _damaged(self.path, "lines at its end are missing")
            self._verified = verified
            return verified


@dataclass(slots=True)
class _Verified(Generic[S]):
    """The part of a file that was found to be as it was written."""

    summary: S
    data: bytearray = field(default_factory=bytearray)
    last: str = ""
    """Hash of the last line."""
    hashes: set[str] = field(default_factory=lambda: {""})

    def extend(self, new: bytes, path: Path) -> None:
        """Verify the lines that follow those known."""
        for number, line in enumerate(new.split(b"\n")[:-1], len(self.hashes)):
            record, self.last = _verified_record(line, self.last, number, path)
            self.hashes.add(self.last)
            self.summary.append(record)
        self.data += new
        if not self.data:
            raise _damaged(path, "there is no line in it")


class LockedChain(Generic[S]):
    """The file while its lock is held."""

    def __init__(self, chain: RecordChain[S], lock: FileIO) -> None:
        self._chain = chain
        self._path = chain.path
        self._lock = lock
        self._last: str | None = None

    def read(self) -> S:
        """Return what all records add up to, as `RecordChain.read` does."""
        verified = self._chain._verify(_head_of(self._lock))
        self._last = verified.last
        return verified.summary

    def refuse_vanished(self) -> None:
        """Refuse to begin anew where the lock file knows of a line.

        Raises:
            ArtifactCorrupt: if it does.
        """
        if _head_of(self._lock):
            raise _damaged(self._path, "it is gone, and its lock file is still there")

    def create(self, record: Record) -> None:
        """Write the file with its first record; whole or not at all, folder included."""
        line, head = _line(record, before="")
        write_bytes(self._path, line + b"\n")
        self._remember(head)

    def append(self, record: Record) -> None:
        """Add a record and return once it is on disk.

        Raises:
            OSError: if that fails. The file stays as it was.
        """
        if self._last is None:
            self.read()
        line, head = _line(record, self._last or "")
        append_line(self._path, line)
        self._remember(head)

    def _remember(self, head: str) -> None:
        """Note how far the file is complete; a note that is too old only finds less."""
        self._last = head
        with suppress(OSError):
            os.pwrite(self._lock.fileno(), head.encode(), 0)


def _line(record: Record, before: str) -> tuple[bytes, str]:
    """Return the line of a record that follows a hash, and its own hash."""
    head = _hash_of(record, before)
    return json.dumps({**record, _HASH: head}, allow_nan=False).encode(), head


def _hash_of(record: Record, before: str) -> str:
    """Return the SHA-256 of a hash and the record after it, whatever the order of its keys."""
    words = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(f"{before}{words}".encode()).hexdigest()


def _head_of(lock: FileIO) -> str:
    """Return the hash that the lock file keeps, or nothing."""
    return os.pread(lock.fileno(), hashlib.sha256().digest_size * 2, 0).decode("ascii", "replace")


def _verified_record(line: bytes, before: str, number: int, path: Path) -> tuple[Record, str]:
    """Return the record of a line that follows a hash, and its own hash."""
    try:
        record = json.loads(line)
        found = record.pop(_HASH)
        expected = _hash_of(record, before)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, f"line {number} is not a record") from error
    if found != expected:
        raise _damaged(path, f"line {number}, or one before it, was changed, moved or removed")
    return record, expected


def _damaged(path: Path, what: str) -> ArtifactCorrupt:
    return ArtifactCorrupt(
        f"Expected '{path.name}' in '{path.parent.name}' as it was written, but {what}. Restore it "
        "from its newest backup; nothing was changed."
    )
