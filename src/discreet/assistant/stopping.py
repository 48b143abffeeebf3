"""Writing that ends when somebody says so, whoever does the writing.

A pass of the model may hold rows of other people: a row ends by `Enough`, which leaves the others
alone, and only who asked for it hears of it by `Stopped`.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from discreet.errors import Stopped
from discreet.model import Answer, Enough, Request, Vlm

Show = Callable[[str], None]
"""Receives an answer, piece by piece."""
Write = Callable[[Vlm, Sequence[Request]], list[Answer]]
"""Lets a responder write, as `answer_all` does."""
STOPPED = "The turn was stopped before its end. Nothing of it was kept; ask again."


def until(event: threading.Event, write: Write) -> Write:
    """Return a way of writing that ends at the next word once an event is set."""

    def heard_by(on_text: Show | None) -> Show:
        def take(piece: str) -> None:
            if event.is_set():
                raise Enough
            if on_text is not None:
                on_text(piece)

        return take

    def writing(vlm: Vlm, requests: Sequence[Request]) -> list[Answer]:
        if event.is_set():
            raise Stopped(STOPPED)
        answers = write(vlm, [replace(row, on_text=heard_by(row.on_text)) for row in requests])
        if event.is_set():
            raise Stopped(STOPPED)
        return answers

    return writing
