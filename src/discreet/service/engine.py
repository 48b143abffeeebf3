"""Many visitors, one model: turns begin in the order in which they came.

Some turns are answered at once, each in a thread; the others wait in a line with a visible place.
While a turn waits for the model, another one may look at a picture or search the notes. All passes
of the model go through one worker, together (`passes`). What a turn is, the engine does not know:
a visitor's is `visit`'s.

>>> from discreet.assistant import Note, Notes, load_policy
>>> from discreet.model import load
>>> note = Note(id="n", question="Why rest?", text="Rest helps.", context="healthcare")
>>> assistant = Assistant(
...     vlm=load("tiny"), policy=load_policy("healthcare"), notes=Notes.build([note])
... )
>>> with Engine(assistant) as engine:
...     ticket = engine.submit(lambda show: show("Rest helps.") or 1)
...     list(ticket.pieces()), ticket.result()
(['Rest helps.'], 1)
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from itertools import count
from threading import Condition, Lock, Thread, local
from types import MappingProxyType
from typing import Any, Generic, Self, TypeVar

from discreet.assistant import Assistant
from discreet.errors import LineFull, Stopped
from discreet.model import BASE_ADAPTER, Answer, Request, Vlm
from discreet.service.passes import STOPPED, Passes
from discreet.types import Language

T = TypeVar("T")
Show = Callable[[str], None]
"""Receives an answer piece by piece."""


class Ticket(Generic[T]):
    """One turn of one visitor, from its place in the line to its answer; for one holder alone."""

    def __init__(self, work: Callable[[Show], T], engine: "Engine") -> None:
        """Wrap a turn; `Engine.submit` makes tickets."""
        self.number = engine.next_number()
        """Counts the turns in the order in which they came."""
        self._work: Callable[[Show], T] | None = work
        self._engine = engine
        self._future: Future[T] = Future()
        self._news = Condition()
        self._pieces: list[str] = []
        self._told: Callable[[], None] = lambda: None
        self.is_stopped = False
        """Whether somebody asked it to end."""
        self.is_urgent = False
        self.key: str | None = None
        """Who asked, where one asks for many."""

    @property
    def place(self) -> int:
        """Its place in the line: 1 is next; 0 once it is being answered or has ended."""
        return self._engine.place_of(self)

    @property
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._future.done()

    @property
    def shown(self) -> tuple[str, ...]:
        """What was shown so far, in pieces."""
        return tuple(self._pieces)

    def pieces(self) -> Iterator[str]:
        """Yield the answer while it is shown, and end with it, however it ends."""
        told = 0
        while new := self._after(told):
            told += len(new)
            yield from new

    def watch(self, told: Callable[[], None]) -> None:
        """Call a function now and, from another thread, at each piece, new place and the end."""
        self._told = told
        told()

    def cancel(self) -> None:
        """End it: at once where it waits, at its next word where it is written.

        What is urgent goes on.
        """
        if self.is_urgent:
            return
        self.is_stopped = True
        if self._future.cancel():
            self._work = None
            self._engine.leave(self)
            self.tell()

    def result(self, timeout_seconds: float | None = None) -> T:
        """Return what the turn returned, once it has ended.

        Raises:
            Stopped: if it was stopped before its end.
            TimeoutError: if it takes longer than it may.
            Exception: whatever the turn raised.
        """
        try:
            return self._future.result(timeout_seconds)
        except CancelledError as error:
            raise Stopped(STOPPED) from error

    def run(self) -> None:
        """Do the turn, in the thread of the caller."""
        work, self._work = self._work, None  # a picture in it is not kept
        if work is None or not self._future.set_running_or_notify_cancel():
            return
        try:
            self._future.set_result(work(self._show))
        except Exception as error:  # whoever asks for the result raises it
            self._future.set_exception(error)
        self.tell()

    def tell(self) -> None:
        """Say to whoever waits or watches that something is new."""
        with self._news:
            self._news.notify_all()
        self._told()

    def _after(self, told: int) -> list[str]:
        """Wait for pieces after the first ones, and return them; none once all were told."""
        with self._news:
            self._news.wait_for(lambda: len(self._pieces) > told or self.done)
            return self._pieces[told:]

    def _show(self, piece: str) -> None:
        self._pieces.append(piece)
        self.tell()


class Engine:
    """The line, the threads that answer it, and the worker that runs the model for them all.

    Guarantee: a turn hears nothing but what was written for it, and a ticket is the only way to it.
    """

    def __init__(
        self, assistant: Assistant, *others: Assistant, at_once: int = 8, most_waiting: int = 64
    ) -> None:
        """Start the threads.

        Args:
            assistant: Who answers.
            others: The same responder with notes in another language.
            at_once: Turns that are answered together, and rows of a pass.
            most_waiting: Turns that may wait beside them.

        Raises:
            ValueError: if the assistants have different responders, or two have one language.
        """
        given = {one.notes.language: one for one in (assistant, *others)}
        if len(given) <= len(others) or any(one.vlm is not assistant.vlm for one in others):
            raise ValueError(
                "Expected assistants of one responder, each in a language of its own, got others. "
                "Make the second one with replace(assistant, notes=...)."
            )
        if at_once < 1 or most_waiting < 0:
            raise ValueError(
                f"Expected at_once >= 1 and most_waiting >= 0, got {at_once} and {most_waiting}."
            )
        self.assistants: Mapping[Language, Assistant] = MappingProxyType(
            {language: replace(one, write=self._write) for language, one in given.items()}
        )
        """By language; what they write goes through the worker."""
        self._most_waiting = most_waiting
        self._passes = Passes(assistant.vlm, most_rows=at_once)
        self._line: deque[Ticket[Any]] = deque()
        self._news = Condition()
        self._free = at_once
        self._closed = False
        self._numbers = count(1)
        self._baton = Lock()
        self._mine = local()
        self._threads = [
            Thread(target=self._answer, name=f"turn-{n}", daemon=True) for n in range(at_once)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        """Return the engine."""
        return self

    def __exit__(self, *raised: object) -> None:
        """End all that it does."""
        self.close()

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names that a turn may be answered under; the first is for the base alone."""
        (assistant, *_) = self.assistants.values()
        return (BASE_ADAPTER, *getattr(assistant.vlm.model, "peft_config", {}))

    def assistant(self, language: Language, *, adapter: str | None = None) -> Assistant:
        """Return who answers in a language, by one of `adapters` or as the responder is.

        Raises:
            ValueError: if there is nobody in this language, or no such adapter.
        """
        if language not in self.assistants:
            raise ValueError(
                f"Expected a language among {', '.join(self.assistants)}, got another. Build the "
                "engine with notes in it."
            )
        if adapter not in (None, *self.adapters):
            raise ValueError(
                f"Expected an adapter among {', '.join(self.adapters)}, got another name."
            )
        known = adapter if len(self.adapters) > 1 else None  # a base without any has no names
        return replace(self.assistants[language], adapter=known)

    def submit(
        self, work: Callable[[Show], T], *, urgent: bool = False, key: str | None = None
    ) -> Ticket[T]:
        """Return the ticket of a turn, which begins when its place in the line is 0.

        Args:
            work: The turn: shows its answer piece by piece and returns it. It runs in another
                thread and should write with an assistant of `assistants`.
            urgent: Begin at once, whoever waits; for what needs no model.
            key: Who asks, where one asks for many: turns of one may take half of the line.

        Raises:
            LineFull: if too many wait already, of all or of this key.
        """
        ticket = Ticket(work, self)
        ticket.key, ticket.is_urgent = key, urgent
        if urgent:
            Thread(target=ticket.run, name="urgent", daemon=True).start()
            return ticket
        with self._news:
            mine = sum(key is not None and one.key == key for one in self._line)
            waiting = len(self._line) - self._free
            is_greedy = mine - self._free >= (self._most_waiting + 1) // 2
            if self._closed or waiting >= self._most_waiting or (mine and is_greedy):
                raise LineFull(
                    f"Expected a free place in the line, got {max(0, waiting)} who wait already. "
                    "Ask again in a minute."
                )
            self._line.append(ticket)
            self._news.notify()
        return ticket

    def next_number(self) -> int:
        """Return the number of the next turn, from 1."""
        return next(self._numbers)

    def place_of(self, ticket: Ticket[Any]) -> int:
        """Return a ticket's place in the line, from 1; 0 if it begins now, or has begun."""
        with self._news:
            place = self._line.index(ticket) + 1 if ticket in self._line else 0
            return max(0, place - self._free)

    def leave(self, ticket: Ticket[Any]) -> None:
        """Take a ticket out of the line; those behind it move up."""
        with self._news:
            if ticket in self._line:
                self._line.remove(ticket)
        self._tell_line()

    def close(self, *, timeout_seconds: float = 2.0) -> None:
        """Stop every turn, and end the threads."""
        with self._news:
            self._closed = True
            self._news.notify_all()
            left = list(self._line)
        for ticket in left:
            ticket.cancel()
        self._passes.close(timeout_seconds=timeout_seconds)
        for thread in self._threads:
            thread.join(timeout_seconds / len(self._threads))

    def _answer(self) -> None:
        """Do turns, one after the other, until all is closed."""
        while self._answer_next():
            pass

    def _answer_next(self) -> bool:
        """Do the next turn, and let go of it; return whether there may be more."""
        with self._news:
            self._news.wait_for(lambda: self._line or self._closed)
            if self._closed:
                return False
            self._free -= 1
            self._mine.ticket = ticket = self._line.popleft()
        self._tell_line()
        with self._baton:
            ticket.run()
        self._mine.ticket = None
        with self._news:
            self._free += 1
        return True

    def _tell_line(self) -> None:
        with self._news:
            waiting = list(self._line)
        for ticket in waiting:
            ticket.tell()

    def _write(self, vlm: Vlm, requests: Sequence[Request]) -> list[Answer]:
        """Let the worker write for the turn of this thread; others may go on meanwhile."""
        ticket: Ticket[Any] | None = getattr(self._mine, "ticket", None)
        if ticket is None:
            return self._passes.write(requests)
        self._baton.release()
        try:
            return self._passes.write(
                requests, turn=ticket.number, stopped=lambda: ticket.is_stopped
            )
        finally:
            self._baton.acquire()
