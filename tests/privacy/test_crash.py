"""Whatever kills a training process: what it released is counted, and its adapter is whole."""

import hashlib
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from nursery import Nursery

from discreet.errors import LedgerInUse
from discreet.privacy import PrivacyLedger, epsilon_of

from .crashing import OWNER, PLAN, STEPS, Session

KILLS = 50
NOTHING = "no adapter yet"


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery.of("privacy.crashing") as nursery:
        yield nursery


class Owner:
    """What is on an owner's disk, as somebody sees it who was not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.standing = NOTHING
        self.read = 0

    @property
    def ledger(self) -> PrivacyLedger:
        return PrivacyLedger.open(self.folder / "ledger.jsonl")

    def released(self) -> int:
        """Return how many steps released noise, by the witness."""
        return self._witnessed().count("release")

    def counted(self) -> int:
        """Return how many steps count, by the ledger."""
        return sum(entry.steps_counted for entry in self.ledger.entries(OWNER))

    def check(self) -> None:
        """See that nothing is understated, and that the adapter is that before or after a call."""
        if OWNER not in self.ledger.owners():
            assert self.released() == 0
            return
        true = epsilon_of([PLAN.event(max(1, self.released()))], PLAN.delta, PLAN.accountant)
        assert self.released() == 0 or self.ledger.spent(OWNER).epsilon >= true, "understated"
        new = self._witnessed()[self.read :]
        self.read += len(new)
        states = [self.standing, *(line.split()[1] for line in new if line != "release")]
        adapter = self.folder / "adapter.safetensors"
        found = hashlib.sha256(adapter.read_bytes()).hexdigest() if adapter.exists() else NOTHING
        assert found in states[-2:]
        self.standing = found

    def _witnessed(self) -> list[str]:
        witness = self.folder / "witness.log"
        return witness.read_text().splitlines() if witness.exists() else []


def delays(seconds: float, seed: int) -> Iterator[float]:
    """Yield waiting times before a kill, spread over a session; at most 200."""
    chance = random.Random(seed)
    return (chance.uniform(0, seconds) for _ in range(200))


def session_seconds(nursery: Nursery, folder: Path) -> float:
    """Return how long a session takes that nobody disturbs."""
    folder.mkdir()
    began = time.monotonic()
    assert nursery.run(work="train", folder=str(folder)) == 0
    return time.monotonic() - began


def test_kill_9_at_50_random_points_understates_nothing_and_breaks_no_adapter(
    nursery: Nursery, tmp_path: Path
) -> None:
    """One account lives through all of it: each session resumes what the last one left."""
    seconds = session_seconds(nursery, tmp_path / "undisturbed")
    owner = Owner(tmp_path)
    killed, waits = 0, delays(seconds, seed=3)
    while killed < KILLS:  # some end by themselves before
        killed += (
            nursery.run(work="train", folder=str(tmp_path), kill_after=next(waits))
            == -signal.SIGKILL
        )
        owner.check()

    before = owner.released()
    assert nursery.run(work="train", folder=str(tmp_path)) == 0
    owner.check()
    assert owner.released() > before > 0

    entries = owner.ledger.entries(OWNER)
    unsettled = [entry for entry in entries if not entry.is_settled]
    assert 0 < len(unsettled) <= killed
    # Between reserving and settling at most STEPS are counted that were not released.
    assert owner.released() <= owner.counted() <= owner.released() + STEPS * killed
    assert owner.ledger.spent(OWNER).epsilon == epsilon_of(
        [PLAN.event(owner.counted())], PLAN.delta, PLAN.accountant
    )


def test_the_check_finds_steps_that_are_reserved_after_they_were_taken(
    nursery: Nursery, tmp_path: Path
) -> None:
    """A kill hits between release and record more often than not: 200 of them do not all miss."""
    seconds = session_seconds(nursery, tmp_path / "undisturbed")
    owner = Owner(tmp_path)

    def kill_and_check() -> None:
        for delay in delays(seconds, seed=4):
            work = "train_and_reserve_afterwards"
            nursery.run(work=work, folder=str(tmp_path), kill_after=delay)
            owner.check()

    with pytest.raises(AssertionError, match="understated"):
        kill_and_check()


def outcome_of(nursery: Nursery, work: str, folder: Path) -> dict[str, object]:
    assert nursery.run(work=work, folder=str(folder)) == 0
    outcome: dict[str, object] = json.loads((folder / "report.json").read_text())
    return outcome


def test_nothing_is_trained_if_the_disk_is_too_full_to_reserve(
    nursery: Nursery, tmp_path: Path
) -> None:
    outcome = outcome_of(nursery, "reserve_on_a_full_disk", tmp_path)
    assert outcome == {"error": "OSError", "moved": False}
    owner = Owner(tmp_path)
    assert owner.released() == owner.counted() == STEPS


@pytest.mark.parametrize(
    ("work", "error", "released"),
    [("settle_on_a_full_disk", "", STEPS), ("fail_on_a_full_disk", "ZeroDivisionError", 2)],
)
def test_all_that_was_reserved_counts_if_the_disk_is_too_full_to_settle(
    nursery: Nursery, tmp_path: Path, work: str, error: str, released: int
) -> None:
    """What was trained is not lost, and an error of the training is not hidden."""
    outcome = outcome_of(nursery, work, tmp_path)
    assert (outcome["error"], outcome["moved"]) == (error, True)
    assert [f"of {STEPS} reserved steps" in words for words in outcome["warned"]] == [True]
    owner = Owner(tmp_path)
    assert (owner.released(), owner.counted()) == (released, STEPS)
    (entry,) = owner.ledger.entries(OWNER)
    assert not entry.is_settled


def test_a_second_process_is_refused_until_the_first_is_dead(
    nursery: Nursery, tmp_path: Path
) -> None:
    child = nursery.start(work="train_without_end", folder=str(tmp_path))
    deadline = time.monotonic() + 60
    while not (tmp_path / "inside").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    owner, second = Owner(tmp_path), Session(tmp_path)
    with pytest.raises(LedgerInUse, match="another process trains"):
        second.train()
    assert (owner.released(), owner.counted()) == (1, STEPS)
    os.kill(child, signal.SIGKILL)
    assert nursery.end() == -signal.SIGKILL
    second.train()
    assert (owner.released(), owner.counted()) == (1 + STEPS, 2 * STEPS)
