"""What a reader is."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from discreet.sources.problems import Problems
from discreet.sources.records import Kind, Record


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """One layout: how it is known on disk, what it says, and how it is read."""

    name: str
    kind: Kind
    looks_like: str
    """What lies on disk, for a person who looks for their own."""
    source: str
    """Public page of the set."""
    licence: str
    """As that page says it; not legal advice."""
    can_read: Callable[[Path], bool]
    """Whether a path has this layout: looks at names and first lines only, and never fails."""
    read: Callable[[Path, Problems], Iterator[Record]]
    lists: Callable[[Path], list[Path]] = field(default=lambda path: [])
    """The files that labels come from, for hashing."""
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of its lists, as a pattern -> the columns that such a list needs."""
    vocabulary: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Label -> the values it may have; others are problems."""
    audit_labels: tuple[str, ...] = ()
    """Which of these only audits may read."""
    may_be_names: tuple[str, ...] = ()
    """Labels whose values may name people, as folders do: shown if many records have each."""
    says: str = ""
    """What the labels are, where `vocabulary` does not name them all."""


def is_new(key: bytes, seen: set[int]) -> bool:
    """Return whether a key comes for the first time, and remember it in eight bytes.

    Of a million keys, two fall together with a chance of 3e-8.
    """
    number = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest())
    before = len(seen)
    seen.add(number)
    return len(seen) > before
