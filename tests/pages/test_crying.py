"""Tutoring with a crying face before the camera: nothing about emotion at any hop.

Perceiver, prompt, page, network, log and journal are each read, and the same face in healthcare,
where somebody agreed to have it read, shows that each reading would find it.
"""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from discreet.data import load_portraits
from discreet.service import passes
from tests.browsers import FLAGS, frame
from tests.pages.stage import LISTEN, Pen, Stage, staged

pytestmark = pytest.mark.slow

CRYING = 158
"""A row of the test split: an older adult, of whom the perceiver surely says sad."""
QUESTION = {
    "tutoring": "Why do we have day and night?",
    "healthcare": "How does a vaccine work?",
}
EMOTION = re.compile(
    r"expression|emotion|\bsad|\bangry|upset|distress|triste|colère|émotion|bouleversé", re.I
)


@dataclass
class Heard:
    """What was read at each hop of one turn."""

    perceiver: list[list[str]]
    prompt: str
    page: str
    network: str
    journal: str


@pytest.fixture(scope="module")
def crying(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser whose camera shows somebody who cries."""
    film = tmp_path_factory.mktemp("film") / "crying.mjpeg"
    film.write_bytes(frame(CRYING) * 20)
    path = shutil.which("chromium") or shutil.which("google-chrome")
    flags = [*FLAGS, f"--use-file-for-fake-video-capture={film}"]
    browser = chromium.browser_type.launch(executable_path=path, args=flags)
    yield browser
    browser.close()


def listen(stage: Stage, browser: Any, context: str, pen: Pen) -> Heard:
    """Ask with the camera on, after agreeing to all that is asked for, and read every hop."""
    window = browser.new_context(permissions=["camera"])
    page = window.new_page()
    page.add_init_script(LISTEN)
    page.goto(f"{stage.address}/en/")
    page.locator(".suggestions").wait_for()
    page.locator("#camera button.label-wrap").click()
    page.locator("#ticks label").first.wait_for()
    for box in page.locator("#ticks label").all():
        box.click()
    page.locator("#give").click()
    page.locator('[data-act="camera"]').click()
    page.locator(".live").wait_for()
    before = len(page.evaluate("window.heard"))
    page.locator("#question textarea").fill(QUESTION[context])
    page.locator("#question textarea").press("Enter")
    page.locator('[data-act="why"]').click()
    page.locator("#why .seen li").first.wait_for()
    heard = Heard(
        perceiver=stage.eyes.asked,
        prompt=json.dumps([[r.messages, r.contrast] for r in pen.asked]),
        page=page.locator("#talk").inner_text() + page.locator("#why").inner_text(),
        network="".join(page.evaluate("window.heard")[before:]),
        journal=json.dumps([str(entry.event) for entry in stage.journal.events()]),
    )
    window.close()
    return heard


@pytest.fixture(scope="module")
def heard(crying: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Heard]:
    """One turn in each context, of the same face."""
    found: dict[str, Heard] = {}
    for context in ("tutoring", "healthcare"):
        with ExitStack() as end, pytest.MonkeyPatch.context() as patch:
            pen = Pen()
            patch.setattr(passes, "answer_all", pen.answer_all)
            stage = end.enter_context(staged(context, tmp_path_factory.mktemp(context)))  # type: ignore[arg-type]
            found[context] = listen(stage, crying, context, pen)
    return found


def test_the_camera_shows_somebody_who_cries() -> None:
    assert load_portraits("test")[CRYING].expression == "sad"


def test_tutoring_asks_the_perceiver_for_no_expression(heard: dict[str, Heard]) -> None:
    assert heard["tutoring"].perceiver == [["age_band"]]
    assert heard["healthcare"].perceiver == [["age_band", "expression"]]


@pytest.mark.parametrize("hop", ["prompt", "page", "network", "journal"])
def test_nothing_about_emotion_reaches(hop: str, heard: dict[str, Heard]) -> None:
    tutoring, healthcare = getattr(heard["tutoring"], hop), getattr(heard["healthcare"], hop)
    assert "older" in tutoring or hop == "journal"  # the picture was looked at, for age alone
    assert EMOTION.findall(tutoring) == []
    assert EMOTION.findall(healthcare) != []
