"""A server and nodes as real processes on this machine, with TLS and node keys."""

import os
import signal
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from federated.conftest import packed
from federated.tiny import FROZEN, TinyTask, tiny_config
from flwr.app.message import remove_content_from_message
from flwr.clientapp import ClientApp
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.message_pb2 import PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.inflatable.inflatable_object import get_object_tree
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from deployment.apps import CLIENT, tiny_app
from deployment.conftest import free_port
from deployment.test_processes import members
from discreet.artifacts import RunFolder
from discreet.deployment import (
    Child,
    NodeFolder,
    NodeSettings,
    ServerFolder,
    ServerSettings,
    certificates,
    create_trial,
    kit_app,
    open_control,
    start_node,
    start_server,
    submit,
)
from discreet.deployment.bundle import build
from discreet.errors import DeploymentError, FederationError
from discreet.federated import LocalGrid, Outcome, TrainConfig, messages, run_federation
from discreet.quiet import QUIET

START_SECONDS = 180.0
"""Processes import for tens of seconds on a busy machine, and a new server waits for heartbeats."""
OWNERS = ("owner-0", "owner-1")


@dataclass
class Machines:
    """A federation that runs; the server may be another one after a test."""

    folder: ServerFolder
    server: Child
    nodes: list[Child]
    logs: Path

    def wait_for_nodes(self, count: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        with open_control(self.folder) as control:
            while control.count_connected() < count:
                assert time.monotonic() < deadline
                time.sleep(0.5)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """A server and two nodes that run the tiny app."""
    path = tmp_path_factory.mktemp("machines")
    folder = create_trial(path / "federation", OWNERS, port=free_port())
    server = start_server(folder, log=path / "server.log")
    nodes = []
    for name in OWNERS:
        node = NodeFolder.open(folder.path / "owners" / name)
        nodes.append(start_node(node, app=tiny_app(), log=path / f"{name}.log"))
    running = Machines(folder, server, nodes, path)
    groups = [server.process.pid, *(node.process.pid for node in nodes)]
    running.wait_for_nodes(2)
    yield running
    for node in nodes:
        node.stop()
    running.server.stop()
    for group in (*groups, running.server.process.pid):
        assert members(group) == []


def joined(path: Path, folder: ServerFolder, ca: Path | None = None) -> NodeFolder:
    """A node of somebody who was not admitted."""
    settings = NodeSettings(superlink=f"localhost:{folder.settings().port}", site={"owner": "x"})
    ca = ca or folder.authority.certificate
    return NodeFolder.create(path, name="stranger", ca_certificate=ca, settings=settings)


@pytest.mark.slow
def test_processes_are_quiet_and_show_no_secret(machines: Machines) -> None:
    folders = [NodeFolder.open(machines.folder.path / "owners" / name) for name in OWNERS]
    secrets = [
        *machines.folder.operator_key.read_text().split(),
        *machines.folder.key.read_text().split("\n")[1:-2],
        *folders[0].key.read_text().split("\n")[1:-2],
    ]
    leaders = [machines.server, *machines.nodes]
    homes = [machines.folder.flower_home, *(folder.flower_home for folder in folders)]
    for child, home in zip(leaders, homes, strict=True):
        proc = Path("/proc") / str(child.process.pid)
        seen = dict(word.partition("=")[::2] for word in (proc / "environ").read_text().split("\0"))
        assert {name: seen[name] for name in QUIET} == QUIET
        assert seen["FLWR_HOME"] == str(home)
        words = (proc / "cmdline").read_text() + "".join(seen.values())
        assert not any(secret in words for secret in secrets)
        assert "partition" not in words
    logs = "".join(path.read_text() for path in machines.logs.glob("*.log"))
    assert "SuperNode ID" in logs
    assert not any(secret in logs for secret in secrets)


@pytest.mark.slow
def test_whoever_lacks_the_operators_key_starts_nothing(machines: Machines, tmp_path: Path) -> None:
    address = machines.folder.settings().local_address
    trust = ssl.create_default_context(cafile=str(machines.folder.authority.certificate))
    for path in ("start-run", "list-runs", "register-node"):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"https://{address}/v1/control/{path}", b"", context=trust)
        with error.value:
            assert error.value.code == 403
    machines.folder.operator_key.rename(tmp_path / "kept")
    try:
        machines.folder.operator_key.write_text("guessed")
        with (
            pytest.raises(DeploymentError, match="403"),
            open_control(machines.folder) as control,
        ):
            control.count_connected()
    finally:
        (tmp_path / "kept").replace(machines.folder.operator_key)


@pytest.mark.slow
def test_a_node_that_was_not_admitted_is_refused(machines: Machines, tmp_path: Path) -> None:
    log = tmp_path / "stranger.log"
    with start_node(joined(tmp_path / "stranger", machines.folder), log=log) as node:
        assert node.wait(START_SECONDS) != 0
    assert "SuperNode ID" not in log.read_text()
    with open_control(machines.folder) as control:
        assert control.count_connected() == 2


@pytest.mark.slow
def test_a_server_that_another_authority_vouches_for_is_refused(
    machines: Machines, tmp_path: Path
) -> None:
    other = ServerFolder.create(tmp_path / "other", ServerSettings(host="localhost"))
    folder = joined(tmp_path / "node", machines.folder, ca=other.authority.certificate)
    with pytest.raises(DeploymentError, match=r"unable to get local issuer|self.signed"):
        start_node(folder)
    assert not folder.app.exists()


@pytest.mark.slow
def test_a_node_runs_no_program_but_its_own(machines: Machines, tmp_path: Path) -> None:
    """A server's operator sends an app that would write a file; the nodes go on."""
    proof = tmp_path / "ran"
    evil = tiny_app(f"open({str(proof)!r}, 'w')\n{CLIENT}")
    config = tiny_config(num_rounds=1, node_wait_seconds=10.0)
    with pytest.raises(FederationError, match="failed"):
        submit(config, RunFolder.create(tmp_path / "run"), machines.folder, app=evil)
    assert not proof.exists()
    assert all(node.is_running for node in machines.nodes)
    assert "could not verify" in (machines.logs / "owner-0.log").read_text()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_goes_on_after_the_server_was_killed(machines: Machines, tmp_path: Path) -> None:
    """Its end is that of the same plan in one process, to the last bit."""
    config = tiny_config(
        num_rounds=3,  # the first may be told of late, when the second is done too
        spare_rounds=2,  # a round that the kill cut short is paid for again
        node_wait_seconds=START_SECONDS,
    )
    run = RunFolder.create(tmp_path / "run")
    killed = machines.server.process.pid

    def kill(done: int) -> None:
        os.kill(killed, signal.SIGKILL)

    with pytest.raises(DeploymentError, match="same command again"):
        submit(config, run, machines.folder, app=tiny_app(), on_round=kill)
    machines.server.stop()
    assert members(killed) == []
    machines.server = start_server(machines.folder, log=machines.logs / "server.log")
    done: list[int] = []
    outcome = submit(config, run, machines.folder, app=tiny_app(), on_round=done.append)
    assert (outcome.rounds_done, outcome.ended) == (3, "completed")
    assert done in ([2, 3], [3])
    assert equal(outcome, in_one_process(config, tmp_path))
    replies = [line["value"] for line in run.read_metrics() if line["name"] == "replies"]
    assert replies == [2, 2, 2]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_node_gives_no_instruction_to_another(machines: Machines, tmp_path: Path) -> None:
    """An admitted one pushes a request to train as if it were the server, while a run is on."""
    plan = tiny_config(num_owners=3, min_replies=3, node_wait_seconds=START_SECONDS)
    settings = {**plan.as_mapping(), "run_folder": str(tmp_path / "run")}
    hostile, victim = (machines.folder.path / "owners" / name for name in OWNERS)
    log, ledger = machines.logs / f"{victim.name}.log", victim / "ledger.jsonl"
    with open_control(machines.folder) as control, calling_as(hostile, machines.folder) as call:
        ids = {found.owner: found.node for found in control.nodes_of(machines.folder.admitted())}
        run_id = control.start_run(build(tiny_app(), settings))
        try:
            until(lambda: control.state_of(run_id).status == "running")
            before = log.read_text(), ledger.exists() and ledger.read_bytes()
            forged = forged_request(plan, run_id, ids[hostile.name], ids[victim.name])
            with pytest.raises(httpx.HTTPStatusError, match="403") as refused:
                call.PushMessages(forged)
            assert "permission" in refused.value.response.text, "a run that is over says otherwise"
            with pytest.raises(httpx.HTTPStatusError, match="413"):
                call.PushObject(PushObjectRequest(object_content=bytes(9 * 2**20)))
            time.sleep(8.0)  # nodes look for work every three seconds
            assert (log.read_text(), ledger.exists() and ledger.read_bytes()) == before
        finally:
            control.stop_run(run_id)


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.3)


@contextmanager
def calling_as(node: Path, folder: ServerFolder) -> Iterator[FleetHttpClient]:
    """Flower's interface for nodes, used with a node's key by a program of its own."""
    private = load_ssh_private_key(NodeFolder.open(node).key.read_bytes(), password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    authority = folder.authority.certificate.read_bytes()
    signing = NodeAuthHttpInterceptor(private, private.public_key())
    with FleetHttpClient.from_server_address(
        folder.settings().local_address, False, authority, interceptors=[signing]
    ) as client:
        yield client


def forged_request(plan: TrainConfig, run_id: int, caller: int, victim: int) -> PushMessagesRequest:
    """A request of `caller` that holds what the server would send to `victim`."""
    state = packed(TinyTask(plan).initial_state())
    with LocalGrid(ClientApp(), []).activated():
        ask = messages.ask(state, server_round=1, frozen_hash=FROZEN, run="r", node_id=victim)
    ask.metadata.__dict__.update(_run_id=run_id, _src_node_id=1)
    told = message_to_proto(remove_content_from_message(ask))
    told.metadata.message_id = ask.object_id
    return PushMessagesRequest(
        node=Node(node_id=caller),
        messages_list=[told],
        message_object_trees=[get_object_tree(ask)],
    )


def in_one_process(config: TrainConfig, path: Path) -> Outcome:
    return run_federation(config, RunFolder.create(path / "local"), TinyTask(config))


def equal(one: Outcome, other: Outcome) -> bool:
    return set(one.state) == set(other.state) and all(
        torch.equal(one.state[name], other.state[name]) for name in one.state
    )


def expire(folder: ServerFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the server a certificate that ran out yesterday."""
    with monkeypatch.context() as patch:
        patch.setattr(certificates, "SERVER_DAYS", -1)
        patch.setattr(certificates, "SKEW", certificates.timedelta(days=9))
        folder.renew()


def test_a_server_with_an_expired_certificate_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = create_trial(tmp_path / "federation", ["a"])
    expire(folder, monkeypatch)
    with pytest.raises(DeploymentError, match="expired on .*discreet federation renew"):
        start_server(folder)
    assert not folder.flower_home.exists()


def test_a_server_without_an_admitted_owner_does_not_start(tmp_path: Path) -> None:
    folder = ServerFolder.create(tmp_path / "federation", ServerSettings(host="localhost"))
    with pytest.raises(DeploymentError, match="discreet federation admit"):
        start_server(folder)
    folder.key.chmod(0o644)
    with pytest.raises(DeploymentError, match="mode 0644"):
        start_server(folder)


def test_a_node_refuses_a_server_with_an_expired_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = create_trial(tmp_path / "federation", ["a"], port=free_port())
    expire(folder, monkeypatch)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder.certificate, folder.key)
    with socket.create_server(("127.0.0.1", folder.settings().port)) as listener:

        def shake_hands() -> None:
            connection, _ = listener.accept()
            with connection, pytest.raises(ssl.SSLError):
                context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=shake_hands)
        thread.start()
        with pytest.raises(DeploymentError, match="certificate has expired"):
            start_node(NodeFolder.open(folder.path / "owners" / "a"))
        thread.join(10)


def test_a_node_without_its_key_file_mode_does_not_start(tmp_path: Path) -> None:
    folder = create_trial(tmp_path / "federation", ["a"])
    node = NodeFolder.open(folder.path / "owners" / "a")
    node.key.chmod(0o604)
    with pytest.raises(DeploymentError, match="mode 0604"):
        start_node(node, app=kit_app())
