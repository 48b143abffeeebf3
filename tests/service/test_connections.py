"""The server hangs up on who asks nothing, and on nobody else."""

import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from discreet.service.connections import ImpatientProtocol


class _Hasty(ImpatientProtocol):
    head_seconds = 0.3


@pytest.fixture
def port() -> Iterator[int]:
    app = FastAPI()

    @app.get("/slow")
    def slow() -> str:
        time.sleep(1.5)
        return "done"

    config = uvicorn.Config(app, port=0, http=_Hasty, log_level="warning", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(10)


@pytest.mark.parametrize("sent", [b"", b"GET /slow HTTP/1.1\r\nHost: x\r\n"])
@pytest.mark.parametrize("asked_before", [False, True])
def test_who_asks_nothing_is_hung_up_on(port: int, sent: bytes, asked_before: bool) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
        if asked_before:
            line.sendall(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"404" in line.recv(2**16)
        line.sendall(sent)
        began = time.monotonic()
        assert line.recv(1) == b""
    assert time.monotonic() - began < 3


def test_who_waits_for_an_answer_gets_it_and_may_ask_again(port: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as http:
        assert [http.get("/slow").text for _ in range(2)] == ['"done"'] * 2
