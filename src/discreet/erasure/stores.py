"""Where something of a visitor of a demo may be, and one job that erases all of it.

    receipt = erase_visit(visit, consents=consents, journal=journal, uploads=[photo])
    receipt.in_words("en")

Guarantee:
    Every store is asked, also after one that failed, and the receipt names that one. The same call
    again goes on with it: a visitor keeps the random id, by which things are found, until all
    stores of that id are done. What a store has not said to have erased is not told as erased.

It knows nothing of copies that somebody made, and does not overwrite blocks of the disk.
"""

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from discreet.artifacts import remove_file
from discreet.consent import ConsentStore
from discreet.erasure.receipt import Line, Receipt, attempt
from discreet.journal import Journal
from discreet.service import Visit


class Store(Protocol):
    """A place where something of a person may be."""

    @property
    def name(self) -> str:
        """Code of the store, a key of `words.toml`."""

    def erase(self, person: str) -> Line:
        """Remove all of a person; called again it removes what is left."""


@dataclass(frozen=True, slots=True)
class Consents:
    """The sealed store of what they agreed to."""

    store: ConsentStore = field(repr=False)
    name: str = "consent"

    def erase(self, person: str) -> Line:
        """Remove every record of a person, and every byte of them."""
        done = self.store.erase(person)
        return Line(store=self.name, found=done.found, erased=done.erased)


@dataclass(frozen=True, slots=True)
class Links:
    """What leads from events without content to the visit; the events stay."""

    journal: Journal = field(repr=False)
    name: str = "journal"

    def erase(self, person: str) -> Line:
        """Drop what links events to a person."""
        links = self.journal.forget(person)
        return Line(store=self.name, found=links, erased=links)


@dataclass(frozen=True, slots=True)
class Files:
    """Files and folders that are of this visitor alone: uploads, caches, exports that we wrote.

    A link is removed, and what it leads to is left.
    """

    name: str
    paths: Collection[Path] = field(repr=False)

    def erase(self, person: str) -> Line:
        """Remove them; the first that cannot be removed fails the store, and the rest goes on.

        Raises:
            OSError: of that one, once all were tried.
        """
        found, failure = 0, None
        for path in self.paths:
            try:
                found += _remove(path)
            except OSError as error:
                failure = error
        if failure is not None:
            raise failure
        return Line(store=self.name, found=found, erased=found)


@dataclass(frozen=True, slots=True)
class Memory:
    """The conversation in memory, and who the visit is; last, because with it the id ends."""

    visit: Visit = field(repr=False)
    name: str = "session"

    def erase(self, person: str) -> Line:
        """Drop the conversation; the visit gets another id."""
        found = self.visit.forget()["conversation"]
        return Line(store=self.name, found=found, erased=found)


def erase(person: str, stores: Sequence[Store]) -> Receipt:
    """Ask each store to erase a person; return what each did.

    Args:
        person: The random id of a visit.
        stores: In the order in which they are asked.
    """
    return Receipt(lines=tuple(attempt(s.name, lambda s=s: s.erase(person)) for s in stores))  # type: ignore[misc]


def erase_visit(
    visit: Visit,
    *,
    consents: ConsentStore,
    journal: Journal,
    uploads: Collection[Path] = (),
    exports: Collection[Path] = (),
) -> Receipt:
    """Erase a visitor everywhere: files, consent, the journal's links, and the visit in memory.

    Where a store failed, the conversation is dropped and the visit keeps its id: call it again.

    Args:
        visit: Of the visitor.
        consents: Where the visit keeps consent.
        journal: Where the visit keeps events.
        uploads: Files and folders of this visitor alone that a page or a server wrote.
        exports: Files that were written for this visitor.
    """
    person = visit.person
    on_disk = (
        Files("files", uploads),
        Files("exports", exports),
        Consents(consents),
        Links(journal),
    )
    receipt = erase(person, on_disk)
    if receipt.is_complete:
        memory = attempt("session", lambda: Memory(visit).erase(person))
    else:
        visit.clear()
        memory = Line.kept("session", "others_first", found=1)
    kept = (Line.kept("events", "events"), Line.kept("downloads", "download"))
    return Receipt(lines=(memory, *receipt.lines, *kept))


def _remove(path: Path) -> int:
    """Remove a file, or a folder with all in it; return how many files were there."""
    if path.is_symlink() or not path.exists():
        is_there = path.is_symlink()
        path.unlink(missing_ok=True)
        return int(is_there)
    if path.is_file():
        remove_file(path)
        return 1
    count = sum(not inner.is_dir() for inner in path.rglob("*"))
    shutil.rmtree(path)
    return count
