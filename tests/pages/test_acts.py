"""Acts of a page in an order that nobody planned."""

import inspect
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_type_hints

import gradio as gr
import httpx
import pytest

from discreet.data import load_portraits
from discreet.pages.ended import unless_ended
from discreet.pages.pictures import as_address, picture_for
from discreet.pages.texts import load_texts
from discreet.service import passes
from tests.browsers import OLDER_ADULT
from tests.pages.guest import Guest
from tests.pages.stage import Pen, Stage, staged
from tests.pages.test_sessions import closed, open_page

FIRST, SECOND, THIRD = (
    "How does a vaccine work?",
    "Why do I sleep badly after coffee?",
    "How can rugs at home be made safe?",
)
MARK = "marker-of-mine"
DANGER = "I have chest pain and cannot breathe"


@pytest.fixture
def pen() -> Pen:
    return Pen()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pen: Pen) -> Iterator[Stage]:
    monkeypatch.setattr(passes, "answer_all", pen.answer_all)
    with staged("healthcare", tmp_path) as stage:
        yield stage


@pytest.fixture
def guest(stage: Stage) -> Iterator[Guest]:
    with httpx.Client(base_url=stage.address, timeout=60) as http:
        yield Guest(http)


def asked(stage: Stage) -> list[str]:
    return [exchange.question for exchange in stage.visits[-1].exchanges]


@pytest.mark.parametrize("question", [SECOND, DANGER])
def test_a_question_after_a_new_conversation_takes_the_place_of_none(
    stage: Stage, guest: Guest, question: str
) -> None:
    guest.act("ask", "click", FIRST, "")
    guest.act("talk", "edit", said={"index": 0})
    guest.act("talk", "clear")
    guest.act("ask", "click", question, "")
    assert asked(stage) == [question]
    assert load_texts("en")["errors.failed"] not in "".join(guest.heard)


def test_whoever_tries_again_changes_no_earlier_question_after(stage: Stage, guest: Guest) -> None:
    for question in (FIRST, SECOND):
        guest.act("ask", "click", question, "")
    guest.act("talk", "edit", said={"index": 0})
    guest.act("talk", "retry")
    guest.act("ask", "click", THIRD, "")
    assert asked(stage) == [FIRST, SECOND, THIRD]


def test_danger_waits_for_no_picture(stage: Stage, guest: Guest) -> None:
    picture = as_address(load_portraits("test")[OLDER_ADULT].jpeg)
    assert picture_for(stage.visits[-1], DANGER, picture) is None
    guest.act("ask", "click", DANGER, picture)
    assert asked(stage) == [DANGER]


def test_who_is_forgotten_while_an_answer_is_awaited_hears_no_word_of_it_again(
    stage: Stage, guest: Guest
) -> None:
    with ThreadPoolExecutor(1) as listening, stage.full() as go_home:
        guest.begin("ask", "click", f"{FIRST} {MARK}", "")
        heard = listening.submit(guest.hear_all)
        guest.wait_for(load_texts("en")["talk.waiting"].format(place=1))
        guest.begin("forget", "click")
        guest.wait_for(load_texts("en")["privacy.forgotten"])
        since = len(guest.heard)
        go_home()
        heard.result(60)
    assert MARK in "".join(guest.heard[:since])
    assert MARK not in "".join(guest.heard[since:])


def test_a_body_of_unknown_length_is_not_read(stage: Stage, guest: Guest) -> None:
    where = "/en/gradio_api/queue/join"
    reply = guest.http.post(where, content=iter([b"{}"]))
    assert reply.status_code == 404


@pytest.fixture
def left(stage: Stage, guest: Guest) -> Stage:
    """A child's page whose heartbeat broke after an answer."""
    with open_page(guest.http, guest):
        guest.act("age-band", "input", "child")
        guest.act("ask", "click", FIRST, "")
    assert closed(stage)
    guest.heard.clear()
    return stage


def test_a_page_whose_visit_ended_is_shown_anew_and_does_nothing_else(
    left: Stage, guest: Guest
) -> None:
    guest.act("ask", "click", SECOND, "")
    assert asked(left) == []
    assert load_texts("en")["talk.ended"] in "".join(guest.heard)
    guest.act("ask", "click", SECOND, "")
    assert asked(left) == [SECOND]


def test_consent_given_on_a_page_whose_visit_ended_shows_it_anew(
    left: Stage, guest: Guest, caplog: pytest.LogCaptureFixture
) -> None:
    guest.act("give", "click", ["inform/age_band"])
    assert load_texts("en")["talk.ended"] in "".join(guest.heard)
    guest.act("give", "click", ["inform/age_band"])
    assert left.visits[-1].consented == {"inform/age_band"}
    assert "age_band" not in caplog.text


def test_danger_is_answered_on_a_page_whose_visit_ended(left: Stage, guest: Guest) -> None:
    guest.act("ask", "click", DANGER, "")
    assert asked(left) == [DANGER]


def test_an_act_is_what_gradio_takes_it_for() -> None:
    """What it asks for is found by its signature, and whether it goes on by its kind."""

    async def ask(question: str, request: gr.Request) -> AsyncIterator[int]:
        yield 1

    def say(request: gr.Request, event: gr.EventData) -> int:
        return 2

    for act in (ask, say):
        own = unless_ended(act, lambda request: None)
        assert inspect.signature(own) == inspect.signature(act)
        assert get_type_hints(own) == get_type_hints(act)
        assert inspect.isasyncgenfunction(own) == inspect.isasyncgenfunction(act)


def test_who_lets_the_writer_see_a_picture_has_it_seen_until_it_is_taken_back(
    stage: Stage, guest: Guest, pen: Pen
) -> None:
    picture = as_address(load_portraits("test")[OLDER_ADULT].jpeg)
    guest.act("give", "click", ["comfort/picture"])
    guest.act("ask", "click", FIRST, picture)
    guest.act("talk", "edit", said={"index": 0})
    guest.act("ask", "click", SECOND, picture)
    guest.act("withdraw", "click")
    guest.act("ask", "click", THIRD, picture)
    assert [one.image_features is not None for one in pen.asked] == [True, True, False]
    assert stage.eyes.asked == [[], []]


def test_who_puts_an_estimate_aside_gets_no_more_seen_instead(
    stage: Stage, guest: Guest, pen: Pen
) -> None:
    picture = as_address(load_portraits("test")[OLDER_ADULT].jpeg)
    guest.act("give", "click", ["comfort/picture", "comfort/expression"])
    guest.act("ask", "click", FIRST, picture)
    guest.act("why", "reject", said={"attribute": "expression"})
    guest.act("ask", "click", SECOND, picture)
    assert [one.image_features for one in pen.asked] == [None, None]


def test_who_allowed_an_estimate_for_another_purpose_is_not_seen_by_the_writer(
    stage: Stage, guest: Guest, pen: Pen
) -> None:
    picture = as_address(load_portraits("test")[OLDER_ADULT].jpeg)
    guest.act("give", "click", ["comfort/picture", "inform/age_band"])
    guest.act("ask", "click", FIRST, picture)
    assert pen.asked[0].image_features is None


def test_what_can_be_put_right_goes_before_what_the_writer_sees(
    stage: Stage, guest: Guest, pen: Pen
) -> None:
    picture = as_address(load_portraits("test")[OLDER_ADULT].jpeg)
    guest.act("give", "click", ["comfort/picture", "comfort/age_band"])
    guest.act("ask", "click", FIRST, picture)
    assert pen.asked[0].image_features is None
    assert stage.eyes.asked == [["age_band"]]


def test_danger_stop_and_forgetting_wait_for_nobody(stage: Stage, guest: Guest) -> None:
    """Gradio goes on with forty things at once, unless it is told otherwise."""
    with ThreadPoolExecutor(1) as listening, stage.full() as go_home:
        for _ in range(45):
            Guest(guest.http).begin("ask", "click", FIRST, "")
        guest.begin("ask", "click", SECOND, "")
        waiting = listening.submit(guest.hear_all)
        guest.wait_for("You are number 4")  # or so: they come as they like
        guest.begin("stop", "click")
        guest.wait_for(load_texts("en")["talk.stopped"])
        guest.begin("ask", "click", DANGER, "")
        guest.wait_for("emergency number")
        guest.begin("forget", "click")
        guest.wait_for(load_texts("en")["privacy.forgotten"])
        go_home()
        waiting.result(60)
