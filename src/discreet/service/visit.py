"""One person's visit: a conversation, what they agreed to, what is written down of it, their turn.

Pages and the HTTP interface do everything through a visit, so that what consent and the journal ask
for is done in one place. A visit lives in memory; who it is, is a random number that ends with it.
Words and pictures go to the assistant and nowhere else.

    visit = Visit(engine, consents=consents, journal=journal, language="en")
    visit.declare("age_band", "older_adult")
    ticket = visit.ask("Why do I sleep badly after coffee?")
    for piece in ticket.pieces(): ...
    ticket.result().why
"""

import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Any

from PIL.Image import Image

from discreet.assistant import Card, Conversation, Exchange, Part, Policy, Reply, is_emergency
from discreet.consent import ConsentStore, Method, Notice, Protection, Standing, notice_for
from discreet.errors import DiscreetError
from discreet.journal import Journal, Kind
from discreet.service import minors
from discreet.service.engine import Engine, Ticket
from discreet.service.events import Pen, new_person, require_log
from discreet.service.turns import Answers, WrittenTurn
from discreet.types import Language, Mode

STOP_SECONDS = 10.0
"""How long a new question waits for the one before to end."""


class Visit:
    """What one person does, one thing at a time."""

    def __init__(
        self,
        engine: Engine,
        *,
        consents: ConsentStore,
        journal: Journal,
        language: Language = "en",
        purpose: str | None = None,
        person: str | None = None,
        method: Method = "button",
        key: str | None = None,
    ) -> None:
        """Begin a visit; nothing of the person is known.

        Args:
            engine: Who answers, in `language`.
            consents: Where what they agree to is kept.
            journal: Where what happened is kept, opened with `names_of` its policies.
            language: Of notes and texts.
            purpose: What for; None for the policy's default.
            person: Their random id, if consent was given under it before; None draws one. One for
                which a guardian answered is a child's.
            method: How consent is given here, as its record says it.
            key: Who asks for them, if somebody does; see `Engine.submit`.

        Raises:
            PolicyError: if the policy has no such purpose.
            ValueError: if the engine has no assistant in this language.
        """
        self.person = person or new_person()
        self.language = language
        self.standing: Standing = "adult"
        """How old they are, if they were asked; a declared age can only protect them more."""
        self.policy: Policy = engine.assistant(language).policy
        self.purpose = self.policy.purpose_of(purpose).name
        self._engine, self._consents, self._journal = engine, consents, journal
        self._method: Method = method
        self._key = key
        self._adapter = engine.adapters[-1]
        self._unused: dict[str, str] = {}
        self._ticket: Ticket[Exchange] | None = None
        self._conversation = Conversation(
            engine.assistants[language],
            language=language,
            purpose=self.purpose,
            consents=lambda: self.consented,
        )
        self._pen = Pen(journal, is_new=person is None)
        self._writing, self._ending = threading.Lock(), threading.Event()
        self._is_removed = False
        if consents.is_of_child(self.person):
            self.standing, self._conversation.is_minor = "child", True

    @property
    def protection(self) -> Protection:
        """What holds for somebody of this age."""
        return minors.protection_for(self.standing, is_child=self._conversation.is_minor)

    @property
    def notice(self) -> Notice | None:
        """What this person, or their guardian, is asked; None where nothing would follow."""
        standing: Standing = "child" if self.protection.guardian else self.standing
        return notice_for(standing, self.policy.context, self.language)

    @property
    def consented(self) -> frozenset[str]:
        """What they agree to at this moment, by name; nothing lets anything be read of a minor."""
        return minors.agreed(self.person, self.protection, consents=self._consents)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """What was asked and answered."""
        return self._conversation.exchanges

    def disclosed(self) -> None:
        """Write down that they were told that they talk with an AI, and what it does."""
        self._log(Kind.DISCLOSED)

    def give(self, names: Collection[str]) -> None:
        """Agree to some of what the notice asks, from the next turn on.

        Raises:
            ValueError: if it does not ask for that, or for nothing.
        """
        self._answer(self._consents.give, names)
        self._log(Kind.CONSENT_GIVEN)

    def refuse(self, names: Collection[str]) -> None:
        """Say no to some of it; nothing else changes. Errors are those of `give`."""
        self._answer(self._consents.refuse, names)
        self._log(Kind.CONSENT_REFUSED)

    def withdraw(self, names: Collection[str]) -> None:
        """Take back what was agreed to, from the next turn on."""
        self._conversation.let_go()
        try:
            self._consents.withdraw(self.person, names)
        finally:  # it holds also where it cannot be written
            self._log(Kind.CONSENT_WITHDRAWN)

    def pursue(self, purpose: str | None) -> None:
        """Go on for another purpose of the policy, from the next turn on; None is its default."""
        self.purpose = self._conversation.purpose = self.policy.purpose_of(purpose).name

    def tell_age(self, standing: Standing) -> None:
        """Say how old one is by what holds for it, without an age; it replaces a declared age."""
        self.standing = standing
        self._conversation.declare("age_band", None)
        self._conversation.is_minor = standing == "child"
        self._protect()

    def declare(self, name: str, value: str | None) -> None:
        """Say something of oneself, or take it back with None; see `Conversation.declare`."""
        self._unused.pop(name, None)
        self._conversation.declare(name, value)
        self._protect()

    def correct(self, attribute: str, value: str) -> None:
        """Put something right that was seen."""
        self._conversation.correct(attribute, value)
        self._log(Kind.CORRECTED)

    def reject(self, attribute: str) -> None:
        """Let something that was seen be used no more."""
        self._conversation.reject(attribute)
        self._log(Kind.REJECTED)

    def personalise(self, on: bool) -> None:
        """Have answers fitted to oneself, or not; the service is the same."""
        self._conversation.personalise(on)
        self._log(Kind.PERSONALISED if on else Kind.NOT_PERSONALISED)

    def ask(
        self,
        question: str,
        image: Image | None = None,
        *,
        adapter: str | None = None,
        mode: Mode | None = None,
    ) -> Ticket[Exchange]:
        """Return the ticket of an answer; a turn that is not done is stopped first.

        Words of danger to life are answered at once, whoever waits, and also where nothing can be
        written down or the store of consent is gone.

        Args:
            question: In the person's words.
            image: What they show, for this turn.
            adapter: Who answers, among those of the engine; None for the last choice.
            mode: See `Conversation.ask`.

        Raises:
            LineFull: if too many visitors wait.
            ValueError: if there is no such adapter.
            NotLogged: by the ticket, for an answer that cannot be written down.
        """
        talk, shown = self._choose(adapter), [image]  # emptied when it is looked at
        return self._begin(
            lambda show, keep: talk.ask(
                question, shown.pop(), mode=mode, on_text=show, on_done=keep
            ),
            mode,
            question,
        )

    def retry(self, *, adapter: str | None = None) -> Ticket[Exchange]:
        """Return the ticket of another answer to the last question; `adapter` as in `ask`."""
        question = self.exchanges[-1].question if self.exchanges else ""
        return self._begin(self._choose(adapter).retry, None, question)

    def edit(
        self, index: int, question: str, image: Image | None = None, *, adapter: str | None = None
    ) -> Ticket[Exchange]:
        """Return the ticket of an answer in the place of an earlier one; see `Conversation`.

        Words of danger to life are answered also where there is no such turn.
        """
        if not 0 <= index < len(self.exchanges) and is_emergency(question):
            return self.ask(question)
        talk, shown = self._choose(adapter), [image]  # as in `ask`
        return self._begin(
            lambda show, keep: talk.edit(index, question, shown.pop(), on_text=show, on_done=keep),
            None,
            question,
        )

    def stop(self) -> None:
        """End the turn: at once where it waits, at its next word where it is written."""
        self._ending.set()
        self._conversation.stop()
        if self._ticket is not None:
            self._ticket.cancel()

    def clear(self) -> None:
        """Drop what was asked and answered."""
        self.stop()
        self._ticket = None
        self._conversation.clear()

    def export(self) -> dict[str, Any]:
        """Return all that is held of this person: provided, observed and inferred, apart."""
        self._log(Kind.EXPORTED)
        held = self._conversation.export()
        held["provided"] |= minors.provided(self.standing, self.protection, self._unused)
        return {**held, "consent": self._consents.export(self.person)}

    def hand_over(self, tell: Collection[Part] = ()) -> Card:
        """Return a card for going to a person; it tells what is named in `tell` alone."""
        self._log(Kind.HANDED_OVER)
        return self._conversation.hand_over(tell)

    def forget(self) -> dict[str, int]:
        """Drop everything of this person, once the turn ended; return how many things, by where."""
        with suppress(Exception):  # however it ended, and if it goes on for too long
            self._end_last(wait=True)
        self._ticket = None
        self._log(Kind.FORGOTTEN)  # while it is known whether it may be linked
        found = self._conversation.forget() + len(self._unused)
        self._unused.clear()
        with self._writing:
            gone, self.person = self.person, new_person()
        try:
            links = self._journal.forget(gone)  # needs no room on the disk
            erased = self._consents.erase(gone).erased
        except BaseException:
            self.person = gone  # so that it can be tried again
            raise
        return {"conversation": found, "consent": erased, "journal": links}

    def _answer(self, keep: Callable[..., object], names: Collection[str]) -> None:
        """Keep an answer to the notice."""
        asked = minors.require_asked(self.notice)
        told = {"language": self.language, "method": self._method, "guardian": asked.guardian}
        keep(self.person, names, notice=asked, **told)

    def _choose(self, adapter: str | None) -> Conversation:
        """Return the conversation, which goes on with an adapter, or with the one before."""
        chosen = adapter or self._adapter
        self._conversation.assistant = self._engine.assistant(self.language, adapter=chosen)
        self._adapter = chosen
        return self._conversation

    def _begin(self, answer: Answers, mode: Mode | None, question: str) -> Ticket[Exchange]:
        """Get into the line, and write down how the turn ended."""
        urgent = is_emergency(question)
        self._end_last(wait=not urgent)
        self._ending = threading.Event()
        turn = WrittenTurn(
            answer=answer,
            prepare=self._prepare,
            log=partial(self._log, mode=mode, started=time.perf_counter()),
            urgent=urgent,
            ending=self._ending,
        )
        self._ticket = self._engine.submit(turn, urgent=urgent, key=self._key)
        return self._ticket

    def _prepare(self) -> None:
        """Hold back what a child said, also while it waited; refuse what cannot be written down."""
        talk, store = self._conversation, self._consents
        minors.use_or_hold(talk, self._unused, self.person, self.protection, consents=store)
        require_log(self._journal)

    def _protect(self) -> None:
        """Remove what was written of somebody who turns out to be a minor; tried until done.

        Who turns out to be an adult gets an id of their own.
        """
        if self.protection.keeps:
            self._is_removed = False
            self.person = minors.id_of_adult(self.person, consents=self._consents)
            return
        self._conversation.let_go()
        if not self._is_removed:
            store, log = self._consents, self._journal
            self._is_removed = minors.remove_written(self.person, consents=store, journal=log)

    def _end_last(self, *, wait: bool) -> None:
        """Stop the turn before, so that a conversation has one at a time."""
        if self._ticket is None or self._ticket.done:
            return
        self.stop()
        if wait:
            with suppress(DiscreetError, ValueError):
                self._ticket.result(STOP_SECONDS)

    def _log(
        self,
        kind: Kind,
        reply: Reply | None = None,
        *,
        mode: Mode | None = None,
        started: float | None = None,
    ) -> bool:
        """Write down what happened, of minors unlinked; what people decide holds without it too.

        That a visit began is written with what happened first: by then it is known of whom.
        """
        if kind != Kind.EMERGENCY:  # which waits for nothing
            self._protect()
        with self._writing:
            return self._pen.write(
                kind,
                person=self.person if self.protection.keeps else None,
                assistant=self._engine.assistants[self.language],
                purpose=self.purpose,
                adapter=self._adapter,
                mode=mode,
                reply=reply,
                started=started,
            )
