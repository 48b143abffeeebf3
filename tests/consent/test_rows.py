"""The file under many processes, under kill -9, under damage, and while others read it."""

import itertools
import json
import os
import random
import secrets
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from nursery import FOUND_IN, Nursery

from discreet.consent import ConsentStore
from discreet.consent.keyring import Keyring
from discreet.consent.rows import LockedRows, SealedRows
from discreet.errors import ArtifactCorrupt, StoreInUse

from .test_store import left_of
from .working import AGE, LOOK, give, sealed_rows

KILLS = 15
SIZES = (300, 330, 360)
"""Bytes of a row: several go into a page, and some move to another one when one grows."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery.of("consent.working") as nursery:
        yield nursery


def witnessed(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return what was said of each person, the oldest first."""
    said: dict[str, list[dict[str, Any]]] = {}
    for path in folder.glob("witness-*.jsonl"):
        for line in path.read_text().splitlines():
            words = json.loads(line)
            said.setdefault(words["person"], []).append(words)
    return said


def check(folder: Path) -> int:
    """See that everybody consents to what they said last, or were saying; return how many erased.

    Opening the store is what a crash is followed by: it finishes what was left.
    """
    store, erased = ConsentStore(folder / "store"), 0
    for person, words in witnessed(folder).items():
        last = words[-1]
        allowed = [set(last[key]) for key in ("now", "about") if key in last]
        allowed += [] if "now" in last else [set()]
        active = store.active(person)
        assert active in allowed, "what a call did when it returned holds"
        rows = {w["pseudonym"]: bytes.fromhex(w["sealed"]) for w in words if "sealed" in w}
        if rows and active == set():
            assert left_of(folder / "store", rows) == []
            erased += 1
    keys = Keyring(folder / "store" / "consent.keys.json").read()
    assert all(len(epoch.seal_keys) == 1 for epoch in keys), "old keys are gone"
    store.close()
    return erased


def test_kill_9_at_random_points_loses_no_answer_and_revives_no_erased_one(
    nursery: Nursery, tmp_path: Path
) -> None:
    """One store lives through all of it; every process finds it as the last one left it."""
    chance = random.Random(3)
    for _ in range(KILLS):
        wait = chance.uniform(0, 0.2)
        assert nursery.run(folder=str(tmp_path), kill_after=wait) == -signal.SIGKILL
        check(tmp_path)
    assert len(witnessed(tmp_path)) > KILLS / 2


def test_kill_9_before_every_statement_of_a_visit_is_survived(
    nursery: Nursery, tmp_path: Path
) -> None:
    """A yes, half of it taken back, new keys, erased: killed at each place on the way."""
    for statement in itertools.count(1):
        folder = tmp_path / str(statement)
        folder.mkdir()
        if nursery.run(folder=str(folder), turns=1, statement=statement) == 0:
            break
        check(folder)
    assert check(folder) == 1
    assert statement > 40


def test_processes_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    """Four give, take back, erase and rotate at once: each finds its own as it left it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(FOUND_IN)}
    command = [sys.executable, "-m", "consent.working", str(tmp_path), "6"]
    workers = [subprocess.Popen(command, env=environment) for _ in range(4)]
    assert [worker.wait(timeout=100) for worker in workers] == [0, 0, 0, 0]
    assert len(witnessed(tmp_path)) == 24
    assert check(tmp_path) == 12
    assert len(sealed_rows(tmp_path / "store")) == 12


def test_an_erasure_that_a_reader_holds_up_says_so_and_is_finished_later(folder: Path) -> None:
    store, person = ConsentStore(folder, wait_seconds=0.05), secrets.token_hex()
    give(store, person, AGE)
    rows = sealed_rows(folder)
    reader = sqlite3.connect(folder / "consent.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM records").fetchall()
    with pytest.raises(StoreInUse, match="bytes of it may be left"):
        store.erase(person)
    assert store.history(person) == ()
    assert left_of(folder, rows), "the reader still sees it"
    reader.close()
    assert store.erase(person).found == 0
    assert left_of(folder, rows) == []
    store.close()


def test_a_store_that_is_held_refuses_after_a_while(folder: Path) -> None:
    store = ConsentStore(folder, wait_seconds=0.05)
    other = sqlite3.connect(folder / "consent.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreInUse, match="try again"):
        store.active("somebody")
    other.close()
    assert store.active("somebody") == frozenset()
    store.close()


def test_no_file_can_be_read_by_others(folder: Path) -> None:
    before = os.umask(0)
    try:
        store = ConsentStore(folder)
        give(store, secrets.token_hex(), AGE)
        modes = {path.name: path.stat().st_mode & 0o077 for path in folder.iterdir()}
    finally:
        os.umask(before)
    assert len(modes) == 4
    assert set(modes.values()) == {0}
    store.close()


def test_keys_may_lie_elsewhere_so_that_a_copy_of_the_folder_tells_nothing(
    folder: Path, tmp_path: Path
) -> None:
    store, person = ConsentStore(folder, key_file=tmp_path / "keys.json"), secrets.token_hex()
    give(store, person, AGE)
    store.close()
    assert [path.name for path in folder.iterdir()] == ["consent.sqlite"]
    with pytest.raises(ArtifactCorrupt, match="found some missing"):
        ConsentStore(folder)
    store = ConsentStore(folder, key_file=tmp_path / "keys.json")
    assert store.active(person) == {AGE}
    store.close()


def test_after_a_rotation_neither_the_old_keys_nor_what_they_sealed_is_left(folder: Path) -> None:
    store, person = ConsentStore(folder), secrets.token_hex()
    give(store, person, AGE, LOOK)
    rows = sealed_rows(folder)
    keys = json.loads((folder / "consent.keys.json").read_text())[0]["seal_keys"]
    store.rotate()
    assert store.active(person) == {AGE, LOOK}
    assert sealed_rows(folder).keys() == rows.keys()
    old = {keys[0]: next(iter(rows.values()))}
    assert left_of(folder, old) == []
    give(store, person, AGE)
    assert len({record.pseudonym for record in store.history(person)}) == 2
    store.close()


def damaged(folder: Path, statement: str) -> None:
    db = sqlite3.connect(folder / "consent.sqlite")
    db.execute(statement)
    db.commit()
    db.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET sealed = zeroblob(1052) WHERE number = 1",
        "UPDATE records SET id = 'other' WHERE number = 1",
        "UPDATE records SET sealed = (SELECT sealed FROM records WHERE number = 2)",
    ],
)
def test_a_row_that_was_changed_or_moved_is_found(folder: Path, statement: str) -> None:
    store, person = ConsentStore(folder), secrets.token_hex()
    give(store, person, AGE)
    give(store, person, LOOK)
    damaged(folder, statement)
    with pytest.raises(ArtifactCorrupt, match="found it damaged"):
        store.active(person)
    store.close()


def churn(held: LockedRows, seed: int) -> list[bytes]:
    """Add, replace and remove rows of many sizes at random; return the ids of those removed.

    Below the sealing, which makes rows of one size: then their places hardly change.
    """
    draw, there, gone = random.Random(seed), [], []
    insert = "INSERT INTO records (id, epoch, pseudonym, sealed) VALUES (?, 1, ?, ?)"
    for _ in range(800):
        kind = draw.random()
        if kind < 0.5 or not there:
            there.append(draw.randbytes(16).hex())
            values = [there[-1], draw.randbytes(32).hex(), bytes(draw.choice(SIZES))]
            held._db.execute(insert, values)
        elif kind < 0.65:
            values = [bytes(draw.choice(SIZES)), draw.choice(there)]
            held._db.execute("UPDATE records SET sealed = ? WHERE id = ?", values)
        else:
            gone.append(there.pop(draw.randrange(len(there))))
            held._db.execute("DELETE FROM records WHERE id = ?", gone[-1:])
            held.owe()
    return [row_id.encode() for row_id in gone]


def test_a_sweep_removes_what_deleting_with_zeros_leaves_of_rows_that_moved(folder: Path) -> None:
    """Of 30 such seeds 5 leave an id in the slack of a page; the VACUUM of a sweep takes it out."""
    folder.mkdir()
    for seed in range(30):
        path, keyring = folder / f"{seed}.sqlite", Keyring(folder / f"{seed}.json")
        rows = SealedRows(path, keyring, clock=lambda: datetime(2026, 11, 22, tzinfo=UTC))
        with rows.locked() as held:
            gone = churn(held, seed)
        rows._empty_log()
        before = path.read_bytes()
        rows.sweep()
        rows.close()
        assert not [row_id for row_id in gone if row_id in path.read_bytes()]
        if [row_id for row_id in gone if row_id in before]:
            return
    pytest.skip(f"SQLite {sqlite3.sqlite_version} leaves nothing where these rows were")


def test_what_is_no_database_is_refused(folder: Path) -> None:
    folder.mkdir()
    (folder / "consent.sqlite").write_bytes(b"words" * 1000)
    with pytest.raises(ArtifactCorrupt, match="Restore both"):
        ConsentStore(folder)


def test_a_vacuum_leaves_no_copy_in_the_folder_for_temporary_files(folder: Path) -> None:
    store = ConsentStore(folder)
    assert store._rows._db.execute("PRAGMA temp_store").fetchone() == (2,)  # MEMORY
    store.close()
