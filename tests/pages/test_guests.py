"""Who is on the pages: one visit a page, a bound on pages, and what is known of closed ones."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import httpx
import pytest

from discreet.errors import NotStored
from discreet.pages import guests
from discreet.pages.guests import Guest, Guests
from discreet.pages.page import _leaving
from discreet.pages.sessions import Sessions
from discreet.service import passes
from tests.pages.guest import Guest as Visitor
from tests.pages.stage import Pen, staged

DANGER = "I have chest pain and cannot breathe"


class Told:
    """A visit that says what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def disclosed(self) -> None:
        self.said.append("disclosed")

    def forget(self) -> None:
        self.said.append("forget")


@pytest.fixture
def here() -> Guests:
    return Guests(Told, "base")  # type: ignore[arg-type]


def test_a_page_has_one_visit_that_was_disclosed(here: Guests) -> None:
    guest = here.of("a")
    assert here.of("a") is guest
    assert guest in here
    assert guest.visit.said == ["disclosed"]  # type: ignore[attr-defined]


def test_an_ended_visit_is_forgotten_and_its_page_begins_anew_once(here: Guests) -> None:
    guest = here.of("a")
    here.end("a")
    assert guest not in here
    assert guest.visit.said == ["disclosed", "forget"]  # type: ignore[attr-defined]
    assert [here.begins_anew("a"), here.begins_anew("a"), here.begins_anew("b")] == [
        True,
        False,
        False,
    ]


def test_pages_and_memory_of_closed_ones_are_bounded(
    here: Guests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guests, "MOST_GUESTS", 2)
    monkeypatch.setattr(guests, "MOST_ENDED", 1)
    first, second, third, fourth = (here.of(name) for name in "abcd")
    assert [guest in here for guest in (first, second, third, fourth)] == [False, False, True, True]
    assert [here.begins_anew(name) for name in "ab"] == [False, True]


def test_who_was_forgotten_by_the_page_itself_has_no_ended_visit(here: Guests) -> None:
    here.of("a")
    here.let_go("a")
    assert not here.begins_anew("a")


class Refused(Told):
    """A visit that cannot be erased the first times: its store is locked or full."""

    times = 1

    def forget(self) -> None:
        super().forget()
        if self.said.count("forget") <= self.times:
            raise NotStored("Expected room on the disk, got none.")


class Slow(Told):
    """A visit whose erasure waits for others to leave a store."""

    free = Event()

    def forget(self) -> None:
        assert self.free.wait(30)
        super().forget()


def tries(guest: Guest, number: int) -> bool:
    """Return whether a visit was to be forgotten so many times, waiting for it."""
    said = guest.visit.said  # type: ignore[attr-defined]
    for _ in range(100):
        if said.count("forget") >= number:
            break
        time.sleep(0.05)
    return bool(said.count("forget") == number)


def opening(visit: type[Told]) -> Guests:
    return Guests(visit, "base")  # type: ignore[arg-type]


def test_a_visit_whose_erasure_fails_as_its_page_closes_is_erased_for_the_next() -> None:
    here = opening(Refused)
    first = here.of("a")
    here.end("a")
    assert first not in here
    assert tries(first, 1)
    here.of("b")
    assert tries(first, 2)
    here.end("b")
    here.of("c")
    time.sleep(0.2)
    assert tries(first, 2)  # erased is erased


def test_a_newcomer_hears_nothing_of_an_erasure_that_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guests, "MOST_GUESTS", 1)
    here = opening(Refused)
    first = here.of("a")
    assert here.of("b") in here
    assert first not in here
    assert tries(first, 1)
    here.end("nobody")
    assert tries(first, 2)
    assert caplog.records == []


def test_a_newcomer_does_not_wait_for_an_erasure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "MOST_GUESTS", 1)
    here = opening(Slow)
    with ThreadPoolExecutor(1) as other:
        first = here.of("a")
        try:
            assert other.submit(here.of, "b").result(5) in here
            assert other.submit(here.of, "c").result(5) in here  # nor for the lock
        finally:
            Slow.free.set()
    assert tries(first, 1)


def test_those_who_wait_to_be_erased_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "MOST_LEFT", 2)
    here = opening(Refused)
    left = [here.of(name) for name in "abc"]
    monkeypatch.setattr(here, "_erase_left", lambda: None)
    for name in "abc":
        here.end(name)
    monkeypatch.undo()
    here.end("nobody")
    assert [tries(guest, number) for guest, number in zip(left, (1, 2, 2), strict=True)] == [
        True,
        True,
        True,
    ]


def test_gradio_drops_a_closed_page_whatever_becomes_of_its_visit() -> None:
    sessions = Sessions()
    sessions.session_data["a"] = sessions.time_last_used["a"] = None  # type: ignore[assignment]

    def leave(request: object) -> None:
        raise NotStored("Expected room on the disk, got none.")

    with pytest.raises(NotStored):
        _leaving(SimpleNamespace(leave=leave), sessions)(SimpleNamespace(session_hash="a"))  # type: ignore[arg-type]
    assert not sessions.session_data


def test_a_record_behind_a_locked_store_is_erased_once_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guests, "MOST_GUESTS", 1)
    monkeypatch.setattr(passes, "answer_all", Pen().answer_all)
    with (
        staged("healthcare", tmp_path) as stage,
        httpx.Client(base_url=stage.address, timeout=8) as http,
    ):
        newcomer, first = Visitor(http), Visitor(http)  # whose visit ends that of the newcomer
        first.act("give", "click", ["inform/age_band"])
        visit = stage.visits[-1]
        person, store = visit.person, visit._consents
        assert store.history(person)
        store._rows._db.execute("PRAGMA busy_timeout = 100")  # as if it waited for 10 s
        other = sqlite3.connect(tmp_path / "consent/consent.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        newcomer.act("ask", "click", DANGER, "")
        assert [told.question for told in stage.visits[-1].exchanges] == [DANGER]
        time.sleep(1)
        other.execute("ROLLBACK")
        other.close()
        assert store.history(person)
        Visitor(http)
        for _ in range(100):
            if not store.history(person):
                break
            time.sleep(0.1)
        assert not store.history(person)
