"""The event log of an assistant: a folder to which several processes add, and nobody else can.

    head           how far the log goes, under the key; also the lock
    key            32 bytes, mode 0600
    000001.jsonl   lines, each bound by the key to the one before; a new file each day
    links/DAY/     which visit has which pseudonym today and yesterday

A new day begins a new file: links of before yesterday are dropped, and files older than
`keep_days` are deleted, which the first line of the new file says. Files age by a week at most for
each day of the clock that has an event, so that a clock that jumps deletes nothing. Nothing is
done while nothing is added. What the events mean is not known here, and no text of a person's has
a place in one.

>>> import tempfile
>>> from discreet.journal.events import Kind
>>> journal = Journal(Path(tempfile.mkdtemp()))
>>> journal.add(Event(kind=Kind.ANSWERED, person="5e" * 16, purpose="inform"))
>>> [entry.event.kind.value for entry in journal.events()], journal.verify().is_sound
(['answered'], True)

Guarantee: an event that `add` returned from is on disk, also after kill -9. Whoever does not have
the key cannot change, move, remove, double or forge a line or a file unseen, or shorten the log.
Who has it can, and so can who puts back an older copy of the whole folder, or removes it with its
head: against all of these, note the head of a verdict elsewhere. The visit's id is never written.
"""

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import Any

from discreet.artifacts import append_line
from discreet.journal.events import NAMES, Entry, Event
from discreet.journal.lines import Head, Keys, damaged, path_of, segments_in, written
from discreet.journal.links import Links
from discreet.journal.tail import End, caught_up, delete_before, open_segment
from discreet.journal.verdict import Reading, Verdict, read_log
from discreet.keys import check_private, write_private

KEEP_DAYS = 183
"""Six months, the least that is asked of logs of systems of high risk."""
MOST_SEGMENT_BYTES = 2**20
"""A file that has as many is followed by another on the same day."""
_KEY_BYTES = 32
_HEAD_BYTES = 256
_ROOM_BYTES = 2**16
"""What has to be free for an event; it takes far less."""
"""More than a head has."""


class Journal:
    """A log in a folder; made with its first event. Threads and processes may share one."""

    def __init__(
        self,
        folder: Path,
        *,
        names: Collection[str] = NAMES,
        keep_days: int = KEEP_DAYS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open nothing yet.

        Args:
            folder: Where the log lies or will lie.
            names: All names that an event may have: contexts, purposes, attributes, reasons,
                adapters. Fixed before anybody asks anything, so that no text can become one.
            keep_days: Days that a file is kept after its own, 1 or more.
            clock: Seconds since 1970, UTC.

        Raises:
            ValueError: if `keep_days` is below 1.
        """
        if keep_days < 1:
            raise ValueError(f"Expected keep_days of 1 or more, got {keep_days}.")
        self.folder = folder.resolve()
        self._names = frozenset(names)
        self._keep_days = keep_days
        self._clock = clock
        self._end: End | None = None

    def add(self, event: Event) -> None:
        """Write an event and return once it is on disk.

        Raises:
            ValueError: if it has a name that the journal was not opened with.
            ArtifactCorrupt: if the end of the log is not as it was written; nothing was added.
            OSError: if it cannot be written; the log stays as it was.
        """
        if not event.names <= self._names:
            raise ValueError(
                "Expected no names in an event but those the journal was opened with, got another. "
                "Add those of the policy and of the adapters to `names`."
            )
        with self._locked() as file:
            now = datetime.fromtimestamp(int(self._clock()), UTC)
            end = self._end_at(now, file)
            stamp: dict[str, Any] = {
                "number": end.number + 1,
                "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            if event.person is not None:
                stamp["person"] = self._links.pseudonym(event.person, now.date())
            line, mac = written(self._keys.lines, {**stamp, **event.to_record()}, end.mac)
            append_line(path_of(self.folder, end.segment), line)
            self._remember(file, end.after(mac, len(line) + 1))

    def check_end(self) -> None:
        """Raise what `add` would where the log is damaged or the disk full; adds nothing."""
        with self._locked() as file:
            if shutil.disk_usage(self.folder).free < _ROOM_BYTES:
                raise OSError(errno.ENOSPC, "Expected room for an event, got a full disk.")
            self._end = self._end_at(datetime.fromtimestamp(int(self._clock()), UTC), file)

    def events(self) -> list[Entry]:
        """Return all events that are kept, in order.

        Raises:
            ArtifactCorrupt: if there is no log, or anything in it is not as it was written.
        """
        with self._shared() as file:
            return self._sound(file)

    def of(self, person: str) -> list[Entry]:
        """Return the events that are still linked to a visit; errors as of `events`."""
        with self._shared() as file:
            pseudonyms = set(self._links.of(person))
            return [entry for entry in self._sound(file) if entry.pseudonym in pseudonyms]

    def forget(self, person: str) -> int:
        """Drop what links events to a visit, and return how many links that were.

        The lines stay, and those of one day go on to share a pseudonym that belongs to nobody. An
        event of the same visit that is added later begins a new link: add `FORGOTTEN` before.
        """
        if not (self.folder / "head").exists():
            return 0
        with self._locked():
            return self._links.forget(person)

    def verify(self, noted_head: str | None = None) -> Verdict:
        """Return what is in the log and what is wrong with it.

        Args:
            noted_head: The head of an earlier verdict, kept elsewhere: finds a log that was
                written anew with its key, or put back to an older state.

        Raises:
            ArtifactCorrupt: if there is no log, or no key to verify it with.
            DeploymentError: if others can read the key.
            ValueError: if `noted_head` is none, or of a line that is not kept any more.
        """
        with self._shared() as file:
            return self._read(file).verdict(noted_head)

    def _read(self, file: FileIO) -> Reading:
        return read_log(self.folder, self._keys.lines, self._read_head(file))

    def _sound(self, file: FileIO) -> list[Entry]:
        reading = self._read(file)
        if reading.found:
            raise damaged(self.folder, str(reading.found[0]))
        return reading.entries

    @cached_property
    def _keys(self) -> Keys:
        path = self.folder / "key"
        check_private(path)
        return Keys.of(path.read_bytes())

    @property
    def _links(self) -> Links:
        return Links(self.folder / "links", self._keys.links)

    @contextmanager
    def _locked(self) -> Iterator[FileIO]:
        """Keep everybody else out, and yield the head; the log is begun if there is none."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self.folder / "head", os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not (self.folder / "key").exists() and not segments_in(self.folder):
                if Head.number_in(os.pread(file.fileno(), _HEAD_BYTES, 0)):
                    raise damaged(self.folder, "key and lines are gone, and 'head' knows of some")
                self._begin(file)
            yield file

    @contextmanager
    def _shared(self) -> Iterator[FileIO]:
        """Keep writers out, and yield the head; needs no right to write."""
        try:
            file = (self.folder / "head").open("rb", buffering=0)
        except FileNotFoundError as error:
            raise damaged(self.folder, "the file 'head' is not there") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield file

    def _begin(self, file: FileIO) -> None:
        """Make the key, last of all: without one, and without lines, a log has not begun."""
        self.__dict__.pop("_keys", None)
        self._end = None
        secret = secrets.token_bytes(_KEY_BYTES)
        os.pwrite(file.fileno(), Head(0, 0, "").to_bytes(Keys.of(secret).head), 0)
        os.fsync(file.fileno())
        write_private(self.folder / "key", secret)

    def _read_head(self, file: FileIO) -> Head | None:
        return Head.from_bytes(self._keys.head, os.pread(file.fileno(), _HEAD_BYTES, 0))

    def _remember(self, file: FileIO, end: End) -> None:
        """Note how far the log goes; a head that is too old after a power cut only finds less."""
        self._end = end
        head = Head(end.segment, end.number, end.mac)
        os.pwrite(file.fileno(), head.to_bytes(self._keys.head), 0)

    def _end_at(self, now: datetime, file: FileIO) -> End:
        """Return where the next line goes, in a new file if it is time for one."""
        known, self._end = self._end, None  # after an error nothing is known
        end = caught_up(self.folder, self._keys.lines, known, self._read_head(file))
        day = now.date()
        if end.day == day and end.offset < MOST_SEGMENT_BYTES:
            return end
        opened = open_segment(self.folder, self._keys.lines, end, day, self._keep_days)
        self._remember(file, opened)
        os.fsync(file.fileno())  # or a power cut could leave a head in a file that is deleted
        delete_before(self.folder, opened.kept_from)
        self._links.drop_before(day - timedelta(days=1))
        return opened
