"""A real browser for tests of what people look at: the demos, the reports."""

import os
import shutil
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from discreet.data import load_portraits

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
OLDER_ADULT = 253
"""A row of the test split."""


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser with a camera that shows one of our portraits."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    film = tmp_path_factory.mktemp("film") / "face.mjpeg"
    film.write_bytes(frame() * 20)
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=path, args=[*FLAGS, f"--use-file-for-fake-video-capture={film}"]
            )
        except sync_api.Error:
            if "DISCREET_NEEDS_BROWSER" in os.environ:
                raise
            pytest.skip("no browser is installed")
        yield browser
        browser.close()


def frame(row: int = OLDER_ADULT) -> bytes:
    """Return what the camera sees, as a JPEG."""
    face = load_portraits("test")[row].image.resize((480, 480))
    picture = Image.new("RGB", (640, 480), (90, 90, 90))
    picture.paste(face, (80, 0))
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=90)
    return stream.getvalue()


def violations(page: Any) -> list[tuple[str, str, str]]:
    """Return what axe finds that is serious or critical: state, rule, element."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.wait_for_timeout(300)  # transitions end
    return [
        (found["id"], found["impact"], found["nodes"][0]["html"][:120])
        for found in axe.run(page).response["violations"]
        if found["impact"] in ("serious", "critical")
    ]
