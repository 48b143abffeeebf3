"""Flower's SuperLink and the grid of its server app in this process, and nodes that send anything.

The grid, its client, the handlers and the store are Flower's; only the sockets between them are not
there. A node pushes any objects as the reply to any message, whether or not they make one.
"""

import itertools
import json
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from flwr.app import Message
from flwr.app.message import remove_content_from_message
from flwr.clientapp import ClientApp
from flwr.common.serde import message_to_proto
from flwr.proto import fleet_pb2, message_pb2, runtime_pb2
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.node_pb2 import Node
from flwr.proto.task_pb2 import Task
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME, NOOP_FEDERATION_ID, TaskType
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_children_ids_from_object_content,
    get_object_id,
)
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.federation import NoOpFederationManager
from flwr.superlink.grid.http_grid import HttpGrid
from flwr.superlink.servicer.fleet import fleet_handlers
from flwr.superlink.servicer.runtime import runtime_handlers

from discreet.federated.local import LocalGrid

Objects = dict[str, bytes]
"""What a message is made of, by id; the message comes last."""

_CALLS = {
    "confirm-message-received": message_pb2.ConfirmMessageReceivedRequest,
    "get-nodes": runtime_pb2.GetNodesRequest,
    "pull-messages": runtime_pb2.PullAppMessagesRequest,
    "pull-object": message_pb2.PullObjectRequest,
    "push-messages": runtime_pb2.PushAppMessagesRequest,
    "push-object": message_pb2.PushObjectRequest,
}


def make_tables(database: Path) -> Path:
    """Make an empty file of Flower's SQL state: its migrations take longer than a copy."""
    factory = ObjectStoreFactory(str(database))
    state = LinkStateFactory(str(database), NoOpFederationManager(), factory).state()
    for part in (state, state.object_store):
        part._engine.dispose()
    return database


class SuperLink:
    """A SuperLink with nodes and one run, in memory or in a file."""

    databases: Iterator[str] = itertools.repeat(FLWR_IN_MEMORY_DB_NAME)
    """Where each one keeps its state; a file makes Flower's SQL state of it."""

    def __init__(self, nodes: int, database: str | None = None) -> None:
        database = database or next(self.databases)
        objects = ObjectStoreFactory(database)
        state = LinkStateFactory(database, NoOpFederationManager(), objects).state()
        self.state = state
        if database != FLWR_IN_MEMORY_DB_NAME:
            for part in (state, state.object_store):
                weakref.finalize(self, part._engine.dispose)
        self.nodes = [state.create_node("", "", bytes([number]), 30) for number in range(nodes)]
        assert all(state.activate_node(node, 600) for node in self.nodes)
        kind = TaskType.SERVER_APP
        run_id = state.create_run(None, None, None, {}, NOOP_FEDERATION_ID, None, "", kind)
        (self.run,) = state.get_run_info(run_ids=[run_id])
        self.task = Task(task_id=self.run.primary_task_id, run_id=run_id)
        assert state.claim_task(self.task.task_id)
        assert state.activate_task(self.task.task_id)
        self.calls: list[str] = []
        self.sent_bytes = 0
        """Of objects, that the grid has read."""

    @contextmanager
    def grid(self) -> Iterator[HttpGrid]:
        """The grid that Flower would hand to the server app."""
        grid = HttpGrid("superlink", insecure=True, token="token")
        client = RuntimeHttpClient("http://superlink")
        client._client = httpx.Client(transport=httpx.MockTransport(self._answer))
        grid._client = client
        grid.set_run(self.run)
        with LocalGrid(ClientApp(), []).activated():
            TaskIdentity._run_id = self.run.run_id
            yield grid

    def _answer(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        self.calls.append(name)
        call = _CALLS[name].FromString(request.content)
        try:
            found = getattr(runtime_handlers, name.replace("-", "_"))(call, self.state, self.task)
        except Exception:  # as Starlette does, behind which Flower's server is
            return httpx.Response(500)
        body = found.SerializeToString()
        length = {"content-length": str(len(body))}
        return httpx.Response(200, headers=length, content=self._body(body, name))

    def _body(self, body: bytes, name: str) -> Iterator[bytes]:
        """Send a body once somebody reads it."""
        self.sent_bytes += len(body) * (name == "pull-object")
        yield body

    def announce(
        self, node: int, reply: Message, tree: ObjectTree
    ) -> fleet_pb2.PushMessagesResponse:
        """Say as a node what a reply is made of, under what `reply` says of whom it is for."""
        told = message_to_proto(remove_content_from_message(reply))
        told.metadata.message_id = tree.object_id
        return fleet_handlers.push_messages(
            fleet_pb2.PushMessagesRequest(
                node=Node(node_id=node), messages_list=[told], message_object_trees=[tree]
            ),
            self.state,
        )

    def push(
        self, node: int, reply: Message, objects: Objects, *, missing: Sequence[str] = ()
    ) -> Callable[[], None]:
        """Push objects as a node, under what `reply` says of whom it is for.

        Returns:
            What pushes those that were held back.
        """
        began = self.announce(node, reply, tree_of(list(objects)[-1], objects))

        def send(names: Iterable[str]) -> None:
            for name in names:
                pushed = message_pb2.PushObjectRequest(
                    node=Node(node_id=node),
                    run_id=self.run.run_id,
                    object_id=name,
                    object_content=objects[name],
                    session_id=began.session_id,
                )
                assert fleet_handlers.push_object(pushed, self.state).stored

        send(set(began.objects_to_push) - set(missing))
        return lambda: send(missing)

    def answer(self, reply: Message) -> None:
        """Push a reply as whoever was asked."""
        self.push(reply.metadata.src_node_id, reply, deflated(reply))


def deflated(message: Message) -> Objects:
    """What a message is on the wire."""
    return {name: part.deflate() for name, part in get_all_nested_objects(message).items()}


def made(objects: Objects, kind: str, children: Sequence[str], body: bytes) -> str:
    """Add an object that nobody's code made, and return its id."""
    content = f"{kind} {','.join(children)} {len(body)}\0".encode() + body
    name = get_object_id(content)
    objects.pop(name, None)
    objects[name] = content
    return name


def with_array(reply: Message, metadata: dict[str, object], chunks: Sequence[bytes]) -> Objects:
    """The objects of a reply that holds one array, of these chunks, as `metadata` tells."""
    objects: Objects = {}
    told = {"dtype": "float32", "shape": [1], "stype": "numpy.ndarray", **metadata}
    parts = [made(objects, "ArrayChunk", [], chunk) for chunk in chunks]
    array = made(objects, "Array", parts, json.dumps(told).encode())
    return within(reply, objects, {"a": array})


def within(reply: Message, objects: Objects, arrays: dict[str, str]) -> Objects:
    """The objects of a reply around those of its arrays."""
    names = list(dict.fromkeys(arrays.values()))
    record = made(objects, "ArrayRecord", names, json.dumps(arrays).encode())
    records = made(objects, "RecordDict", [record], json.dumps({"arrays": record}).encode())
    made(objects, "Message", [records], envelope(reply))
    return objects


def envelope(reply: Message) -> bytes:
    """What a message says beside its content."""
    return message_to_proto(remove_content_from_message(reply)).SerializeToString()


def tree_of(root: str, objects: Objects) -> ObjectTree:
    """The tree below an object."""
    children = get_object_children_ids_from_object_content(objects[root])
    return ObjectTree(object_id=root, children=[tree_of(child, objects) for child in children])
