"""The pages as people meet them: the real command, a real browser, a camera with a drawn face."""

from collections.abc import Callable

import httpx
import pytest

from discreet.pages.texts import load_texts
from tests.browsers import violations
from tests.pages.conftest import DRAWN, Tab

pytestmark = pytest.mark.slow  # each page is a program of some megabytes to its browser

Visit = Callable[..., Tab]
SPOKEN = {
    ("healthcare", "en"): ("How does a vaccine work?", "vaccine"),
    ("healthcare", "fr"): ("Comment marche un vaccin ?", "vaccin"),
    ("tutoring", "en"): ("Why do we have day and night?", "Sun"),
    ("tutoring", "fr"): ("Pourquoi y a-t-il le jour et la nuit ?", "Soleil"),
}


def test_an_answer_can_be_copied_and_says_why(visit: Visit) -> None:
    tab = visit("healthcare")
    tab.page.locator('#age-band input[value="older_adult"]').check(force=True)
    tab.page.wait_for_function("document.documentElement.style.fontSize === '125%'")
    answer = tab.ask("How does a vaccine work?")
    assert "older adult" in tab.page.locator(".fitted").inner_text()
    tab.page.locator('[data-act="copy"]').click()
    assert answer in tab.page.evaluate("navigator.clipboard.readText()")
    tab.page.locator('[data-act="why"]').click()
    tab.page.locator("#why .seen li").wait_for()
    assert "65 or more" in tab.page.locator("#why").inner_text()
    tab.page.locator('#why [data-act="reject"]').click()
    tab.page.wait_for_function(
        "document.querySelector('#age-band input:checked').value === 'unsaid'"
    )
    tab.ask("How does a vaccine work?")
    assert "nothing about you" in tab.page.locator(".fitted").last.inner_text()


def test_a_child_is_offered_no_camera(visit: Visit) -> None:
    tab = visit("tutoring")
    tab.page.locator("#age-band label").first.click()
    tab.page.locator("#about").get_by_text("together you can say yes to more").wait_for()
    tab.open("camera")
    assert "no picture of you" in tab.page.locator("#disclosure").inner_text()
    assert tab.page.locator('[data-act="camera"]').count() == 0


def test_axe_would_find_a_button_without_a_name(visit: Visit) -> None:
    tab = visit("tutoring")
    tab.page.evaluate("document.querySelector('#talk').append(document.createElement('button'))")
    assert "button-name" in {rule for rule, _, _ in violations(tab.page)}


def test_the_first_stop_of_the_keyboard_leads_to_the_question(visit: Visit) -> None:
    tab = visit("tutoring")
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.className") == "skip"
    tab.page.keyboard.press("Enter")
    assert tab.page.evaluate("document.activeElement.tagName") == "TEXTAREA"


def test_a_youth_says_so_and_the_camera_goes_off(visit: Visit) -> None:
    tab = visit("healthcare", "fr")
    tab.turn_camera_on()
    tab.do(lambda: tab.page.locator('#age-band input[value="youth"]').check(force=True))
    assert tab.page.evaluate("discreet.frame()") == ""
    assert "image de vous" in tab.page.locator("#about .told").first.inner_text()
    assert tab.page.locator("#asking").is_hidden()


def test_a_child_and_a_guardian_are_asked_together(visit: Visit) -> None:
    tab = visit("tutoring")
    tab.do(lambda: tab.page.locator('#age-band input[value="child"]').check(force=True))
    tab.open("camera")
    assert "For a parent or guardian" in tab.page.locator("#disclosure").inner_text()
    tab.page.locator("#ticks label").first.click()
    tab.click("#give")
    tab.page.locator("#withdraw").wait_for()
    assert tab.page.locator('[data-act="camera"]').count() == 0


def test_a_card_tells_what_was_ticked_and_can_be_copied_and_printed(visit: Visit) -> None:
    tab = visit("healthcare")
    tab.ask("How does a vaccine work?")
    tab.open("privacy")
    tab.click("#hand-over")
    assert "vaccine" not in tab.page.locator(".card .words").inner_text()
    tab.page.locator("#tell label").first.click()
    tab.click("#hand-over")
    assert "How does a vaccine work?" in tab.page.locator(".card .words").inner_text()
    tab.page.locator('.card [data-act="copy"]').click()
    assert "How does a vaccine work?" in tab.page.evaluate("navigator.clipboard.readText()")
    paper = "window.onPaper = document.querySelector('#printed').innerHTML"
    tab.page.evaluate(f"() => {{ window.print = () => {{ {paper}; }}; }}")
    tab.page.locator('.card [data-act="print"]').click()
    assert "How does a vaccine work?" in tab.page.evaluate("window.onPaper")


def test_the_sheet_of_a_phone_takes_the_focus_and_gives_it_back(visit: Visit) -> None:
    tab = visit("tutoring", width=390)
    tab.page.locator("#handle button").focus()
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_function("document.activeElement.dataset.act === 'close'")
    tab.page.keyboard.press("Shift+Tab")
    assert tab.page.evaluate("!!document.activeElement.closest('#side')")
    tab.page.keyboard.press("Escape")
    assert tab.page.evaluate("document.activeElement.dataset.act") == "sheet"


LIVE = """() => {
  window.cameras = [];
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wish) => {
    const stream = await open(wish);
    window.cameras.push(...stream.getTracks());
    return stream;
  };
}"""
"""A script for a page that keeps hold of each camera that it opens."""


def live(tab: Tab) -> int:
    """Return how many cameras are on."""
    on = "window.cameras.filter((track) => track.readyState === 'live').length"
    return int(tab.page.evaluate(on))


def end_visit(tab: Tab) -> None:
    """End the visit of a page that stays open: Gradio ends it with any heartbeat of the page."""
    (beat,) = {address for address in tab.asked if "/heartbeat/" in address}
    with httpx.stream("GET", beat) as heart:
        next(heart.iter_lines())


def test_a_page_that_is_shown_anew_has_neither_camera_nor_picture(visit: Visit) -> None:
    tab = visit("healthcare")
    tab.page.evaluate(LIVE)
    tab.turn_camera_on()
    assert live(tab) == 1
    assert tab.page.evaluate("discreet.frame()") != ""
    end_visit(tab)
    tab.page.wait_for_timeout(1000)
    tab.page.locator("#question textarea").fill("How does a vaccine work?")
    tab.click("#ask")
    assert load_texts("en")["talk.ended"] in tab.page.locator("#status").inner_text()
    assert live(tab) == 0
    assert tab.page.evaluate("discreet.frame()") == ""


def test_a_camera_that_opens_after_it_was_taken_back_is_closed(visit: Visit) -> None:
    tab = visit("healthcare")
    slow = LIVE.replace("await open(wish)", "await open(wish); await new Promise(window.waiting)")
    tab.page.evaluate(
        slow.replace("() => {", "() => { window.waiting = (go) => window.go = go;", 1)
    )
    tab.allow()
    tab.page.locator('[data-act="camera"]').click()
    tab.page.wait_for_function("window.go !== undefined")
    tab.click("#withdraw")
    tab.page.evaluate("window.go()")
    tab.page.wait_for_function("window.cameras.length === 1")
    tab.page.evaluate(DRAWN)
    assert live(tab) == 0


def test_a_section_that_is_closed_leaves_the_camera_on(visit: Visit) -> None:
    tab = visit("healthcare")
    tab.page.evaluate(LIVE)
    tab.turn_camera_on()
    tab.open("camera")
    tab.page.wait_for_timeout(500)
    assert live(tab) == 1
    assert tab.page.evaluate("discreet.frame()") != ""
