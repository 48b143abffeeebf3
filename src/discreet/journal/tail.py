"""Where a log ends: read on from what is known, and the next file opened there.

Only what is new is read and checked, so that an event costs little in a long log; that older lines
are as they were is `verdict`'s to say. A file is deleted only if its own first line says that it is
too old and no older one is damaged or missing, so that nobody can pass an edit off as age. Its
lock is held by whoever calls.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from discreet.artifacts import remove_file, write_bytes
from discreet.journal.lines import (
    OPENING,
    Head,
    damaged,
    path_of,
    read_lines,
    read_opening,
    segments_in,
    written,
)

_FORMAT = 1
_STEP = timedelta(days=7)
"""How far the day by which files age goes on with each day of the clock that has an event. A clock
that jumps ages nothing by more; after a pause it is caught up with week by week."""


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """Where a log ends, as far as it was read."""

    segment: int
    """Number of the file; 0: there is none."""
    day: date | None = None
    """Of the file."""
    aged: date | None = None
    """The day by which files age; behind `day` after a jump of the clock."""
    kept_from: int = 1
    """The oldest file that was not deleted for its age."""
    offset: int = 0
    """Bytes of the file that are known."""
    number: int = 0
    """Of the last line."""
    mac: str = ""

    def opened(self, record: dict[str, Any]) -> "End":
        """Return the beginning of a file, as its first line tells it."""
        return replace(
            self,
            day=date.fromisoformat(record["day"]),
            aged=date.fromisoformat(record.get("aged", record["day"])),
            kept_from=record["kept_from"],
            number=record["number"] - 1,
        )

    def after(self, mac: str, size_bytes: int) -> "End":
        """Return the end after one more line."""
        return replace(self, mac=mac, number=self.number + 1, offset=self.offset + size_bytes)


def caught_up(folder: Path, key: bytes, known: End | None, head: Head | None) -> End:
    """Return where a log ends, read on from where it was known to.

    Raises:
        ArtifactCorrupt: if what is new, or the head, is not as it was written.
    """
    if head is None:
        raise damaged(folder, "the file 'head' is not as it was written")
    end = known or End(segment=0)
    if end.segment < head.segment:
        end = End(segment=head.segment)
    if end.segment:
        end = _read_on(folder, key, end)
    while path_of(folder, end.segment + 1).exists():  # opened just before its process was killed
        end = _read_on(folder, key, replace(end, segment=end.segment + 1, offset=0))
    if end.number < head.number or (end.number == head.number and end.mac != head.mac):
        raise damaged(folder, "lines at its end are missing")
    return end


def open_segment(folder: Path, key: bytes, end: End, day: date, keep_days: int) -> End:
    """Return the beginning of the next file, which says from where on files are kept."""
    segment, aged = end.segment + 1, _aged(end, day)
    record = {
        "number": end.number + 1,
        "segment": segment,
        "after": end.mac,
        "day": day.isoformat(),
        "aged": aged.isoformat(),
        "kept_from": _kept_from(folder, key, end, day, day - aged + timedelta(days=keep_days)),
        "format": _FORMAT,
    }
    line, mac = written(key, record, OPENING)
    write_bytes(path_of(folder, segment), line + b"\n")
    return End(segment=segment).opened(record).after(mac, len(line) + 1)


def _aged(end: End, day: date) -> date:
    """Return the day by which files age on a day of the clock."""
    if end.aged is None:
        return day
    return min(day, end.aged + (_STEP if day != end.day else timedelta(0)))


def delete_before(folder: Path, segment: int) -> None:
    """Delete older files, and what killed processes left half-written."""
    for number in segments_in(folder):
        if number < segment:
            remove_file(path_of(folder, number))
    for torn in folder.glob(".*.tmp"):
        torn.unlink()


def _kept_from(folder: Path, key: bytes, end: End, day: date, kept: timedelta) -> int:
    """Return the first file that is kept on a day, or not as it was written."""
    for number in range(end.kept_from, end.segment + 1):
        record = read_opening(key, folder, number)
        if record is None:
            return number
        own = date.fromisoformat(record["day"])
        if own > day:  # of a clock that had jumped
            own = date.fromisoformat(record.get("aged", record["day"]))
        if own >= day - kept:
            return number
    return end.segment + 1


def _read_on(folder: Path, key: bytes, end: End) -> End:
    """Return the end of a file of which a part is known."""
    path = path_of(folder, end.segment)
    try:
        with path.open("rb") as file:
            file.seek(end.offset)
            data, size = file.read(), file.seek(0, 2)
    except FileNotFoundError as error:
        raise damaged(folder, f"'{path.name}' is missing") from error
    for line in read_lines(key, data, end.mac if end.offset else OPENING):
        if not line.is_true:
            raise damaged(folder, f"a line of '{path.name}' was changed, moved or removed")
        if not end.offset:
            if line.record["segment"] != end.segment or end.mac not in ("", line.record["after"]):
                raise damaged(folder, f"'{path.name}' does not follow the file before")
            end = end.opened(line.record)
        end = end.after(line.mac, line.size_bytes)
    if size < end.offset or not end.offset:
        raise damaged(folder, f"lines of '{path.name}' are missing")
    return end
