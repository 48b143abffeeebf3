"""Replies are taken as they come, from whom they were asked, for no longer than was said."""

import logging
import time
from collections.abc import Iterable, Sequence

import pytest
from flwr.app import Message

from discreet.federated import LocalGrid, messages
from discreet.federated.exchange import exchange
from federated.conftest import filled, nodes, packed, says
from federated.tiny import FROZEN


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
    """Every answer comes at the third question for it, and all of them together."""

    questions = 0

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        self.questions += 1
        if self.questions < 3:
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
        assert list(exchange(grid, requests_for(grid), timeout_seconds=seconds)) == []
    assert seconds <= time.monotonic() - start < seconds + 0.4


def test_answers_are_those_of_the_nodes_that_were_asked() -> None:
    grid = grid_of(LocalGrid, 3)
    with grid.activated():
        found = list(exchange(grid, requests_for(grid), timeout_seconds=1.0))
    assert [incoming.node for incoming in found] == [1000, 1001, 1002]
    assert [i.message.metadata.src_node_id for i in found] == [1000, 1001, 1002]
    assert all(0 <= incoming.seconds < 1 for incoming in found)


def test_answers_that_take_their_time_are_waited_for() -> None:
    grid = grid_of(Slow, 2)
    with grid.activated():
        found = list(exchange(grid, requests_for(grid), timeout_seconds=30.0))
    assert [incoming.node for incoming in found] == [1000, 1001]
    assert found[0].seconds >= 1.0, "two questions without an answer, half a second apart"


def test_second_answers_and_those_to_nothing_are_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    grid = grid_of(Twice, 3)
    with caplog.at_level(logging.WARNING, logger="discreet"), grid.activated():
        found = list(exchange(grid, requests_for(grid), timeout_seconds=1.0))
    assert [incoming.node for incoming in found] == [1000, 1001, 1002]
    assert caplog.text.count("nobody waits for") == 6


def test_a_message_that_was_not_taken_is_not_waited_for() -> None:
    grid = grid_of(Refusing, 2)
    start = time.monotonic()
    with grid.activated():
        found = list(exchange(grid, requests_for(grid), timeout_seconds=60.0))
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
        for place, _ in enumerate(exchange(grid, requests_for(grid), timeout_seconds=1.0)):
            assert len(worked) == place + 1
    assert sorted(worked) == list(range(20))


def test_few_replies_are_asked_for_at_once() -> None:
    """A grid may hand out all it was asked for."""
    asked: list[int] = []

    class Noting(Slow):
        questions = 3

        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            asked.append(len(list(message_ids)))
            return super().pull_messages(message_ids)

    grid = grid_of(Noting, 20)
    with grid.activated():
        found = list(exchange(grid, requests_for(grid), timeout_seconds=1.0))
    assert len(found) == 20
    assert max(asked) <= 8
