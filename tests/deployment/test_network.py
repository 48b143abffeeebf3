"""The commands on three machines: network namespaces with cables of their own between them."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from federated.tiny import tiny_config

from deployment.apps import tiny_app
from discreet.artifacts import RunFolder
from discreet.deployment import NodeFolder, NodeSettings, ServerFolder, ServerSettings

HOST, PORT = "10.77.0.1", 8000
OWNERS = ("owner-0", "owner-1")
PATIENCE_SECONDS = 400.0
"""Processes import for tens of seconds on a busy machine."""
WHOEVER_NOTICES_FIRST = {"NoReply", "Flower: MESSAGE_UNAVAILABLE", "Flower: NODE_UNAVAILABLE"}
SLACK_SECONDS = 60.0
"""For the end of the run and of the command."""

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip"), reason="namespaces need root and iproute2"
)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def space(name: str) -> str:
    return f"discreet-{os.getpid()}-{name}"


@pytest.fixture
def cables() -> Iterator[None]:
    """A server at 10.77.0.1, reached by each owner over a link of its own."""
    names = ("server", *OWNERS)
    try:
        for name in names:
            ip("netns", "add", space(name))
            ip("-n", space(name), "link", "set", "lo", "up")
        ip("-n", space("server"), "addr", "add", f"{HOST}/32", "dev", "lo")
        for number, name in enumerate(OWNERS, start=1):
            near, far = f"s{number}", f"o{number}"
            ip("-n", space("server"), "link", "add", near, "type", "veth", "peer", far)
            ip("-n", space("server"), "link", "set", far, "netns", space(name))
            for where, link, end in (("server", near, 1), (name, far, 2)):
                ip("-n", space(where), "addr", "add", f"10.77.{number}.{end}/24", "dev", link)
                ip("-n", space(where), "link", "set", link, "up")
            ip("-n", space(name), "route", "add", HOST, "via", f"10.77.{number}.1")
        yield
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", space(name)], check=False, capture_output=True)


class Command:
    """`discreet` on one of the machines."""

    def __init__(self, where: str, *words: object, log: Path) -> None:
        self.log = log
        command = ["ip", "netns", "exec", space(where), sys.executable, "-m", "discreet"]
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [*command, *map(str, words)], stdout=subprocess.PIPE, stderr=stream
            )

    def __enter__(self) -> "Command":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.communicate(timeout=PATIENCE_SECONDS)

    def result(self) -> dict[str, Any]:
        out, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        assert self.process.returncode == 0, self.log.read_text()
        found: dict[str, Any] = json.loads(out)
        return found


def wait_until(is_done: Callable[[], bool], command: Command) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_done():
        assert command.process.poll() is None, command.log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.3)


def federation(path: Path) -> ServerFolder:
    """A server's folder, and two owners who are simulated elsewhere."""
    folder = ServerFolder.create(path / "server", ServerSettings(host=HOST, port=PORT))
    for index, name in enumerate(OWNERS):
        settings = NodeSettings(superlink=f"{HOST}:{PORT}", site={"partition-id": index})
        ca = folder.authority.certificate
        node = NodeFolder.create(path / name, name=name, ca_certificate=ca, settings=settings)
        folder.admit(node.public_key)
    return folder


def status_of_a_request(where: str, key: str) -> str:
    """What somebody at another machine is told who has even the operator's key."""
    code = (
        "import ssl, urllib.request as r\n"
        f"q = r.Request('https://{HOST}:{PORT}/v1/control/list-runs', b'',"
        f" {{'x-discreet-operator': '{key}'}})\n"
        "c = ssl._create_unverified_context()\n"
        "try: r.urlopen(q, context=c)\n"
        "except r.HTTPError as e: print(e.code)\n"
    )
    command = ["ip", "netns", "exec", space(where), sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@needs_root
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("cables")
def test_a_cut_cable_costs_a_round_no_more_than_its_deadline(tmp_path: Path) -> None:
    """The deadline follows from an undisturbed round: how fast the machine is, nobody knows."""
    folder = federation(tmp_path)
    for name, data in tiny_app().items():
        (tmp_path / "app" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "app" / name).write_bytes(data)
    app = ("--app", tmp_path / "app")
    with ExitStack() as stack:

        def start(where: str, *words: object) -> Command:
            log = tmp_path / f"{where}-{words[0]}.log"
            return stack.enter_context(Command(where, "federation", *words, log=log))

        def run(name: str, deadline_seconds: float) -> Command:
            plan = tiny_config(
                num_rounds=1,
                round_timeout_seconds=deadline_seconds,
                node_wait_seconds=PATIENCE_SECONDS,
            )
            plan.save(tmp_path / f"{name}.toml")
            words = (folder.path, tmp_path / f"{name}.toml", "--out", tmp_path / name)
            return start("server", "run", *words, *app, "--json")

        server = start("server", "server", folder.path)
        wait_until(lambda: "answers at" in server.log.read_text(), server)
        nodes = [start(name, "node", tmp_path / name, *app) for name in OWNERS]
        assert status_of_a_request(OWNERS[0], folder.operator_key.read_text()) == "403"

        began = time.monotonic()
        assert run("whole", PATIENCE_SECONDS).result()["rounds_done"] == 1
        seconds = 2 * (time.monotonic() - began)  # of a round and of its start, on a busy machine

        going = run("cut", seconds)
        wait_until(lambda: nodes[1].log.read_text().count("Receiving: train") == 2, going)
        ip("-n", space(OWNERS[1]), "link", "set", "o2", "down")
        cut = time.monotonic()
        assert going.result()["ended"] == "completed"
        assert time.monotonic() - cut < seconds + SLACK_SECONDS
        assert all(node.process.poll() is None for node in nodes)
    found = {name: RunFolder(tmp_path / name).read_metrics() for name in ("whole", "cut")}
    assert released(found["whole"], "replies") == [2]
    assert released(found["cut"], "replies") == [1]
    (reason,) = (line["reason"] for line in found["cut"] if line["name"] == "dropped")
    assert reason in WHOEVER_NOTICES_FIRST


def released(lines: list[dict[str, Any]], name: str) -> list[int]:
    return [line["value"] for line in lines if line["name"] == name]
