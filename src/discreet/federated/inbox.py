"""Fetch replies from a grid without believing what they say of their size, or that they are whole.

Flower hands a reply over as a tree of small objects: a message, its records, their arrays, and the
chunks that arrays are made of. Its own grid fetches all of them, waits up to two hours for one that
is missing, and lets an array name the same chunk as often as it likes: 1 MB on the wire becomes
300 MB in memory. Here every object is counted before it is read, and the arrays before they are put
together; what is missing is asked for again later, and nobody else waits for it.

What it does not bound: the tree itself, which SuperLink sends in one piece and holds in memory too.

    inbox = inbox_of(grid, room)
    for name in inbox.look(names):
        message = inbox.read(name)
"""

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import httpx
from flwr.app import Array, Message, RecordDict
from flwr.app.message.arraychunk import ArrayChunk
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree, PullObjectRequest
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.serverapp import Grid
from flwr.supercore.constant import HEAD_BODY_DIVIDER, HEAD_VALUE_DIVIDER
from flwr.supercore.inflatable.inflatable_object import (
    get_object_body,
    get_object_children_ids_from_object_content,
    get_object_type_from_object_content,
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.superlink.grid.http_grid import HttpGrid
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from discreet.federated.bad_message import BadMessage
from discreet.federated.terms import Room

logger = logging.getLogger(__name__)

_UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    DecodeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What Flower's reader raises for records that were made to; a network that fails raises others."""
_ID_BYTES = 64
"""Of an object's id; each is named by the tree, and again by the object that it is part of."""
_HEADS = 4
"""How many times the room beside the numbers Flower's heads and ids take at most."""
_ANSWER = 1024
"""Bytes of SuperLink's answer beside the object in it."""


class Inbox(Protocol):
    """Where the replies to some messages arrive."""

    def look(self, names: Iterable[str]) -> list[str]:
        """Return the messages, by id, whose replies may be there."""

    def read(self, name: str) -> Message | None:
        """Return the reply to a message; None: it is not, or not wholly, there.

        Raises:
            BadMessage: if it is too large, or Flower cannot read it.
        """


def inbox_of(grid: Grid, room: Room) -> Inbox:
    """Return the inbox of a grid.

    Args:
        grid: The way to the nodes.
        room: What one reply may hold.
    """
    return _Wire(grid, room) if isinstance(grid, HttpGrid) else _Direct(grid)


@dataclass(slots=True)
class _Direct:
    """Replies of a grid whose nodes are in this process, or its children."""

    grid: Grid

    def look(self, names: Iterable[str]) -> list[str]:
        return list(names)

    def read(self, name: str) -> Message | None:
        """Return the first of what came: others that come with it are nobody's."""
        with _unreadable_is_bad():
            found = list(self.grid.pull_messages([name]))
        if found[1:]:
            logger.warning("%s replies that nobody waits for were left out", len(found) - 1)
        return found[0] if found else None


@dataclass(slots=True)
class _Wire:
    """Replies that SuperLink holds, object by object."""

    grid: HttpGrid
    room: Room
    _trees: dict[str, ObjectTree] = field(default_factory=dict)
    """Of replies that SuperLink has announced, which it does once, by what they reply to."""
    _stuck: set[str] = field(default_factory=set)
    """What has a reply that SuperLink fails at."""

    def look(self, names: Iterable[str]) -> list[str]:
        """Ask for what is new; SuperLink has checked whom each belongs to, unlike what is in it."""
        waiting = list(names)
        if new := [name for name in waiting if name not in self._trees]:
            self._learn(new)
        return [name for name in waiting if name in self._trees or name in self._stuck]

    def _learn(self, names: list[str]) -> None:
        """Note what is announced; one reply that SuperLink fails at takes no other with it.

        It is found by halves. SuperLink fails at it twice, and not at a question about none: else
        it is SuperLink that is gone, which is nobody's fault.
        """
        if self._is_answered(names):
            return
        if middle := len(names) // 2:
            self._learn(names[:middle])
            self._learn(names[middle:])
            return
        self._ask([])
        if not self._is_answered(names):
            self._stuck.update(names)

    def _is_answered(self, names: list[str]) -> bool:
        """Ask for replies to some messages; return whether SuperLink did not fail."""
        try:
            self._ask(names)
        except httpx.HTTPStatusError as error:
            if not error.response.is_server_error:
                raise
            return False
        return True

    def _ask(self, names: list[str]) -> None:
        request = PullAppMessagesRequest(message_ids=names)
        found = self.grid._runtime_client.PullMessages(request)
        for told, tree in zip(found.messages_list, found.message_object_trees, strict=True):
            self._trees[told.metadata.reply_to_message_id] = tree

    def read(self, name: str) -> Message | None:
        if name in self._stuck:
            raise BadMessage("Expected a reply that Flower's server can hand out, got another.")
        tree = self._trees[name]
        try:
            contents = self._fetch(tree)
            message = None if contents is None else _put_together(tree, contents, self.room)
        except BadMessage:
            self._forget(name)
            raise
        if message is not None:
            self._forget(name)
        return message

    def _fetch(self, tree: ObjectTree) -> dict[str, bytes] | None:
        """Return the objects of a tree, no more of them than there is room for; None: some miss."""
        numbers, heads = self.room.numbers, _HEADS * self.room.about
        most = heads // _ID_BYTES
        names = [node.object_id for node in islice(iterate_object_tree(tree), most + 1)]
        if len(names) > most:
            raise BadMessage(f"Expected a reply of {most} objects or fewer, got more.")
        heads -= _ID_BYTES * len(names)
        contents: dict[str, bytes] = {}
        for name in dict.fromkeys(reversed(names)):  # what is sent last is missed first
            content = self._pull(name, max(numbers, heads))
            if content is None:
                return None
            body = _body_bytes(content) if _is_chunk(content) else 0
            numbers, heads = numbers - body, heads - (len(content) - body)
            if min(numbers, heads) < 0:
                raise _too_large(self.room)
            contents[name] = content
        return contents

    def _pull(self, name: str, most: int) -> bytes | None:
        """Return an object; None: it was announced and has not arrived.

        Its length is read from the header of SuperLink's answer, before the answer.
        """

        def refuse_long(response: httpx.Response) -> None:
            is_object = response.request.url.path.endswith("/pull-object")
            if is_object and int(response.headers.get("content-length", 0)) > most + _ANSWER:
                raise _too_large(self.room)

        client = self.grid._runtime_client
        hooks = client._client.event_hooks["response"]
        hooks.append(refuse_long)
        try:
            request = PullObjectRequest(
                node=self.grid.node, run_id=self.grid.run.run_id, object_id=name
            )
            found = client.PullObject(request)
        finally:
            hooks.remove(refuse_long)
        if not found.object_found:
            raise BadMessage("Expected all parts of a reply, got some: it was never wholly sent.")
        return found.object_content if found.object_available else None

    def _forget(self, name: str) -> None:
        """Let SuperLink delete a reply."""
        request = ConfirmMessageReceivedRequest(
            node=self.grid.node,
            run_id=self.grid.run.run_id,
            message_object_id=self._trees[name].object_id,
        )
        self.grid._runtime_client.ConfirmMessageReceived(request)
        del self._trees[name]


def _put_together(tree: ObjectTree, contents: dict[str, bytes], room: Room) -> Message:
    """Return the message that objects make, once its arrays are known to be small enough."""
    with _unreadable_is_bad():
        arrays = [one for one in contents.values() if _kind(one) == Array.__qualname__]
        if sum(_array_bytes(one, contents) for one in arrays) > room.numbers:
            raise _too_large(room)
        message = inflate_object_from_contents(tree.object_id, contents)
        if not isinstance(message, Message):
            raise TypeError("Expected a message.")
        if message.has_content() and not isinstance(message.content, RecordDict):
            raise TypeError("Expected records.")
    return message


def _array_bytes(content: bytes, contents: dict[str, bytes]) -> int:
    """Return how long an array will be: its chunks, each as often as it is named."""
    chunks = get_object_children_ids_from_object_content(content)
    if not all(_is_chunk(contents[chunk]) for chunk in chunks):
        raise TypeError("Expected chunks.")
    named = json.loads(get_object_body(content, Array))["arraychunk_ids"]
    return sum(_body_bytes(contents[chunks[place]]) for place in named)


def _kind(content: bytes) -> str:
    return get_object_type_from_object_content(content)


def _is_chunk(content: bytes) -> bool:
    return content.startswith(f"{ArrayChunk.__qualname__}{HEAD_VALUE_DIVIDER}".encode())


def _body_bytes(content: bytes) -> int:
    return len(content) - content.find(HEAD_BODY_DIVIDER) - len(HEAD_BODY_DIVIDER)


def _too_large(room: Room) -> BadMessage:
    return BadMessage(f"Expected a reply of {room.total:,} bytes or less, by the plan, got more.")


@contextmanager
def _unreadable_is_bad() -> Iterator[None]:
    """Make one error of whatever Flower's reader raises; its text may be the sender's."""
    try:
        yield
    except BadMessage:
        raise
    except _UNREADABLE as error:
        raise BadMessage(
            f"Expected a reply that Flower can read, got another: {type(error).__name__}."
        ) from None
