"""A turn that is written down: before its last words are shown, and before it is kept.

>>> said = []
>>> held = LastHeld(said.append)
>>> for piece in ("Rest.", " Drink", "."):
...     held.show(piece)
>>> list(said), held.release(), said
(['Rest. '], None, ['Rest. ', 'Drink.'])
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from discreet.assistant import Exchange, Keep, Reply
from discreet.errors import DiscreetError, Stopped
from discreet.journal import Kind
from discreet.service.engine import Show
from discreet.service.events import not_logged
from discreet.service.passes import STOPPED

Answers = Callable[[Show, Keep], Exchange]
"""Answers one question: shows what it says, and lets it be heard before it is kept."""
_BETWEEN = re.compile(r"(?<=[.!?])\s+(?=\S)")
"""What is between two sentences."""


class LastHeld:
    """Shows an answer but for its last sentence, which waits to be released."""

    def __init__(self, show: Show) -> None:
        """Begin; nothing is held."""
        self._show, self._held = show, ""

    def show(self, piece: str) -> None:
        """Hold a piece, and show the sentences before the last one."""
        self._held += piece
        *_, begun = (0, *(found.end() for found in _BETWEEN.finditer(self._held)))
        if begun:
            self._show(self._held[:begun])
            self._held = self._held[begun:]

    def release(self) -> None:
        """Show what is held."""
        held, self._held = self._held, ""
        if held:
            self._show(held)


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenTurn:
    """One turn, for the line; what it raises is written down, too."""

    answer: Answers
    prepare: Callable[[], None]
    """Refuses what cannot be answered; not asked in danger to life."""
    log: Callable[[Kind, Reply | None], bool]
    """Writes down how it ended; returns whether it could."""
    urgent: bool
    ending: Event
    """Set by whoever ends it."""

    def __call__(self, show: Show) -> Exchange:
        """Answer, and write down how it ended.

        Raises:
            NotLogged: for an answer that cannot be written down; its last sentence is not shown.
        """
        held = LastHeld(show)
        try:
            if not self.urgent:
                self.prepare()
            shown = show if self.urgent else held.show
            done = self.answer(shown, self._write_down)
        except (DiscreetError, ValueError) as error:
            self.log(Kind.STOPPED if isinstance(error, Stopped) else Kind.REFUSED, None)
            raise
        held.release()
        return done

    def _write_down(self, done: Exchange) -> None:
        if self.ending.is_set():
            raise Stopped(STOPPED)
        is_logged = self.log(Kind.EMERGENCY if self.urgent else Kind.ANSWERED, done.reply)
        if not is_logged and not self.urgent:
            raise not_logged()
