"""Whether a log is as it was written: every line, every file, and the head.

    >>> str(Damage(harm=Harm.CHANGED, segment=3, line=17))
    'file 3, line 17: changed, or what stood before it was changed, moved or removed'

Finds edits, deletion, moving, doubling and shortening by whoever does not have the key. Whoever has
the key, or puts a copy of the whole folder back, is found only by a head that was noted elsewhere.
What a crash leaves (a last line that is torn, or not yet in the head) is no damage. Reads only.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from discreet.journal.events import Entry
from discreet.journal.lines import (
    OPENING,
    Head,
    Line,
    path_of,
    read_lines,
    read_opening,
    segments_in,
)

_SHOWN = 16
"""Hex digits of a mac in a head that people note."""


class Harm(StrEnum):
    """What may have been done to a log."""

    CHANGED = "changed, or what stood before it was changed, moved or removed"
    MISSING = "missing"
    EMPTY = "has no line"
    MOVED = "is another file of this log, or does not follow the one before"
    CUT = "lines at its end are missing or changed"
    NO_HEAD = "the file 'head' is not as it was written"
    OTHER = "is not the log of which that head was noted, or an older state of it"


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """One thing that is not as it was written."""

    harm: Harm
    segment: int | None = None
    """Number of the file; None: it is about the whole log."""
    line: int | None = None
    """In the file, from 1."""

    def __str__(self) -> str:
        """Return it in words."""
        place = "the log" if self.segment is None else f"file {self.segment}"
        return f"{place}{f', line {self.line}' if self.line else ''}: {self.harm}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What is in a log, and what was found wrong with it."""

    events: int
    segments: int
    first: datetime | None
    """Of the oldest event that is kept, UTC."""
    last: datetime | None
    head: str
    """Number and first digits of the mac of the last line; note it where nobody can change it."""
    found: tuple[Damage, ...]

    @property
    def is_sound(self) -> bool:
        """Tell whether nothing was found."""
        return not self.found


@dataclass(slots=True)
class Reading:
    """All lines of a log that are as they were written, and what is wrong."""

    entries: list[Entry]
    macs: dict[int, str]
    """By the number of the line."""
    segments: int
    found: list[Damage]

    def take(self, lines: Iterable[Line]) -> None:
        """Take in lines that are as they were written."""
        for line in lines:
            self.macs[line.record["number"]] = line.mac
            if "kind" in line.record:
                self.entries.append(Entry.from_record(line.record))

    def verdict(self, noted: str | None) -> Verdict:
        """Return what to tell, and whether a head that was noted earlier is in it.

        Raises:
            ValueError: if `noted` is no head, or of a line that is not kept any more.
        """
        number = max(self.macs, default=0)
        times = [entry.time for entry in self.entries]
        if noted is not None and not self._has(noted):
            self.found.append(Damage(harm=Harm.OTHER))
        return Verdict(
            events=len(self.entries),
            segments=self.segments,
            first=min(times, default=None),
            last=max(times, default=None),
            head=f"{number}:{self.macs.get(number, '')[:_SHOWN]}",
            found=tuple(self.found),
        )

    def _has(self, noted: str) -> bool:
        number, _, digits = noted.partition(":")
        if not number.isdecimal() or len(digits) != (_SHOWN if int(number) else 0):
            raise ValueError("Expected a head as `discreet log verify` shows it, got another text.")
        first = min(self.macs, default=0)
        if 0 < int(number) < first and not self.found:
            raise ValueError(
                f"Expected the head of a line that is kept, from {first} on, got that of an older "
                "one. Note a new head before old files are deleted."
            )
        return self.macs.get(int(number), "")[:_SHOWN] == digits


def read_log(folder: Path, key: bytes, head: Head | None) -> Reading:
    """Return all that a log says; its lock is held."""
    there = segments_in(folder)
    expected = next(
        (r["kept_from"] for n in reversed(there) if (r := read_opening(key, folder, n))), 1
    )
    there = [number for number in there if number >= expected]
    reading = Reading(entries=[], macs={}, segments=len(there), found=[])
    before: str | None = None
    for segment in there:
        if segment > expected:
            reading.found.append(Damage(harm=Harm.MISSING, segment=expected))
            before = None
        lines = list(read_lines(key, path_of(folder, segment).read_bytes(), OPENING))
        reading.found += _harm_in(lines, segment, before)
        reading.take(line for line in lines if line.is_true)
        before, expected = (lines[-1].mac if lines else None), segment + 1
    if head is None:
        reading.found.append(Damage(harm=Harm.NO_HEAD))
    elif head.segment and reading.macs.get(head.number) != head.mac:
        reading.found.append(Damage(harm=Harm.CUT))
    return reading


def _harm_in(lines: list[Line], segment: int, before: str | None) -> Iterator[Damage]:
    """Yield what is wrong with a file that should follow a mac; None: nobody knows which."""
    if not lines:
        yield Damage(harm=Harm.EMPTY, segment=segment)
        return
    opening = lines[0].record
    if lines[0].is_true and (
        opening["segment"] != segment or before not in (None, opening["after"])
    ):
        yield Damage(harm=Harm.MOVED, segment=segment)
    for number, line in enumerate(lines, 1):
        if not line.is_true:
            yield Damage(harm=Harm.CHANGED, segment=segment, line=number)
