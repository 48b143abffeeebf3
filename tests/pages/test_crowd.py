"""Twenty visitors at once, three of them in a browser; and many turns of one demo."""

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from discreet.data import load_portraits
from discreet.pages.pictures import as_address
from discreet.pages.texts import load_texts
from discreet.service import passes
from tests.browsers import OLDER_ADULT
from tests.pages.conftest import Demo
from tests.pages.guest import Guest
from tests.pages.stage import LISTEN, Pen, Stage, staged

pytestmark = pytest.mark.slow

MARKERS = [f"marker{n:02d}" for n in range(20)]
BROWSERS = {1, 9, 19}
"""Which of the twenty look at a real page."""
QUESTION = "How does a vaccine work?"
MANY = httpx.Limits(max_connections=64)
SAYS = load_texts("en")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged("healthcare", tmp_path) as stage:
        yield stage


def asked_of(number: int) -> tuple[str, str, str]:
    """Return the question and the picture of a visitor, and for whom the answer has to be."""
    older = as_address(load_portraits("test")[OLDER_ADULT].jpeg)
    picture, whom = (("", "nobody"), (older, "same"))[number % 2]
    return f"{QUESTION} {MARKERS[number]}", picture, SAYS[f"talk.for_{whom}"]


class Page:
    """A visitor with a browser, as `Guest` is one without."""

    def __init__(self, chromium: Any, address: str) -> None:
        self.page = chromium.new_context().new_page()
        self.page.add_init_script(LISTEN)
        self.page.goto(f"{address}/en/")
        self.page.locator(".suggestions").wait_for()
        self.page.locator("#camera button.label-wrap").click()
        self.page.locator("#ticks label").first.click()
        self.page.locator("#give").click()
        self.page.locator('[data-act="camera"]').wait_for()

    def ask(self, question: str, picture: str) -> None:
        self.page.evaluate("taken => { discreet.frame = () => taken; }", picture)
        self.page.locator("#question textarea").fill(question)
        self.page.locator("#question textarea").press("Enter")

    def wait_for(self, text: str) -> None:
        self.page.locator("#talk").get_by_text(text).first.wait_for()

    @property
    def heard(self) -> list[str]:
        return [str(self.page.evaluate("window.heard.join('')")), str(self.page.content())]


def test_twenty_visitors_see_their_place_and_get_nothing_but_their_own(
    chromium: Any, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "answer_all", Pen().answer_all)
    with (
        httpx.Client(base_url=stage.address, timeout=120, limits=MANY) as http,
        ThreadPoolExecutor(20) as listening,
    ):
        visitors: list[Guest | Page] = []
        for number in range(20):
            if number in BROWSERS:
                visitors.append(Page(chromium, stage.address))
            else:
                guest = Guest(http)
                guest.act("give", "click", ["inform/age_band"])
                visitors.append(guest)
        with stage.full() as go_home:
            ends = []
            for number, visitor in enumerate(visitors):
                question, picture, _ = asked_of(number)
                if isinstance(visitor, Page):
                    visitor.ask(question, picture)
                else:
                    visitor.begin("ask", "click", question, picture)
                    ends.append(listening.submit(visitor.hear))
                visitor.wait_for(SAYS["talk.waiting"].format(place=number + 1))
            go_home()
            for end in ends:
                end.result(120)
        for number, visitor in enumerate(visitors):
            whom = asked_of(number)[2]
            visitor.wait_for(whom)
            heard = "".join(visitor.heard)
            assert set(re.findall(r"marker\d\d", heard)) == {MARKERS[number]}
            other = asked_of((number + 1) % 20)[2]
            assert other not in heard
            if isinstance(visitor, Page):
                visitor.page.context.close()
    turns = [visit.exchanges for visit in stage.visits if visit.exchanges]
    stay = {asked_of(n)[0] for n in set(range(20)) - BROWSERS}  # who closed a page is forgotten
    assert stay <= {exchange.question for (exchange,) in turns}
    assert len(stage.eyes.seen) == 10


def memory_bytes(demo: Demo) -> int:
    status = Path(f"/proc/{demo.process.pid}/statm").read_text()
    return int(status.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_five_hundred_turns_take_no_more_memory_than_a_hundred(begin: Callable[..., Demo]) -> None:
    """Of the whole process; every fifth has a picture, and a conversation ends with its turn."""
    demo = begin("healthcare")
    picture = as_address(load_portraits("test")[OLDER_ADULT].jpeg)
    asked = {"en": QUESTION, "fr": "Comment marche un vaccin ?"}
    with (
        httpx.Client(base_url=demo.address, timeout=60, limits=MANY) as http,
        ThreadPoolExecutor(20) as together,
    ):
        guests = [Guest(http, language=spoken) for spoken in ("en", *["fr"] * 19)]
        for guest in guests:
            guest.act("give", "click", ["inform/age_band"])

        def turns(guest: Guest) -> None:
            for number in range(5):
                shown = "" if number % 5 else picture
                guest.act("ask", "click", f"{asked[guest.language]} {number}", shown)
                guest.act("talk", "clear")
                guest.heard.clear()

        def hundred_turns() -> int:
            list(together.map(turns, guests))
            return memory_bytes(demo)

        sizes = [hundred_turns() for _ in range(5)]
    # The first hundred fill the allocator's arenas, and the system gives back late.
    assert min(sizes[-2:]) - min(sizes[1:3]) < 16 * 2**20, sizes
