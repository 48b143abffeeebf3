"""Who is on the pages of a demo: a visit for each open page, in memory."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock, Thread

from discreet.assistant import Exchange
from discreet.service import Ticket, Visit

MOST_GUESTS = 1_000
"""Pages that are open at once; the oldest visit ends for one more."""
MOST_ENDED = 10_000
"""Closed pages that are known as such."""
MOST_LEFT = 1_000
"""Ended visits that wait to be erased; for one more the first that came is not tried again."""


@dataclass(kw_only=True, slots=True, eq=False)
class Guest:
    """A visit and what its page shows of it."""

    visit: Visit
    model: str
    ticket: Ticket[Exchange] | None = None
    editing: int | None = None
    """Which question is being changed."""
    is_large: bool = False
    """Whether large text was chosen."""


class Guests:
    """Guests by the session that Gradio gives a page.

    Guarantee: nobody waits for the erasure of somebody else, and none that fails is given up at
    once: it is tried again whenever a page is opened or closed.
    """

    def __init__(self, open_visit: Callable[[], Visit], model: str) -> None:
        """Begin with nobody.

        Args:
            open_visit: Returns a visit of somebody new.
            model: Which answers until somebody switches.
        """
        self._open_visit, self._model = open_visit, model
        self._here: dict[str, Guest] = {}
        self._ended: dict[str, None] = {}
        self._left: deque[Visit] = deque(maxlen=MOST_LEFT)
        self._is_erasing = False
        self._door = Lock()

    def __contains__(self, guest: object) -> bool:
        """Return whether a visit goes on."""
        return any(one is guest for one in tuple(self._here.values()))

    def of(self, session: str) -> Guest:
        """Return who acts; somebody new is shown, on this page, that they talk with an AI.

        Somebody quick asks while their page still loads, in another thread: one visit for both.
        """
        with self._door:
            if session in self._here:
                return self._here[session]
            if len(self._here) >= MOST_GUESTS:
                self._left.extend(self._see_off(next(iter(self._here))))
            guest = Guest(visit=self._open_visit(), model=self._model)
            guest.visit.disclosed()
            self._here[session] = guest
        self._erase_left()
        return guest

    def end(self, session: str) -> None:
        """Forget who was on a page, now or, where that fails, later."""
        self._erase_left()
        with self._door:
            gone = self._see_off(session)
        failed = [visit for visit in gone if not _is_forgotten(visit)]
        with self._door:
            self._left.extend(failed)

    def begins_anew(self, session: str) -> bool:
        """Return, once, whether the visit of a page ended while the page goes on."""
        with self._door:
            return self._ended.pop(session, self) is None

    def let_go(self, session: str) -> None:
        """Let go of somebody who was forgotten; who acts next on their page is somebody new."""
        self._here.pop(session, None)

    def _see_off(self, session: str) -> list[Visit]:
        """End the visit of a page, if there is one, and return it; the door is held."""
        guest = self._here.pop(session, None)
        if guest is None:
            return []
        self._ended[session] = None
        while len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        return [guest.visit]

    def _erase_left(self) -> None:
        """Erase those who are left in a thread of its own, of which there is one."""
        with self._door:
            if self._is_erasing or not self._left:
                return
            self._is_erasing = True
        Thread(target=self._erase_each, name="erasing", daemon=True).start()

    def _erase_each(self) -> None:
        """Try each once; what fails waits until a page is opened or closed."""
        failed: list[Visit] = []
        while (visit := self._next_left(failed)) is not None:
            if not _is_forgotten(visit):
                failed.append(visit)

    def _next_left(self, failed: list[Visit]) -> Visit | None:
        """Return who is to be erased next; after the last, keep what failed."""
        with self._door:
            if self._left:
                return self._left.popleft()
            self._left.extend(failed)
            self._is_erasing = False
            return None


def _is_forgotten(visit: Visit) -> bool:
    """Forget a visit and return whether that worked; an error says no more than that it did not."""
    try:
        visit.forget()
    except Exception:  # a store that is locked, full or closed: whatever it was, it is tried again
        return False
    return True
