"""What is left in memory of words and pictures once a page is closed, wherever they went."""

import gc
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import gradio as gr
import httpx
import pytest

from discreet.data import load_portraits
from discreet.pages.pictures import as_address
from discreet.service import passes
from tests.browsers import OLDER_ADULT
from tests.pages.guest import Guest
from tests.pages.stage import Pen, Stage, staged

SECONDS = 20
ALLOWED = ["inform/age_band"]


def held(*marks: str) -> list[str]:
    """Return what holds a text with one of some marks; no frame does, these are not listed."""
    gc.collect()
    found = []
    for thing in gc.get_objects():
        texts = [one for one in gc.get_referents(thing) if type(one) in (str, bytes)]
        if thing is not marks and any(_has(text, marks) for text in texts):
            found.append(type(thing).__name__)
    return found


def _has(text: str | bytes, marks: tuple[str, ...]) -> bool:
    said = text if isinstance(text, str) else text.decode("latin-1")
    return any(mark in said for mark in marks)


@contextmanager
def open_page(http: httpx.Client, guest: Guest) -> Iterator[None]:
    """Keep a page open, as a browser does."""
    with http.stream("GET", f"/en/gradio_api/heartbeat/{guest.session}") as beat:
        beats = beat.iter_lines()  # closes with the last reference
        next(beats)
        yield


def closed(stage: Stage) -> bool:
    """Return whether the last visit was forgotten, waiting for it."""
    for _ in range(10 * SECONDS):
        if not stage.visits[-1].exchanges:
            return True
        time.sleep(0.1)
    return False


def test_what_a_closed_page_was_to_be_told_is_told_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "answer_all", Pen().answer_all)
    mark = secrets.token_hex(8)
    with (
        staged("healthcare", tmp_path) as stage,
        httpx.Client(base_url=stage.address, timeout=60) as http,
    ):
        guest = Guest(http)
        with open_page(http, guest):
            guest.begin("ask", "click", f"How does a vaccine work? {mark}", "")
            while not stage.visits[-1].exchanges:
                time.sleep(0.05)
        assert closed(stage)
        time.sleep(0.5)  # what forgets the visit goes on to the page
        with suppress(httpx.RemoteProtocolError):  # it ends the stream: there is no such page
            guest.hear_all()
        assert mark not in "".join(guest.heard)


def test_no_word_and_no_picture_stays_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "answer_all", Pen().answer_all)
    picture = as_address(load_portraits("test")[OLDER_ADULT].jpeg)
    mark, part = secrets.token_hex(8), picture[1000:1040]
    before = held(part)
    with (
        staged("healthcare", tmp_path) as stage,
        httpx.Client(base_url=stage.address, timeout=60) as http,
    ):
        guest = Guest(http)
        with open_page(http, guest):
            guest.act("give", "click", ALLOWED)
            guest.act("ask", "click", f"How does a vaccine work? {mark}", picture)
            guest.heard.clear()
            assert held(mark) != []
        assert closed(stage)
        assert held(mark) == []
        assert held(part) == before


def test_pages_that_stay_open_take_no_more_memory_with_each_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "answer_all", Pen().answer_all)
    with (
        staged("healthcare", tmp_path) as stage,
        httpx.Client(base_url=stage.address, timeout=60) as http,
    ):
        guest = Guest(http)

        def parts() -> int:
            for _ in range(3):
                guest.act("ask", "click", "How does a vaccine work?", "")
                guest.act("talk", "clear")
            gc.collect()
            return sum(type(one) in (gr.HTML, gr.Textbox, gr.Button) for one in gc.get_objects())

        assert parts() == parts()
