"""`discreet bench pages`: how long after the engine a page shows an answer, in a real browser.

Two clocks of one machine: the engine's, when the responder has written its first token and when the
first checked piece is passed on; and the page's, when it first shows a word of the answer.
"""

import shutil
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from discreet.assistant import DRAFTS, Assistant, load_policy
from discreet.bench import made_by
from discreet.cli.chat import notes_of
from discreet.cli.demo import set_up_gradio
from discreet.cli.options import RUNS, Cache, Drafts, Json, Runs, progress, tell
from discreet.cli.private_folder import private_folder
from discreet.cli.serve import load_shelf
from discreet.consent import ConsentStore
from discreet.erasure import erase_visit
from discreet.errors import ExtraMissing
from discreet.journal import Journal
from discreet.model import Answer, Request, Vlm
from discreet.registry import REFERENCE
from discreet.service import Engine, Ticket, Visit, names_of

T = TypeVar("T")
Show = Callable[[str], None]
_WATCH = """
window.shown = null;
document.addEventListener("DOMContentLoaded", () => new MutationObserver(() => {
  const said = document.querySelector(".answered > p:not(.dots, .aside, .fitted)");
  if (said && said.textContent.trim()) window.shown ??= Date.now() / 1000;
}).observe(document.body, { childList: true, subtree: true, characterData: true }));
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstWord:
    """When an answer began, in seconds after the question was sent."""

    token: float
    """The responder's first token."""
    piece: float
    """What the engine first passed on: a whole sentence, checked; with drafts, the best answer."""
    page: float
    """What the page first showed."""


class TimedEngine(Engine):
    """An engine that notes when it had a first token and a first piece, by the clock of the day."""

    token = piece = 0.0

    def submit(
        self, work: Callable[[Show], T], *, urgent: bool = False, key: str | None = None
    ) -> Ticket[T]:
        """Return the ticket of a turn whose first piece is timed."""
        self.token = self.piece = 0.0

        def timed(show: Show) -> T:
            def shown(piece: str) -> None:
                self.piece = self.piece or time.time()
                show(piece)

            return work(shown)

        return super().submit(timed, urgent=urgent, key=key)

    def _write(self, vlm: Vlm, requests: Sequence[Request]) -> list[Answer]:
        return super()._write(vlm, [replace(r, on_text=self._timed(r.on_text)) for r in requests])

    def _timed(self, on_text: Show | None) -> Show:
        def heard(piece: str) -> None:
            self.token = self.token or time.time()
            if on_text is not None:
                on_text(piece)

        return heard


def pages(
    turns: Annotated[int, typer.Option(min=1, help="Questions asked, one after the other.")] = 8,
    adapter: Annotated[
        str, typer.Option(help="Run id, folder, 'latest', 'reference' (shipped) or 'none'.")
    ] = REFERENCE,
    base: Annotated[str, typer.Option(help="Base model when --adapter none.")] = "small",
    drafts: Drafts = DRAFTS,
    out: Annotated[Path | None, typer.Option(help="JSON file with every turn.")] = None,
    runs: Runs = RUNS,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Measure when a page shows an answer, beside when the engine had it; needs Chromium."""
    vlm, cards = load_shelf([adapter], base, runs, cache)
    policy = load_policy("healthcare")
    notes = notes_of(policy, "words", language="en", cache=cache)
    assistant = Assistant(vlm=vlm, policy=policy, notes=notes, drafts=drafts)
    names = names_of([policy], cards)
    with private_folder() as folder, TimedEngine(assistant) as engine, _browser() as browser:
        address = _serve(engine, folder, names, list(cards))
        with progress() as bar:
            row = bar.add_task("pages", total=turns)
            _ask(browser, address, engine, 0)  # warms up
            found = []
            for turn in range(turns):
                found.append(_ask(browser, address, engine, turn))
                bar.update(row, advance=1)
    settings = {"adapter": adapter, "base": vlm.name, "drafts": drafts}
    rows = [asdict(first) for first in found]
    tell(made_by() | settings | {"seconds": rows}, _as_table(found), out, as_json)


def _serve(engine: Engine, folder: Path, names: frozenset[str], models: list[str]) -> str:
    """Serve the healthcare page until the command ends, and return its address."""
    set_up_gradio(folder)
    from discreet.pages import Model, build_app, serve

    consents = ConsentStore(folder / "consent")
    journal = Journal(folder / "journal", names=names)
    app = build_app(
        "healthcare",
        open_visit=lambda spoken: Visit(
            engine, consents=consents, journal=journal, language=spoken
        ),
        erase=partial(erase_visit, consents=consents, journal=journal),
        models=tuple(Model(name=name) for name in models),
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {"host": "127.0.0.1", "port": port, "ready": lambda: None}
    threading.Thread(target=serve, args=(app,), kwargs=where, daemon=True).start()
    while not _answers(port):
        time.sleep(0.1)
    return f"http://127.0.0.1:{port}"


def _answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _browser() -> Iterator[Any]:
    """Yield a browser without a window."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise ExtraMissing(
            "Expected Playwright, found none. Install it: pip install playwright."
        ) from error
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


def _ask(browser: Any, address: str, engine: TimedEngine, turn: int) -> FirstWord:
    """Ask one of the questions that the page suggests, as somebody new."""
    page = browser.new_page()
    page.add_init_script(_WATCH)
    page.goto(f"{address}/en/")
    suggestions = page.locator('[data-act="suggest"]')
    suggestions.first.wait_for()
    asked = time.time()
    suggestions.nth(turn % suggestions.count()).click()
    page.wait_for_function("window.shown !== null", timeout=300_000)
    shown = float(page.evaluate("window.shown"))
    page.locator('[data-act="retry"]').wait_for(timeout=300_000)
    page.close()
    return FirstWord(token=engine.token - asked, piece=engine.piece - asked, page=shown - asked)


def _as_table(found: Sequence[FirstWord]) -> str:
    """Return medians and worst cases, in words."""
    after = {
        "page after the engine's first piece": [one.page - one.piece for one in found],
        "page after the responder's first token": [one.page - one.token for one in found],
        "responder's first token after the question": [one.token for one in found],
    }
    return "\n".join(
        f"{what}: median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s"
        for what, seconds in after.items()
    )
