"""Send messages to nodes and take their replies as they come, for no longer than was said.

Flower's own `send_and_receive` hands out all replies at once, so that memory grows with their
number, and takes every node at its word about who it is. Here a reply belongs to the node that was
sent what it was fetched for. One that says it is another's, or does not repeat the nonce of what
was sent, cannot be used, and neither can one that is too large or that Flower cannot read: that
costs the node its round, and nobody else anything.

    for incoming in exchange(grid, outgoing, room=room, timeout_seconds=600):
        incoming.node, incoming.open()
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from flwr.app import Message
from flwr.serverapp import Grid

from discreet.federated import messages
from discreet.federated.bad_message import BadMessage
from discreet.federated.inbox import Inbox, inbox_of
from discreet.federated.terms import Room

_POLL_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Incoming:
    """A reply to one of the messages."""

    node: int
    """Whom the message went to."""
    reply: Message | BadMessage = field(repr=False)
    """What came, or why it cannot be used."""
    seconds: float
    """Since the messages were sent."""

    def open(self) -> Message:
        """Return the reply.

        Raises:
            BadMessage: if it cannot be used.
        """
        if isinstance(self.reply, BadMessage):
            raise self.reply
        return self.reply


def exchange(
    grid: Grid, outgoing: Sequence[Message], *, room: Room, timeout_seconds: float
) -> Iterator[Incoming]:
    """Yield one reply or none for each message, at most `timeout_seconds` after they were sent.

    Time is that of a monotonic clock. What is late is not waited for, and never read.

    Args:
        grid: The way to the nodes.
        outgoing: One message for each node.
        room: What one reply may hold.
        timeout_seconds: From sending.
    """
    start = time.monotonic()
    taken = set(grid.push_messages(outgoing)) - {"", None}
    sent = {message.metadata.message_id: message for message in outgoing}
    waiting = {name: message for name, message in sent.items() if name in taken}
    inbox = inbox_of(grid, room)
    while waiting:
        found = 0
        for name in inbox.look(waiting):
            reply = _reply_to(waiting[name], inbox, room)
            if reply is None:
                continue
            found += 1
            node = waiting.pop(name).metadata.dst_node_id
            yield Incoming(node=node, reply=reply, seconds=time.monotonic() - start)
        left = timeout_seconds - (time.monotonic() - start)
        if not found and left <= 0:
            return
        if not found:
            time.sleep(min(_POLL_SECONDS, left))


def _reply_to(asked: Message, inbox: Inbox, room: Room) -> Message | BadMessage | None:
    """Return the reply to a message, or why it cannot be used; None: it is not there."""
    try:
        reply = inbox.read(asked.metadata.message_id)
        if reply is not None:
            _check(reply, asked)
            messages.check_size(reply, room.total)
    except BadMessage as error:
        return error
    return reply


def _check(reply: Message, asked: Message) -> None:
    """Refuse an error, and what does not say that this node replies to this message."""
    if refusal := messages.refusal_of(reply):
        raise BadMessage(refusal)
    said, meant = reply.metadata, asked.metadata
    if (said.src_node_id, said.reply_to_message_id) != (meant.dst_node_id, meant.message_id):
        raise BadMessage("Expected the reply of the node that was asked, got another's.")
    if said.group_id != meant.group_id:
        raise BadMessage("Expected the nonce of what was asked, got another: it replies to that.")
