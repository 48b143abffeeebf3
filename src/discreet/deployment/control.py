"""What the operator of a server asks of it: nodes, runs, health.

A thin client of Flower's control interface, from the server's own machine and with the operator's
key. It starts no process and knows no plan.
"""

import hashlib
import http.client
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.proto.fab_pb2 import Fab
from flwr.proto.node_pb2 import NodeInfo
from flwr.proto.run_pb2 import RunStatus
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext

from discreet.deployment.flower import OPERATOR_HEADER
from discreet.deployment.folders import ServerFolder
from discreet.errors import DeploymentError

_ONLINE, _FINISHED = "online", "finished"
_BEFORE_REASON = "ServerApp failed with exception: "
"""What Flower puts before the words of an error."""
_HEALTH_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class RunState:
    """How a run stands, in Flower's words."""

    status: str
    """`pending`, `starting`, `running` or `finished`."""
    outcome: str
    """`completed`, `failed` or `stopped` once finished."""
    details: str
    """Why it failed, as the server's app said it."""

    @property
    def is_finished(self) -> bool:
        """Say whether nothing more will happen."""
        return self.status == _FINISHED


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnerNode:
    """An owner's node, as the server knows it."""

    owner: str | None
    """Pseudonym under which the key was admitted; None: it is not any more, and was not struck off
    yet."""
    node: int | None
    """Its number in metrics and messages; None: the server does not know the key yet."""
    is_online: bool
    """Whether it is connected."""
    since: str | None
    """When it connected, or was lost, in ISO 8601; None: it never connected."""


@dataclass(frozen=True, slots=True)
class Control:
    """The control interface of a server that runs."""

    client: ControlHttpClient

    def sync_nodes(self, admitted: Mapping[str, bytes]) -> None:
        """Register the keys that were admitted, and strike off all others.

        Raises:
            DeploymentError: if a key was struck off earlier: Flower takes it no second time.
        """
        known = {node.public_key: node.node_id for node in self._nodes()}
        for key in set(known) - set(admitted.values()):
            self.client.UnregisterNode(UnregisterNodeRequest(node_id=known[key]))
        for owner, key in admitted.items():
            if key in known:
                continue
            try:
                self.client.RegisterNode(RegisterNodeRequest(public_key=key))
            except httpx.HTTPStatusError as error:
                raise DeploymentError(
                    f"Expected a key that can be registered in '{owner}.pub', got one that the "
                    "server refuses: it was struck off before, or two owners have the same. Ask "
                    "the owner for a new key."
                ) from error

    def count_connected(self) -> int:
        """Return how many nodes are connected."""
        return sum(node.status == _ONLINE for node in self._nodes())

    def nodes_of(self, admitted: Mapping[str, bytes]) -> list[OwnerNode]:
        """Return the node of each owner that was admitted, then those that should be struck off."""
        known = {node.public_key: node for node in self._nodes()}
        found = [_owner_node(owner, known.pop(key, None)) for owner, key in admitted.items()]
        return found + [_owner_node(None, node) for node in known.values()]

    def close_runs(self) -> None:
        """End the runs that a killed server left open; nothing works on them any more."""
        for run_id in self._open_runs():
            self.stop_run(run_id)

    def start_run(self, bundle: bytes) -> int:
        """Start a run of an app; return its id.

        Raises:
            DeploymentError: if another run is under way: two would train on the same budgets.
        """
        if self._open_runs():
            raise DeploymentError(
                "Expected a server without a run under way, got one with a run. Wait for its end, "
                "or stop it where it was started."
            )
        fab = Fab(hash_str=hashlib.sha256(bundle).hexdigest(), content=bundle)
        return int(self.client.StartRun(StartRunRequest(fab=fab)).run_id)

    def state_of(self, run_id: int) -> RunState:
        """Return how a run stands."""
        found: RunStatus = (
            self.client.ListRuns(ListRunsRequest(run_id=run_id)).run_dict[run_id].status
        )
        return RunState(found.status, found.sub_status, found.details.removeprefix(_BEFORE_REASON))

    def stop_run(self, run_id: int) -> None:
        """End a run; the last complete round is kept."""
        self.client.StopRun(StopRunRequest(run_id=run_id))

    def _open_runs(self) -> list[int]:
        runs = self.client.ListRuns(ListRunsRequest()).run_dict
        return [run_id for run_id, run in runs.items() if run.status.status != _FINISHED]

    def _nodes(self) -> list[NodeInfo]:
        return list(self.client.ListNodes(ListNodesRequest()).nodes_info)


def _owner_node(owner: str | None, node: NodeInfo | None) -> OwnerNode:
    if node is None:
        return OwnerNode(owner=owner, node=None, is_online=False, since=None)
    is_online = node.status == _ONLINE
    since = node.last_activated_at if is_online else node.last_deactivated_at
    return OwnerNode(owner=owner, node=node.node_id, is_online=is_online, since=since or None)


@contextmanager
def open_control(folder: ServerFolder) -> Iterator[Control]:
    """Yield the control interface of a folder's server.

    Raises:
        DeploymentError: if the server does not answer, or refuses.
    """
    client = ControlHttpClient.from_server_address(
        folder.settings().local_address,
        False,
        folder.authority.certificate.read_bytes(),
        interceptors=[_Operator(folder.operator_key.read_text().strip())],
    )
    try:
        yield Control(client)
    except httpx.TransportError as error:
        raise DeploymentError(
            "Expected an answer from the server, got none. Start it with `discreet federation "
            "server`, and give the same command again."
        ) from error
    except httpx.HTTPStatusError as error:
        raise DeploymentError(
            f"Expected the server to do what was asked, got its refusal "
            f"({error.response.status_code}). Use the folder that the server was started with."
        ) from error
    finally:
        client.close()


def is_healthy(folder: ServerFolder) -> bool:
    """Say whether a folder's server answers, by TLS that the federation's authority vouches for."""
    settings = folder.settings()
    trust = ssl.create_default_context(cafile=str(folder.authority.certificate))
    connection = http.client.HTTPSConnection(
        settings.local_host, settings.port, timeout=_HEALTH_SECONDS, context=trust
    )
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class _Operator:
    """Puts the operator's key into each request."""

    key: str

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        """Add the header."""
        context.request.headers[OPERATOR_HEADER] = self.key
        return call_next(context)
