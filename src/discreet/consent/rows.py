"""Sealed rows in a file of SQLite, found by keyed pseudonyms; nothing here knows what they say.

All processes that use a file change its keys and its rows while they hold the one lock of its
write transaction, so that a row is never sealed with a key that is gone. What is removed owes a
sweep: the file is written anew without it and its log is emptied. The debt is booked in the
transaction that removes, and paid by whoever comes next if a crash comes between.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> rows = SealedRows(folder / "rows.sqlite", Keyring(folder / "keys.json"),
    ...                   clock=lambda: datetime(2026, 11, 22).astimezone())
    >>> with rows.locked() as held:
    ...     held.add("a random id", "row-1", b'{"said": "yes"}')
    >>> with rows.locked() as held:
    ...     [row.data for row in held.find("a random id")]
    [b'{"said": "yes"}']
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidTag

from discreet.consent.keyring import Epoch, Keyring
from discreet.errors import ArtifactCorrupt, NotStored, StoreInUse

EPOCH = timedelta(days=30)
"""How long a pseudonym key makes new pseudonyms."""
KEPT = timedelta(days=180)
"""How long rows of an epoch are kept after its end."""
STEP = timedelta(days=7)
"""How far the time by which epochs age goes on with each day of the clock on which the store is
used. A clock that jumps ages nothing by more; after a pause it is caught up with week by week."""
WAIT_SECONDS = 10.0
"""How long a call waits for other processes."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    epoch INTEGER NOT NULL, pseudonym TEXT NOT NULL, sealed BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS by_pseudonym ON records (pseudonym);
CREATE INDEX IF NOT EXISTS by_epoch ON records (epoch);
CREATE TABLE IF NOT EXISTS sweeps (owed INTEGER NOT NULL, paid INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS clock (day TEXT NOT NULL, until TEXT NOT NULL);
INSERT INTO sweeps SELECT 0, 0 WHERE NOT EXISTS (SELECT * FROM sweeps);
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A row that was found."""

    number: int
    id: str
    epoch: int
    pseudonym: str = field(repr=False)
    data: bytes = field(repr=False)


class SealedRows:
    """The file; threads may share one, and each process opens one of its own."""

    def __init__(
        self,
        path: Path,
        keyring: Keyring,
        *,
        clock: Callable[[], datetime],
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        """Open the file, or make it, and finish what a crash left half done.

        Raises:
            ArtifactCorrupt: if the file or its keys are damaged, or the keys are missing.
            DeploymentError: if others can read the keys.
            NotStored: if the disk is full.
            StoreInUse: if other processes hold it for longer than `wait_seconds`.
        """
        self._keyring = keyring
        self._clock = clock
        self._one_at_a_time = threading.Lock()
        self._path = path
        self._wait_seconds = wait_seconds
        with self._refusing():
            self._db = _open(path, wait_seconds)
        with self.locked() as held:
            rotating = any(len(epoch.seal_keys) > 1 for epoch in held.epochs)
        if rotating:
            self._seal_anew()
        self.sweep()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def locked(self) -> Iterator["LockedRows"]:
        """Keep all others out; what is done is kept if the block ends well, or else undone."""
        with self._one_at_a_time, self._refusing():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield LockedRows(self._db, self._turned())
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk may have ended it
                    self._db.execute("ROLLBACK")
                raise

    def sweep(self) -> None:
        """Write the file anew and empty its log, if rows were removed since that was done.

        A deleted row is overwritten with zeros where it lies (`secure_delete`), but not where it
        lay before: a page from which rows moved to another one, when the tree was balanced, keeps
        copies of them in its slack. VACUUM leaves them out. Rows that are sealed to one size move
        little, and none was seen to leave a copy; those of several sizes do.

        Raises:
            StoreInUse: if other processes keep reading; the next call tries again.
        """
        with self._one_at_a_time, self._refusing():
            owed, paid = self._db.execute("SELECT owed, paid FROM sweeps").fetchone()
            if owed == paid:
                return
            self._db.execute("VACUUM")
            self._empty_log()
            self._db.execute("UPDATE sweeps SET paid = max(paid, ?)", [owed])

    def _empty_log(self) -> None:
        """Move the log into the file and cut it to nothing, waiting for readers.

        SQLite waits for readers, but not for another process that does the same.
        """
        deadline = time.monotonic() + self._wait_seconds
        while self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > deadline:
                raise sqlite3.OperationalError("database is locked")
            time.sleep(0.01)

    def rotate(self) -> None:
        """Begin an epoch, seal all rows with new keys, and destroy the old ones."""
        with self.locked() as held:
            renewed = [epoch.renewed() for epoch in held.epochs]
            newest = Epoch.begin(renewed[-1].number + 1, self._aged())
            self._keyring.write([*renewed, newest])
        self._seal_anew()
        self.sweep()

    def _seal_anew(self) -> None:
        """Seal all rows with the newest keys, and only then forget the others."""
        with self.locked() as held:
            for row in held.all():
                held.replace(row, row.data)
            held.owe()
        with self.locked() as held:
            self._keyring.write([epoch.settled() for epoch in held.epochs])

    def _turned(self) -> list[Epoch]:
        """Return the epochs of today: a new one if its time has come, without those outlived."""
        now, known = self._aged(), self._keyring.read()
        newest = self._db.execute("SELECT max(epoch) FROM records").fetchone()[0] or 0
        if newest > max((epoch.number for epoch in known), default=0):
            raise ArtifactCorrupt(
                f"Expected the keys of all rows of '{self._path.name}', found some missing. "
                "Restore the newest key file, or remove the database: without them it says nothing."
            )
        epochs = [epoch for epoch in known if now < epoch.begun + EPOCH + KEPT]
        if not epochs or now >= epochs[-1].begun + EPOCH:
            number = known[-1].number + 1 if known else 1
            epochs.append(Epoch.begin(number, now))
        LockedRows(self._db, epochs).drop_before(epochs[0].number)
        if epochs != known:
            self._keyring.write(epochs)
        return epochs

    def _aged(self) -> datetime:
        """Return the time by which epochs age: that of the clock, but for a jump of it."""
        now = self._clock()
        day = now.date().isoformat()
        found = self._db.execute("SELECT day, until FROM clock").fetchone()
        aged = now if found is None else min(now, datetime.fromisoformat(found[1]))
        if found is None or found[0] != day:
            self._db.execute("DELETE FROM clock")
            self._db.execute("INSERT INTO clock VALUES (?, ?)", [day, (aged + STEP).isoformat()])
        return aged

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Say in our words what SQLite finds."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise self._not_stored() from error
            raise StoreInUse(
                f"Expected '{self._path.name}' to be free, but other processes hold it. What was "
                "removed is removed, and bytes of it may be left until a call succeeds: try again."
            ) from error
        except (sqlite3.DatabaseError, InvalidTag) as error:
            raise ArtifactCorrupt(
                f"Expected '{self._path.name}' as it was written, found it damaged, or its keys "
                "exchanged. Restore both from copies of one moment."
            ) from error
        except OSError as error:
            raise self._not_stored() from error

    def _not_stored(self) -> NotStored:
        return NotStored(
            f"Expected room on the disk and the right to write beside '{self._path.name}', found "
            "none. What is taken back holds until this process ends: make room and call again."
        )


class LockedRows:
    """The file while its lock is held."""

    def __init__(self, db: sqlite3.Connection, epochs: Sequence[Epoch]) -> None:
        self._db = db
        self.epochs = epochs
        """Oldest first; the last one makes new pseudonyms."""
        self._by_number = {epoch.number: epoch for epoch in epochs}

    def pseudonym_of(self, person: str) -> str:
        """Return the pseudonym under which a new row of a person stands."""
        return self.epochs[-1].pseudonym_of(person)

    def find(self, person: str) -> list[Row]:
        """Return all rows of a person, of every epoch, the oldest first."""
        names = [epoch.pseudonym_of(person) for epoch in self.epochs]
        marks = ", ".join("?" * len(names))
        return self._select(f"WHERE pseudonym IN ({marks})", names)

    def all(self) -> list[Row]:
        """Return all rows."""
        return self._select("", [])

    def add(self, person: str, id: str, data: bytes) -> None:  # noqa: A002  (the field's word)
        """Seal JSON and add it under a person's newest pseudonym."""
        epoch, pseudonym = self.epochs[-1], self.pseudonym_of(person)
        sealed = epoch.seal(data, _place(epoch.number, pseudonym, id))
        self._db.execute(
            "INSERT INTO records (id, epoch, pseudonym, sealed) VALUES (?, ?, ?, ?)",
            [id, epoch.number, pseudonym, sealed],
        )

    def replace(self, row: Row, data: bytes) -> None:
        """Seal other JSON in the place of a row."""
        place = _place(row.epoch, row.pseudonym, row.id)
        sealed = self._by_number[row.epoch].seal(data, place)
        self._db.execute("UPDATE records SET sealed = ? WHERE number = ?", [sealed, row.number])

    def remove(self, rows: Iterable[Row]) -> None:
        """Remove rows; what is left of their bytes, and of older ones, is for a sweep."""
        self._db.executemany("DELETE FROM records WHERE number = ?", [[row.number] for row in rows])
        self.owe()

    def drop_before(self, number: int) -> None:
        """Remove the rows of epochs before one."""
        if self._db.execute("DELETE FROM records WHERE epoch < ?", [number]).rowcount:
            self.owe()

    def owe(self) -> None:
        """Note that a sweep is owed."""
        self._db.execute("UPDATE sweeps SET owed = owed + 1")

    def _select(self, where: str, values: Sequence[str]) -> list[Row]:
        columns = "SELECT number, id, epoch, pseudonym, sealed FROM records"
        found = self._db.execute(f"{columns} {where} ORDER BY number", values).fetchall()
        return [self._row(*columns) for columns in found]

    def _row(self, number: int, id: str, epoch: int, pseudonym: str, sealed: bytes) -> Row:  # noqa: A002
        data = self._by_number[epoch].unseal(sealed, _place(epoch, pseudonym, id))
        return Row(number, id, epoch, pseudonym, data)


def _open(path: Path, wait_seconds: float) -> sqlite3.Connection:
    """Return a connection that leaves nothing behind outside the folder."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # its log and index take this mode
    db = sqlite3.connect(path, timeout=wait_seconds, isolation_level=None, check_same_thread=False)
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",  # an answer outlives a power cut
        "secure_delete = ON",
        "temp_store = MEMORY",  # or VACUUM writes a copy into the folder for temporary files
    ):
        db.execute(f"PRAGMA {pragma}").fetchall()
    db.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA.split(";"):
        db.execute(statement)
    db.execute("COMMIT")
    return db


def _place(epoch: int, pseudonym: str, id: str) -> bytes:  # noqa: A002  (the field's word)
    """Return what a sealed row is bound to."""
    return f"{epoch}/{pseudonym}/{id}".encode()
