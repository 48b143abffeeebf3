"""What happens when somebody does something on a page: the visit decides, the page shows.

A visitor has one `Guest`, in memory, found by the session that Gradio gives a page; it is closed
when the page is.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from discreet.assistant import Exchange, Part, is_emergency
from discreet.consent import Standing
from discreet.erasure import Receipt
from discreet.errors import DiscreetError
from discreet.pages.guests import Guest, Guests
from discreet.pages.models import Model
from discreet.pages.parts import UNSAID, Parts
from discreet.pages.pictures import picture_for
from discreet.pages.turns import follow, trouble_of
from discreet.pages.views import YOUTH, View
from discreet.service import Ticket, Visit

Shown = dict[Any, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Acts:
    """What may happen on one page."""

    view: View
    parts: Parts
    models: tuple[Model, ...]
    erase: Callable[[Visit], Receipt]
    guests: Guests

    def enter(self, request: gr.Request) -> Shown:
        """Open a visit for a page that was loaded; somebody quick may have asked already."""
        return self._allowed(self._guest(request))

    def leave(self, request: gr.Request) -> None:
        """Forget whoever closed the page."""
        self.guests.end(str(request.session_hash))

    def anew(self, request: gr.Request) -> Shown | None:
        """Return a fresh page where the visit of this one has ended, and None where it goes on."""
        if not self.guests.begins_anew(str(request.session_hash)):
            return None
        told = {self.parts.status: self.view.status("talk.ended")}
        return self._everything(self._guest(request)) | told

    async def ask(self, question: str, picture: str, request: gr.Request) -> AsyncIterator[Shown]:
        """Ask, or ask again where an earlier question is being changed."""
        guest = self._guest(request)
        if not question.strip():
            yield {self.parts.status: self.view.status("talk.empty")}
            return
        editing, guest.editing = guest.editing, None
        image = None
        if picture and not is_emergency(question):  # which waits for no thread
            image = await asyncio.to_thread(picture_for, guest.visit, question, picture)
        if editing is None:
            begin = lambda: guest.visit.ask(question, image, adapter=guest.model)  # noqa: E731
        else:
            begin = lambda: guest.visit.edit(editing, question, image, adapter=guest.model)  # noqa: E731
        async for shown in self._answer(guest, question, begin, editing, editing):
            yield shown

    async def suggest(
        self, picture: str, request: gr.Request, event: gr.EventData
    ) -> AsyncIterator[Shown]:
        """Ask a question that the page suggested."""
        async for shown in self.ask(event.value, picture, request):
            yield shown

    async def retry(self, request: gr.Request) -> AsyncIterator[Shown]:
        """Ask the last question again."""
        guest = self._guest(request)
        last = len(guest.visit.exchanges) - 1
        if last < 0:
            return
        question, guest.editing = guest.visit.exchanges[last].question, None
        begin = partial(guest.visit.retry, adapter=guest.model)
        async for shown in self._answer(guest, question, begin, last):
            yield shown

    async def _answer(
        self,
        guest: Guest,
        question: str,
        begin: Callable[[], Ticket[Exchange]],
        before: int | None,
        editing: int | None = None,
    ) -> AsyncIterator[Shown]:
        """Show the line, then the answer while it is written, then all that follows from it.

        Whoever closed the page or was forgotten meanwhile is shown no word of it.
        """
        parts, view = self.parts, self.view
        before = len(guest.visit.exchanges) if before is None else before
        again: Shown = {}
        try:
            ticket = begin() if is_emergency(question) else await asyncio.to_thread(begin)
            guest.ticket = ticket
            yield self._busy() | {parts.question: ""}
            async for now in follow(ticket, question):
                key = "talk.waiting" if now.place else "talk.writing"
                if guest in self.guests:
                    yield {
                        parts.talk: view.talk(guest.visit, now, before),
                        parts.status: view.status(key, place=now.place)
                        if now.place or not now.text
                        else gr.skip(),
                    }
            exchange = ticket.result()
            said = view.said(exchange.reply.text)
        except (DiscreetError, ValueError, RuntimeError, OSError) as error:
            said = view.status(trouble_of(error))
            guest.editing, again = editing, {parts.question: question}
        guest.ticket = None
        if guest in self.guests:
            yield self._idle(guest) | self._told(guest) | {parts.status: said} | again
        else:  # what was shown last is sent once more at the end
            yield {parts.talk: view.talk(None)}

    def stop(self, request: gr.Request) -> Shown:
        """End the answer that is being written, or the wait for it."""
        guest = self._guest(request)
        guest.visit.stop()
        return {self.parts.status: self.view.status("talk.stopped")}

    def edit(self, request: gr.Request, event: gr.EventData) -> Shown:
        """Put an earlier question back to where it was written."""
        guest = self._guest(request)
        guest.editing = int(event.index)
        return {
            self.parts.question: guest.visit.exchanges[guest.editing].question,
            self.parts.cancel: gr.update(visible=True),
            self.parts.status: self.view.status("talk.editing"),
        }

    def cancel(self, request: gr.Request) -> Shown:
        """Leave an earlier question as it was."""
        self._guest(request).editing = None
        return {
            self.parts.question: "",
            self.parts.cancel: gr.update(visible=False),
            self.parts.status: self.view.status("talk.not_editing"),
        }

    def clear(self, request: gr.Request) -> Shown:
        """Begin a new conversation."""
        guest = self._guest(request)
        guest.visit.clear()
        guest.editing = None
        told = self._idle(guest) | self._told(guest)
        return told | {self.parts.status: self.view.status("talk.cleared")}

    def declare(self, name: str, value: str | None, request: gr.Request) -> Shown:
        """Take what somebody says of themselves."""
        guest = self._guest(request)
        guest.visit.declare(name, value)
        return self._allowed(guest) | {self.parts.status: self.view.status("about.saved")}

    def declare_age(self, band: str, request: gr.Request) -> Shown:
        """Take an age band or a standing, and turn large text on for older adults.

        Who takes an age back stays as protected as before.
        """
        guest = self._guest(request)
        if band != UNSAID:
            young: dict[str, Standing] = {"child": "child", YOUTH: "youth"}
            guest.visit.tell_age(young.get(band, "adult"))
        shown = self.declare("age_band", None if band in (UNSAID, YOUTH) else band, request)
        guest.is_large |= band == "older_adult"
        return shown | ({self.parts.large: True} if band == "older_adult" else {})

    def declare_reading(self, value: str, request: gr.Request) -> Shown:
        """Take how somebody likes to read."""
        return self.declare("reading", None if value == "standard" else value, request)

    def declare_size(self, large: bool, request: gr.Request) -> Shown:
        """Take whether somebody wants large text."""
        self._guest(request).is_large = large
        return self.declare("text_size", "large" if large else None, request)

    def enlarge(self, request: gr.Request) -> Shown:
        """Take the offer of large text."""
        shown = self.declare_size(True, request)
        return shown | self._told(self._guest(request)) | {self.parts.large: True}

    def give(self, names: list[str], request: gr.Request) -> Shown:
        """Write down what somebody allows; an empty list allows nothing."""
        guest = self._guest(request)
        asked = guest.visit.notice.names if guest.visit.notice else ()
        given = frozenset(names) & frozenset(asked)
        if not given:
            return {self.parts.status: self.view.status("camera.nothing_ticked")}
        guest.visit.give(given)
        self._pursue(guest)
        return self._allowed(guest) | {self.parts.status: self.view.status("camera.given")}

    def refuse(self, request: gr.Request) -> Shown:
        """Write down that somebody does not want it."""
        guest = self._guest(request)
        if guest.visit.notice is not None:
            guest.visit.refuse(guest.visit.notice.names)
        return {self.parts.ticks: [], self.parts.status: self.view.status("camera.refused")}

    def withdraw(self, request: gr.Request) -> Shown:
        """Take back everything that was allowed."""
        guest = self._guest(request)
        guest.visit.withdraw(guest.visit.consented)
        self._pursue(guest)
        return self._allowed(guest) | {self.parts.status: self.view.status("camera.withdrawn")}

    def why(self, request: gr.Request, event: gr.EventData) -> Shown:
        """Open what an answer was fitted to."""
        exchange = self._guest(request).visit.exchanges[int(event.index)]
        return {
            self.parts.why: self.view.why(exchange),
            self.parts.why_section: gr.update(open=True),
        }

    def correct(self, request: gr.Request, event: gr.EventData) -> Shown:
        """Put something right that was known wrongly."""
        guest = self._guest(request)
        if event.attribute == "age_band":
            guest.visit.tell_age("child" if event.value == "child" else "adult")
        guest.visit.correct(event.attribute, event.value)
        shown = self._allowed(guest) | {self.parts.status: self.view.status("why.corrected")}
        return shown | {self.parts.age_band: event.value}

    def reject(self, request: gr.Request, event: gr.EventData) -> Shown:
        """Forget something that was known wrongly."""
        guest = self._guest(request)
        guest.visit.reject(event.attribute)
        shown = self._allowed(guest) | {self.parts.status: self.view.status("why.rejected")}
        return shown | ({self.parts.age_band: UNSAID} if event.attribute == "age_band" else {})

    def personalise(self, on: bool, request: gr.Request) -> Shown:
        """Fit answers to the person, or write them for anybody."""
        self._guest(request).visit.personalise(on)
        return {self.parts.status: self.view.status("why.on" if on else "why.off")}

    def switch(self, name: str, request: gr.Request) -> Shown:
        """Let another model answer."""
        guest = self._guest(request)
        guest.model = name
        return {
            self.parts.model_says: self._says(name),
            self.parts.status: self.view.status("privacy.switched"),
        }

    def export(self, request: gr.Request) -> Shown:
        """Show all that there is about somebody."""
        return {self.parts.receipt: self.view.export(self._guest(request).visit.export())}

    def forget(self, request: gr.Request) -> Shown:
        """Forget somebody, show what was erased, and begin anew once all of it is."""
        guest = self._guest(request)
        receipt = self.erase(guest.visit)
        shown = {self.parts.receipt: self.view.receipt(receipt)}
        if not receipt.is_complete:  # the same button goes on with the rest
            return self._told(guest) | self._allowed(guest) | shown
        self.guests.let_go(str(request.session_hash))
        return self._everything(self._guest(request)) | shown

    def hand_over(self, tell: list[Part], request: gr.Request) -> Shown:
        """Show whom to go to, with what somebody wants to tell and nothing else."""
        card = self._guest(request).visit.hand_over(tell)
        return {self.parts.person_says: self.view.card(card)}

    def _guest(self, request: gr.Request) -> Guest:
        return self.guests.of(str(request.session_hash))

    def _says(self, name: str) -> str:
        """Return what a model promises."""
        model = next(known for known in self.models if known.name == name)
        return self.view.model(*model.says(self.view.texts))

    def _pursue(self, guest: Guest) -> None:
        """Go on for the purpose that somebody agreed to, if it is another than the default."""
        default = guest.visit.policy.default_purpose
        agreed = {name.partition("/")[0] for name in guest.visit.consented} - {default}
        others = [purpose for purpose in guest.visit.policy.purposes if purpose in agreed]
        guest.visit.pursue(others[0] if others else None)

    def _busy(self) -> Shown:
        parts = self.parts
        hidden = gr.update(visible=False)
        return {parts.ask: hidden, parts.cancel: hidden, parts.stop: gr.update(visible=True)}

    def _idle(self, guest: Guest) -> Shown:
        return {
            self.parts.ask: gr.update(visible=True),
            self.parts.stop: gr.update(visible=False),
            self.parts.cancel: gr.update(visible=guest.editing is not None),
        }

    def _told(self, guest: Guest) -> Shown:
        """Show the conversation and the newest answer's reasons."""
        last: Exchange | None = guest.visit.exchanges[-1] if guest.visit.exchanges else None
        talk = self.view.talk(guest.visit, offers=not guest.is_large)
        return {self.parts.talk: talk, self.parts.why: self.view.why(last)}

    def _allowed(self, guest: Guest) -> Shown:
        """Show what may be asked for, what was allowed and what that opens."""
        parts, visit = self.parts, guest.visit
        allowed, may_look = bool(visit.consented), visit.protection.estimates
        asked = visit.notice.items if visit.notice else ()
        return {
            parts.disclosure: self.view.disclosure(visit),
            parts.asking: gr.update(visible=bool(asked) and not allowed),
            parts.ticks: gr.update(choices=[(item.title, item.name) for item in asked], value=[]),
            parts.looking: gr.update(visible=allowed and may_look),
            parts.withdraw: gr.update(visible=allowed),
            parts.stored: self.view.stored(visit),
            parts.child_note: gr.update(visible=not may_look, value=self.view.young(visit)),
        }

    def _everything(self, guest: Guest) -> Shown:
        parts = self.parts
        return {
            **self._idle(guest),
            **self._told(guest),
            **self._allowed(guest),
            parts.status: "",
            parts.question: "",
            parts.age_band: UNSAID,
            parts.reading: "standard",
            parts.personalise: True,
            parts.model: guest.model,
            parts.model_says: self._says(guest.model),
            parts.large: False,
            parts.receipt: "",
            parts.tell: [],
            parts.person_says: "",
        }
