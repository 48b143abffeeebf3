"""Lines that a key binds to the line before, and the head that says how far they go.

A line is a JSON object that ends with its `mac`: HMAC-SHA256 (RFC 2104) over the mac of the line
before and every byte of this one. Nobody without the key can write, change, move or remove one so
that the next still fits. That the last ones are there is what the head says: number and mac of the
last line under a key of its own. Lines fill several files, each opened by a line that names the
file and the mac at which the one before ended.

>>> line, mac = written(b"key", {"number": 1}, before="")
>>> read_line(b"key", line, before="").is_true, read_line(b"key", line, before=mac).is_true
(True, False)

It knows no events, and takes no lock. Method: Schneier and Kelsey 1999, *Secure Audit Logs to
Support Computer Forensics*, section 3, with one key that stays: whoever has it can write anew.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from discreet.errors import ArtifactCorrupt

OPENING = ""
"""What stands for the mac before it in a line that opens a file; there the record names it."""
_MAC = re.compile(rb',"mac":"([0-9a-f]{64})"\}\Z')
_FILE = re.compile(r"([0-9]{6,})\.jsonl")
_HEAD = re.compile(rb"([0-9]{6,}) ([0-9]{12}) ([0-9a-f]{64}|-{64}) ([0-9a-f]{64})\n")


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line, and whether it is as it was written."""

    record: dict[str, Any]
    """Empty where it is not."""
    mac: str
    """What the line claims, so that the next one can be judged by itself; may be empty."""
    is_true: bool
    size_bytes: int
    """With the end of the line."""


@dataclass(frozen=True, slots=True)
class Head:
    """How far the lines go."""

    segment: int
    """Number of the last file; 0: there is none yet."""
    number: int
    """Of the last line."""
    mac: str

    def to_bytes(self, key: bytes) -> bytes:
        """Return it under a key; as long for every head, so that it can be written in place."""
        words = f"{self.segment:06d} {self.number:012d} {self.mac or '-' * 64} ".encode()
        return words + derived(key, words).hex().encode() + b"\n"

    @classmethod
    def from_bytes(cls, key: bytes, data: bytes) -> "Head | None":
        """Return what was written; None if it was not written with this key."""
        found = _HEAD.fullmatch(data)
        if found is None:
            return None
        head = cls(int(found[1]), int(found[2]), found[3].decode().strip("-"))
        return head if hmac.compare_digest(head.to_bytes(key), data) else None

    @staticmethod
    def number_in(data: bytes) -> int:
        """Return the number of the last line that some bytes claim, under whatever key; 0: none."""
        found = _HEAD.fullmatch(data)
        return int(found[2]) if found else 0


@dataclass(frozen=True, slots=True)
class Keys:
    """What one secret is used for, each use with a key of its own."""

    lines: bytes = field(repr=False)
    head: bytes = field(repr=False)
    links: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> "Keys":
        """Return the keys that a secret gives."""
        return cls(*(derived(secret, use) for use in (b"lines", b"head", b"links")))


def derived(key: bytes, use: bytes) -> bytes:
    """Return 32 bytes that a key gives for one use, and nobody without the key."""
    return hmac.digest(key, use, hashlib.sha256)


def written(key: bytes, record: dict[str, Any], before: str) -> tuple[bytes, str]:
    """Return the line of a record that follows a mac, and its own mac."""
    body = json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
    mac = _mac(key, body, before)
    return body[:-1] + f',"mac":"{mac}"}}'.encode(), mac


def read_line(key: bytes, raw: bytes, before: str) -> Line:
    """Return what a line says, if it follows that mac and is as it was written."""
    end, size = _MAC.search(raw), len(raw) + 1
    if end is None:
        return Line(record={}, mac="", is_true=False, size_bytes=size)
    body, mac = raw[: end.start()] + b"}", end[1].decode()
    is_true = hmac.compare_digest(_mac(key, body, before), mac)
    return Line(
        record=json.loads(body) if is_true else {}, mac=mac, is_true=is_true, size_bytes=size
    )


def read_lines(key: bytes, data: bytes, before: str) -> Iterator[Line]:
    """Yield the whole lines of a file that follow a mac, or `OPENING`.

    Each is judged by what the one before claims, so that a changed line is one line. What follows
    the last newline was torn by a crash, and is left out.
    """
    for raw in data.split(b"\n")[:-1]:
        line = read_line(key, raw, before)
        yield line
        before = line.mac or "?"


def read_opening(key: bytes, folder: Path, segment: int) -> dict[str, Any] | None:
    """Return what the first line of a file says; None if it is not there or not as it was."""
    try:
        with path_of(folder, segment).open("rb") as file:
            first = list(read_lines(key, file.readline(), OPENING))
    except (FileNotFoundError, IsADirectoryError):
        return None
    return first[0].record if first and first[0].record.get("segment") == segment else None


def path_of(folder: Path, segment: int) -> Path:
    """Return where a file of lines lies."""
    return folder / f"{segment:06d}.jsonl"


def segments_in(folder: Path) -> list[int]:
    """Return the numbers of all files of lines, in order."""
    found = (_FILE.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(name[1]) for name in found if name)


def _mac(key: bytes, body: bytes, before: str) -> str:
    return hmac.digest(key, before.encode() + b"\n" + body, hashlib.sha256).hex()


def damaged(folder: Path, what: str) -> ArtifactCorrupt:
    """Return the error for a log that is not as it was written."""
    return ArtifactCorrupt(
        f"Expected the event log in '{folder.name}' as it was written, but {what}. `discreet log "
        "verify` shows what there is; move the folder aside for whoever examines it, and a new log "
        "begins."
    )
