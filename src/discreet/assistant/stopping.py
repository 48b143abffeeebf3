"""Writing that ends when somebody says so, whoever does the writing.

A pass of the model may hold rows of other people: a row ends by `Enough`, which leaves the others
alone, and only who asked for it hears of it by `Stopped`.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from discreet.errors import Stopped
from discreet.model import Answer, Enough, Request, Vlm

Show = Callable[[str], None]
"""Receives an answer, piece by piece."""
Write = Callable[[Vlm, Sequence[Request]], list[Answer]]
"""Lets a responder write, as `answer_all` does."""
STOPPED = "The turn was stopped before its end. Nothing of it was kept; ask again."


class Stops:
    """The turns that go on and may be stopped."""

    def __init__(self) -> None:
        self._events: set[threading.Event] = set()

    @contextmanager
    def hearing(self, *, unless: bool = False) -> Iterator[threading.Event]:
        """Yield what `stop` sets, from the beginning of a turn to its end; not where `unless`."""
        event = threading.Event()
        if not unless:
            self._events.add(event)
        try:
            yield event
        finally:
            self._events.discard(event)

    def stop(self) -> None:
        """Stop all of them."""
        for event in tuple(self._events):
            event.set()


def go_on(event: threading.Event) -> None:
    """Raise `Stopped` once an event is set."""
    if event.is_set():
        raise Stopped(STOPPED)


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
        go_on(event)
        answers = write(vlm, [replace(row, on_text=heard_by(row.on_text)) for row in requests])
        go_on(event)
        return answers

    return writing
