"""Turns begin in order, hear only their own, end when told to, and share passes of the model."""

import gc
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest
from PIL import Image

from discreet.assistant import Assistant, Turn
from discreet.errors import LineFull, Stopped
from discreet.model import Answer, Request, Vlm, answer_all
from discreet.service import Engine, Show, passes
from tests.service.conftest import MARKERS


def held(gate: threading.Event, done: list[int], number: int) -> Callable[[Show], int]:
    """A turn that waits for a gate, and says when it was done."""

    def turn(show: Show) -> int:
        gate.wait(10)
        done.append(number)
        return number

    return turn


@pytest.fixture
def one(assistant: Assistant) -> Engine:
    """Answers one at a time, so that the order is seen."""
    return Engine(assistant, at_once=1, most_waiting=3)


def test_turns_are_answered_in_the_order_in_which_they_came(one: Engine) -> None:
    gate, done = threading.Event(), list[int]()
    with one:
        tickets = [one.submit(held(gate, done, number)) for number in range(4)]
        while tickets[0].place:
            pass
        assert [ticket.place for ticket in tickets] == [0, 1, 2, 3]
        gate.set()
        assert [ticket.result(10) for ticket in tickets] == done == [0, 1, 2, 3]
        assert [ticket.place for ticket in tickets] == [0, 0, 0, 0]


def test_a_full_line_says_so_and_keeps_nothing(one: Engine) -> None:
    gate = threading.Event()
    with one:
        tickets = [one.submit(held(gate, [], number)) for number in range(4)]
        with pytest.raises(LineFull, match="3 who wait already"):
            one.submit(held(gate, [], 9))
        gate.set()
        assert [ticket.result(10) for ticket in tickets] == [0, 1, 2, 3]


def test_one_key_takes_half_of_the_line_and_others_find_a_place(one: Engine) -> None:
    gate = threading.Event()
    with one:
        first = one.submit(held(gate, [], 0), key="robot")
        while first.place:
            pass
        tickets = [one.submit(held(gate, [], n), key="robot") for n in (1, 2)]
        with pytest.raises(LineFull):
            one.submit(held(gate, [], 9), key="robot")
        tickets.append(one.submit(held(gate, [], 3), key="app"))
        gate.set()
        assert [ticket.result(10) for ticket in tickets] == [1, 2, 3]


def test_who_leaves_the_line_frees_the_place_and_the_others_move_up(one: Engine) -> None:
    gate, done = threading.Event(), list[int]()
    with one:
        tickets = [one.submit(held(gate, done, number)) for number in range(4)]
        places: list[int] = []
        tickets[3].watch(lambda: places.append(tickets[3].place))
        while tickets[0].place:
            pass
        tickets[1].cancel()
        assert tickets[1].done
        assert [ticket.place for ticket in tickets] == [0, 0, 1, 2]
        one.submit(held(gate, done, 4))  # takes the free place
        with pytest.raises(Stopped):
            tickets[1].result(1)
        gate.set()
        assert tickets[3].result(10) == 3
        assert done[:3] == [0, 2, 3]
        assert places[0] in (2, 3)
        assert sorted(places, reverse=True) == places


def test_what_is_urgent_waits_for_nobody(one: Engine) -> None:
    gate = threading.Event()
    with one:
        one.submit(held(gate, [], 0))
        assert one.submit(lambda show: "now", urgent=True).result(5) == "now"
        gate.set()


def test_pieces_join_to_the_answer_and_end_with_it(engine: Engine) -> None:
    ticket = engine.submit(lambda show: [show("a "), show("b")])
    assert "".join(ticket.pieces()) == "a b"
    assert ticket.shown == ("a ", "b")


def test_an_error_of_a_turn_is_raised_for_its_holder_alone(engine: Engine) -> None:
    def broken(show: Show) -> int:
        show("so far")
        raise RuntimeError("broken")

    bad, good = engine.submit(broken), engine.submit(lambda show: 1)
    assert list(bad.pieces()) == ["so far"]
    with pytest.raises(RuntimeError, match="broken"):
        bad.result(5)
    assert good.result(5) == 1


def test_a_picture_is_let_go_of_once_its_turn_has_ended(engine: Engine) -> None:
    picture = Image.new("RGB", (8, 8))
    gone = weakref.ref(picture)
    ticket = engine.submit(lambda show, picture=picture: picture.size)  # type: ignore[misc]
    ticket.result(5)
    del picture
    gc.collect()
    assert gone() is None


def test_assistants_of_two_responders_are_refused(assistant: Assistant) -> None:
    with pytest.raises(ValueError, match="assistants of one responder"):
        Engine(assistant, assistant)


def replies(engine: Engine, markers: list[str], **more: object) -> list[str]:
    """Ask all at once for what helps against markers, and return the answers."""
    assistant = engine.assistants["en"]

    def asking(word: str) -> Callable[[Show], str]:
        turn = Turn(question=f"What helps against {word}?")
        return lambda show: assistant.reply(turn, max_new_tokens=24, on_text=show).text

    tickets = [engine.submit(asking(word)) for word in markers]
    return [ticket.result(60) for ticket in tickets]


def test_visitors_who_wait_share_a_pass_and_get_what_each_gets_alone(
    engine: Engine, assistant: Assistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    first = threading.Event()

    def counted(vlm: Vlm, requests: list[Request]) -> list[Answer]:
        first.wait(10)  # until all others wait, too
        rows.append(len(requests))
        return answer_all(vlm, requests)

    monkeypatch.setattr(passes, "answer_all", counted)
    threading.Timer(1.0, first.set).start()
    together = replies(engine, MARKERS[:9])
    alone = [
        assistant.reply(Turn(question=f"What helps against {word}?"), max_new_tokens=24).text
        for word in MARKERS[:9]
    ]
    assert together == alone
    assert sum(rows) == 9
    assert max(rows) > 1
    assert max(rows) <= 4, "no more than are answered at once"


def test_each_hears_the_words_that_were_written_for_it(
    engine: Engine, assistant: Assistant
) -> None:
    """Of the model itself, without notes and guards; drawn, so that no two are the same."""

    def request(seed: int, heard: Show) -> Request:
        messages = [{"role": "user", "content": MARKERS[seed]}]
        return Request(
            messages=messages, temperature=1.0, seed=seed, max_new_tokens=24, on_text=heard
        )

    def asking(seed: int) -> Callable[[Show], object]:
        write = engine.assistants["en"].write
        return lambda show: write(assistant.vlm, [request(seed, show)])

    tickets = [engine.submit(asking(seed)) for seed in range(12)]
    alone: list[list[str]] = [[] for _ in tickets]
    for seed, heard in enumerate(alone):
        answer_all(assistant.vlm, [request(seed, heard.append)])
    told = ["".join(ticket.pieces()) for ticket in tickets]
    assert told == ["".join(heard) for heard in alone]
    assert len(set(told)) == 12


def test_one_row_that_cannot_be_written_takes_no_other_along(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def picky(vlm: Vlm, requests: list[Request]) -> list[Answer]:
        if any(MARKERS[0] in request.messages[-1]["content"] for request in requests):
            raise ValueError("Expected another.")
        return answer_all(vlm, requests)

    monkeypatch.setattr(passes, "answer_all", picky)
    assistant = engine.assistants["en"]
    tickets = [
        engine.submit(
            lambda show, word=word: assistant.reply(Turn(question=f"What helps against {word}?"))  # type: ignore[misc]
        )
        for word in MARKERS[:4]
    ]
    with pytest.raises(ValueError, match="another"):
        tickets[0].result(30)
    assert all(
        word in ticket.result(30).text
        for word, ticket in zip(MARKERS[1:4], tickets[1:], strict=True)
    )


def test_a_turn_that_is_stopped_ends_at_its_next_word_and_others_go_on(
    engine: Engine, assistant: Assistant
) -> None:
    begun = threading.Event()
    told: list[str] = []

    def asking(show: Show) -> object:
        def heard(piece: str) -> None:
            told.append(piece)
            begun.set()

        request = Request(
            messages=[{"role": "user", "content": "a"}], max_new_tokens=3000, on_text=heard
        )
        return engine.assistants["en"].write(assistant.vlm, [request])

    ticket = engine.submit(asking)
    assert begun.wait(30)
    ticket.cancel()
    with pytest.raises(Stopped):
        ticket.result(10)
    assert engine.submit(lambda show: 1).result(5) == 1


def test_closing_ends_what_waits_and_what_is_written(assistant: Assistant) -> None:
    with Engine(assistant, at_once=1) as engine:
        request = Request(messages=[{"role": "user", "content": "a"}], max_new_tokens=3000)
        written = engine.submit(
            lambda show: engine.assistants["en"].write(assistant.vlm, [request])
        )
        waiting = engine.submit(lambda show: 1)
    for ticket in (written, waiting):
        with pytest.raises(Stopped):
            ticket.result(5)
    with pytest.raises(LineFull):
        engine.submit(lambda show: 1)


def test_an_adapter_is_named_in_every_request(
    engine: Engine, assistant: Assistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[str | None] = []

    def noted(vlm: Vlm, requests: list[Request]) -> list[Answer]:
        named.extend(request.adapter for request in requests)
        return answer_all(vlm, requests)

    monkeypatch.setattr(passes, "answer_all", noted)
    chosen = replace(engine.assistants["en"], adapter="base")
    turn = Turn(question=f"What helps against {MARKERS[0]}?")
    engine.submit(lambda show: chosen.reply(turn, max_new_tokens=4)).result(30)
    assert named == ["base"]
