"""The main job touches no network: sockets other than loopback are refused while it runs."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import socket, sys
LOOPBACK = ("127.", "localhost", "::1")
attempts = []

def guard(name, real):
    def connect(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            if not str(address[0]).startswith(LOOPBACK):
                attempts.append(name)
                raise PermissionError("this test blocks the network")
        return real(self, address)
    return connect

socket.socket.connect = guard("connect", socket.socket.connect)
socket.socket.connect_ex = guard("connect_ex", socket.socket.connect_ex)
real_resolve = socket.getaddrinfo
def resolve(host, *args, **kwargs):
    if host is not None and not str(host).startswith(LOOPBACK):
        attempts.append("getaddrinfo")
        raise PermissionError("this test blocks the network")
    return real_resolve(host, *args, **kwargs)
socket.getaddrinfo = resolve
def refuse(*args, **kwargs):
    attempts.append("other")
    raise PermissionError("this test blocks the network")
socket.socket.sendto = socket.socket.sendmsg = socket.gethostbyname = refuse

from discreet.cli import main
for words in sys.argv[1].split(";"):
    sys.argv = ["discreet", *words.split()]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (words, end.code)
assert not attempts, attempts
print("commands ran without network")
"""


def test_training_and_chat_touch_no_network(tmp_path: Path, portraits_file: Path) -> None:
    run = tmp_path / "run"
    picture = tmp_path / "face.jpg"
    from PIL import Image

    Image.new("RGB", (128, 128), (120, 90, 80)).save(picture)
    commands = [
        f"train --base tiny --owners 2 --rounds 1 --steps 1 --data {portraits_file} --out {run}",
        f"adapters show {run} --json",
        f"chat --adapter {run} --image {picture} --profile age_band=child --json "
        "--max-new-tokens 4 --once Why-do-I-sleep-badly-after-coffee?",
    ]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, ";".join(commands)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "commands ran without network" in done.stdout


def test_the_guard_itself_blocks(tmp_path: Path) -> None:
    probe = SCRIPT.split("from discreet.cli")[0] + (
        "\ntry:\n    socket.create_connection(('192.0.2.1', 9), timeout=1)\n"
        "except PermissionError:\n    print('blocked')\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "blocked"
