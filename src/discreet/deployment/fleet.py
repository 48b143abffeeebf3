"""What a node may ask of Flower's server: to handle its own messages, and no others.

Flower 1.41 knows which node calls and believes the rest. A node could push an instruction to
another as if it were the server, or a reply as if it were another node; pull and delete whatever it
can name; announce any number of objects; and claim false children for an object that others are
about to send. `Gate` in `flower.py` guards the port; this guards the handlers behind it, which all
of Flower's transports call.

It does not look into what a reply says (`federated`), and a server that is itself hostile passes.

    guard(2**30)    # in the server's process, before it starts

Like `flower.py`, which runs it, this imports nothing of *discreet*.
"""

import threading
from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from typing import Any

MOST_OBJECTS = 16_384
"""Most objects that a reply may be made of: an array is two, in chunks of 5 MiB; every adapter of a
model with 80 layers of seven kinds is less than 5,000."""
_SESSIONS = 16
"""Replies of one node that may be under way at once."""
_IS_SENT = """
SELECT 1 FROM message_ins WHERE dst_node_id = :node AND (message_id = :name OR EXISTS (
    SELECT 1 FROM object_children WHERE parent_id = message_id AND child_id = :name)) LIMIT 1
"""
_HELD_BYTES = """
SELECT COALESCE(SUM(LENGTH(content)), 0) AS held
FROM object_children JOIN objects ON object_id = child_id WHERE parent_id = :name
"""
_UNCOUNT_CHILDREN = """
UPDATE objects SET ref_count = ref_count - 1
WHERE object_id IN (SELECT child_id FROM object_children WHERE parent_id = :name)
"""
_FORGET_CHILDREN = "DELETE FROM object_children WHERE parent_id = :name"


def guard(most_reply_bytes: int) -> None:
    """Put `Fleet` before Flower's handlers, and keep objects flat."""
    from flwr.supercore.object_store.sql_object_store import SqlObjectStore
    from flwr.superlink.servicer.fleet import fleet_handlers

    fleet = Fleet(fleet_handlers, most_reply_bytes)
    for name in ("push_messages", "push_object", "pull_object", "confirm_message_received"):
        setattr(fleet_handlers, name, getattr(fleet, name))
    registering = flat(SqlObjectStore.preregister)
    SqlObjectStore.preregister = registering  # type: ignore[method-assign]


class Fleet:
    """Flower's handlers for nodes, each of which may handle its own messages and no others.

    Whoever calls is authenticated as `request.node`. That a reply answers a message which that node
    was sent in that run, Flower's store checks; that it holds what was announced, too.
    """

    def __init__(self, handlers: Any, most_bytes: int) -> None:
        """Stand before `handlers`; a reply holds `most_bytes` at most."""
        self.most_bytes = most_bytes
        self._push_messages, self._push_object = handlers.push_messages, handlers.push_object
        self._pull_object = handlers.pull_object
        self._confirm = handlers.confirm_message_received
        self._left: dict[int, dict[str, int]] = defaultdict(dict)
        """Bytes that replies under way may still hold, by node and by Flower's session."""
        self._lock = threading.Lock()

    def push_messages(self, request: Any, state: Any) -> Any:
        """Take one reply of the node that calls."""
        from flwr.supercore.error import ApiErrorCode, FlowerError

        if not is_reply(request):
            told = f"Expected a reply of node {request.node.node_id}, got another message."
            raise FlowerError(ApiErrorCode.NO_PERMISSIONS, told)
        answer = self._push_messages(request=request, state=state)
        name = request.message_object_trees[0].object_id
        held: int = state.query(_HELD_BYTES, {"name": name})[0]["held"]
        with self._lock:
            sessions = self._left[request.node.node_id]
            sessions[answer.session_id] = self.most_bytes - held
            while len(sessions) > _SESSIONS:
                del sessions[next(iter(sessions))]
        return answer

    def push_object(self, request: Any, state: Any) -> Any:
        """Take an object of a reply that the node began to push, while there is room."""
        from flwr.proto.message_pb2 import PushObjectResponse

        with self._lock:
            sessions = self._left[request.node.node_id]
            left = sessions.get(request.session_id, 0) - len(request.object_content)
            if left < 0:
                return PushObjectResponse(stored=False)
            sessions[request.session_id] = left
        return self._push_object(request=request, state=state)

    def pull_object(self, request: Any, state: Any) -> Any:
        """Hand out what belongs to a message that the node was sent; nothing else is there."""
        from flwr.proto.message_pb2 import PullObjectResponse

        if not _is_sent(state, request.node.node_id, request.object_id):
            return PullObjectResponse(object_found=False)
        return self._pull_object(request=request, state=state)

    def confirm_message_received(self, request: Any, state: Any, store: Any) -> Any:
        """Delete a message that the node was sent; leave any other where it is."""
        from flwr.proto.message_pb2 import ConfirmMessageReceivedResponse

        if not _is_sent(state, request.node.node_id, request.message_object_id):
            return ConfirmMessageReceivedResponse()
        return self._confirm(request=request, state=state, store=store)


def is_reply(request: Any) -> bool:
    """Say whether a push holds one reply of the node that calls to the server, and its objects."""
    from flwr.common.constant import SUPERLINK_NODE_ID
    from flwr.supercore.inflatable.inflatable_object import iterate_object_tree

    if (len(request.messages_list), len(request.message_object_trees)) != (1, 1):
        return False
    told, tree = request.messages_list[0].metadata, request.message_object_trees[0]
    return (
        (told.src_node_id, told.dst_node_id) == (request.node.node_id, SUPERLINK_NODE_ID)
        and told.reply_to_message_id != ""
        and told.message_id == tree.object_id
        and not any(islice(iterate_object_tree(tree), MOST_OBJECTS, None))
    )


def _is_sent(state: Any, node: int, name: str) -> bool:
    """Say whether an object is a message that a node was sent, or a part of one."""
    from flwr.supercore.utils import uint64_to_int64

    return bool(state.query(_IS_SENT, {"node": uint64_to_int64(node), "name": name}))


def flat(preregister: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """Keep the objects of a message as its own children, and none below them.

    What children an object has follows from its content, by which readers put a message together,
    and is only claimed before it came. Flower keeps the first claim and refuses all that follow: a
    false one about an object that others send too, such as equal arrays, would make theirs fail.
    """
    from flwr.proto.message_pb2 import ObjectTree
    from flwr.supercore.inflatable.inflatable_object import iterate_object_tree

    def preregister_flat(self: Any, run_id: int, object_tree: Any) -> list[str]:
        names = {tree.object_id for tree in iterate_object_tree(object_tree)}
        below = sorted(names - {object_tree.object_id})
        children = [ObjectTree(object_id=name) for name in below]
        with self._mutation_session():
            if rows := [{"name": name} for name in below]:
                # Somebody may have called one of them a message, with children.
                self.query(_UNCOUNT_CHILDREN, rows)
                self.query(_FORGET_CHILDREN, rows)
            tree = ObjectTree(object_id=object_tree.object_id, children=children)
            return preregister(self, run_id, tree)

    return preregister_flat
