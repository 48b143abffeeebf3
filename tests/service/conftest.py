"""A real `tiny` behind an engine, and the real server with a key, on a free port."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from discreet.assistant import Assistant, Note, Notes, load_policy
from discreet.consent import ConsentStore
from discreet.journal import Journal
from discreet.model import Vlm, load
from discreet.service import Engine, Visit, add_key, build_app, names_of, read_keys

MARKERS = [f"marker{n:02d}" for n in range(20)]
"""A word that stands in one note, one question and one answer alone."""


@pytest.fixture(scope="module")
def responder() -> Vlm:
    return load("tiny")


@pytest.fixture
def assistant(responder: Vlm) -> Assistant:
    """Answers each marker's question with its own note: a random model never keeps to one."""
    notes = [
        Note(
            id=word,
            question=f"What helps against {word}?",
            text=f"Rest helps against {word}.",
            context="healthcare",
        )
        for word in MARKERS
    ]
    return Assistant(
        vlm=responder, policy=load_policy("healthcare"), notes=Notes.build(notes), drafts=1
    )


@pytest.fixture
def engine(assistant: Assistant) -> Iterator[Engine]:
    with Engine(assistant, at_once=4) as engine:
        yield engine


@dataclass
class Kept:
    """Where visits keep what they keep."""

    consents: ConsentStore
    journal: Journal
    folder: Path


@pytest.fixture
def kept(assistant: Assistant, tmp_path: Path) -> Iterator[Kept]:
    names = names_of([assistant.policy], ["base", "one", "other"])
    store = ConsentStore(tmp_path / "consent")
    yield Kept(store, Journal(tmp_path / "journal", names=names), tmp_path)
    store.close()


@pytest.fixture
def visit(engine: Engine, kept: Kept) -> Callable[..., Visit]:
    return lambda **more: Visit(engine, consents=kept.consents, journal=kept.journal, **more)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def key(key_file: Path) -> str:
    return add_key(key_file, "robot")


@pytest.fixture
def app(engine: Engine, kept: Kept, key: str, key_file: Path) -> FastAPI:
    return build_app(
        engine,
        consents=kept.consents,
        journal=kept.journal,
        keys=read_keys(key_file),
        per_minute=10_000,
    )


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve on a free port of this machine, and yield the address."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="warning", ws="none", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def address(app: FastAPI) -> Iterator[str]:
    with serving(app) as where:
        yield where
