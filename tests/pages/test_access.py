"""Who sees little, hears the page, has a phone or no mouse: every state of both demos."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discreet.pages.texts import load_texts
from discreet.types import Language
from tests.browsers import violations
from tests.pages.conftest import Tab
from tests.pages.stage import Stage, staged
from tests.pages.test_browser import SPOKEN, Visit

pytestmark = pytest.mark.slow

OVERLAPS = """
() => {
  const name = (e) =>
    `${e.tagName}#${e.id}.${e.className} ${(e.textContent || "").trim().slice(0, 40)}`;
  const words = (e) => {  // where its lines stand, also those that are cut off
    const lines = document.createRange();
    const walk = document.createTreeWalker(e, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walk.nextNode()) {
      const text = walk.currentNode;
      const unread = text.parentElement.closest(".icon, .unseen, [aria-hidden]");
      if (!text.data.trim() || unread) continue;
      lines.selectNodeContents(text);
      found.push(...lines.getClientRects());
    }
    return e.tagName === "BUTTON" ? found : [];
  };
  const clipped = (e) => {  // what is left of its box where something around it scrolls
    let { left, right, top, bottom } = e.getBoundingClientRect();
    for (let around = e.parentElement; around; around = around.parentElement) {
      if (getComputedStyle(around).overflowY === "visible") continue;
      const box = around.getBoundingClientRect();
      [top, bottom] = [Math.max(top, box.top), Math.min(bottom, box.bottom)];
    }
    return { left, right, top: Math.max(top, 0), bottom: Math.min(bottom, innerHeight) };
  };
  const where = document.body.classList.contains("sheet") ? "#side " : "";
  const used = ["button", "a", "input", "textarea", "select", "summary"];
  const acts = [...document.querySelectorAll(used.map((one) => where + one).join())].filter(
    (e) => e.getClientRects().length && e.offsetWidth > 2 && !e.closest(".unseen, .skip, [hidden]")
  );
  const wrong = [];
  const seen = [];
  for (const e of acts) {
    const box = e.getBoundingClientRect();
    if (box.left < -1 || box.right > innerWidth + 1) wrong.push(`outside: ${name(e)}`);
    if (words(e).some((r) => r.left < box.left - 2 || r.right > box.right + 2 ||
      r.top < box.top - 4 || r.bottom > box.bottom + 4)) wrong.push(`cut: ${name(e)}`);
    const stays = e.closest("#close");  // the sheet scrolls below it
    if (!stays && clipped(e).bottom > clipped(e).top) seen.push([e, clipped(e)]);
  }
  for (const [i, [a, p]] of seen.entries()) for (const [b, q] of seen.slice(i + 1)) {
    if (a.contains(b) || b.contains(a)) continue;
    const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
    const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    if (wide > 2 && high > 2) wrong.push(`over each other: ${name(a)} / ${name(b)}`);
  }
  return wrong;
}
"""
"""What is outside the window, cut, or over something else that can be used."""


def states(tab: Tab, question: str, phone: bool) -> Iterator[str]:
    """Bring a page through its states, and say which one it is in."""
    page = tab.page
    yield "idle"
    page.locator("#question textarea").press("Enter")
    page.get_by_text(load_texts(language_of(tab))["talk.empty"]).wait_for()
    tab.ask(question)
    yield "answer"
    page.locator('[data-act="edit"]').first.click()
    page.locator("#cancel").wait_for()
    yield "editing"
    tab.click("#cancel")
    if phone:
        page.locator("#handle button").click()
    tab.open("about")
    tab.open("camera")
    yield "notice"
    tab.open("camera")
    tab.turn_camera_on()
    yield "camera"
    tab.open("camera")
    if phone:
        page.locator("#close button").click()
    tab.ask(question)
    tab.click('[data-act="why"]')
    page.locator("#why .seen li").first.wait_for()
    yield "why"
    tab.open("why-section")
    tab.open("privacy")
    tab.click("#export")
    yield "privacy"
    tab.click("#hand-over")
    tab.click("#forget")
    page.locator(".receipt table").wait_for()
    yield "receipt"


def language_of(tab: Tab) -> Language:
    return "fr" if tab.page.url.endswith("/fr/") else "en"


def find_all(tab: Tab, question: str, phone: bool) -> dict[str, Any]:
    """Return what axe and the boxes find in each state, in the light and in the dark."""
    found: dict[str, Any] = {}
    for state in states(tab, question, phone):
        for scheme in ("light", "dark"):
            found[f"{state}, {scheme}"] = violations(tab.page)
            tab.page.locator('[data-act="theme"]').evaluate("button => button.click()")
        found[f"{state}, boxes"] = tab.page.evaluate(OVERLAPS)
    return {state: what for state, what in found.items() if what}


@pytest.mark.parametrize(
    ("context", "language", "width"),
    [("healthcare", "fr", 390), ("tutoring", "en", 1280)],
)
def test_every_state_is_fit_for_all(visit: Visit, context: str, language: str, width: int) -> None:
    tab = visit(context, language, width=width)
    assert find_all(tab, SPOKEN[context, language][0], width < 900) == {}


@pytest.mark.parametrize(
    ("context", "language", "width"),
    [("healthcare", "en", 390), ("healthcare", "fr", 1280), ("tutoring", "fr", 390)],
)
def test_every_state_is_fit_for_all_elsewhere(
    visit: Visit, context: str, language: str, width: int
) -> None:
    tab = visit(context, language, width=width)
    assert find_all(tab, SPOKEN[context, language][0], width < 900) == {}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged("healthcare", tmp_path) as stage:
        yield stage


def test_the_line_and_what_goes_wrong_are_fit_for_all(chromium: Any, stage: Stage) -> None:
    says = load_texts("fr")
    page = chromium.new_context(viewport={"width": 390, "height": 800}).new_page()
    page.goto(f"{stage.address}/fr/")
    page.locator(".suggestions").wait_for()
    box = page.locator("#question textarea")
    with stage.full():
        box.fill("Comment marche un vaccin ?")
        box.press("Enter")
        page.locator(".now .aside").wait_for()
        line = violations(page), page.evaluate(OVERLAPS)
        page.locator("#stop").click()
        page.locator("#ask").wait_for()
        others = [stage.engine.submit(lambda show: None) for _ in range(64)]
        box.fill("Comment marche un vaccin ?")
        box.press("Enter")
        page.get_by_text(says["errors.busy"]).wait_for()
        busy = violations(page), page.evaluate(OVERLAPS)
        for other in others:
            other.cancel()
    assert box.input_value() == "Comment marche un vaccin ?"
    assert line == busy == ([], [])
    page.context.close()


@pytest.mark.parametrize(("context", "language"), [("healthcare", "fr"), ("tutoring", "en")])
def test_nothing_is_cut_or_overlaps_at_200_percent_on_a_narrow_phone(
    visit: Visit, context: str, language: str
) -> None:
    tab = visit(context, language, width=360)
    tab.page.evaluate("discreet.resize(200)")
    found = {"idle": tab.page.evaluate(OVERLAPS)}
    tab.ask(SPOKEN[context, language][0])
    found["answer"] = tab.page.evaluate(OVERLAPS)
    tab.page.locator("#handle button").click()
    found["about"] = tab.page.evaluate(OVERLAPS)
    tab.allow()
    found["camera"] = tab.page.evaluate(OVERLAPS)
    tab.open("privacy")
    tab.click("#export")
    found["privacy"] = tab.page.evaluate(OVERLAPS)
    assert {state: what for state, what in found.items() if what} == {}
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_boxes_would_show_what_is_cut_or_covered(visit: Visit) -> None:
    tab = visit("tutoring")
    tab.page.evaluate(
        """() => document.body.insertAdjacentHTML('beforeend',
        `<button style="position:fixed;left:0;top:0;width:3000px;height:60px;padding:0;
        font-size:90px">
        wide</button>`)"""
    )
    wrong = tab.page.evaluate(OVERLAPS)
    assert any(one.startswith("outside") for one in wrong)
    assert any(one.startswith("cut") for one in wrong)
    assert any(one.startswith("over each other") for one in wrong)


@pytest.mark.parametrize(("context", "language"), [("healthcare", "en"), ("tutoring", "fr")])
def test_each_control_has_a_name_that_is_heard(
    visit: Visit, context: str, language: Language
) -> None:
    """As the browser tells it to a screen reader, and in the language of the page."""
    says = load_texts(language)
    tab = visit(context, language)
    tab.ask(SPOKEN[context, language][0])
    tab.turn_camera_on()
    tab.open("privacy")
    nodes = tab.page.context.new_cdp_session(tab.page).send("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "link", "textbox", "radio", "checkbox", "combobox", "radiogroup"}
    heard = [
        (node["role"]["value"], node.get("name", {}).get("value", "").strip())
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in roles
    ]
    assert [role for role, name in heard if not name] == []
    names = {name for _, name in heard}
    for key in ("compose.label", "compose.send", "camera.stop", "camera.withdraw", "page.theme"):
        assert says[key] in names
    assert {"banner", "main", "complementary", "status"} <= {n["role"]["value"] for n in nodes}


def tab_to(page: Any, selector: str) -> None:
    """Go on with the Tab key alone until something has the focus."""
    for _ in range(80):
        if page.evaluate("what => !!document.activeElement?.closest(what)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"No Tab leads to {selector}.")


def test_a_whole_visit_without_a_mouse(visit: Visit) -> None:
    tab = visit("healthcare")
    page = tab.page

    def press(selector: str, key: str = "Enter") -> None:
        tab_to(page, selector)
        page.keyboard.press(key)

    tab_to(page, '[data-act="suggest"]')
    tab.do(lambda: page.keyboard.press("Enter"))
    tab_to(page, "#age-band input")
    assert page.evaluate("document.activeElement.value") == "unsaid"  # one stop for the group
    tab.do(lambda: page.keyboard.press("ArrowUp"))
    assert page.locator("#age-band input:checked").input_value() == "older_adult"
    tab_to(page, "#question textarea")
    page.keyboard.type("How does a vaccine work?")
    tab.do(lambda: page.keyboard.press("Enter"))
    assert "older adult" in page.locator(".fitted").last.inner_text()
    tab_to(page, 'li:last-child [data-act="why"]')
    tab.do(lambda: page.keyboard.press("Enter"))
    page.wait_for_function("document.activeElement.closest('#why-section')")
    press("#camera button.label-wrap")
    tab_to(page, "#ticks input")
    page.keyboard.press("Space")
    try:
        page.wait_for_function("document.querySelector('#ticks input').checked")
    except Exception as error:
        focused, ticks = "document.activeElement", "document.querySelector('#ticks')"
        seen = page.evaluate(f"{focused}.outerHTML + {ticks}.outerHTML")
        raise AssertionError(f"Space ticked nothing: {seen[:3000]}") from error
    tab_to(page, "#give")
    tab.do(lambda: page.keyboard.press("Enter"))
    says = load_texts("en")
    assert says["camera.given"] in page.locator("#status").inner_text()
    page.locator('[data-act="camera"]').wait_for()
    press('[data-act="camera"]')
    page.locator(".live").wait_for()
    tab_to(page, "#withdraw")
    tab.do(lambda: page.keyboard.press("Enter"))
    page.locator(".live").wait_for(state="hidden")
    press("#privacy button.label-wrap")
    tab_to(page, "#forget")
    tab.do(lambda: page.keyboard.press("Enter"))
    page.locator(".receipt table").wait_for()
    page.locator(".suggestions").wait_for()
