"""Against Flower's own SuperLink on disk: a node handles its own messages and no others."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from federated.conftest import filled, packed, statement
from federated.superlink import Objects, SuperLink, deflated, made
from federated.tiny import FROZEN
from flwr.app import Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto import fleet_pb2, message_pb2
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.node_pb2 import Node
from flwr.supercore.error import FlowerError
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.object_store.sql_object_store import SqlObjectStore
from flwr.superlink.servicer.fleet import fleet_handlers

from discreet.deployment import fleet
from discreet.deployment.fleet import MOST_OBJECTS, guard
from discreet.federated import messages
from discreet.federated.bad_message import BadMessage
from discreet.federated.exchange import Incoming, exchange
from discreet.federated.terms import Room

ROOM = Room(numbers=1000, about=4000)
MOST_BYTES = 100_000
FALSE = "0" * 64
HANDLERS = ("push_messages", "push_object", "pull_object", "confirm_message_received")

pytestmark = pytest.mark.filterwarnings(
    "ignore:No path_separator found:DeprecationWarning"  # Flower's alembic
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of Flower's, which takes seconds to make."""
    path = tmp_path_factory.mktemp("empty") / "superlink.db"
    SuperLink(0, str(path))
    return path


@pytest.fixture
def link(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SuperLink:
    """A SuperLink with two nodes, guarded."""
    put_back(monkeypatch)
    guard(MOST_BYTES)
    return open_link(empty, tmp_path)


@pytest.fixture
def open_to_all(empty: Path, tmp_path: Path) -> SuperLink:
    """The same as Flower leaves it."""
    return open_link(empty, tmp_path)


def put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in HANDLERS:
        monkeypatch.setattr(fleet_handlers, name, getattr(fleet_handlers, name))
    monkeypatch.setattr(SqlObjectStore, "preregister", SqlObjectStore.preregister)


def open_link(empty: Path, path: Path) -> SuperLink:
    return SuperLink(2, str(shutil.copy(empty, path)))


def request_for(node: int) -> Message:
    return messages.ask(
        packed(filled(0.0)), server_round=1, frozen_hash=FROZEN, run="r", node_id=node
    )


def asked_of(link: SuperLink) -> list[Message]:
    """Let the server send a message to each node."""
    with link.grid() as grid:
        asked = [request_for(node) for node in link.nodes]
        assert all(grid.push_messages(asked))
    return asked


def reply_to(asked: Message) -> Message:
    return messages.answer(
        asked, packed(filled(1.0)), server_round=1, steps=3, statement=statement()
    )


def push(link: SuperLink, node: int, told: Message, tree: ObjectTree) -> None:
    """Push what nobody checked, as a node."""
    metadata = message_to_proto(remove_content_from_message(told))
    metadata.metadata.message_id = tree.object_id
    request = fleet_pb2.PushMessagesRequest(
        node=Node(node_id=node), messages_list=[metadata], message_object_trees=[tree]
    )
    fleet_handlers.push_messages(request, link.state)


def pulled(link: SuperLink, node: int) -> list[ObjectTree]:
    request = fleet_pb2.PullMessagesRequest(node=Node(node_id=node))
    answer = fleet_handlers.pull_messages(request, link.state, link.state.object_store)
    return list(answer.message_object_trees)


def is_there(link: SuperLink, node: int, name: str) -> bool:
    request = message_pb2.PullObjectRequest(
        node=Node(node_id=node), run_id=link.run.run_id, object_id=name
    )
    return fleet_handlers.pull_object(request, link.state).object_available


def confirm(link: SuperLink, node: int, name: str) -> None:
    request = message_pb2.ConfirmMessageReceivedRequest(
        node=Node(node_id=node), run_id=link.run.run_id, message_object_id=name
    )
    fleet_handlers.confirm_message_received(request, link.state, link.state.object_store)


def replies(link: SuperLink, play: Sequence[str]) -> dict[int, Incoming]:
    """Ask both nodes, who answer as `play` says: the first may lie before the second answers."""
    found = {}
    with link.grid() as grid:
        asked = [request_for(node) for node in link.nodes]
        push_messages = grid.push_messages

        def answered(sent: list[Message]) -> object:
            names = push_messages(sent)
            for step in play:
                STEPS[step](link, sent)
            return names

        grid.push_messages = answered
        for incoming in exchange(grid, asked, room=ROOM, timeout_seconds=2.0):
            found[incoming.node] = incoming
    return found


def answer(link: SuperLink, asked: Message) -> None:
    """Do what an honest node does."""
    node = asked.metadata.dst_node_id
    (tree,) = pulled(link, node)
    names = {part.object_id for part in iterate_object_tree(tree)}
    assert all(is_there(link, node, name) for name in names)
    confirm(link, node, tree.object_id)
    assert not is_there(link, node, tree.object_id)
    link.answer(reply_to(asked))


def arrays_of(reply: Message) -> str:
    """The id of the arrays, which hold no nonce: whoever sends the same numbers sends it."""
    return next(name for name, part in deflated(reply).items() if part.startswith(b"ArrayRecord"))


def lie_below(link: SuperLink, sent: list[Message]) -> None:
    """Announce the arrays that the other node will send, with a child that they have not."""
    reply = reply_to(sent[0])
    lie = ObjectTree(object_id=arrays_of(reply), children=[ObjectTree(object_id=FALSE)])
    push(link, link.nodes[0], reply, ObjectTree(object_id="1" * 64, children=[lie]))


def lie_above(link: SuperLink, sent: list[Message]) -> None:
    """The same, as if the arrays were the reply itself."""
    reply = reply_to(sent[0])
    lie = ObjectTree(object_id=arrays_of(reply), children=[ObjectTree(object_id=FALSE)])
    push(link, link.nodes[0], reply, lie)


STEPS = {
    "first answers": lambda link, sent: answer(link, sent[0]),
    "second answers": lambda link, sent: answer(link, sent[1]),
    "first lies below": lie_below,
    "first lies above": lie_above,
}


def test_honest_nodes_are_not_hindered(link: SuperLink) -> None:
    found = replies(link, ["first answers", "second answers"])
    assert [found[node].open().metadata.src_node_id for node in link.nodes] == link.nodes


def test_flowers_own_reader_puts_flat_trees_together(link: SuperLink) -> None:
    asked = asked_of(link)
    for message in asked:
        answer(link, message)
    with link.grid() as grid:
        found = list(grid.pull_messages([one.metadata.message_id for one in asked]))
    assert [one.content["arrays"] for one in found] == [
        reply_to(one).content["arrays"] for one in asked
    ]
    left = link.state.query("SELECT COUNT(*) AS count FROM objects")
    assert left == [{"count": 0}], "what was read is deleted"


def test_a_push_that_is_repeated_is_taken_once(link: SuperLink) -> None:
    asked = asked_of(link)[0]
    reply = reply_to(asked)
    objects = deflated(reply)
    first = link.push(link.nodes[0], reply, objects, missing=list(objects)[:1])
    link.push(link.nodes[0], reply, objects)
    with pytest.raises(AssertionError):
        first()  # a session that another took the place of
    with link.grid() as grid:
        assert len(list(grid.pull_messages([asked.metadata.message_id]))) == 1


@pytest.mark.parametrize("lie", ["first lies below", "first lies above"])
def test_false_children_of_what_others_send_cost_whoever_claims_them(
    link: SuperLink, lie: str
) -> None:
    found = replies(link, [lie, "second answers"])
    assert found.pop(link.nodes[1]).open().metadata.src_node_id == link.nodes[1]
    assert all(isinstance(incoming.reply, BadMessage) for incoming in found.values())


@pytest.mark.parametrize("lie", ["first lies below", "first lies above"])
def test_flower_alone_lets_them_cost_others_their_reply(open_to_all: SuperLink, lie: str) -> None:
    with pytest.raises(ValueError, match="different children"):
        replies(open_to_all, [lie, "second answers"])


def instruction(link: SuperLink, asked: Message) -> Message:
    """A message to the second node, which says that it comes from the server."""
    with link.grid():
        forged = request_for(link.nodes[1])
    forged.metadata.__dict__.update(
        _run_id=link.run.run_id, _src_node_id=1, _message_id="", _ttl=60.0
    )
    return forged


def reply_of_the_other(link: SuperLink, asked: Message) -> Message:
    return changed(asked, _src_node_id=link.nodes[1])


def reply_to_the_other(link: SuperLink, asked: Message) -> Message:
    return changed(asked, _dst_node_id=link.nodes[1])


def reply_to_nothing(link: SuperLink, asked: Message) -> Message:
    return changed(asked, _reply_to_message_id="")


def question_to_the_server(link: SuperLink, asked: Message) -> Message:
    """Flower hands instructions to the server out with the replies."""
    forged = instruction(link, asked)
    forged.metadata.__dict__["_dst_node_id"] = 1
    return forged


def changed(asked: Message, **metadata: object) -> Message:
    reply = reply_to(asked)
    reply.metadata.__dict__.update(metadata)
    return reply


def pushed(link: SuperLink, reply: Message) -> None:
    push(link, link.nodes[0], reply, ObjectTree(object_id="1" * 64))


def queued(link: SuperLink) -> list[int]:
    rows = link.state.query("SELECT src_node_id, dst_node_id FROM message_ins")
    assert {row["src_node_id"] for row in rows} <= {1}
    answers = link.state.query("SELECT 1 FROM message_res")
    return [len(rows), len(answers)]


@pytest.mark.parametrize(
    "forge",
    [
        instruction,
        reply_of_the_other,
        reply_to_the_other,
        reply_to_nothing,
        question_to_the_server,
    ],
)
def test_a_node_pushes_nothing_but_its_own_replies(link: SuperLink, forge: object) -> None:
    asked = asked_of(link)
    with pytest.raises(FlowerError, match="Expected a reply of node"):
        pushed(link, forge(link, asked[0]))
    assert queued(link) == [2, 0]


def test_a_node_replies_to_nothing_that_another_was_asked(link: SuperLink) -> None:
    """Flower's store keeps that, once a reply says who it is from."""
    asked = asked_of(link)
    pushed(link, changed(asked[1], _src_node_id=link.nodes[0]))
    assert queued(link) == [2, 0]


def test_flower_alone_hands_a_nodes_instruction_to_another(open_to_all: SuperLink) -> None:
    asked = asked_of(open_to_all)
    pushed(open_to_all, instruction(open_to_all, asked[0]))
    assert queued(open_to_all) == [3, 0]
    assert sum(len(pulled(open_to_all, open_to_all.nodes[1])) for _ in range(3)) == 2


def test_a_push_of_several_replies_is_refused(link: SuperLink) -> None:
    asked = asked_of(link)[0]
    told = message_to_proto(remove_content_from_message(reply_to(asked)))
    told.metadata.message_id = "1" * 64
    tree = ObjectTree(object_id="1" * 64)
    for count, trees in ((0, 0), (2, 2), (1, 0), (1, 2)):
        request = fleet_pb2.PushMessagesRequest(
            node=Node(node_id=link.nodes[0]),
            messages_list=[told] * count,
            message_object_trees=[tree] * trees,
        )
        with pytest.raises(FlowerError):
            fleet_handlers.push_messages(request, link.state)


def test_a_reply_that_names_other_objects_than_its_own_is_refused(link: SuperLink) -> None:
    reply = reply_to(asked_of(link)[0])
    told = message_to_proto(remove_content_from_message(reply))
    told.metadata.message_id = "1" * 64
    request = fleet_pb2.PushMessagesRequest(
        node=Node(node_id=link.nodes[0]),
        messages_list=[told],
        message_object_trees=[ObjectTree(object_id="2" * 64)],
    )
    with pytest.raises(FlowerError):
        fleet_handlers.push_messages(request, link.state)


def test_a_node_reads_and_deletes_no_message_but_its_own(link: SuperLink) -> None:
    first, second = link.nodes
    asked = asked_of(link)
    theirs = asked[1].metadata.message_id
    assert not is_there(link, first, theirs)
    confirm(link, first, theirs)
    assert is_there(link, second, theirs)
    reply = reply_to(asked[1])
    link.answer(reply)
    for name in deflated(reply):
        assert not is_there(link, first, name)
        confirm(link, first, name)
    with link.grid() as grid:
        assert len(list(grid.pull_messages([theirs]))) == 1


def test_flower_alone_lets_a_node_delete_what_another_was_sent(open_to_all: SuperLink) -> None:
    first, second = open_to_all.nodes
    theirs = asked_of(open_to_all)[1].metadata.message_id
    assert is_there(open_to_all, first, theirs)
    confirm(open_to_all, first, theirs)
    assert not is_there(open_to_all, second, theirs)


def tree_with(objects: int, depth: int) -> ObjectTree:
    tree = ObjectTree(object_id="1" * 64)
    for _ in range(depth - 1):
        tree = ObjectTree(object_id="1" * 64, children=[tree])
    children = [ObjectTree(object_id=f"{name:064x}") for name in range(objects - depth)]
    return ObjectTree(object_id="1" * 64, children=[tree, *children])


def test_a_reply_of_too_many_objects_is_refused(
    link: SuperLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = reply_to(asked_of(link)[0])
    with pytest.raises(FlowerError):
        push(link, link.nodes[0], reply, tree_with(MOST_OBJECTS, depth=1))
    monkeypatch.setattr(fleet, "MOST_OBJECTS", 50)
    for depth in (1, 40):
        with pytest.raises(FlowerError):
            push(link, link.nodes[0], reply, tree_with(50, depth=depth))
    push(link, link.nodes[0], reply, tree_with(49, depth=1))
    assert queued(link) == [2, 1]


def test_a_reply_of_too_many_bytes_is_not_stored_also_when_it_begins_again(link: SuperLink) -> None:
    asked = asked_of(link)[0]
    reply = Message(RecordDict(), reply_to=asked)
    objects: Objects = {}
    chunks = [made(objects, "ArrayChunk", [], bytes([n]) * 30_000) for n in range(5)]
    made(objects, "RecordDict", chunks, b"{}")
    for _ in range(2):
        with pytest.raises(AssertionError):
            link.push(link.nodes[0], reply, objects)
        found = link.state.query(
            "SELECT SUM(LENGTH(content)) AS held FROM objects WHERE LENGTH(content) > 30000"
        )
        assert 60_000 < found[0]["held"] <= MOST_BYTES


def test_objects_are_taken_in_the_session_of_whoever_began_it(link: SuperLink) -> None:
    asked = asked_of(link)
    reply = reply_to(asked[1])
    objects = deflated(reply)
    name = next(iter(objects))
    rest = link.push(link.nodes[1], reply, objects, missing=[name])
    session = link.state.query("SELECT session_id FROM object_push_sessions ORDER BY rowid DESC")
    for given in ("", session[0]["session_id"]):
        request = message_pb2.PushObjectRequest(
            node=Node(node_id=link.nodes[0]),
            run_id=link.run.run_id,
            object_id=name,
            object_content=objects[name],
            session_id=given,
        )
        assert not fleet_handlers.push_object(request, link.state).stored
    rest()
