"""Pictures of the pages for the docs: the real command with `small`, a browser, a made-up face.

    python -m tests.pages.shots docs/images/pages

Not a test. Nobody in the pictures exists; the camera shows a portrait of the test split.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.browsers import FLAGS, frame
from tests.pages.conftest import start

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
ASKED = {
    ("healthcare", "en"): "How do I get up safely after a fall?",
    ("tutoring", "fr"): "Pourquoi y a-t-il le jour et la nuit ?",
}
WAIT = 240_000
"""Milliseconds that an answer of `small` may take on a busy machine."""


def main(out: Path) -> None:
    """Draw each state: healthcare on a desktop, light; tutoring on a phone, dark, in French."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        film = Path(name) / "face.mjpeg"
        film.write_bytes(frame() * 20)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=[*FLAGS, f"--use-file-for-fake-video-capture={film}"],
        )
        for context, language, device, scheme in (
            ("healthcare", "en", "desktop", "light"),
            ("tutoring", "fr", "phone", "dark"),
        ):
            folder = Path(name) / context
            folder.mkdir()
            demo = start(context, folder, "--drafts", "4")
            try:
                width, height = SIZES[device]
                window = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme=scheme,
                    permissions=["camera"],
                    has_touch=device == "phone",
                )
                page = window.new_page()
                page.set_default_timeout(WAIT)
                page.goto(f"{demo.address}/{language}/")
                walk(page, ASKED[context, language], _taker(page, out, f"{context}-{device}"))
                window.close()
            finally:
                demo.end()
        browser.close()


def _taker(page: Any, out: Path, name: str) -> Callable[[str], None]:
    def take(state: str) -> None:
        page.wait_for_timeout(700)
        page.screenshot(path=out / f"{name}-{state}.png")

    return take


def walk(page: Any, question: str, take: Callable[[str], None]) -> None:
    """Go through a visit and take a picture of each state."""
    page.locator(".suggestions").wait_for()
    is_phone = page.locator('[data-act="sheet"]').first.is_visible()
    take("idle")
    _open(page, is_phone)
    page.locator("#reading label").last.click()
    take("about")
    page.locator("#camera button.label-wrap").click()
    page.locator("#ticks label").first.wait_for()
    _show(page, "#camera")
    take("notice")
    for box in page.locator("#ticks label").all():
        box.click()
    page.locator("#give").click()
    page.locator('[data-act="camera"]').click()
    page.locator(".live").wait_for()
    _show(page, ".stage")
    take("camera")
    _close(page, is_phone)
    box = page.locator("#question textarea")
    box.fill(question)
    box.press("Enter")
    page.locator('[data-act="retry"]').wait_for()
    take("answer")
    page.locator('[data-act="why"]').last.click()
    page.wait_for_timeout(500)
    _show(page, "#why-section")
    take("why")
    page.locator("#privacy button.label-wrap").click()
    _show(page, "#privacy")
    take("privacy")
    page.locator("#forget").click()
    page.locator(".receipt").wait_for()
    _show(page, "#receipt")
    take("forgotten")


def _show(page: Any, selector: str) -> None:
    """Bring a part of the panel to its top, with the mouse on nothing."""
    page.mouse.move(0, 0)
    page.locator(selector).evaluate("part => part.scrollIntoView()")


def _open(page: Any, is_phone: bool) -> None:
    if is_phone:
        page.locator('[data-act="sheet"]').first.click()
        page.wait_for_timeout(400)


def _close(page: Any, is_phone: bool) -> None:
    if is_phone:
        page.locator("#close button").click()
        page.wait_for_timeout(400)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
