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
from deployment.test_machines import OWNERS, START_SECONDS, Machines, equal, in_one_process
from discreet.artifacts import RunFolder
from discreet.deployment import Child, NodeFolder, create_trial, start_node, start_server, submit
from discreet.errors import DeploymentError, FederationError
from discreet.federated import Outcome, TrainConfig
from discreet.privacy import PrivacyLedger, epsilon_of

CLIENT = """
from pathlib import Path
from federated.crashing import Witness, make_room, watch
from federated.tiny import TinyTask
from discreet.federated import client_app
make_room()
watch(Witness(Path({home!r})))
app = client_app(TinyTask)
"""
DEADLINE_SECONDS = 150.0
"""Flower tells of a node or an app that is gone after a minute; a round may take as long."""
TRIES = 3


def process_in(group: int, program: str) -> int:
    """Wait for a process of a group that runs a program, and return its id."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if (
                    program in (folder / "cmdline").read_text()
                    and os.getpgid(int(folder.name)) == group
                ):
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

    def start(self, owner: str) -> Child:
        folder = NodeFolder.open(self.machines.folder.path / "owners" / owner)
        return start_node(folder, app=self.app, log=self.home / f"{owner}.log")

    def stop(self) -> None:
        for node in self.machines.nodes:
            node.stop()
        self.machines.server.stop()

    def mend(self) -> None:
        """Start again what is dead, and end what it left."""
        machines = self.machines
        if not machines.server.is_running:
            machines.server.stop()
            machines.server = start_server(machines.folder, log=self.home / "server.log")
        for index, (node, owner) in enumerate(zip(machines.nodes, OWNERS, strict=True)):
            if not node.is_running:
                node.stop()
                machines.nodes[index] = self.start(owner)
        machines.wait_for_nodes(2)

    def victim(self, name: str) -> int:
        """Return the id of a process, once it is there."""
        server, nodes = self.machines.server, self.machines.nodes
        if name == "the server":
            return server.process.pid
        if name == "a node":
            return nodes[1].process.pid
        group = nodes[0] if name == "flwr-clientapp" else server
        return process_in(group.process.pid, name)

    def submit(self, config: TrainConfig, run: RunFolder, *victims: str) -> Outcome | None:
        """Submit the run and kill; return how it ended, or None if it was stopped."""

        def kill() -> None:
            for name in victims:
                victim = self.victim(name)
                time.sleep(chance.uniform(0, 4))
                os.kill(victim, signal.SIGKILL)
            if "flwr-serverapp" in victims:  # Flower waits a minute; the operator does not
                time.sleep(3)
                os.kill(os.getpid(), signal.SIGINT)

        chance = random.Random(str(victims))
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            return submit(config, run, self.machines.folder, app=self.app)
        except (DeploymentError, FederationError, KeyboardInterrupt):
            return None
        finally:
            killer.join()
            self.mend()
            self.check()

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
@pytest.mark.timeout(1800)
def test_each_process_may_be_killed_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both owners are needed in every round, so that its end is that of a run in one process."""
    config = tiny_config(
        min_replies=2,
        max_update_norm=1e6,
        round_timeout_seconds=DEADLINE_SECONDS,
        node_wait_seconds=START_SECONDS,
    )
    run = RunFolder.create(tmp_path / "run")
    federation = Federation(tmp_path)
    try:
        for victims in (("flwr-clientapp", "a node"), ("flwr-serverapp",), ("the server",)):
            assert federation.submit(config, run, *victims) is None
        outcome = None
        for _ in range(TRIES):  # a busy machine may need longer for a round than the plan allows
            outcome = outcome or federation.submit(config, run)
    finally:
        federation.stop()
    assert outcome is not None
    assert (outcome.rounds_done, outcome.ended) == (2, "completed")
    replies = [line["value"] for line in run.read_metrics() if line["name"] == "replies"]
    assert replies == [2, 2]
    federation.check()
    monkeypatch.setattr(tiny, "plan_of", with_more_noise(tiny.plan_of))
    assert equal(outcome, in_one_process(config, tmp_path))
