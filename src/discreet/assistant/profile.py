"""What somebody says of themselves, for as long as the policy keeps it.

>>> profile = Profile(lambda name: 60, clock=lambda: 0.0)
>>> profile.say("age_band", "older_adult")
>>> profile.values
{'age_band': 'older_adult'}
"""

from collections.abc import Callable
from dataclasses import dataclass

from discreet.assistant.gate import declare
from discreet.assistant.policy import VALUES
from discreet.assistant.why import say_known
from discreet.types import Language


@dataclass(slots=True)
class _Said:
    """One thing that was said."""

    value: str
    at: float
    used: bool = False


class Profile:
    """What one person said of themselves, and what they want used no more; in memory."""

    def __init__(self, kept_seconds: Callable[[str], int], *, clock: Callable[[], float]) -> None:
        """Begin; nothing was said.

        Args:
            kept_seconds: Says how long an attribute is kept; 0 is for one turn.
            clock: Seconds that only grow.
        """
        self.rejected: frozenset[str] = frozenset()
        self._kept_seconds, self._clock = kept_seconds, clock
        self._said: dict[str, _Said] = {}

    def __len__(self) -> int:
        """Return how many things are held."""
        return len(self._said) + len(self.rejected)

    @property
    def values(self) -> dict[str, str]:
        """What was said and has not run out."""
        now = self._clock()
        self._said = {
            name: said
            for name, said in self._said.items()
            if not (seconds := self._kept_seconds(name)) or now - said.at <= seconds
        }
        return {name: said.value for name, said in self._said.items()}

    def in_words(self, language: Language) -> str:
        """Return what was said in words that anybody reads; empty if it is nothing."""
        return ", ".join(say_known(name, value, language) for name, value in self.values.items())

    def say(self, name: str, value: str | None) -> None:
        """Say something, or take it back with None.

        Raises:
            ValueError: if there is no such attribute, or no such value of it.
        """
        if value is None:
            self._said.pop(_known(name), None)
            return
        declare(name, value)
        self._said[name] = _Said(value, self._clock())

    def accept(self, name: str) -> None:
        """Let something be used again."""
        self.rejected -= {name}

    def reject(self, name: str) -> None:
        """Let something be used no more, wherever it came from, and take back what was said.

        Raises:
            ValueError: if there is no such attribute.
        """
        self.rejected |= {_known(name)}
        self._said.pop(name, None)

    def end_turn(self) -> None:
        """Let go of what was said for one turn, if a turn had it."""
        self._said = {
            name: said
            for name, said in self._said.items()
            if not said.used or self._kept_seconds(name)
        }
        for said in self._said.values():
            said.used = True

    def clear(self) -> None:
        """Drop all of it."""
        self._said, self.rejected = {}, frozenset()


def _known(attribute: str) -> str:
    if attribute not in VALUES:
        raise ValueError(f"Expected an attribute among {', '.join(VALUES)}, got another.")
    return attribute
