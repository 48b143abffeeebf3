"""Send messages to nodes and take their replies as they come, for no longer than was said.

Flower's own `send_and_receive` hands out all replies at once, so that memory grows with their
number, and takes every node at its word about who it is. Here a reply belongs to the message it
replies to: an answer of another node, a second one and one that nobody asked for are told apart by
that and by nothing in them.

    for incoming in exchange(grid, outgoing, timeout_seconds=600):
        incoming.node, incoming.message
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from flwr.app import Message
from flwr.serverapp import Grid

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
_AT_ONCE = 8
"""Replies that may be in memory together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Incoming:
    """A reply to one of the messages."""

    node: int
    """Whom the message went to."""
    message: Message = field(repr=False)
    seconds: float
    """Since the messages were sent."""


def exchange(
    grid: Grid, outgoing: Sequence[Message], *, timeout_seconds: float
) -> Iterator[Incoming]:
    """Yield one reply or none for each message, at most `timeout_seconds` after they were sent.

    Time is that of a monotonic clock. What is late is not waited for, and never read.
    """
    start = time.monotonic()
    asked = [message.metadata.dst_node_id for message in outgoing]
    ids = list(grid.push_messages(outgoing))
    waiting = {name: node for name, node in zip(ids, asked, strict=False) if name}
    while waiting:
        found = 0
        for some in _parts(list(waiting)):
            for message in grid.pull_messages(some):
                node = waiting.pop(message.metadata.reply_to_message_id, None)
                if node is None:
                    logger.warning("A reply that nobody waits for was left out")
                    continue
                found += 1
                yield Incoming(node=node, message=message, seconds=time.monotonic() - start)
        left = timeout_seconds - (time.monotonic() - start)
        if not found and left <= 0:
            return
        if not found:
            time.sleep(min(_POLL_SECONDS, left))


def _parts(ids: list[str]) -> Iterator[list[str]]:
    """Yield a few ids at a time."""
    rest = iter(ids)
    while part := list(islice(rest, _AT_ONCE)):
        yield part
