"""Each process of a federation is killed in its turn; the run goes on and ends as if it had not."""

import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from federated import tiny
from federated.crashing import with_more_noise
from federated.tiny import tiny_config

from deployment.apps import tiny_app
from deployment.conftest import free_port
from deployment.test_machines import START_SECONDS, Machines, equal, in_one_process
from discreet.artifacts import RunFolder
from discreet.deployment import NodeFolder, create_trial, start_node, start_server, submit
from discreet.deployment.node import Node
from discreet.errors import DeploymentError, FederationError
from discreet.federated import Outcome, TrainConfig, read_checkpoint
from discreet.privacy import PrivacyLedger, epsilon_of

OWNERS = ("owner-0", "owner-1")
CLIENT = """
from pathlib import Path
from federated.crashing import Witness, make_room, watch
from federated.tiny import TinyTask
from discreet.federated import client_app
make_room()
watch(Witness(Path({home!r})))
app = client_app(TinyTask)
"""
DEADLINE_SECONDS = 40.0


def process_in(group: int, program: str) -> int:
    """Wait for a process of a group that runs a program, and return its id."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if program in (folder / "cmdline").read_text() and os.getpgid(
                    int(folder.name)
                ) == group:
                    return int(folder.name)
            except (FileNotFoundError, ProcessLookupError):
                continue
        time.sleep(0.05)
    raise AssertionError(f"no process of {program}")


class Federation:
    """A server and two nodes whose owners have budget for many rounds."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.app = tiny_app(CLIENT.format(home=str(home)))
        folder = create_trial(home / "federation", OWNERS, port=free_port())
        server = start_server(folder, log=home / "server.log")
        self.machines = Machines(folder, server, [], home)
        self.machines.nodes = [self.start(owner) for owner in OWNERS]
        self.machines.wait_for_nodes(2)

    def start(self, owner: str) -> Node:
        folder = NodeFolder.open(self.machines.folder.path / "owners" / owner)
        return start_node(folder, app=self.app, log=self.home / f"{owner}.log")

    def stop(self) -> None:
        for node in self.machines.nodes:
            node.stop()
        self.machines.server.stop()

    def mend(self) -> None:
        """Start again what is dead, and end what it left."""
        machines = self.machines
        if not machines.server.child.is_running:
            machines.server.stop()
            machines.server = start_server(machines.folder, log=self.home / "server.log")
        for index, (node, owner) in enumerate(zip(machines.nodes, OWNERS, strict=True)):
            if not node.child.is_running:
                node.stop()
                machines.nodes[index] = self.start(owner)
        machines.wait_for_nodes(2)

    def victim(self, name: str) -> int:
        """Return the id of a process, once it is there."""
        server, node = self.machines.server.child, self.machines.nodes[1].child
        if name == "SuperLink":
            return server.process.pid
        if name == "SuperNode":
            return node.process.pid
        group = server.process.pid if name == "flwr-serverapp" else node.process.pid
        return process_in(group, name)

    def submit(self, config: TrainConfig, run: RunFolder) -> Outcome:
        return submit(config, run, self.machines.folder, app=self.app)

    def check(self) -> None:
        """See that owners are charged for all that they began."""
        witness = self.home / "witness.log"
        drawn = Counter(witness.read_text().split() if witness.exists() else [])
        for owner in OWNERS:
            path = self.machines.folder.path / "owners" / owner / "ledger.jsonl"
            ledger = PrivacyLedger.open(path)
            if not ledger.owners():
                assert not drawn[owner]
                continue
            (name,) = ledger.owners()
            account = ledger.account(name)
            assert sum(entry.steps_counted for entry in account.entries) >= drawn[owner]
            true = epsilon_of(
                [account.plan.event(drawn[owner])], account.plan.delta, account.plan.accountant
            )
            assert ledger.spent(name).epsilon >= true


@pytest.mark.slow
def test_each_process_may_be_killed_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both owners are needed in every round, so that its end is that of a run in one process."""
    config = tiny_config(
        num_rounds=4,
        min_replies=2,
        max_update_norm=1e6,
        round_timeout_seconds=DEADLINE_SECONDS,
    )
    chance = random.Random(5)
    run = RunFolder.create(tmp_path / "run")
    federation = Federation(tmp_path)
    try:
        for name in ("flwr-clientapp", "SuperLink", "flwr-serverapp", "SuperNode"):

            def kill(name: str = name) -> None:
                victim = federation.victim(name)
                time.sleep(chance.uniform(0, 4))
                os.kill(victim, signal.SIGKILL)

            before = time.monotonic()
            killer = threading.Thread(target=kill)
            killer.start()
            try:
                federation.submit(config, run)
            except (DeploymentError, FederationError) as error:
                print(name, error)
            killer.join()
            federation.mend()
            federation.check()
            print(name, time.monotonic() - before, read_checkpoint(run) and read_checkpoint(run).rounds_done)
        outcome = federation.submit(config, run)
    finally:
        federation.stop()
    assert (outcome.rounds_done, outcome.ended) == (4, "completed")
    replies = [line["value"] for line in run.read_metrics() if line["name"] == "replies"]
    assert replies == [2, 2, 2, 2]
    federation.check()
    monkeypatch.setattr(tiny, "plan_of", with_more_noise(tiny.plan_of))
    assert equal(outcome, in_one_process(config, tmp_path))
