"""Who gets through the server's gate, and which bundles are the same program."""

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from flwr.server.superlink.linkstate import LinkState, LinkStateFactory, SqlLinkState
from flwr.supercore.constant import NodeStatus
from flwr.supercore.logger import console_handler
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.superlink.federation import NoOpFederationManager
from starlette.types import Message, Receive, Scope, Send

from deployment.apps import tiny_app
from discreet.deployment.bundle import build
from discreet.deployment.flower import (
    OPERATOR_HEADER,
    Gate,
    _count_nodes_anew,
    code_of,
    is_from_this_machine,
    say_less,
)
from tests.loops import run

KEY = "5ecret"


def scope(path: str, client: str, *, key: str | None = None, server: str = "10.0.0.1") -> Scope:
    headers = [] if key is None else [(OPERATOR_HEADER.encode(), key.encode())]
    ends = {"client": (client, 5), "server": (server, 8000)}
    return {"type": "http", "path": path, "headers": headers, **ends}


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """An app behind the gate."""


GATE = Gate(nothing, KEY, most_bytes=1000)


@pytest.mark.parametrize("client", ["10.0.0.9", "::ffff:10.0.0.9", "2001:db8::1", "nonsense"])
@pytest.mark.parametrize(
    "path", ["/v1/control/start-run", "/v1/runtime/acquire-task", "/docs", "/openapi.json", "/"]
)
def test_other_machines_reach_the_nodes_interface_only(client: str, path: str) -> None:
    assert not GATE.is_allowed(scope(path, client, key=KEY))
    assert GATE.is_allowed(scope("/v1/fleet/pull-messages", client))
    assert GATE.is_allowed(scope("/health", client))


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1"])
def test_this_machine_needs_the_key_to_start_runs(client: str) -> None:
    path = "/v1/control/start-run"
    assert GATE.is_allowed(scope("/v1/runtime/acquire-task", client))
    assert GATE.is_allowed(scope(path, client, key=KEY))
    assert not GATE.is_allowed(scope(path, client))
    assert not GATE.is_allowed(scope(path, client, key="5ecret!"))
    assert not GATE.is_allowed(scope(path, client, key=""))
    twice = scope(path, client, key=KEY)
    twice["headers"] *= 2
    assert not GATE.is_allowed(twice)


@pytest.mark.parametrize(
    ("headers", "is_short"),
    [
        ([], True),
        ([(b"content-length", b"1000")], True),
        ([(b"content-length", b"1001")], False),
        ([(b"content-length", b"9" * 5000)], False),
        ([(b"content-length", b"1"), (b"content-length", b"1001")], False),
        ([(b"content-length", b"-1")], False),
        ([(b"transfer-encoding", b"chunked")], False),
        ([(b"content-length", b"1"), (b"transfer-encoding", b"chunked")], False),
    ],
)
@pytest.mark.parametrize("path", ["/v1/fleet/push-object", "/health"])
def test_a_long_request_of_another_machine_is_refused_before_it_is_read(
    headers: list[tuple[bytes, bytes]], is_short: bool, path: str
) -> None:
    asked = {**scope(path, "10.0.0.9"), "headers": headers}
    assert answers(asked) == ([] if is_short else [413])


def test_a_long_request_of_this_machines_own_processes_goes_on() -> None:
    pushed = scope("/v1/runtime/push-object", "127.0.0.1")
    pushed["headers"] = [(b"content-length", b"1001")]
    assert answers(pushed) == []


def test_a_caller_without_an_address_is_another_machine() -> None:
    assert not is_from_this_machine({"type": "http", "client": None, "server": None})


def answers(asked: Scope) -> list[int]:
    """What the gate says itself; nothing where it lets a request on to `nothing`."""
    seen: list[Message] = []

    async def send(message: Message) -> None:
        seen.append(message)

    async def receive() -> Message:
        raise AssertionError("A request was read.")

    run(GATE(asked, receive, send))
    return [message["status"] for message in seen if "status" in message]


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_what_is_refused_does_not_reach_the_app(kind: str) -> None:
    assert answers({**scope("/v1/control/start-run", "10.0.0.9"), "type": kind}) == [403]


def packed(files: list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files:
            archive.writestr(name, data)
    return stream.getvalue()


def unpacked(bundle: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        return [(entry.filename, archive.read(entry)) for entry in archive.infolist()]


OWN = build(tiny_app(), {})
FILES = unpacked(OWN)


def changed(**edits: bytes) -> bytes:
    names: Mapping[str, bytes] = {name.replace("__", "."): data for name, data in edits.items()}
    return packed([(name, names.get(name.rpartition("/")[2], data)) for name, data in FILES])


def test_a_plan_makes_no_other_program() -> None:
    assert code_of(build(tiny_app(), {"num_rounds": 7, "run_folder": "x"})) == code_of(OWN)
    assert code_of(packed(FILES[::-1])) == code_of(OWN)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_any_other_byte_makes_another_program() -> None:
    project = dict(FILES)["pyproject.toml"]
    others = {
        "a changed module": changed(client__py=b"import os"),
        "another component": changed(pyproject__toml=project.replace(b"tiny.client", b"tiny.x")),
        "a dependency": changed(
            pyproject__toml=project.replace(b"[project]", b'[project]\ndependencies = ["x"]')
        ),
        "one file more": packed([*FILES, ("tiny/sitecustomize.py", b"")]),
        "one file less": packed([entry for entry in FILES if entry[0] != "tiny/server.py"]),
        "a file twice": packed([*FILES, ("tiny/client.py", b"import os")]),
        "a file below .info": packed([*FILES, (".info/x.py", b"")]),
    }
    for what, bundle in others.items():
        assert code_of(bundle) != code_of(OWN), what


@pytest.mark.parametrize(
    "bundle",
    [
        b"",
        b"PK\x03\x04",
        changed(pyproject__toml=b"]["),
        packed([("a", b"0" * 10**7), ("b", b"0")]),
    ],
)
def test_what_is_no_bundle_is_refused(bundle: bytes) -> None:
    with pytest.raises(ValueError, match="Expected"):
        code_of(bundle)


def state_of(database: Path) -> LinkState:
    """What a server that starts reads of its database."""
    return LinkStateFactory(str(database), NoOpFederationManager(), ObjectStoreFactory()).state()


def connected(state: LinkState) -> int:
    return len(state.get_node_info(statuses=[NodeStatus.ONLINE]))


@pytest.mark.filterwarnings("ignore:No path_separator found:DeprecationWarning")  # Flower's alembic
@pytest.mark.parametrize("is_mended", [True, False])
def test_a_server_that_starts_counts_no_killed_node_and_lets_it_back(
    is_mended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("initialize", "activate_node"):  # put back at the end
        monkeypatch.setattr(SqlLinkState, name, getattr(SqlLinkState, name))
    if is_mended:
        _count_nodes_anew()
    first = state_of(tmp_path / "superlink.db")
    node = first.create_node("owner", "owner", b"key", 0)
    assert first.activate_node(node, 30)
    assert first.activate_node(node, 30) == is_mended, "the node was killed and came back"
    assert connected(first) == 1
    later = state_of(tmp_path / "superlink.db")
    assert connected(later) == (0 if is_mended else 1), "both were killed"
    assert later.acknowledge_node_heartbeat(node, 30), "the node lived on"
    assert connected(later) == 1


def test_a_log_in_a_file_has_no_colours_and_no_news_of_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(console_handler, "colored", True)
    monkeypatch.setenv("FLWR_LOG_LEVEL", "")
    monkeypatch.delenv("FLWR_LOG_LEVEL")
    monkeypatch.setattr("sys.stderr", io.StringIO())
    say_less("superlink")
    assert not console_handler.colored
    assert "FLWR_LOG_LEVEL" not in os.environ
    say_less("supernode")
    assert os.environ["FLWR_LOG_LEVEL"] == "WARNING"
