"""What visits are built on until the rooms `consent`, `journal` and the conversation are there."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from PIL.Image import Image

from discreet.assistant import Assistant, Reply, Turn, declare
from discreet.types import Language, Mode


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One thing that a person may agree to."""

    name: str
    title: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """What a person is shown before they agree."""

    version: str
    sha256: str
    text: str
    items: tuple[Item, ...]


def load_notice(context: str, language: Language) -> Notice:
    """Return a notice."""
    items = (Item(name="inform/age_band", title="Age band", text="From a picture."),)
    return Notice(version="0", sha256="0" * 64, text="A notice.", items=items)


@dataclass
class ConsentStore:
    """Consents in memory."""

    given: dict[str, set[str]] = field(default_factory=dict)

    def give(
        self,
        person: str,
        names: Iterable[str],
        *,
        notice: Notice,
        language: Language,
        method: str,
        guardian: bool = False,
    ) -> None:
        """Keep what somebody agrees to."""
        self.given.setdefault(person, set()).update(names)

    def refuse(
        self, person: str, names: Iterable[str], *, notice: Notice, language: Language, method: str
    ) -> None:
        """Keep that somebody does not agree."""

    def withdraw(self, person: str, names: Iterable[str]) -> None:
        """Take back."""
        self.given.get(person, set()).difference_update(names)

    def active(self, person: str) -> frozenset[str]:
        """Return what holds."""
        return frozenset(self.given.get(person, ()))

    def export(self, person: str) -> dict[str, Any]:
        """Return records."""
        return {"given": sorted(self.active(person))}

    def erase(self, person: str) -> None:
        """Forget."""
        self.given.pop(person, None)


class Kind(StrEnum):
    """What happened."""

    STARTED = "started"
    DISCLOSED = "disclosed"
    CONSENT_GIVEN = "consent_given"
    CONSENT_REFUSED = "consent_refused"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    ANSWERED = "answered"
    EMERGENCY = "emergency"
    STOPPED = "stopped"
    REFUSED = "refused"
    CORRECTED = "corrected"
    REJECTED = "rejected"
    PERSONALISED = "personalised"
    NOT_PERSONALISED = "not_personalised"
    EXPORTED = "exported"
    HANDED_OVER = "handed_over"
    FORGOTTEN = "forgotten"
    ERASED = "erased"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One line of the journal."""

    kind: Kind
    person: str
    context: str
    purpose: str
    policy_sha256: str
    model_sha256: str
    adapter: str
    language: Language
    mode: Mode
    used: tuple[tuple[str, str], ...] = ()
    withheld: tuple[tuple[str, str], ...] = ()
    milliseconds: int = 0


@dataclass
class Journal:
    """Events in memory."""

    kept: list[Event] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Keep an event."""
        self.kept.append(event)

    def events(self) -> list[Event]:
        """Return all events."""
        return self.kept

    def forget(self, person: str) -> None:
        """Drop what links events to a person."""
        self.kept = [replace(e, person="") if e.person == person else e for e in self.kept]


@dataclass(frozen=True, kw_only=True, slots=True)
class Observed:
    """One observation and what became of it."""

    attribute: str
    value: str = field(repr=False)
    source: str
    confidence: float
    passed: bool
    reason: str | None
    changed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Why:
    """What shaped an answer."""

    observed: tuple[Observed, ...]
    note: str | None = field(repr=False)

    def in_words(self, language: Language) -> str:
        """Say it."""
        return "; ".join(f"{o.attribute} ({o.source}, {o.confidence:.0%})" for o in self.observed)


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """A question, its answer and why."""

    question: str = field(repr=False)
    reply: Reply = field(repr=False)
    why: Why = field(repr=False)


class Conversation:
    """The turns of one person."""

    def __init__(
        self,
        assistant: Assistant,
        *,
        language: Language,
        purpose: str,
        consents: Callable[[], frozenset[str]],
    ) -> None:
        """Begin."""
        self.assistant, self._consents = assistant, consents
        self.exchanges: tuple[Exchange, ...] = ()
        self._declared: dict[str, str] = {}
        self._personal = True

    def declare(self, name: str, value: str | None) -> None:
        """Say something of oneself."""
        self._declared = {k: v for k, v in self._declared.items() if k != name}
        if value is not None:
            declare(name, value)
            self._declared[name] = value

    def ask(
        self,
        question: str,
        image: Image | None = None,
        *,
        mode: Mode = "gated",
        on_text: Callable[[str], None] | None = None,
    ) -> Exchange:
        """Answer."""
        turn = Turn(question=question, image=image, declared=dict(self._declared))
        reply = self.assistant.reply(turn, mode=mode, on_text=on_text)
        seen = tuple(
            Observed(
                attribute=s.attribute,
                value=s.value,
                source=s.source,
                confidence=s.confidence,
                passed=True,
                reason=None,
                changed=(),
            )
            for s in reply.decision.passed
        )
        done = Exchange(
            question=question, reply=reply, why=Why(observed=seen, note=reply.note_question)
        )
        self.exchanges = (*self.exchanges, done)
        return done

    def retry(self, on_text: Callable[[str], None] | None = None) -> Exchange:
        """Answer the last question again."""
        return self.edit(len(self.exchanges) - 1, self.exchanges[-1].question, on_text)

    def edit(
        self, index: int, question: str, on_text: Callable[[str], None] | None = None
    ) -> Exchange:
        """Answer another question in the place of one."""
        self.exchanges = self.exchanges[:index]
        return self.ask(question, on_text=on_text)

    def stop(self) -> None:
        """End."""

    def clear(self) -> None:
        """Forget the exchanges."""
        self.exchanges = ()

    def correct(self, attribute: str, value: str) -> None:
        """Replace what was seen."""
        self.declare(attribute, value)

    def reject(self, attribute: str) -> None:
        """Use it no more."""
        self.declare(attribute, None)

    def personalise(self, on: bool) -> None:
        """Fit answers to the person, or not."""
        self._personal = on

    def export(self) -> dict[str, Any]:
        """Return all that is held."""
        return {"provided": dict(self._declared), "observed": [], "inferred": []}

    def forget(self) -> None:
        """Drop all."""
        self.clear()
        self._declared = {}
