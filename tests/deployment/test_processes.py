"""Groups of processes, and what they inherit."""

import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest

from discreet.deployment.processes import Child, environment
from discreet.quiet import QUIET

PATIENCE_SECONDS = 120.0
PARENT = """
import pathlib, sys, time
from discreet.deployment.processes import Child
home = pathlib.Path(sys.argv[1])
child = Child.start([sys.executable, "-c", sys.argv[2], sys.argv[1]], home=home)
(home / "pid").write_text(str(child.process.pid))
(home / "pid").rename(home / "group")
time.sleep(1000)
"""
WAITS_FOR_A_LOCK = """
import os, pathlib, subprocess, sys, threading
from discreet.deployment.flower import end_with
end_with(os.getppid())
subprocess.Popen(["sleep", "1000"])
pathlib.Path(sys.argv[1], "up").touch()
threading.Event().wait()
"""


def members(group: int) -> list[str]:
    """States of the processes of a group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of = path.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(of) == group and state != "Z":
            found.append(state)
    return found


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_nothing_of_a_group_is_left(tmp_path: Path) -> None:
    script = f"sleep 1000 & sleep 1000 & touch {tmp_path}/up; wait"
    with Child.start(["sh", "-c", script], home=tmp_path / "home") as child:
        wait_for(tmp_path / "up")
        assert len(members(child.process.pid)) == 3
    assert members(child.process.pid) == []


def test_what_does_not_want_to_end_is_killed(tmp_path: Path) -> None:
    script = f"trap '' TERM; touch {tmp_path}/up; while true; do sleep 0.2; done"
    with Child.start(["sh", "-c", script], home=tmp_path / "home") as child:
        wait_for(tmp_path / "up")
        child.grace_seconds = 0.5
    assert members(child.process.pid) == []


def test_what_outlives_its_leader_is_ended_too(tmp_path: Path) -> None:
    script = f"sleep 1000 & touch {tmp_path}/up"
    with Child.start(["sh", "-c", script], home=tmp_path / "home") as child:
        wait_for(tmp_path / "up")
        assert child.wait(PATIENCE_SECONDS) == 0
        assert not child.is_running
        assert members(child.process.pid)
    assert members(child.process.pid) == []


def test_what_a_killed_process_started_ends_with_it(tmp_path: Path) -> None:
    """Also what waits for a lock, which a SIGINT that another thread raises does not end."""
    command = [sys.executable, "-c", PARENT, str(tmp_path), WAITS_FOR_A_LOCK]
    with subprocess.Popen(command) as parent:
        wait_for(tmp_path / "group")
        wait_for(tmp_path / "up")
        group = int((tmp_path / "group").read_text())
        assert len(members(group)) == 2
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while members(group):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_callers_environment_turns_nothing_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in QUIET:
        monkeypatch.setenv(name, "anything else")
    monkeypatch.setenv("FLWR_HOME", "/elsewhere")
    made = environment(tmp_path)
    assert made["FLWR_TELEMETRY_ENABLED"] == "0"
    assert made["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert made["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == "1"
    assert {name: made[name] for name in QUIET} == QUIET
    assert Path(made["FLWR_HOME"]) == tmp_path
    assert os.environ["FLWR_HOME"] == "/elsewhere"


def test_words_go_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for word in ("one", "two"):
        with Child.start(["echo", word], home=tmp_path, log=log) as child:
            child.wait(PATIENCE_SECONDS)
    assert log.read_text() == "one\ntwo\n"


@pytest.mark.parametrize("name", ["CONTROL", "FLEET"])
def test_no_variable_opens_a_port_beside_the_gate(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = f"FLWR_INTERNAL_GRPC_{name}_API"
    assert door in vars(import_module("flwr.superlink.cli.flower_superlink")).values()
    monkeypatch.setenv(door, "1")
    assert door not in environment(tmp_path)
