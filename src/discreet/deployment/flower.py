"""Flower's server and node processes, with the doors shut that Flower 1.41 leaves open.

    python -P flower.py superlink PARENT OPERATOR_KEY_FILE MOST_REQUEST_BYTES MOST_REPLY_BYTES
        --host ... (options of flower-superlink)
    python -P flower.py supernode PARENT APP_FILE --superlink ... (options of flower-supernode)

PARENT is the id of the process that starts it: once that is gone, all of the group is ended.
Flower's own monitor raises SIGINT in another thread, which wakes no main thread that waits for a
lock: a ServerApp that was sending would stay for ever, and nobody could go on with its run.

**Server.** Without a paid plug-in, whoever reaches the port may start runs, that is to say any
program on all nodes, and admit nodes: only the nodes themselves are authenticated. Here other
machines reach what nodes need (`/v1/fleet/`) and the health check; the rest is for this machine,
and starting runs for whoever can read the operator's key.

Flower knows which node calls, and believes the rest: a node could push an instruction to another as
if it were the server. Here a node handles its own messages and no others (`fleet.py`), and one
request of it is no longer than the settings allow.

A server that starts counts nobody as connected: nodes that were killed with it would be asked for
a minute. A node that was killed may come back at once, while Flower refuses a key that it counts as
connected: whoever has the key is the same owner, whose folder is locked by the node that runs.

**Node.** A node runs the program that comes with a run. Here it runs one whose files are those of
its own bundle, made by the kit that its owner installed; only the plan may differ.

This is a program and no module of the room: it imports nothing of *discreet*, so that Flower's
processes hold no model library. It and `fleet.py` are the only places that change Flower from
outside; should Flower rename what is changed, the process ends with an `AttributeError` and nothing
is left open.
"""

import hmac
import io
import logging
import os
import runpy
import signal
import sys
import threading
import time
import tomllib
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OPERATOR_HEADER = "x-discreet-operator"
"""Carries the operator's key in requests to start, stop and list runs."""
MOST_BYTES = 10_000_000
"""Most that a bundle may hold once unpacked; Flower's own limit for a packed one."""
_WATCH_SECONDS = 0.2
_PLAN = ("tool", "flwr", "app")
_MANIFEST = ".info/CONTENT"
_FLEET = Path(__file__).with_name("fleet.py")


class Gate:
    """Lets other machines reach what nodes need, and the operator what is left."""

    def __init__(self, app: ASGIApp, operator_key: str, most_bytes: int) -> None:
        """Guard `app`; a request of other machines holds `most_bytes` at most."""
        self.app = app
        self.operator_key = operator_key.encode()
        self.most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 to what is not allowed, 413 to what is or may be too long."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif not self.is_allowed(scope):
            await PlainTextResponse("Forbidden", status_code=403)(scope, receive, send)
        elif is_open(scope["path"]) and not self.is_short(scope):
            await PlainTextResponse("Too large", status_code=413)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def is_short(self, scope: Scope) -> bool:
        """Say whether a request tells how long it is, and is no longer than may be."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        lengths = [value for name, value in headers if name == b"content-length"]
        return all(name != b"transfer-encoding" for name, _ in headers) and all(
            value.isdigit() and len(value) < 20 and int(value) <= self.most_bytes
            for value in lengths
        )

    def is_allowed(self, scope: Scope) -> bool:
        """Say whether a request may go on."""
        path: str = scope["path"]
        if is_open(path):
            return True
        if not is_from_this_machine(scope):
            return False
        if not path.startswith("/v1/control/"):
            return True
        given = [value for name, value in scope["headers"] if name == OPERATOR_HEADER.encode()]
        return len(given) == 1 and hmac.compare_digest(given[0], self.operator_key)


def is_open(path: str) -> bool:
    """Say whether other machines may reach a path."""
    return path.startswith("/v1/fleet/") or path == "/health"


def is_from_this_machine(scope: Scope) -> bool:
    """Say whether a connection comes from this machine: from loopback, or from its own address."""
    client, server = scope.get("client"), scope.get("server")
    if client is None or server is None:
        return False
    try:
        caller = ip_address(client[0])
    except ValueError:
        return False
    if isinstance(caller, IPv6Address) and caller.ipv4_mapped:
        caller = caller.ipv4_mapped
    return caller.is_loopback or str(caller) == server[0]


def code_of(bundle: bytes) -> list[tuple[str, object]]:
    """Return the files of a bundle, by name, without the plan in its pyproject.toml.

    Raises:
        ValueError: if it is no bundle, or too large a one.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename != _MANIFEST]
            if sum(entry.file_size for entry in entries) > MOST_BYTES:
                raise ValueError("Expected at most 10 MB in a bundle, got more.")
            files = sorted((entry.filename, archive.read(entry)) for entry in entries)
    except zipfile.BadZipFile as error:
        raise ValueError("Expected a bundle of Flower's, got another file.") from error
    return [
        (name, _without_plan(data) if name == "pyproject.toml" else data) for name, data in files
    ]


def run_superlink(operator_key: str, most_request_bytes: int, most_reply_bytes: int) -> None:
    """Run Flower's server behind the gate, all its processes in one group."""
    from flwr.superlink import extensions

    # By name: the package has a function of the same name.
    program = import_module("flwr.superlink.cli.flower_superlink")
    gate = Middleware(Gate, operator_key=operator_key, most_bytes=most_request_bytes)

    _replace(extensions, "get_middleware", lambda: (gate,))
    _replace(program, "get_popen_detach_kwargs", dict)
    _count_nodes_anew()
    runpy.run_path(str(_FLEET))["guard"](most_reply_bytes)
    # Its lines hold the addresses of nodes, one every three seconds.
    logging.getLogger("uvicorn.access").addFilter(lambda _: False)
    program.flower_superlink()


def _count_nodes_anew() -> None:
    """Count nodes as connected once this process heard of them, and let them back at any time."""
    from flwr.server.superlink.linkstate import SqlLinkState
    from flwr.supercore.constant import NodeStatus

    initialize, activate = SqlLinkState.initialize, SqlLinkState.activate_node

    def begin(self: Any, *given: Any, **named: Any) -> list[str]:
        tables = initialize(self, *given, **named)
        for node in self.get_node_info(statuses=[NodeStatus.ONLINE]):
            self.deactivate_node(node.node_id)
        return tables

    def let_in(self: Any, node_id: int, heartbeat_interval: float) -> bool:
        self.deactivate_node(node_id)
        return activate(self, node_id, heartbeat_interval)

    _replace(SqlLinkState, "initialize", begin)
    _replace(SqlLinkState, "activate_node", let_in)


def say_less(program: str) -> None:
    """Write no colours into a file; of a node's workers, that they were started is no news."""
    from flwr.supercore.logger import update_console_handler

    if os.environ.get("NO_COLOR") or not sys.stderr.isatty():
        update_console_handler(colored=False)
    if program == "supernode":
        os.environ.setdefault("FLWR_LOG_LEVEL", "WARNING")  # read by workers when they start


def run_supernode(bundle: bytes) -> None:
    """Run Flower's node, which answers an error to runs of any other program."""
    from flwr.supernode import start_client_internal as node
    from flwr.supernode.cli.flower_supernode import flower_supernode

    own, pull = code_of(bundle), node._pull_and_store_message

    def is_own(fab: Any, _: object) -> bool:
        try:
            return code_of(fab.content) == own
        except Exception:  # The edge of the device: what cannot be read is not our own.
            return False

    def pull_own(*, get_fab: Callable[[str, int], Any], **given: Any) -> int | None:
        # Flower asks about the signers of a bundle only where it has a licence and a list of them.
        def get(fab_hash: str, run_id: int) -> Any:
            return replace(get_fab(fab_hash, run_id), verifications={"valid_license": "own"})

        return pull(get_fab=get, **{**given, "trusted_entities": {"own": ""}})

    _replace(node, "_verify_fab", is_own)
    _replace(node, "_pull_and_store_message", pull_own)
    flower_supernode()


def end_with(parent: int) -> None:
    """Kill this process's group, which `Child` made for it, once its parent is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Run the process that the first argument names."""
    program, parent, secret = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    limits = [int(word) for word in sys.argv[4:6]] if program == "superlink" else []
    end_with(parent)
    say_less(program)
    sys.argv = [f"flower-{program}", *sys.argv[4 + len(limits) :]]
    if program == "superlink":
        run_superlink(secret.read_text().strip(), *limits)
    else:
        run_supernode(secret.read_bytes())


def _without_plan(pyproject: bytes) -> object:
    """Return a pyproject.toml as values, less `[tool.flwr.app.config]`."""
    try:
        values = tomllib.loads(pyproject.decode())
    except ValueError as error:
        raise ValueError("Expected TOML in a bundle's pyproject.toml, got another.") from error
    table: Any = values
    for key in _PLAN:
        table = table.get(key, {})
    table.pop("config", None)
    return values


def _replace(module: Any, name: str, value: object) -> None:
    """Replace a name that has to be there."""
    getattr(module, name)
    setattr(module, name, value)


if __name__ == "__main__":
    main()
