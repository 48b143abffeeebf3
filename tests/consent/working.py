"""Processes that use one store: to be killed, and to work at the same time.

Each writes what it is about to do, and what it has done, to a witness of its own. The witness is
the tests' alone: it holds ids of people and bytes of their rows.
"""

import itertools
import json
import os
import secrets
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nursery import serve

from discreet.consent import ConsentStore, load_notice

NOTICE = load_notice("healthcare", "en")
AGE, LOOK = "inform/age_band", "comfort/expression"


def give(store: ConsentStore, person: str, *names: str) -> None:
    store.give(person, names, notice=NOTICE, language="en", method="button")


def sealed_rows(folder: Path) -> dict[str, bytes]:
    """Return the sealed bytes by the pseudonym under which they stand."""
    db = sqlite3.connect(folder / "consent.sqlite", timeout=10)
    rows = db.execute("SELECT pseudonym, sealed FROM records").fetchall()
    db.close()
    return dict(rows)


class Witness:
    """A file that is on disk before the next line of the program runs."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_SYNC, 0o600)

    def say(self, **words: object) -> None:
        os.write(self._handle, json.dumps(words).encode() + b"\n")


def live(folder: Path, store: ConsentStore, witness: Witness, turn: int) -> None:
    """Live through one person's visit: yes, half taken back, erased; sometimes with new keys."""
    person = secrets.token_hex()
    witness.say(person=person, about=[AGE, LOOK])
    give(store, person, AGE, LOOK)
    witness.say(person=person, now=[AGE, LOOK], about=[AGE])
    store.withdraw(person, [LOOK])
    witness.say(person=person, now=[AGE])
    if turn % 3 == 0:
        store.rotate()
    if turn % 2 == 0:
        pseudonym = store.history(person)[0].pseudonym
        sealed = sealed_rows(folder)[pseudonym].hex()
        witness.say(person=person, now=[AGE], about=[], sealed=sealed, pseudonym=pseudonym)
        store.erase(person)
        witness.say(person=person, now=[])


def kill_itself_at(statement: int, store: ConsentStore) -> None:
    """Let the process kill itself where it would execute its n-th statement of SQL."""
    counter = itertools.count(1)

    def count(_: str) -> None:
        if next(counter) == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    store._rows._db.set_trace_callback(count)


def work(folder: str, turns: int | None = None, statement: int | None = None) -> None:
    """Live through visits, until killed if not told how many."""
    store = ConsentStore(Path(folder) / "store")
    witness = Witness(Path(folder) / f"witness-{os.getpid()}.jsonl")
    if statement is not None:
        kill_itself_at(statement, store)
    turns_of: Iterator[int] = itertools.count() if turns is None else iter(range(turns))
    for turn in turns_of:
        live(Path(folder) / "store", store, witness, turn)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1], int(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as warm:
            work(warm, turns=1)
        serve(work)
