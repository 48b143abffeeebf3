"""A card with which somebody goes to a person: who, how to reach them, and what they want told.

Nothing is sent: whoever it is about carries it. It holds what they chose to tell, part by part, and
nothing by default; pictures and what was estimated have no part. Who is named, is the deployment's
to say.

    >>> print(hand_over("home", "en").in_words().splitlines()[0])
    To: somebody you trust, or your doctor
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from discreet.assistant.safety_numbers import numbers_of
from discreet.types import Language

Part = Literal["question", "answer", "note", "profile"]
"""What may be told."""
PARTS: tuple[Part, ...] = get_args(Part)
CARD_PATH = Path(__file__).with_name("handover.toml")


@dataclass(frozen=True, kw_only=True, slots=True)
class Contact:
    """A person, or people, that somebody can turn to."""

    who: str
    reach: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What somebody takes along."""

    contact: Contact
    emergency: tuple[str, ...]
    """Numbers for danger to life; empty if no country is known."""
    told: Mapping[Part, str] = field(repr=False)
    """What the person chose to tell."""
    language: Language

    def in_words(self) -> str:
        """Return the card as text, one thing a line."""
        words = _tables()["words"][self.language]
        colon = ":" if self.language == "en" else " :"
        lines = [
            f"{words['to']}{colon} {self.contact.who}",
            f"{words['how']}{colon} {self.contact.reach}",
        ]
        if self.emergency:
            lines.append(f"{words['emergency']} {words['between'].join(self.emergency)}.")
        lines.append(f"{words['told']}{colon}" if self.told else words["nothing"])
        return "\n".join(
            [*lines, *(f"- {words[part]}{colon} {text}" for part, text in self.told.items())]
        )


def hand_over(
    context: str,
    language: Language,
    *,
    contact: Contact | None = None,
    country: str | None = None,
    told: Mapping[Part, str] | None = None,
) -> Card:
    """Return a card.

    Args:
        context: Of the policy; names a kind of person where there is no contact.
        language: Of the card.
        contact: Whom the deployment names.
        country: Whose emergency numbers are on it; see `numbers_of`.
        told: What the person chose to tell, by part; None tells nothing.

    Raises:
        ValueError: if a part is none of `PARTS`.
    """
    if told and not set(told) <= set(PARTS):
        raise ValueError(f"Expected parts among {', '.join(PARTS)}, got another.")
    numbers = numbers_of(country)
    return Card(
        contact=contact or Contact(**_tables()[context][language]),
        emergency=() if numbers is None else numbers.emergency,
        told={} if told is None else {part: told[part] for part in PARTS if part in told},
        language=language,
    )


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(CARD_PATH.read_text(encoding="utf-8"))
