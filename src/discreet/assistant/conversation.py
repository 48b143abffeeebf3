"""A person's session: what they say of themselves, turns, why, corrections, export, forgetting.

All of it is in memory and ends with the session. A picture is looked at once and let go before
anything is written; what was estimated from it is kept for its turn. It writes no record of its own
(`journal` does), asks for no consent (`consent` does), and reads no picture (`session` does).

    talk = Conversation(assistant, language="en", consents=lambda: frozenset())
    talk.declare("age_band", "older_adult")
    talk.ask("Why do I sleep badly after coffee?").why.in_words("en")
"""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from PIL.Image import Image

from discreet.assistant.emergency import is_emergency
from discreet.assistant.exchange import Exchange
from discreet.assistant.handover import PARTS, Card, Contact, Part, hand_over
from discreet.assistant.policy import PAGE_ONLY, PICTURE
from discreet.assistant.profile import Profile
from discreet.assistant.safety import hears_distress, says_distress
from discreet.assistant.session import Assistant
from discreet.assistant.sight import (
    NOT_CONSENTED,
    NOT_PERSONAL,
    Asked,
    Sight,
    mode_agreed,
    only_pixels,
    unused,
)
from discreet.assistant.stopping import Show, Stops, go_on, until
from discreet.assistant.texts import TEXTS
from discreet.assistant.turn import Turn
from discreet.assistant.why import why_of
from discreet.types import Language, Mode

Keep = Callable[[Exchange], None]
"""Hears of an answer before it is kept; what it raises ends the turn, and nothing of it is kept."""


class Conversation:
    """The turns of one person.

    Guarantee:
        With personalisation off, the model reads the prompt of somebody of whom nothing is known;
        notes, safety and limits are the same. What was withdrawn, rejected or has run out is not
        used from the next turn on.
    """

    def __init__(
        self,
        assistant: Assistant,
        *,
        language: Language,
        consents: Callable[[], frozenset[str]],
        purpose: str | None = None,
        contact: Contact | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin; nothing of the person is known.

        Args:
            assistant: Who answers; may be replaced between turns by one with the same policy.
            language: Of fixed texts; that of the assistant's notes.
            consents: Says what the person consents to at this moment; asked at every turn.
            purpose: Of the policy; None is its default one.
            contact: Whom a hand-over card names; None names the context's.
            clock: Seconds that only grow.

        Raises:
            PolicyError: if the policy has no such purpose.
        """
        self.assistant = assistant
        self.language = language
        self.purpose = assistant.policy.purpose_of(purpose).name
        self.exchanges: tuple[Exchange, ...] = ()
        self.is_personal = True
        self.is_minor = False
        self._consents, self._contact = consents, contact
        self._profile = Profile(self._seconds_of, clock=clock)
        self._asked: Asked | None = None
        self._stops = Stops()
        self._keeping = threading.Lock()

    @property
    def declared(self) -> dict[str, str]:
        """What the person said of themselves and that has not run out."""
        return self._profile.values

    def declare(self, name: str, value: str | None) -> None:
        """Say something of oneself, or take it back with None; it replaces what is estimated.

        Whoever said to be a child is a minor, also when that was taken back or ran out, until
        another age is declared: of minors nothing is estimated.

        Raises:
            ValueError: if there is no such attribute, or no such value of it.
        """
        self._profile.say(name, value)
        if name == "age_band" and value is not None:
            self.is_minor = value == "child"

    def correct(self, attribute: str, value: str) -> None:
        """Put right what was estimated, from the next turn on; see `declare`."""
        self.declare(attribute, value)
        self._profile.accept(attribute)

    def reject(self, attribute: str) -> None:
        """Let something be used no more, wherever it came from; nobody looks for it again.

        Raises:
            ValueError: if there is no such attribute.
        """
        self._profile.reject(attribute)

    def personalise(self, on: bool) -> None:
        """Have answers fitted to oneself, or have those that anybody gets."""
        self.is_personal = on

    def let_go(self) -> None:
        """Drop what was seen for the last turn: trying it again has no part of it."""
        with self._keeping:
            if self._asked is not None:
                self._asked = self._asked.unseen()

    def ask(
        self,
        question: str,
        image: Image | None = None,
        *,
        mode: Mode | None = None,
        on_text: Show | None = None,
        on_done: Keep | None = None,
    ) -> Exchange:
        """Return an answer, and keep it; see `Assistant.reply`, also for what it raises.

        Args:
            question: In their words.
            image: What they show. A copy of its pixels is looked at, and let go before anything
                is written.
            mode: By default as `mode_agreed` says; with personalisation off always `gated`.
            on_text: Receives the answer.
            on_done: See `Keep`.

        Raises:
            Stopped: if `stop` was called meanwhile.
        """
        with self._stops.hearing(unless=is_emergency(question)) as event:
            self._end_last_turn()
            sight = self._look(question, None if image is None else only_pixels(image), mode)
            del image
            return self._run(Asked(len(self.exchanges), question, sight), event, on_text, on_done)

    def retry(self, on_text: Show | None = None, on_done: Keep | None = None) -> Exchange:
        """Answer the last question again, without its picture: by what was estimated, if it may be.

        What the responder itself saw was for one answer.

        Raises:
            ValueError: if nothing was asked yet.
            Stopped: if `stop` was called meanwhile.
        """
        if self._asked is None:
            raise ValueError("Expected a question to answer again, got none. Ask one first.")
        with self._stops.hearing(unless=is_emergency(self._asked.question)) as event:
            return self._run(self._asked, event, on_text, on_done)

    def edit(
        self,
        index: int,
        question: str,
        image: Image | None = None,
        *,
        on_text: Show | None = None,
        on_done: Keep | None = None,
    ) -> Exchange:
        """Answer another question in the place of an earlier one; what came after it is dropped.

        Without an image, the last turn in the same words alone keeps what was estimated in it.

        Raises:
            ValueError: if there is no such turn.
            Stopped: if `stop` was called meanwhile.
        """
        if not 0 <= index < len(self.exchanges):
            raise ValueError(f"Expected a turn from 0 to {len(self.exchanges) - 1}, got another.")
        with self._stops.hearing(unless=is_emergency(question)) as event:
            last = self._asked
            is_same = last is not None and (last.place, last.question) == (index, question)
            sight = last.sight if last and is_same else Sight()
            if image is not None:
                sight = self._look(question, only_pixels(image), None)
                del image
            return self._run(Asked(index, question, sight), event, on_text, on_done)

    def stop(self) -> None:
        """End the turn, after the look at a picture or at its next word; nothing of it is kept."""
        self._stops.stop()

    def clear(self) -> None:
        """Drop all turns, and what was estimated in them; what was declared stays."""
        with self._keeping:
            self.stop()
            self.exchanges, self._asked = (), None

    def forget(self) -> int:
        """Drop everything of the person and return how many things were found."""
        found = len(self.exchanges) + len(self._profile)
        self.clear()
        self._profile.clear()
        self.is_personal, self.is_minor = True, False
        return found

    def export(self) -> dict[str, Any]:
        """Return all that is held: what was provided, observed and inferred, apart; plain values.

        A value that was estimated in an earlier turn is not kept, and None here.
        """
        return {
            "provided": {
                "declared": self.declared,
                "minor": self.is_minor,
                "rejected": sorted(self._profile.rejected),
                "personalisation": self.is_personal,
                "questions": [done.question for done in self.exchanges],
            },
            "observed": {
                "language": self.language,
                "purpose": self.purpose,
                "turns": [done.as_observed() for done in self.exchanges],
            },
            "inferred": [
                {"turn": turn, **estimate}
                for turn, done in enumerate(self.exchanges)
                for estimate in done.inferred()
            ],
        }

    def hand_over(self, tell: Collection[Part] = ()) -> Card:
        """Return a card for going to a person; it tells what is named in `tell` and nothing else.

        Raises:
            ValueError: if a part is none of `PARTS`.
        """
        if not set(tell) <= set(PARTS):
            raise ValueError(f"Expected parts among {', '.join(PARTS)}, got another.")
        known = self.exchanges[-1].as_told() if self.exchanges else {}
        profile = self._profile.in_words(self.language)
        known |= {"profile": profile} if profile else {}
        return hand_over(
            self.assistant.policy.context,
            self.language,
            contact=self._contact,
            country=self.assistant.country,
            told={part: text for part, text in known.items() if part in tell},
        )

    def _seconds_of(self, attribute: str) -> int:
        """Return how long what was declared is kept; what may not be used, for one turn."""
        rule = self.assistant.policy.purpose_of(self.purpose).attributes.get(attribute)
        return 0 if rule is None else rule.ttl_seconds

    def _end_last_turn(self) -> None:
        """Let go of what was estimated, and of what was said for one turn."""
        if self._asked is not None:
            self._asked = replace(self._asked, sight=Sight())
        self.exchanges = tuple(done.faded() for done in self.exchanges)
        self._profile.end_turn()

    def _turn(self, question: str, image: Image | None = None) -> Turn:
        """Return a turn with what may be known of the person at this moment."""
        declared = self.declared
        asks = self.is_personal and not is_emergency(question)  # where nothing may fail
        agreed = self._consents() if asks else frozenset()
        rejected = self._profile.rejected
        consented = {name for name in agreed if name.partition("/")[2] not in rejected}
        return Turn(
            question=question,
            image=image,
            declared={
                name: value
                for name, value in declared.items()
                if self.is_personal or name in PAGE_ONLY
            },
            purpose=self.purpose,
            consented=frozenset(consented),
            minor=self.is_minor,
        )

    def _look(self, question: str, image: Image | None, mode: Mode | None) -> Sight:
        """Return what is left of a picture, which goes with the turn that holds it."""
        turn = self._turn(question, image)
        agreed = self._consents() if turn.consented and not self._profile.rejected else ()
        chosen = mode or mode_agreed(turn, self.assistant.policy, agreed)
        return self.assistant.look(turn, mode=chosen if self.is_personal else "gated")

    def _sight_now(self, sight: Sight, turn: Turn) -> Sight:
        """Return what may still be used of a picture that was looked at before."""
        picture = self.assistant.policy.purpose_of(self.purpose).consent_to(PICTURE)
        if not self.is_personal:
            return unused(sight, NOT_PERSONAL)
        if sight.mode == "native" and (picture not in turn.consented or turn.is_of_minor):
            return unused(sight, NOT_CONSENTED)
        seen = tuple(s for s in sight.observations if s.attribute not in self._profile.rejected)
        return replace(sight, observations=seen)

    def _run(
        self, asked: Asked, event: threading.Event, on_text: Show | None, on_done: Keep | None
    ) -> Exchange:
        """Answer, and keep the exchange at its place, with nothing after it."""
        go_on(event)
        done = self._answer(asked, event, on_text or (lambda piece: None))
        go_on(event)
        if on_done is not None:
            on_done(done)
        with self._keeping:
            go_on(event)
            self._asked = asked if asked.sight.features is None else asked.unseen()
            self.exchanges = (*self.exchanges[: asked.place], done)
        return done

    def _answer(self, asked: Asked, event: threading.Event, show: Show) -> Exchange:
        turn = self._turn(asked.question)
        sight = self._sight_now(asked.sight, turn)
        urgent = is_emergency(asked.question)
        supported = (
            not urgent and hears_distress(self.assistant.policy) and says_distress(asked.question)
        )
        support = f"{TEXTS[self.language].support} " if supported else ""
        if support:
            show(support)
        assistant = replace(self.assistant, write=until(event, self.assistant.write))
        reply = assistant.answer(turn, sight, on_text=show)
        return Exchange(
            question=asked.question,
            reply=replace(reply, text=support + reply.text),
            why=why_of(
                reply,
                assistant.observations(turn, sight),
                language=self.language,
                personalised=self.is_personal,
                urgent=urgent,
            ),
            supported=supported,
        )
