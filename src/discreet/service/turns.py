"""A turn that is written down as it ends, before it is kept."""

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
            NotLogged: for an answer that cannot be written down; where that shows at its end alone
                it has been shown, and is not kept.
        """
        try:
            if not self.urgent:
                self.prepare()
            return self.answer(show, self._write_down)
        except (DiscreetError, ValueError) as error:
            self.log(Kind.STOPPED if isinstance(error, Stopped) else Kind.REFUSED, None)
            raise

    def _write_down(self, done: Exchange) -> None:
        if self.ending.is_set() and not self.urgent:
            raise Stopped(STOPPED)
        is_logged = self.log(Kind.EMERGENCY if self.urgent else Kind.ANSWERED, done.reply)
        if not is_logged and not self.urgent:
            raise not_logged()
