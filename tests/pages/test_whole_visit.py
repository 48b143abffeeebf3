"""Whole visits, from the first suggestion to the receipt, in each demo and language."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from discreet.pages.texts import load_texts
from discreet.service import passes
from discreet.service.connections import HEAD_SECONDS
from discreet.types import Language
from tests.pages.conftest import Demo, Tab
from tests.pages.stage import Pen, Stage, staged
from tests.pages.test_browser import SPOKEN, Visit

pytestmark = pytest.mark.slow

STORED = """async () => Object.fromEntries(Object.entries({
  localStorage: {...localStorage},
  sessionStorage: {...sessionStorage},
  databases: (await indexedDB.databases()).map((found) => found.name),
  caches: await caches.keys(),
  workers: (await navigator.serviceWorker.getRegistrations()).map((found) => found.scope),
  cookies: document.cookie.split(";").filter(Boolean),
}).filter(([, kept]) => Object.keys(kept).length))"""
"""All places where a browser keeps something, of which some are not empty."""


def exported(tab: Tab) -> dict[str, Any]:
    tab.click("#export")
    return cast(dict[str, Any], json.loads(tab.page.locator(".receipt pre").inner_text()))


def fitted(tab: Tab) -> str:
    return str(tab.page.locator(".fitted").last.inner_text())


@pytest.mark.parametrize(("context", "language"), list(SPOKEN))
def test_a_whole_visit(visit: Visit, context: str, language: Language) -> None:
    says = load_texts(language)
    tab = visit(context, language)
    page, (question, word) = tab.page, SPOKEN[context, language]
    assert page.locator("html").get_attribute("lang") == language
    assert page.locator('[data-act="camera"]').count() == 0
    tab.open("privacy")

    tab.click('[data-act="suggest"]')  # a suggestion, a question, another try
    assert page.locator(".asked p").all_inner_texts() == [says.suggestions[context][-1]]
    assert word in tab.ask(question)
    answers = page.locator(".answered").count()
    tab.click('[data-act="retry"]')
    assert page.locator(".answered").count() == answers == 2
    page.locator('[data-act="edit"]').first.click()  # what came after it goes
    page.locator("#cancel").wait_for()
    box = page.locator("#question textarea")
    assert box.input_value() == says.suggestions[context][-1]
    box.fill(question)
    tab.do(lambda: page.locator("#question textarea").press("Enter"))
    assert page.locator(".asked p").all_inner_texts() == [question]
    tab.click('[data-act="why"]')
    assert says["why.nothing"] in page.locator("#why").inner_text()
    assert fitted(tab) == says["talk.for_nobody"]

    tab.turn_camera_on()  # a yes, a picture, and what follows from it
    taken = page.evaluate("discreet.frame()")
    assert taken.startswith("data:image/jpeg;base64,")
    tab.ask(question)
    older = says["talk.for_older_adult"] + says["talk.estimated_tail"]
    assert fitted(tab) == (
        older if language == "en" else says["talk.for_same"]
    )  # notes word by word
    tab.click('[data-act="why"]')
    assert says["why.estimated"] in page.locator("#why").inner_text()
    assert says["about.older_adult"] in page.locator("#why").inner_text()
    before = exported(tab)

    tab.click("#withdraw")  # a no: whatever the page sends, nobody looks
    page.locator(".live").wait_for(state="hidden")
    assert page.evaluate("discreet.frame()") == ""
    page.evaluate("taken => { discreet.frame = () => taken; }", taken)
    tab.ask(question)
    assert fitted(tab) == says["talk.for_nobody"]
    after = exported(tab)

    assert before["provided"]["questions"] == [question] * 2
    left_out = [turn["picture_left_out"] for turn in after["observed"]["turns"]]
    assert left_out == [None, None, "nobody consented to anything being estimated from it"]
    looked_for = {"tutoring": ["age_band"], "healthcare": ["age_band", "expression"]}[context]
    assert [one["attribute"] for one in before["inferred"]] == looked_for
    assert {one["turn"] for one in before["inferred"]} == {1}
    assert before["inferred"][0]["value"] == "older_adult"
    assert {one["value"] for one in after["inferred"]} == {None}  # faded
    assert {one["turn"] for one in after["inferred"]} == {1}  # and nobody looked again
    for name in ("declared", "questions"):
        assert name not in after["observed"]
        assert name not in after["inferred"]
    assert after["consent"] != before["consent"]

    tab.click("#forget")
    receipt = page.locator(".receipt table").inner_text()
    stores = {"en": ("the conversation", "your consent records")}
    stores["fr"] = ("la conversation", "vos consentements")
    assert all(store in receipt for store in stores[language])
    page.locator(".suggestions").wait_for()
    assert page.locator(".asked, .answered").count() == 0
    empty = exported(tab)
    assert empty["provided"]["questions"] == empty["observed"]["turns"] == empty["inferred"] == []
    assert question not in json.dumps(empty, ensure_ascii=False)


def test_nothing_of_a_visit_is_kept_by_the_browser_or_in_the_log(visit: Visit) -> None:
    tab = visit("healthcare")
    tab.open("privacy")
    tab.turn_camera_on()
    answer = tab.ask("How does a vaccine work? marker-of-mine")
    tab.click('[data-act="why"]')
    exported(tab)
    tab.page.locator('[data-act="theme"]').click()
    tab.page.locator('[data-act="size"]').click()
    tab.page.locator('[data-act="language"]').click()
    tab.page.wait_for_url("**/fr/")
    tab.page.locator(".suggestions").wait_for()
    assert tab.page.evaluate(STORED) == {"localStorage": {"language": "fr"}}
    assert tab.page.context.cookies() == []
    tab.page.evaluate("caches.open('planted').then(() => null)")
    assert tab.page.evaluate(STORED) == {"localStorage": {"language": "fr"}, "caches": ["planted"]}
    for text in ("marker-of-mine", answer, "data:image", "/9j/", "GET ", "Traceback"):
        assert text not in tab.demo.log


def test_a_line_on_which_nothing_is_asked_is_hung_up(demo: Callable[[str], Demo]) -> None:
    address = httpx.URL(demo("healthcare").address)
    with socket.create_connection((address.host, address.port or 80), 2 * HEAD_SECONDS) as line:
        assert line.recv(1) == b""  # and no time-out


@pytest.fixture
def stage(tmp_path: Path) -> Any:
    with staged("tutoring", tmp_path) as stage:
        yield stage


@pytest.fixture
def pen(monkeypatch: pytest.MonkeyPatch) -> Pen:
    pen = Pen()
    monkeypatch.setattr(passes, "answer_all", pen.answer_all)
    return pen


def opened(chromium: Any, stage: Stage, language: str) -> Any:
    page = chromium.new_context().new_page()
    page.goto(f"{stage.address}/{language}/")
    page.locator(".suggestions").wait_for()
    return page


def test_an_answer_is_shown_while_it_is_written_and_can_be_stopped(
    chromium: Any, stage: Stage, pen: Pen
) -> None:
    pen.words = 20
    page = opened(chromium, stage, "en")
    page.locator("#question textarea").fill("Why do we have day and night?")
    page.locator("#question textarea").press("Enter")
    page.locator(".now .answered > p:not(.dots)").first.wait_for()
    (request,) = pen.asked  # still waits for its next word
    shown = page.locator(".now .answered").inner_text()
    whole = next(note for note in pen.notes if note in request.messages[-1]["content"])
    assert "Earth turns once on its axis" in shown
    assert whole not in shown
    page.locator("#stop").click()
    page.get_by_text(load_texts("en")["talk.stopped"]).wait_for()
    pen.go_on.set()
    page.locator(".suggestions").wait_for()
    assert page.locator("#question textarea").input_value() == "Why do we have day and night?"
    (visit,) = stage.visits
    assert visit.exchanges == ()
    page.context.close()


def test_somebody_who_waits_sees_their_place_and_can_leave_the_line(
    chromium: Any, stage: Stage
) -> None:
    says = load_texts("fr")
    page = opened(chromium, stage, "fr")
    with stage.full():
        page.locator("#question textarea").fill("Pourquoi y a-t-il le jour et la nuit ?")
        page.locator("#question textarea").press("Enter")
        page.locator(".now .aside").wait_for()
        assert page.locator(".now .aside").inner_text() == says["talk.waiting"].format(place=1)
        page.locator("#stop").click()
        page.locator(".suggestions").wait_for()
        assert says["talk.stopped"] in page.locator("#status").inner_text()
    (visit,) = stage.visits
    assert visit.exchanges == ()
    page.context.close()
