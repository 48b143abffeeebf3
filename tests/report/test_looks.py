"""Reports as people look at them: wide and narrow, light and dark, on paper."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from discreet.artifacts import RunFolder
from discreet.evidence import Evidence, Interval, Intervals, Table
from discreet.registry import SHIPPED
from discreet.report import frontier_page, page_of, page_of_runs, read_run
from tests.browsers import violations
from tests.report.test_frontier import record as frontier

FOUND = Evidence(
    audit="membership",
    title="Who was trained on",
    says=("2 % of members are found.", "Nothing beyond chance."),
    tables=(Table(title="By owner", columns=("owner", "area"), rows=(("owner-0", "0.52"),)),),
    plots=(
        Intervals(
            title="Found at 1 %",
            unit="share",
            rows=(Interval(name="private", value=0.02, low=0.0, high=0.1),),
        ),
    ),
    limits=("One run.",),
)
CLIPPED = """() => [...document.querySelectorAll('svg text')].filter(text => {
    const own = text.getBoundingClientRect(), box = text.closest('svg').getBoundingClientRect();
    return own.width && (own.left < box.left - 1 || own.right > box.right + 1
        || own.top < box.top - 1 || own.bottom > box.bottom + 1);
}).map(text => text.textContent)"""
"""Words that a picture cuts off."""


@pytest.fixture(scope="module")
def pages(finished: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind, as a file."""
    folder = tmp_path_factory.mktemp("pages")
    audited = replace(read_run(finished), audits=(FOUND,))
    shipped = read_run(RunFolder(SHIPPED["reference"]))
    texts = {
        "run": page_of(audited),
        "runs": page_of_runs([audited, shipped], [frontier()]),
        "frontier": frontier_page(frontier()),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text)
    return {name: folder / f"{name}.html" for name in texts}


@pytest.fixture
def look(pages: dict[str, Path], chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page; nothing on it may ask for anything or fail."""
    windows = []
    trouble: list[str] = []

    def one(name: str, width: int = 1280, scheme: str = "light") -> Any:
        window = chromium.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
        )
        windows.append(window)
        page = window.new_page()
        page.on("console", lambda said: trouble.append(said.text))
        page.on("request", lambda asked: asked.url.startswith("file:") or trouble.append(asked.url))
        page.goto(pages[name].as_uri())
        return page

    yield one
    for window in windows:
        window.close()
    assert trouble == []


@pytest.mark.parametrize("name", ["run", "runs", "frontier"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cut_off_or_pushes_the_page_wider(
    look: Callable[..., Any], name: str, width: int
) -> None:
    page = look(name, width)
    page.evaluate("() => document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CLIPPED) == []


def test_words_that_are_cut_off_would_be_found(look: Callable[..., Any]) -> None:
    page = look("frontier")
    page.evaluate("() => document.querySelector('svg text').setAttribute('x', -20)")
    assert len(page.evaluate(CLIPPED)) == 1


@pytest.mark.parametrize("name", ["run", "runs", "frontier"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it_in_the_light_and_in_the_dark(
    look: Callable[..., Any], name: str, scheme: str
) -> None:
    page = look(name, scheme=scheme)
    assert violations(page) == []


def test_the_dark_is_dark_and_paper_is_white(look: Callable[..., Any]) -> None:
    brightness = """() => {
        const c = getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g);
        return c.length > 3 && c[3] == 0 ? 255 : (+c[0] + +c[1] + +c[2]) / 3; }"""
    light, dark = look("run"), look("run", scheme="dark")
    assert light.evaluate(brightness) > 200
    assert dark.evaluate(brightness) < 80
    dark.emulate_media(media="print")
    assert dark.evaluate(brightness) > 200, "no printer is asked for a black page"


def test_plots_are_drawn_where_they_can_be_seen(look: Callable[..., Any]) -> None:
    page = look("runs")
    boxes = [svg.bounding_box() for svg in page.locator("svg").all() if svg.is_visible()]
    assert len(boxes) >= 3
    assert all(box["width"] > 200 and box["height"] > 80 for box in boxes)
    ink = page.locator("svg").first.screenshot()
    assert len(ink) > 1500, "an empty picture is smaller"
