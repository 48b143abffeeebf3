"""Whatever kills a forgetting: no account says less than was drawn, no receipt too much."""

import json
import shutil
import signal
from collections import Counter
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


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_kill_at_any_write_leaves_accounts_whole_and_a_job_that_goes_on(
    tmp_path: Path, kills: int
) -> None:
    with Nursery.of("erasure.dying") as nursery:
        start = tmp_path / "start"
        start.mkdir()
        assert nursery.run(folder=str(start)) == 0
        ledger = (start / "first" / "ledger.jsonl").read_bytes()
        whole = shutil.copytree(start, tmp_path / "whole")
        assert nursery.run(folder=str(whole)) == 0
        calls = json.loads((whole / "report.json").read_text())["calls"]
        every = calls // (kills + 1)
        for die_at in range(every, calls, every):
            home = shutil.copytree(start, tmp_path / str(die_at))
            assert nursery.run(folder=str(home), die_at=die_at) == KILLED
            check(home, ledger)
            assert nursery.run(folder=str(home)) == 0
            check(home, ledger)
            assert json.loads((home / "report.json").read_text())["how"] == "exact"
            one, other = (state_of(RunFolder(h / "next")) for h in (home, whole))
            assert all(torch.equal(one[name], other[name]) for name in one)
            shutil.rmtree(home)
