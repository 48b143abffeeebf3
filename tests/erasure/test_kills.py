"""Whatever kills a forgetting: no account says less than was drawn, no receipt too much."""

import json
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from nursery import Nursery

from discreet.artifacts import RunFolder
from discreet.erasure import RECEIPT
from discreet.federated import State, read_checkpoint
from discreet.privacy import PrivacyLedger
from discreet.registry import is_withdrawn

KILLED = -signal.SIGKILL
BEFORE = 6
"""Steps that each owner took in the run before."""
PARTS = 21
"""Of all writes; a forgetting is killed between each and the next."""
THIRDS = [PARTS // 3, 2 * PARTS // 3]
OTHERS = [part for part in range(1, PARTS) if part not in THIRDS]


def steps_of(run: RunFolder) -> dict[str, int]:
    ledger = PrivacyLedger.open(run.ledger_path)
    return {str(o): sum(e.steps_counted for e in ledger.entries(o)) for o in ledger.owners()}


def state_of(run: RunFolder) -> State:
    last = read_checkpoint(run)
    assert last is not None
    return last.adapter


def check(home: Path, ledger: bytes) -> None:
    """What has to hold at any moment."""
    first, following = RunFolder(home / "first"), RunFolder(home / "next")
    assert first.ledger_path.read_bytes() == ledger
    witness = home / "witness.log"
    drawn = Counter(witness.read_text().split()) if witness.exists() else Counter()
    assert "owner-1" not in drawn
    if following.path.exists():
        charged = steps_of(following)
        assert charged.keys() == {"owner-0", "owner-2"}
        assert all(charged[o] - BEFORE >= drawn[o] for o in charged)
    else:
        assert not drawn
        assert first.checkpoint_path.exists(), "nothing is erased before accounts are safe"
    if (first.path / RECEIPT).exists():
        assert is_withdrawn(first)
        assert not first.checkpoint_path.exists()
        assert not first.adapter_dir.exists()
        receipt = json.loads((first.path / RECEIPT).read_text())
        if receipt["retraining"] == "exact":
            last = read_checkpoint(following)
            assert last is not None
            assert last.rounds_done == 2


@dataclass(frozen=True)
class Trained:
    """A run to be gone on with, and how its forgetting ends that nobody disturbs."""

    nursery: Nursery
    start: Path
    ledger: bytes
    end: State
    calls: int


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    home = tmp_path_factory.mktemp("trained")
    start = home / "start"
    start.mkdir()
    with Nursery.of("erasure.dying") as nursery:
        assert nursery.run(folder=str(start)) == 0
        ledger = (start / "first" / "ledger.jsonl").read_bytes()
        whole = shutil.copytree(start, home / "whole")
        assert nursery.run(folder=str(whole)) == 0
        calls = json.loads((whole / "report.json").read_text())["calls"]
        yield Trained(nursery, start, ledger, state_of(RunFolder(whole / "next")), calls)


@pytest.mark.parametrize("parts", [THIRDS, pytest.param(OTHERS, marks=pytest.mark.slow)])
def test_a_kill_at_any_write_leaves_accounts_whole_and_a_job_that_goes_on(
    trained: Trained, tmp_path: Path, parts: list[int]
) -> None:
    nursery, ledger = trained.nursery, trained.ledger
    for part in parts:
        home = shutil.copytree(trained.start, tmp_path / str(part))
        assert nursery.run(folder=str(home), die_at=trained.calls * part // PARTS) == KILLED
        check(home, ledger)
        assert nursery.run(folder=str(home)) == 0
        check(home, ledger)
        assert json.loads((home / "report.json").read_text())["how"] == "exact"
        end = state_of(RunFolder(home / "next"))
        assert all(torch.equal(end[name], trained.end[name]) for name in end)
        shutil.rmtree(home)
