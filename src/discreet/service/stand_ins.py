"""What visits are built on until the assistant room has its conversation."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PIL.Image import Image

from discreet.assistant import Assistant, Reply, Turn, declare
from discreet.types import Language, Mode


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
        self.assistant, self._consents, self._purpose = assistant, consents, purpose
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
        turn = Turn(
            question=question,
            image=image,
            declared=dict(self._declared) if self._personal else {},
            purpose=self._purpose,
            consented=self._consents() if self._personal else frozenset(),
        )
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
