"""Replies are taken as they come, from whom they were asked, for no longer than was said."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import httpx
import pytest
from flwr.app import Message

from discreet.federated import LocalGrid, messages
from discreet.federated.bad_message import BadMessage
from discreet.federated.exchange import exchange
from discreet.federated.terms import Room
from federated.conftest import filled, nodes, packed, says
from federated.tiny import FROZEN

ROOM = Room(numbers=1000, about=4096)


def request_for(node: int) -> Message:
    return messages.ask(
        packed(filled(0.0)), server_round=1, frozen_hash=FROZEN, run="r", node_id=node
    )


def requests_for(grid: LocalGrid) -> list[Message]:
    return [request_for(node) for node in grid.get_node_ids()]


class Mute(LocalGrid):
    """Nobody ever answers."""

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        return []


class Slow(LocalGrid):
    """Of two nodes none answers before both were asked twice."""

    questions = 0

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        self.questions += 1
        if self.questions < 5:
            return []
        return [reply for name in message_ids for reply in super(Slow, self).pull_messages([name])]


class Twice(LocalGrid):
    """Every answer comes twice, and each time with one that replies to nothing."""

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        replies = list(super().pull_messages(message_ids))
        stranger = request_for(5)
        stranger.metadata.__dict__["_reply_to_message_id"] = "message-99"
        return [*replies, *replies, stranger]


class Refusing(LocalGrid):
    """Does not take the message to the first node."""

    def push_messages(self, messages: Iterable[Message]) -> Sequence[str]:
        first, *rest = messages
        return ["", *super().push_messages(rest)]


def grid_of(kind: type[LocalGrid], count: int) -> LocalGrid:
    plain = nodes(*(says(filled(float(value))) for value in range(count)))
    plain.__class__ = kind
    return plain


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.7])
def test_a_node_that_never_answers_costs_the_deadline_and_no_more(seconds: float) -> None:
    grid = grid_of(Mute, 2)
    with grid.activated():
        start = time.monotonic()
        assert list(exchange(grid, requests_for(grid), room=ROOM, timeout_seconds=seconds)) == []
    assert seconds <= time.monotonic() - start < seconds + 0.4


def test_answers_are_those_of_the_nodes_that_were_asked() -> None:
    grid = grid_of(LocalGrid, 3)
    with grid.activated():
        found = list(exchange(grid, requests_for(grid), room=ROOM, timeout_seconds=1.0))
    assert [incoming.node for incoming in found] == [1000, 1001, 1002]
    assert [i.open().metadata.src_node_id for i in found] == [1000, 1001, 1002]
    assert all(0 <= incoming.seconds < 1 for incoming in found)


def test_answers_that_take_their_time_are_waited_for() -> None:
    grid = grid_of(Slow, 2)
    with grid.activated():
        found = list(exchange(grid, requests_for(grid), room=ROOM, timeout_seconds=30.0))
    assert [incoming.node for incoming in found] == [1000, 1001]
    assert found[0].seconds >= 1.0, "two questions without an answer, half a second apart"


def test_second_answers_and_those_to_nothing_are_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    grid = grid_of(Twice, 3)
    with caplog.at_level(logging.WARNING, logger="discreet"), grid.activated():
        found = list(exchange(grid, requests_for(grid), room=ROOM, timeout_seconds=1.0))
    assert [incoming.node for incoming in found] == [1000, 1001, 1002]
    assert caplog.text.count("2 replies that nobody waits for") == 3


def test_a_message_that_was_not_taken_is_not_waited_for() -> None:
    grid = grid_of(Refusing, 2)
    start = time.monotonic()
    with grid.activated():
        found = list(exchange(grid, requests_for(grid), room=ROOM, timeout_seconds=60.0))
    assert [incoming.node for incoming in found] == [1001]
    assert time.monotonic() - start < 10


def test_an_owner_works_once_the_reply_before_is_used() -> None:
    """One reply is in memory at a time, however many owners there are."""
    worked: list[int] = []

    def working(node: int) -> object:
        def train(request: Message) -> Message:
            worked.append(node)
            return says(filled(1.0))(request)

        return train

    grid = nodes(*(working(node) for node in range(20)))
    with grid.activated():
        for place, _ in enumerate(
            exchange(grid, requests_for(grid), room=ROOM, timeout_seconds=1.0)
        ):
            assert len(worked) == place + 1
    assert sorted(worked) == list(range(20))


def test_one_reply_is_asked_for_at_once() -> None:
    """A grid may hand out all it was asked for."""
    asked: list[int] = []

    class Noting(Slow):
        questions = 5

        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            asked.append(len(list(message_ids)))
            return super().pull_messages(message_ids)

    grid = grid_of(Noting, 20)
    with grid.activated():
        found = list(exchange(grid, requests_for(grid), room=ROOM, timeout_seconds=1.0))
    assert len(found) == 20
    assert set(asked) == {1}


class Lying(LocalGrid):
    """The second node's reply is changed on its way; `change` gets it, and the first one's."""

    change: Callable[[Message, Message], object]
    before: Message

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        (reply,) = super().pull_messages(message_ids)
        if reply.metadata.src_node_id == 1001:
            self.change(reply, self.before)
        self.before = reply
        return [reply]


def set_metadata(reply: Message, **values: object) -> None:
    reply.metadata.__dict__.update({f"_{name}": value for name, value in values.items()})


def unreadable(reply: Message, before: Message) -> None:
    raise TypeError("Jane Doe")


LIES: dict[str, tuple[Callable[[Message, Message], object], str]] = {
    "the first node's": (
        lambda reply, before: reply.metadata.__dict__.update(before.metadata.__dict__),
        "another's",
    ),
    "of the first node": (lambda reply, before: set_metadata(reply, src_node_id=1000), "another's"),
    "to the first node's message": (
        lambda reply, before: set_metadata(
            reply, reply_to_message_id=before.metadata.reply_to_message_id
        ),
        "another's",
    ),
    "to an earlier attempt": (
        lambda reply, before: set_metadata(reply, group_id=before.metadata.group_id),
        "nonce",
    ),
    "too large": (lambda reply, before: reply.content.update(x=packed(filled(0.0))), "bytes or"),
    "unreadable": (unreadable, "that Flower can read, got another: TypeError"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_reply_counts_for_the_node_it_was_fetched_from_whatever_it_says(lie: str) -> None:
    change, reason = LIES[lie]
    grid = grid_of(Lying, 3)
    grid.change = change
    with grid.activated():
        room = replace(ROOM, numbers=0, about=700)
        found = list(exchange(grid, requests_for(grid), room=room, timeout_seconds=1.0))
    assert [incoming.node for incoming in found] == [1000, 1001, 1002]
    assert [isinstance(incoming.reply, BadMessage) for incoming in found] == [False, True, False]
    with pytest.raises(BadMessage, match=reason) as raised:
        found[1].open()
    assert "Jane" not in str(raised.value)


def test_a_network_that_fails_is_no_nodes_fault() -> None:
    class Broken(LocalGrid):
        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            raise httpx.ConnectError("no route")

    grid = grid_of(Broken, 2)
    with grid.activated(), pytest.raises(httpx.ConnectError):
        list(exchange(grid, requests_for(grid), room=ROOM, timeout_seconds=1.0))
