"""The real command as a process on a free port, and a browser that only speaks with it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.pages.stage import LISTEN

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests of pages have another try, which the summary names: a browser may be held up."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.flaky(reruns=1))


@dataclass
class Demo:
    """A running demo."""

    address: str
    folder: Path
    """Home and temporary files of the process."""
    process: subprocess.Popen[bytes]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end and return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(20)

    @property
    def log(self) -> str:
        """All that it wrote."""
        return (self.folder / "log").read_text()


TINY = ("--adapter", "none", "--base", "tiny", "--find", "words", "--drafts", "1")
"""Options for the smallest base."""


def start(context: str, folder: Path, *options: str) -> Demo:
    """Start a demo, with the smallest base unless options are given, and wait until it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = folder / "home"
    home.mkdir()
    command = [sys.executable, "-m", "discreet", "demo", context, "--port", str(port)]
    command += options or TINY
    settings = {"HOME": str(home), "TMPDIR": str(home), "XDG_CACHE_HOME": str(home)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, stdout=log, stderr=subprocess.STDOUT
        )
    demo = Demo(address=f"http://127.0.0.1:{port}", folder=folder, process=process)
    for _ in range(1800):
        try:
            urllib.request.urlopen(f"{demo.address}/favicon.ico").close()
            return demo
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    process.kill()
    raise RuntimeError(f"The demo did not start: {demo.log}")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Demo]]:
    """A demo of a context, started when it is first asked for."""
    running: dict[str, Demo] = {}

    def one(context: str) -> Demo:
        if context not in running:
            running[context] = start(context, tmp_path_factory.mktemp(context))
        return running[context]

    yield one
    for each in running.values():
        each.end()


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Starts a demo for one test, see `start`."""
    begun: list[Demo] = []

    def one(context: str, *options: str) -> Demo:
        begun.append(start(context, tmp_path, *options))
        return begun[-1]

    yield one
    for demo in begun:
        if demo.process.poll() is None:
            demo.end()


DRAWN = "() => new Promise(done => setTimeout(() => requestAnimationFrame(done), 50))"
"""Waits until a page shows what it was sent."""


@dataclass
class Tab:
    """A page that somebody looks at, and what it asked for."""

    page: Any
    demo: Demo
    asked: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    def do(self, act: Callable[[], None]) -> None:
        """Do something, and wait until the server has done what follows."""
        before = self.page.evaluate("window.joined")
        act()
        self.page.wait_for_function(
            "before => window.joined > before && window.ended >= window.joined", arg=before
        )
        self.page.evaluate(DRAWN)

    def click(self, selector: str) -> None:
        """Click on the last of what a selector finds, and wait for what follows."""
        self.do(self.page.locator(selector).last.click)

    def ask(self, question: str) -> str:
        """Ask and return the answer."""
        box = self.page.locator("#question textarea")
        box.fill(question)
        self.do(lambda: box.press("Enter"))
        self.page.locator("#ask").wait_for()
        return str(self.page.locator(".talk > li:last-child .answered > p").first.inner_text())

    def open(self, section: str) -> None:
        """Open a section of the side panel."""
        self.page.locator(f"#{section} button.label-wrap").click()

    def allow(self) -> None:
        """Agree to all that is asked."""
        self.open("camera")
        self.page.locator("#ticks label").first.wait_for()
        for box in self.page.locator("#ticks label").all():
            box.click()
        self.page.locator("#give").click()
        self.page.locator('[data-act="camera"]').wait_for()

    def turn_camera_on(self) -> None:
        """Agree, and turn the camera on."""
        self.allow()
        self.page.locator('[data-act="camera"]').click()
        self.page.locator(".live").wait_for()


@pytest.fixture
def visit(demo: Callable[[str], Demo], chromium: Any) -> Iterator[Callable[..., Tab]]:
    """Opens a demo in a browser window of its own; nothing on it may fail."""
    tabs: list[tuple[Any, Tab]] = []

    def one(context: str, language: str = "en", width: int = 1280, **settings: Any) -> Tab:
        window = chromium.new_context(
            viewport={"width": width, "height": 800},
            permissions=["camera", "clipboard-read", "clipboard-write"],
            **settings,
        )
        tab = Tab(page=window.new_page(), demo=demo(context))
        tab.page.add_init_script(LISTEN)
        tab.page.on("request", lambda request: tab.asked.append(request.url))
        tab.page.on("pageerror", lambda error: tab.trouble.append(str(error)))
        tab.page.on(
            "console",
            lambda told: tab.trouble.append(told.text) if told.type == "error" else None,
        )
        tab.page.goto(f"{tab.demo.address}/{language}/")
        tab.page.locator(".suggestions").wait_for()
        tabs.append((window, tab))
        return tab

    yield one
    for window, tab in tabs:
        window.close()
        assert tab.trouble == []
        outside = [u for u in tab.asked if not u.startswith((tab.demo.address, "data:", "blob:"))]
        assert outside == []
