"""An answer as it is written: server-sent events, as OpenAI's clients read them.

    data: {"choices": [{"delta": {"content": "Rest "}, ...}], ...}
    data: [DONE]

While a turn waits, events say its place in the line. Who stops listening ends the turn.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any

from discreet.service.engine import Ticket

LOOK_SECONDS = 0.25
"""How often it is looked whether somebody still listens."""


async def follow(
    ticket: Ticket[Any], is_gone: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[str | int, None]:
    """Yield each new place in the line and each piece of the answer, until the turn has ended.

    The turn is stopped if the one who listens is gone, or does not listen to the end.
    """
    loop, news = asyncio.get_running_loop(), asyncio.Event()

    def told() -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it whoever listened
            loop.call_soon_threadsafe(news.set)

    async def look() -> None:
        while not await is_gone():
            await asyncio.sleep(LOOK_SECONDS)
        ticket.cancel()

    ticket.watch(told)
    watching = asyncio.create_task(look())
    place, heard, is_last = 0, 0, False
    try:
        while not is_last:
            await news.wait()
            news.clear()
            is_last = ticket.done  # asked before the pieces are: none is left after it
            if ticket.place not in (0, place):
                place = ticket.place
                yield place
            for piece in ticket.shown[heard:]:
                heard += 1
                yield piece
    finally:
        watching.cancel()
        ticket.cancel()
