"""Against Flower's own SuperLink: a reply that was made to hurt costs its node the round."""

import contextlib
import itertools
import json
import math
import shutil
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator

import httpx
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.proto.message_pb2 import ObjectTree
from hypothesis import given, settings
from hypothesis import strategies as st

from discreet.federated import LocalGrid, messages
from discreet.federated.bad_message import BadMessage
from discreet.federated.exchange import Incoming, exchange
from discreet.federated.inbox import _put_together
from discreet.federated.terms import Room
from federated.conftest import filled, packed, statement
from federated.superlink import (
    Objects,
    SuperLink,
    deflated,
    envelope,
    made,
    make_tables,
    tree_of,
    with_array,
    within,
)
from federated.tiny import FROZEN

pytestmark = pytest.mark.filterwarnings("ignore:No path_separator found:DeprecationWarning")
"""Alembic says it of Flower's own settings (1.41)."""
ROOM = Room(numbers=1000, about=2000)
Node = Callable[[SuperLink, Message], object]
"""Answers a request, or does not."""


@pytest.fixture(params=["memory", "sql"], autouse=True, scope="module")
def is_sql(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[bool]:
    """Both states that Flower's server has; ours has the second."""
    folder = tmp_path_factory.mktemp("superlink")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "sql":
            first = make_tables(folder / "first.db")
            copies = (shutil.copy(first, folder / f"{place}.db") for place in itertools.count())
            patch.setattr(SuperLink, "databases", map(str, copies))
        yield request.param == "sql"


def honest(link: SuperLink, asked: Message) -> None:
    link.answer(reply_to(asked))


def reply_to(asked: Message) -> Message:
    return messages.answer(
        asked, packed(filled(1.0)), server_round=1, steps=3, statement=statement()
    )


def pushes(make: Callable[[Message], Objects]) -> Node:
    """A node that pushes what `make` makes of an honest reply's envelope."""

    def node(link: SuperLink, asked: Message) -> None:
        reply = Message(RecordDict(), reply_to=asked)
        link.push(asked.metadata.dst_node_id, reply, make(reply))

    return node


def play(
    *nodes: Node, link: SuperLink | None = None, room: Room = ROOM, seconds: float = 5.0
) -> list[Incoming]:
    """Ask nodes and return what comes, with their places for their ids."""
    link = link or SuperLink(len(nodes))
    with link.grid() as grid:
        push = grid.push_messages

        def push_and_answer(asked: Iterable[Message]) -> Iterable[str]:
            asked, names = list(asked), push(asked)
            for node, one in zip(nodes, asked, strict=True):
                node(link, one)
            return names

        grid.push_messages = push_and_answer  # type: ignore[method-assign]
        arrays = packed(filled(0.0))
        requests = [
            messages.ask(arrays, server_round=1, frozen_hash=FROZEN, run="r", node_id=node)
            for node in link.nodes
        ]
        found = list(exchange(grid, requests, room=room, timeout_seconds=seconds))
    places = {node: place for place, node in enumerate(link.nodes)}
    return [Incoming(node=places[i.node], reply=i.reply, seconds=i.seconds) for i in found]


def refusals(found: list[Incoming]) -> dict[int, str]:
    return {i.node: str(i.reply) for i in found if isinstance(i.reply, BadMessage)}


def used(found: list[Incoming]) -> list[int]:
    return [incoming.node for incoming in found if isinstance(incoming.reply, Message)]


def test_a_reply_arrives_as_it_was_sent_and_leaves_superlink() -> None:
    sent = {"a": np.arange(6.0, dtype=np.float32), "b": np.zeros((2, 0), np.float32)}

    def node(link: SuperLink, asked: Message) -> None:
        arrays = ArrayRecord({name: Array(value) for name, value in sent.items()})
        metrics = MetricRecord({"round": 1, "lost": [0.5, 2.0]})
        content = RecordDict({"arrays": arrays, "metrics": metrics})
        link.answer(Message(content, reply_to=asked))

    link = SuperLink(1)
    (incoming,) = play(node, link=link)
    content = incoming.open().content
    arrays = content.array_records["arrays"]
    assert {name: array.numpy().tolist() for name, array in arrays.items()} == {
        name: value.tolist() for name, value in sent.items()
    }
    assert content.metric_records["metrics"]["lost"] == [0.5, 2.0]
    assert link.calls.count("pull-messages") == 1
    store = link.state.object_store
    assert not any(store.get(name) for name in deflated(incoming.open()))


def test_arrays_that_fill_their_room_are_read_in_as_many_chunks_as_flower_makes() -> None:
    values = np.zeros(2_000_000, np.float32)  # two chunks, the first of 5 MiB

    def node(link: SuperLink, asked: Message) -> None:
        link.answer(
            Message(RecordDict({"arrays": ArrayRecord({"a": Array(values)})}), reply_to=asked)
        )

    room = Room(numbers=values.nbytes + 128, about=300)
    assert used(play(node, room=room)) == [0]
    less = Room(numbers=values.nbytes + 127, about=300)
    assert "bytes or less" in refusals(play(node, room=less))[0]


@pytest.mark.parametrize("order", [1, -1])
def test_a_node_cannot_answer_for_another(order: int) -> None:
    """It knows the other's message here; what SuperLink checks and what it delivers differ."""
    stolen: list[Message] = []

    def victim(link: SuperLink, asked: Message) -> None:
        stolen.append(asked)

    def thief(link: SuperLink, asked: Message) -> None:
        told = Message(RecordDict(), reply_to=asked)
        forged = messages.answer(
            stolen[0], packed(filled(9.0)), server_round=1, steps=3, statement=statement()
        )
        parts = [
            lambda: honest(link, stolen[0]),
            lambda: link.push(link.nodes[1], told, deflated(forged)),
        ]
        for part in parts[::order]:
            part()

    found = play(victim, thief)
    assert used(found) == [0]
    assert found[0].open().content.array_records == reply_to(stolen[0]).content.array_records
    assert "another's" in refusals(found)[1]


def test_a_message_has_an_id_that_nobody_else_can_tell() -> None:
    """Its nonce is in it: the same question at the same moment is another message."""
    link = SuperLink(1)
    with link.grid():
        asked = [
            messages.ask_parts("secagg_keys", {}, server_round=1, node_id=link.nodes[0])
            for _ in range(2)
        ]
    for one in asked:
        one.metadata.__dict__["_created_at"] = 1.0
    assert asked[0].object_id != asked[1].object_id


def no_message(reply: Message) -> Objects:
    objects: Objects = {}
    made(objects, "RecordDict", [], b"{}")
    return objects


def no_records(reply: Message) -> Objects:
    objects: Objects = {}
    chunk = made(objects, "ArrayChunk", [], b"x")
    told = {"dtype": "", "shape": [], "stype": "", "arraychunk_ids": [0]}
    array = made(objects, "Array", [chunk], json.dumps(told).encode())
    made(objects, "Message", [array], envelope(reply))
    return objects


def no_content(reply: Message) -> Objects:
    objects: Objects = {}
    made(objects, "Message", [], envelope(reply))
    return objects


def no_protobuf(reply: Message) -> Objects:
    objects: Objects = {}
    made(objects, "Message", [], b"\xff" * 40)
    return objects


def bad_metrics(reply: Message) -> Objects:
    objects: Objects = {}
    record = made(objects, "MetricRecord", [], b"\x0a\x05\x0a\x01a\x12\x7f")
    records = made(objects, "RecordDict", [record], json.dumps({"metrics": record}).encode())
    made(objects, "Message", [records], envelope(reply))
    return objects


def deep(reply: Message) -> Objects:
    objects: Objects = {}
    inner = made(objects, "ConfigRecord", [], b"")
    for _ in range(80):
        inner = made(objects, "ConfigRecord", [inner], b"")
    made(objects, "Message", [inner], envelope(reply))
    return objects


def array_of_arrays(reply: Message) -> Objects:
    """Each a hundred times the one below: a hundred to the fourth power."""
    objects: Objects = {}
    inner = made(objects, "ArrayChunk", [], b"x")
    told = {"dtype": "", "shape": [], "stype": "", "arraychunk_ids": [0] * 100}
    for _ in range(4):
        inner = made(objects, "Array", [inner], json.dumps(told).encode())
    return within(reply, objects, {"a": inner})


def nested_labels(reply: Message) -> Objects:
    objects: Objects = {}
    return within(reply, objects, {"a": made(objects, "Array", [], b"[" * 1500)})


HOSTILE: dict[str, Callable[[Message], Objects]] = {
    "the root is no message": no_message,
    "the content is an array": no_records,
    "neither content nor an error": no_content,
    "no protobuf": no_protobuf,
    "metrics cut off": bad_metrics,
    "nested as deep as it goes": deep,
    "arrays of arrays": array_of_arrays,
    "a chunk that is not there": lambda r: with_array(r, {"arraychunk_ids": [1]}, [b"x"]),
    "a chunk by name": lambda r: with_array(r, {"arraychunk_ids": ["0"]}, [b"x"]),
    "a chunk by half": lambda r: with_array(r, {"arraychunk_ids": [0.5]}, [b"x"]),
    "chunks by number": lambda r: with_array(r, {"arraychunk_ids": 7}, [b"x"]),
    "no chunks": lambda r: with_array(r, {}, [b"x"]),
    "a shape of words": lambda r: with_array(r, {"arraychunk_ids": [0], "shape": ["a"]}, [b"x"]),
    "a type that is a number": lambda r: with_array(r, {"arraychunk_ids": [0], "dtype": 4}, [b"x"]),
    "labels nested without end": nested_labels,
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_what_flower_cannot_read_costs_its_node_the_round_and_nobody_else(attack: str) -> None:
    found = play(honest, pushes(HOSTILE[attack]), honest)
    assert used(found) == [0, 2]
    assert list(refusals(found)) == [1]


def test_a_chunk_named_three_hundred_times_takes_no_memory() -> None:
    """One MB on the wire, 300 MB as Flower puts it together."""
    room = Room(numbers=2**20 + 128, about=4096)
    attack = pushes(lambda r: with_array(r, {"arraychunk_ids": [0] * 300}, [bytes(2**20)]))
    link = SuperLink(1)
    tracemalloc.start()
    found = play(attack, link=link, room=room)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refusals(found) == {
        0: "Expected a reply of 1,052,800 bytes or less, by the plan, got more."
    }
    assert peak < 12 * 2**20  # which SuperLink itself has part in


def test_a_long_object_is_refused_before_it_is_read() -> None:
    """SuperLink says how long its answer is; the body of that answer stays where it is."""
    link = SuperLink(2)
    attack = pushes(lambda r: with_array(r, {"arraychunk_ids": [0]}, [bytes(10**7)]))
    found = play(attack, honest, link=link)
    assert used(found) == [1]
    assert "bytes or less" in refusals(found)[0]
    assert link.sent_bytes < 20_000


@pytest.mark.parametrize("size", [0, 3])
def test_more_objects_than_an_update_has_are_not_asked_for(size: int, is_sql: bool) -> None:
    chunks = [number.to_bytes(4)[4 - size :] + b"x" for number in range(200)]
    link, attack = SuperLink(1), pushes(lambda r: with_array(r, {"arraychunk_ids": [0]}, chunks))
    if is_sql and not size:
        with pytest.raises(ValueError, match="duplicate children"):  # the SQL state's own refusal
            play(attack, link=link)
        return
    found = play(attack, link=link)
    assert list(refusals(found)) == [0]
    assert link.calls.count("pull-object") < 130


def test_objects_that_never_come_hold_nobody_up() -> None:
    """Flower's own grid waits for them, up to two hours, before it asks for anybody else."""
    start = time.monotonic()
    found = play(incomplete([]), honest, seconds=4.0)
    assert time.monotonic() - start < 10
    assert [(i.node, i.seconds < 3) for i in found] == [(1, True)]


def test_objects_that_come_late_are_read_once_all_are_there() -> None:
    late: list[Callable[[], None]] = []
    link = SuperLink(1)
    timer = threading.Timer(0.4, lambda: late[0]())
    timer.start()
    (incoming,) = play(incomplete(late), link=link, seconds=20.0)
    timer.join()
    assert isinstance(incoming.reply, Message)
    assert incoming.seconds > 0.4


def incomplete(late: list[Callable[[], None]]) -> Node:
    """A node that does not push the first of its chunks; `late` gets what does."""

    def node(link: SuperLink, asked: Message) -> None:
        reply = messages.answer(
            asked, packed(filled(2.0)), server_round=1, steps=3, statement=statement()
        )
        objects = deflated(reply)
        held = [next(iter(objects))]
        late.append(link.push(asked.metadata.dst_node_id, reply, objects, missing=held))

    return node


def test_a_reply_whose_parts_are_gone_is_refused() -> None:
    class Forgetful(SuperLink):
        def _answer(self, request: httpx.Request) -> httpx.Response:
            answer = super()._answer(request)
            if request.url.path.endswith("pull-messages"):
                self.state.object_store.clear()
            return answer

    assert "all parts" in refusals(play(honest, link=Forgetful(1)))[0]


def endless(link: SuperLink, asked: Message) -> None:
    """A node whose reply lasts NaN seconds, which SQLite keeps as nothing."""
    reply = Message(RecordDict(), reply_to=asked)
    reply.metadata.ttl = math.nan
    link.answer(reply)


@pytest.mark.parametrize("places", [{0}, {1}, {4}, {1, 2}, {0, 1, 2, 3, 4}])
def test_a_reply_that_superlink_fails_at_costs_its_node_the_round(
    places: set[int], is_sql: bool
) -> None:
    found = play(*(endless if place in places else honest for place in range(5)), seconds=2.0)
    refused = places if is_sql else set()
    assert set(used(found)) == set(range(5)) - refused
    assert set(refusals(found)) == refused
    assert all("hand out" in reason for reason in refusals(found).values())


def test_a_superlink_that_fails_at_everything_ends_the_round() -> None:
    class Failing(SuperLink):
        def _answer(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("pull-messages"):
                return httpx.Response(500)
            return super()._answer(request)

    with pytest.raises(httpx.HTTPStatusError):
        play(honest, honest, honest, link=Failing(3))


def test_a_superlink_that_fails_once_is_asked_again() -> None:
    class Stumbling(SuperLink):
        failures = 3

        def _answer(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("pull-messages") and self.failures:
                self.failures -= 1
                self.calls.append("failed")
                return httpx.Response(500)
            return super()._answer(request)

    link = Stumbling(4)
    assert used(play(honest, honest, honest, honest, link=link)) == [0, 1, 2, 3]
    assert link.calls.count("failed") == 3


def announces(like: Callable[[Message], Message]) -> Node:
    """A node that says beforehand that records of others' messages are made of something else."""

    def node(link: SuperLink, asked: Message) -> None:
        objects: Objects = {}
        junk = ObjectTree(object_id=made(objects, "ArrayChunk", [], b"junk"))
        records = like(asked).content.values()
        told = [r.object_id for r in records if not isinstance(r, ArrayRecord)]
        reply = Message(RecordDict(), reply_to=asked)
        root = made(objects, "Message", [], envelope(reply))
        link.announce(
            asked.metadata.dst_node_id,
            reply,
            ObjectTree(
                object_id=root,
                children=[ObjectTree(object_id=name, children=[junk]) for name in told],
            ),
        )

    return node


def test_replies_of_others_cannot_be_announced_as_something_else() -> None:
    assert used(play(announces(reply_to), honest, honest, seconds=1.0)) == [1, 2]


def test_requests_cannot_be_announced_as_something_else() -> None:
    def request_again(asked: Message) -> Message:
        return messages.ask(
            packed(filled(0.0)), server_round=1, frozen_hash=FROZEN, run="r", node_id=7
        )

    link = SuperLink(3)
    announcer = announces(request_again)
    assert used(play(announcer, honest, honest, link=link, seconds=1.0)) == [1, 2]
    assert used(play(honest, honest, honest, link=link)) == [0, 1, 2]


@pytest.mark.parametrize("call", ["pull-messages", "pull-object", "confirm-message-received"])
def test_a_superlink_that_is_gone_ends_the_round(call: str) -> None:
    class Gone(SuperLink):
        def _answer(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith(call):
                raise httpx.ConnectError("refused", request=request)
            return super()._answer(request)

    with pytest.raises(httpx.ConnectError):
        play(honest, link=Gone(1))


def example() -> Objects:
    """A reply of a node of this process."""
    with LocalGrid(ClientApp(), []).activated():
        asked = messages.ask(
            packed(filled(0.0)), server_round=1, frozen_hash=FROZEN, run="r", node_id=7
        )
        asked.metadata.__dict__["_message_id"] = "asked"
        return deflated(reply_to(asked))


EXAMPLE = example()


@given(
    place=st.integers(0, len(EXAMPLE) - 1),
    start=st.integers(0, 200),
    length=st.integers(0, 60),
    put=st.binary(max_size=40),
)
@settings(max_examples=500)
def test_a_reply_with_any_bytes_changed_is_read_or_refused(
    place: int, start: int, length: int, put: bytes
) -> None:
    """Also such as SuperLink would not store, because they do not fit their ids."""
    contents, tree = dict(EXAMPLE), tree_of(list(EXAMPLE)[-1], EXAMPLE)
    name = list(EXAMPLE)[place]
    contents[name] = contents[name][:start] + put + contents[name][start + length :]
    with contextlib.suppress(BadMessage):
        assert isinstance(_put_together(tree, contents, ROOM), Message)


def test_records_beside_the_arrays_are_counted_before_they_are_read() -> None:
    """A megabyte of small numbers is thirty as Python has them."""

    def node(link: SuperLink, asked: Message) -> None:
        numbers = MetricRecord({"x": list(range(10**5))})
        link.answer(Message(RecordDict({"metrics": numbers}), reply_to=asked))

    def names(link: SuperLink, asked: Message) -> None:
        words = ConfigRecord({str(n): b"" for n in range(500)})
        link.answer(Message(RecordDict({str(n): words for n in range(60)}), reply_to=asked))

    found = play(node, names, honest, room=Room(numbers=10**6, about=2000))
    assert used(found) == [2]
    assert set(refusals(found)) == {0, 1}
