"""Consent records: given, refused, withdrawn, shown, exported, erased.

On disk every record is sealed (`rows`) under a keyed pseudonym of a random id that lives in the
memory of a visit and nowhere else. What is in clear there: how many records there are, in which
order and epoch they came, and which belong to one visit. What a guardian answers for a child is
kept in memory alone. Whoever can write to the file can put an older form of a record back; that
something was withdrawn is also for the journal to know.

    >>> import secrets, tempfile
    >>> from discreet.consent.notices import load_notice
    >>> store, person = ConsentStore(Path(tempfile.mkdtemp())), secrets.token_hex()
    >>> notice = load_notice("healthcare", "en")
    >>> _ = store.give(person, ["inform/age_band"], notice=notice, language="en", method="button")
    >>> store.active(person)
    frozenset({'inform/age_band'})
    >>> store.withdraw(person, ["inform/age_band"]), store.active(person)
    (1, frozenset())
    >>> store.erase(person)
    Erased(found=1, erased=1)

Guarantee: what a call did when it returns holds for every process that uses the folder, also after
a crash. What `erase` counts as erased is in no byte of the database, its log or its index; copies
elsewhere, and what a disk keeps below its file system, are out of its reach.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from discreet.consent.keyring import Epoch, Keyring
from discreet.consent.notices import Notice
from discreet.consent.records import (
    CONTEXT,
    CONTROLLER,
    GIVEN,
    REFUSED,
    ConsentRecord,
    Decision,
    Method,
    whole_seconds,
)
from discreet.consent.rows import WAIT_SECONDS, LockedRows, SealedRows
from discreet.types import Language


@dataclass(frozen=True, slots=True)
class Erased:
    """What became of the records of one person."""

    found: int
    erased: int


class ConsentStore:
    """The records of a folder; threads may share one, each process opens one of its own."""

    def __init__(
        self,
        folder: Path,
        *,
        key_file: Path | None = None,
        controller: str = CONTROLLER,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        """Open the store of a folder, or begin one, and finish what a crash left half done.

        Args:
            folder: Where `consent.sqlite` lies.
            key_file: Where the keys lie, in the folder if not said. If they lie elsewhere, a copy
                of the folder tells nothing.
            controller: Who answers for the processing, as records name them.
            clock: The time now.
            wait_seconds: How long a call waits for other processes.

        Raises:
            ArtifactCorrupt: if the database or its keys are damaged, or the keys are missing.
            DeploymentError: if others can read the keys.
            StoreInUse: if other processes hold the store for too long.
        """
        self.controller = controller
        self._clock = lambda: whole_seconds(clock())
        self._rows = SealedRows(
            folder / "consent.sqlite",
            Keyring(key_file or folder / "consent.keys.json"),
            clock=self._clock,
            wait_seconds=wait_seconds,
        )
        self._of_children: dict[str, list[ConsentRecord]] = {}
        self._taken: dict[str, frozenset[str]] = {}
        """What is taken back and not yet written, by person."""
        self._childrens_key = Epoch.begin(0, self._clock())

    def close(self) -> None:
        """Let go of the files; what guardians answered is gone."""
        self._of_children.clear()
        self._rows.close()

    def give(
        self,
        person: str,
        names: Collection[str],
        *,
        notice: Notice,
        language: Language,
        method: Method,
        guardian: bool = False,
    ) -> ConsentRecord:
        """Record a yes to some of what a notice asks, and return the record.

        Of a child (`guardian`) nothing is written, and what was on disk is erased first.

        Raises:
            ValueError: if the notice asks for something else, is in another language or for
                somebody else; or if nobody but a guardian may answer, because one has before.
        """
        _check_answer(names, notice, language, guardian)
        record = self._answer(person, names, GIVEN, notice, method)
        self._let_go(person, names)
        return record

    def refuse(
        self,
        person: str,
        names: Collection[str],
        *,
        notice: Notice,
        language: Language,
        method: Method,
        guardian: bool = False,
    ) -> ConsentRecord:
        """Record a no, which takes an earlier yes back, and return the record.

        Raises:
            ValueError: as `give`.
        """
        _check_answer(names, notice, language, guardian)
        with self._holding(person, names):
            return self._answer(person, names, REFUSED, notice, method)

    def withdraw(self, person: str, names: Collection[str]) -> int:
        """Take a yes back from now on; return in how many records it stood.

        Raises:
            NotStored: if it cannot be written; it holds in this process all the same.
        """
        with self._holding(person, names), self._rows.locked() as held:
            return self._withdraw(person, names, held)

    def active(self, person: str) -> frozenset[str]:
        """Return what a person consents to now."""
        now = self._clock()
        return frozenset[str]().union(*(record.active(now) for record in self.history(person)))

    def is_of_child(self, person: str) -> bool:
        """Return whether a guardian answered for this person; known until it ran out or was erased.

        Needs nothing that is on disk.
        """
        return person in self._of_children

    def history(self, person: str) -> tuple[ConsentRecord, ...]:
        """Return the records of a person, the oldest first."""
        with self._rows.locked() as held:
            of_child = self._of_children.get(person, [])
            stored = [ConsentRecord.from_bytes(row.data) for row in held.find(person)]
        taken, now = self._taken.get(person, frozenset()), self._clock()
        stored = [one.without(taken, now) if taken & one.active(now) else one for one in stored]
        return (*stored, *of_child)

    def export(self, person: str) -> dict[str, Any]:
        """Return the records of a person as a receipt in JSON-LD, for them to keep."""
        return {
            "@context": CONTEXT,
            "@type": "dpv:ConsentReceipt",
            "dct:conformsTo": "https://w3id.org/dpv/schema/dpv-27560#receipt-record",
            "dct:created": self._clock().isoformat(),
            "dpv:hasRecordOfActivity": [
                record.to_jsonld(self.controller) for record in self.history(person)
            ],
        }

    def erase(self, person: str) -> Erased:
        """Remove all records of a person and every byte of them from the files; may be repeated.

        Raises:
            NotStored: if the disk is full; nothing is consented to any more in this process.
            StoreInUse: if other processes keep the files open for reading. The records are gone
                and bytes of them may be left: call it again.
        """
        with self._holding(person, self.active(person)), self._rows.locked() as held:
            found = held.find(person)
            held.remove(found)
            count = len(found) + len(self._of_children.pop(person, []))
        self._rows.sweep()
        return Erased(found=count, erased=count)

    def rotate(self) -> None:
        """Seal all records with new keys, destroy the old ones, and make other pseudonyms.

        For the day on which somebody may have seen the keys. Older records keep their pseudonyms
        until they go, because nobody knows of whom they are.
        """
        self._rows.rotate()

    def _answer(
        self,
        person: str,
        names: Collection[str],
        decision: Decision,
        notice: Notice,
        method: Method,
    ) -> ConsentRecord:
        with self._rows.locked() as held:
            if person in self._of_children and not notice.guardian:
                raise ValueError(
                    "Expected the answer of a child's guardian, got one without. Begin another "
                    "visit for another person."
                )
            pseudonyms = self._childrens_key if notice.guardian else held
            record = ConsentRecord.answering(
                notice,
                tuple(name for name in notice.names if name in names),
                decision=decision,
                pseudonym=pseudonyms.pseudonym_of(person),
                method=method,
                time=self._clock(),
            )
            if decision == REFUSED:
                self._withdraw(person, names, held)
            if notice.guardian:
                held.remove(held.find(person))
                self._remember(person, record)
            else:
                held.add(person, record.id, record.to_bytes())
        self._rows.sweep()
        return record

    @contextmanager
    def _holding(self, person: str, names: Collection[str]) -> Iterator[None]:
        """Let what is taken back hold in memory, and no longer once it was written."""
        self._taken[person] = self._taken.get(person, frozenset()) | frozenset(names)
        yield
        self._let_go(person, names)

    def _let_go(self, person: str, names: Collection[str]) -> None:
        if left := self._taken.pop(person, frozenset()) - frozenset(names):
            self._taken[person] = left

    def _remember(self, person: str, record: ConsentRecord) -> None:
        """Keep a child's record in memory, and none that holds no more."""
        kept = {**self._of_children, person: [*self._of_children.get(person, []), record]}
        now = self._clock()
        self._of_children = {
            child: records
            for child, records in kept.items()
            if any(now < record.expires for record in records)
        }

    def _withdraw(self, person: str, names: Collection[str], held: LockedRows) -> int:
        now, taken, changed = self._clock(), frozenset(names), 0
        for row in held.find(person):
            record = ConsentRecord.from_bytes(row.data)
            if taken & record.active(now):
                held.replace(row, record.without(taken, now).to_bytes())
                changed += 1
        records = self._of_children.get(person, [])
        changed += sum(bool(taken & record.active(now)) for record in records)
        records[:] = [record.without(taken, now) for record in records]
        return changed


def _check_answer(
    names: Collection[str], notice: Notice, language: Language, guardian: bool
) -> None:
    """Refuse an answer to something that was not asked, or not of whoever answers."""
    if not names or not set(names) <= set(notice.names):
        asked = ", ".join(notice.names) or "nothing"
        raise ValueError(f"Expected an answer to what the notice asks, {asked}; got another.")
    if notice.language != language:
        raise ValueError(f"Expected the notice in '{language}', got it in '{notice.language}'.")
    if notice.guardian != guardian:
        raise ValueError(
            "Expected the notice for guardians if and only if a guardian answers. Of a child "
            "nothing is estimated, so that it is not asked for either."
        )
