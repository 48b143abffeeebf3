"""What is compared with Flower is the same training, and memory is that of every process."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from discreet.bench import Driven, as_flower_table, compare_with_flower
from discreet.bench.flower import DRIVERS, _cpu_seconds, _Owner, _pss_mib, _started_by
from discreet.bench.scale import plan_for, task_of
from discreet.federated import Assignment
from discreet.privacy import PrivacyLedger
from discreet.types import OwnerId

OWNER = OwnerId("owner-1")


def test_an_owner_of_flower_trains_as_ours_does(tmp_path: Path) -> None:
    """From one seed both give the same adapter, bit by bit."""
    plan = replace(plan_for(2, per_round=2, rounds=1, local_steps=2), reproducible=True)
    task = task_of(plan)
    start = task.initial_state()
    arrays, _, said = _Owner(task, OWNER).fit([start[name].numpy() for name in start], {})
    ours = task.train(
        start,
        owner=OWNER,
        assignment=Assignment(server_round=1, learns=frozenset(start), rank=plan.lora_r),
        ledger=PrivacyLedger.open(tmp_path / "ledger.jsonl"),
        on_step=None,
    )
    assert said == {}
    for array, (name, value) in zip(arrays, ours.state.items(), strict=True):
        assert torch.equal(torch.from_numpy(array), value)
        assert not torch.equal(value, start[name])


def test_processes_of_processes_are_found_with_their_memory() -> None:
    inner = "import time; print(flush=True); time.sleep(60)"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    with subprocess.Popen([sys.executable, "-c", outer], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = list(_started_by(os.getpid()))
        children = list(_started_by(process.pid))
        assert process.pid in found
        assert len(children) == 1
        assert set(children) < set(found)
        assert all(_pss_mib(child) > 0.5 for child in children)
        os.kill(children[0], 9)
    assert _pss_mib(children[0]) == 0
    assert list(_started_by(process.pid)) == []
    assert _cpu_seconds(os.getpid()) == pytest.approx(time.process_time(), abs=0.2)


def test_a_row_says_who_ran_what() -> None:
    one = Driven(
        driver="Flower",
        base="tiny",
        owners=4,
        rounds=2,
        local_steps=1,
        wall_seconds=12.34,
        cpu_seconds=5.67,
        peak_mib=2345.6,
        processes=9,
    )
    row = as_flower_table([one]).splitlines()[-1]
    assert row == "| Flower | tiny | 4 | 2 | 12.3 | 5.7 | 9 | 2,346 |"


@pytest.mark.slow
def test_flower_takes_more_memory_than_one_resident_base() -> None:
    pytest.importorskip("ray")
    ours, flower = compare_with_flower("tiny", owners=2, rounds=1)
    assert (ours.driver, flower.driver) == DRIVERS
    assert ours.processes < flower.processes
    assert ours.peak_mib < flower.peak_mib
    assert 0 < ours.cpu_seconds < flower.cpu_seconds
