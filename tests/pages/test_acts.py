"""Acts of a page in an order that nobody planned."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from discreet.data import load_portraits
from discreet.pages.pictures import as_address, picture_for
from discreet.pages.texts import load_texts
from discreet.service import passes
from tests.pages.conftest import OLDER_ADULT
from tests.pages.guest import Guest
from tests.pages.stage import Pen, Stage, staged

FIRST, SECOND, THIRD = (
    "How does a vaccine work?",
    "Why do I sleep badly after coffee?",
    "How can rugs at home be made safe?",
)
MARK = "marker-of-mine"
DANGER = "I have chest pain and cannot breathe"


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(passes, "answer_all", Pen().answer_all)
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
