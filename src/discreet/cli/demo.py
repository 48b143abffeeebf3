"""`discreet demo`: the healthcare or the tutoring page, on this machine.

What visitors write and show is in memory only. Consent and journal of the visits are in a private
folder that is gone when the command ends.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from socket import gethostname
from types import FrameType
from typing import Annotated

import typer

from discreet.assistant import CONTEXT_OF, Find, load_policy
from discreet.cli.country import Country
from discreet.cli.listening import EVERYWHERE, LOOPBACK, Host, warn_of_network
from discreet.cli.options import RUNS, Cache, Drafts, Runs, talk
from discreet.cli.private_folder import private_folder
from discreet.cli.serve import assistants, load_shelf
from discreet.consent import ConsentStore
from discreet.data import load_portraits
from discreet.erasure import erase_visit
from discreet.journal import Journal
from discreet.perception import estimator
from discreet.registry import FEDERATED, REFERENCE
from discreet.service import Engine, Visit, names_of, require_told
from discreet.types import Domain, Language

PEOPLE = (210, 98, 97, 253)
"""Rows of the test split: a child, a young, a middle-aged and an older adult, all smiling."""
SETTINGS = {
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_ANALYTICS_MAX_EVENTS": "1",
    "GRADIO_MCP_SERVER": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_SHARE": "False",
    "GRADIO_SSR_MODE": "False",
}
"""What Gradio may not do, whatever the caller's environment says. It would keep who did what and
when, and count it anew at every act."""
UNUSED = ("GRADIO_ALLOWED_PATHS", "GRADIO_ROOT_PATH")
"""What a caller's environment could open."""


def demo(
    context: Annotated[Domain, typer.Argument(help="What the page is about.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it listens.")] = 7860,
    host: Host = LOOPBACK,
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="Name by which browsers call this machine or the proxy before it; may be "
            "repeated. Its addresses, 'localhost' and its own name are known."
        ),
    ] = None,
    language: Annotated[
        Language | None,
        typer.Option(help="Where a visit begins; that of the browser by default."),
    ] = None,
    country: Country = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            help="Run id, folder, 'latest', 'reference', 'federated' (shipped without privacy) or "
            "'none' (base alone); may be repeated: visitors switch between them and the base, and "
            "begin with the last. By default 'federated' and 'reference'."
        ),
    ] = None,
    base: Annotated[str, typer.Option(help="Base model when --adapter none.")] = "small",
    find: Annotated[
        Find,
        typer.Option(help="How notes are found; words needs no sentence encoder and finds fewer."),
    ] = "meaning",
    drafts: Drafts = 1,
    runs: Runs = RUNS,
    cache: Cache = None,
) -> None:
    """Open the healthcare or the tutoring page for a browser."""
    with private_folder() as folder, _ended_by_signals():
        set_up_gradio(folder)
        from discreet.pages import Model, build_app, serve

        vlm, cards = load_shelf(adapter or [FEDERATED, REFERENCE], base, runs, cache)
        policy = load_policy(CONTEXT_OF[context])
        require_told(policy)
        eyes = estimator("small")
        english, french = assistants(
            vlm, policy, eyes, find=find, country=country, drafts=drafts, cache=cache
        )
        with Engine(english, french) as engine:
            consents = ConsentStore(folder / "consent")
            journal = Journal(folder / "journal", names=names_of([policy], cards))
            app = build_app(
                context,
                open_visit=lambda spoken: Visit(
                    engine, consents=consents, journal=journal, language=spoken
                ),
                erase=partial(erase_visit, consents=consents, journal=journal),
                models=tuple(Model(name=name, card=card) for name, card in cards.items()),
                people=_people(),
                language=language,
                country=country,
                names=[host, gethostname(), *(name or [])],
            )
            serve(app, host=host, port=port, ready=lambda: say_where(host, port))


def set_up_gradio(folder: Path) -> None:
    """Tell Gradio where it may write and what it may not do, before it is imported."""
    os.environ.update(SETTINGS, GRADIO_TEMP_DIR=str(folder), MPLCONFIGDIR=str(folder))
    for name in UNUSED:
        os.environ.pop(name, None)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a request to end, at any moment, end the command in order."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    yield


def say_where(host: str, port: int) -> None:
    """Say what to open, and who else can."""
    warn_of_network(host)
    called = gethostname() if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    talk().print(f"Open http://{called}:{port}/", markup=False)


def _people() -> tuple[bytes, ...]:
    """Return portraits of people who do not exist, one of each age band."""
    portraits = load_portraits("test")
    return tuple(portraits[row].jpeg for row in PEOPLE)
