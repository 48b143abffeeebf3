"""How a page follows an answer that is being written, and what it says where that goes wrong.

async for now in follow(ticket, question): ...
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from discreet.assistant import Exchange
from discreet.pages.views import Now
from discreet.service import Ticket

SHORTEST_PAUSE_SECONDS = 0.06
"""Between two pictures of an answer that is being written."""


async def follow(ticket: Ticket[Exchange], question: str) -> AsyncIterator[Now]:
    """Yield the place in the line and what was said so far, whenever there is more of it."""
    loop, news = asyncio.get_running_loop(), asyncio.Event()
    ticket.watch(lambda: _wake(loop, news))
    while True:
        await news.wait()
        news.clear()
        yield Now(question=question, text="".join(ticket.shown), place=ticket.place)
        if ticket.done:
            return
        await asyncio.sleep(SHORTEST_PAUSE_SECONDS)


def _wake(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    """Wake whoever waits in a loop, from another thread."""
    with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
        loop.call_soon_threadsafe(news.set)


def trouble_of(error: Exception) -> str:
    """Return which text says in words what went wrong."""
    kinds = {"LineFull": "errors.busy", "TooManyTokens": "errors.long", "Stopped": "talk.stopped"}
    kinds |= {"NotLogged": "errors.unlogged"}
    return kinds.get(type(error).__name__, "errors.failed")
