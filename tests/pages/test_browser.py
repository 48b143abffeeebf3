"""The pages as people meet them: the real command, a real browser, a camera with a drawn face."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pages.conftest import Demo, Tab, start

pytestmark = pytest.mark.slow  # each page is a program of some megabytes to its browser

Visit = Callable[..., Tab]
SPOKEN = {
    ("healthcare", "en"): ("How does a vaccine work?", "vaccine"),
    ("healthcare", "fr"): ("Comment marche un vaccin ?", "vaccin"),
    ("tutoring", "en"): ("Why do we have day and night?", "Sun"),
    ("tutoring", "fr"): ("Pourquoi y a-t-il le jour et la nuit ?", "Soleil"),
}


def violations(page: Any) -> list[tuple[str, str, str]]:
    """Return what axe finds that is serious or critical: state, rule, element."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.wait_for_timeout(300)  # transitions end
    return [
        (found["id"], found["impact"], found["nodes"][0]["html"][:120])
        for found in axe.run(page).response["violations"]
        if found["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(("context", "language"), list(SPOKEN))
def test_a_conversation_in_each_language_and_context(
    visit: Visit, context: str, language: str
) -> None:
    tab = visit(context, language)
    question, word = SPOKEN[context, language]
    assert tab.page.locator("html").get_attribute("lang") == language
    assert word in tab.ask(question)
    assert tab.page.locator(".asked p").inner_text() == question
    with tab.page.expect_request("**/queue/join*"):
        tab.page.locator('[data-act="retry"]').click()
    tab.page.wait_for_timeout(500)
    tab.page.locator('[data-act="retry"]').wait_for()
    assert tab.page.locator(".asked").count() == 1
    tab.page.locator('[data-act="clear"]').click()
    tab.page.locator(".suggestions").wait_for()


def test_a_question_can_be_changed_and_what_came_after_it_goes(visit: Visit) -> None:
    tab = visit("tutoring")
    tab.ask("Why do we have day and night?")
    tab.ask("Why does Mars look red?")
    tab.page.locator('[data-act="edit"]').first.click()
    tab.page.locator("#cancel").wait_for()
    box = tab.page.locator("#question textarea")
    assert box.input_value() == "Why do we have day and night?"
    box.fill("How many planets go around the Sun?")
    box.press("Enter")
    tab.page.wait_for_function("document.querySelectorAll('.asked').length === 1")
    tab.page.locator("#ask").wait_for()
    assert tab.page.locator(".asked p").all_inner_texts() == ["How many planets go around the Sun?"]


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


def test_the_camera_is_off_until_somebody_agrees_and_off_again_when_they_take_it_back(
    visit: Visit,
) -> None:
    tab = visit("healthcare")
    assert tab.page.locator('[data-act="camera"]').count() == 0
    assert tab.page.evaluate("discreet.frame()") == ""
    tab.turn_camera_on()
    assert tab.page.evaluate("discreet.frame()").startswith("data:image/jpeg;base64,")
    tab.ask("How does a vaccine work?")
    tab.page.locator("#withdraw").click()
    tab.page.locator('[data-act="camera"]').wait_for(state="hidden")
    assert tab.page.evaluate("discreet.frame()") == ""


def test_a_child_is_offered_no_camera(visit: Visit) -> None:
    tab = visit("tutoring")
    tab.page.locator("#age-band label").first.click()
    tab.page.locator("#about").get_by_text("together you can say yes to more").wait_for()
    tab.open("camera")
    assert "no picture of you" in tab.page.locator("#disclosure").inner_text()
    assert tab.page.locator('[data-act="camera"]').count() == 0


def test_forgetting_gives_a_receipt_and_begins_anew(visit: Visit) -> None:
    tab = visit("healthcare", "fr")
    tab.ask("Comment marche un vaccin ?")
    tab.open("privacy")
    tab.page.locator("#export").click()
    tab.page.locator(".receipt pre").wait_for()
    assert "Comment marche un vaccin ?" in tab.page.locator(".receipt pre").inner_text()
    tab.page.locator("#forget").click()
    tab.page.locator(".receipt table").wait_for()
    tab.page.locator(".suggestions").wait_for()
    tab.page.locator("#export").click()
    tab.page.locator(".receipt pre").wait_for()
    assert "vaccin" not in tab.page.locator(".receipt pre").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("context", "width"), [("healthcare", 1280), ("tutoring", 390)])
def test_axe_finds_nothing_serious_in_any_state(
    visit: Visit, context: str, width: int, scheme: str
) -> None:
    tab = visit(context, width=width, color_scheme=scheme)
    found = {"idle": violations(tab.page)}
    tab.ask(SPOKEN[context, "en"][0])
    found["talk"] = violations(tab.page)
    if width < 900:
        tab.page.locator("#handle button").click()
    tab.open("camera")
    found["notice"] = violations(tab.page)
    tab.open("camera")
    tab.turn_camera_on()
    found["camera"] = violations(tab.page)
    tab.open("why-section")
    tab.open("privacy")
    tab.page.locator("#export").click()
    tab.page.locator(".receipt pre").wait_for()
    found["privacy"] = violations(tab.page)
    assert {state: what for state, what in found.items() if what} == {}


def test_axe_would_find_a_button_without_a_name(visit: Visit) -> None:
    tab = visit("tutoring")
    tab.page.evaluate("document.querySelector('#talk').append(document.createElement('button'))")
    assert "button-name" in {rule for rule, _, _ in violations(tab.page)}


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_cut_off_at_twice_the_size(visit: Visit, width: int) -> None:
    tab = visit("healthcare", "fr", width=width)
    tab.page.evaluate("discreet.resize(200)")
    tab.ask("Comment marche un vaccin ?")
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    wide = tab.page.evaluate(
        """[...document.querySelectorAll('#top *, #talk *, #composer *')]
        .filter(e => !e.closest('.unseen, .skip') && e.getBoundingClientRect().width
          && getComputedStyle(e).visibility === 'visible' && !e.closest('label > span'))
        .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
        .map(e => e.outerHTML.slice(0, 80))"""
    )
    assert wide == []


def test_all_can_be_done_with_the_keyboard(visit: Visit) -> None:
    tab = visit("tutoring")
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.className") == "skip"
    tab.page.keyboard.press("Enter")
    assert tab.page.evaluate("document.activeElement.tagName") == "TEXTAREA"
    tab.page.keyboard.type("Why do we have day and night?")
    tab.page.keyboard.press("Enter")
    tab.page.locator('[data-act="retry"]').wait_for()
    assert "Sun" in tab.page.locator(".answered").inner_text()


def test_the_sheet_of_a_phone_takes_the_focus_and_gives_it_back(visit: Visit) -> None:
    tab = visit("tutoring", width=390)
    tab.page.locator("#handle button").focus()
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_function("document.activeElement.dataset.act === 'close'")
    tab.page.keyboard.press("Shift+Tab")
    assert tab.page.evaluate("!!document.activeElement.closest('#side')")
    tab.page.keyboard.press("Escape")
    assert tab.page.evaluate("document.activeElement.dataset.act") == "sheet"


def test_the_browser_keeps_nothing_but_the_language(visit: Visit) -> None:
    tab = visit("healthcare")
    tab.ask("How does a vaccine work?")
    assert tab.page.evaluate("Object.keys(localStorage)") == []
    tab.page.locator('[data-act="language"]').click()
    tab.page.wait_for_url("**/fr/")
    tab.page.locator(".suggestions").wait_for()
    assert tab.page.evaluate("({...localStorage})") == {"language": "fr"}
    assert tab.page.evaluate("sessionStorage.length") == 0
    assert tab.page.evaluate("indexedDB.databases().then(found => found.length)") == 0
    assert tab.page.context.cookies() == []


def kept(demo: Demo) -> list[str]:
    """Return the files that a demo may write to, but for the log."""
    own = [path for path in (demo.folder / "home").rglob("*") if path.is_file()]
    shared = [
        path
        for path in Path("/dev/shm").glob(f"discreet-pages-{demo.process.pid}-*/**/*")
        if path.is_file()
    ]
    return sorted(str(path) for path in [*own, *shared])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_on_disk_or_in_the_log(chromium: Any, tmp_path: Path, number: int) -> None:
    demo = start("healthcare", tmp_path)
    page = chromium.new_context(permissions=["camera"]).new_page()
    page.goto(f"{demo.address}/en/")
    page.locator(".suggestions").wait_for()
    tab = Tab(page=page, demo=demo)
    tab.turn_camera_on()
    tab.ask("How does a vaccine work? marker-of-mine")
    during = b"".join(Path(path).read_bytes() for path in kept(demo))
    assert b"marker-of-mine" not in during
    assert b"\xff\xd8\xff" not in during  # how a JPEG begins
    page.context.close()
    status = demo.end(number)
    assert status in (0, 128 + number, 130)
    assert kept(demo) == []
    assert not list(Path("/dev/shm").glob(f"discreet-pages-{demo.process.pid}-*"))
    assert "marker-of-mine" not in demo.log
    assert "GET" not in demo.log
    assert "Traceback" not in demo.log
