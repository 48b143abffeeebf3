"""`discreet train` killed with SIGKILL and taken up again by `--resume`, as a person does it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from discreet.artifacts import RunFolder, sha256_of_folder
from discreet.federated import TrainConfig, plan_of, read_checkpoint
from discreet.privacy import PrivacyLedger
from discreet.registry import read_card

PATIENCE_SECONDS = 480.0
"""Servers, nodes and their apps import for tens of seconds each on a busy machine."""
ORPHAN_SECONDS = 60.0


@contextmanager
def command(*words: object, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `discreet train`; what is left of it at the end is killed."""
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "discreet", "train", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=stream,
            start_new_session=True,
        )
    with process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_for_orphans(folder: Path) -> None:
    """Wait until a killed command's server and nodes have noticed, and ended."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    while any(str(folder) in words for words in command_lines()):
        assert time.monotonic() < deadline
        time.sleep(0.5)


def command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            yield path.read_text()


def charged(ledger: Path) -> dict[str, int]:
    book = PrivacyLedger.open(ledger)
    return {str(o): sum(e.steps_counted for e in book.entries(o)) for o in book.owners()}


@pytest.mark.slow
@pytest.mark.timeout(2 * PATIENCE_SECONDS + ORPHAN_SECONDS)
@pytest.mark.parametrize("driver", ["local", "deployment"])
def test_a_killed_command_goes_on_with_what_is_on_disk(
    portraits_file: Path, tmp_path: Path, driver: str
) -> None:
    """Noise is calibrated for the rounds of the plan: whoever trained for a lost one sits out."""
    plan, log, run = tmp_path / "plan.toml", tmp_path / "log", RunFolder(tmp_path / "run")
    rate = "sample_rate = 0.5\n" if driver == "local" else ""  # of few people, or of the packaged
    plan.write_text(f"{rate}min_replies = 1\nnode_wait_seconds = 240.0\n")
    sizes = ("--base", "tiny", "--owners", 2, "--rounds", 3, "--steps", 1)
    where = ("--data", portraits_file) if driver == "local" else ("--driver", driver)
    with command(plan, *sizes, *where, "--out", run.path, log=log) as killed:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not run.checkpoint_path.exists():
            assert killed.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(random.Random(driver).uniform(0, 0.5))
        os.kill(killed.pid, signal.SIGKILL)
    wait_for_orphans(run.path)
    last = read_checkpoint(run)
    assert last is not None
    with command("--resume", run.path, *where, "--json", log=log) as resumed:
        out, _ = resumed.communicate(timeout=PATIENCE_SECONDS)
    assert resumed.returncode == 0, log.read_text()
    said, card, config = json.loads(out), read_card(run), TrainConfig.load(run.config_path)
    assert said["ended"] in ("completed", "budget_exhausted")
    assert last.rounds_done <= said["rounds_done"] == card.rounds_done <= 3
    assert card.adapter_sha256 == sha256_of_folder(run.adapter_dir)
    rounds = [line["round"] for line in run.read_metrics() if line["name"] == "replies"]
    assert rounds == list(range(1, said["rounds_done"] + 1))
    ledgers = [run.ledger_path] if driver != "deployment" else run.path.rglob("ledger.jsonl")
    spent = {owner: steps for ledger in ledgers for owner, steps in charged(ledger).items()}
    assert spent.keys() == {"owner-0", "owner-1"}
    assert max(spent.values()) <= plan_of(config).steps
    assert sum(spent.values()) >= said["rounds_done"]
