"""Whom to call where life is in danger, in the words of a language and the numbers of a country.

The numbers are data with a source and the day they were checked on (`safety_numbers.toml`). It does
not hear danger (`emergency`), and knows nobody's place: the country is that of the deployment.

    >>> emergency_text("en", "BE", "my son drank bleach")[:40]
    'This may be an emergency. Call 112 now, '
    >>> "070 245 245" in emergency_text("en", "BE", "my son drank bleach")
    True
"""

import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from discreet.assistant.emergency import dangers
from discreet.assistant.texts import TEXTS
from discreet.types import Language

NUMBERS_PATH = Path(__file__).with_name("safety_numbers.toml")


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Who answers a number."""

    number: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    """The numbers of one country."""

    emergency: tuple[str, ...]
    """In the order in which they are said."""
    source: str
    """Who publishes them."""
    checked_on: date
    """When somebody last compared them with the source."""
    write: str | None = None
    """For messages, where somebody cannot speak."""
    listen: Line | None = None
    """For thoughts of suicide."""
    poison: Line | None = None


def numbers_of(country: str | None) -> Numbers | None:
    """Return the numbers of a country, or None where none are known.

    Args:
        country: Two letters of ISO 3166-1, in capitals; None if nobody said.
    """
    return None if country is None else _numbers().get(country)


def countries() -> tuple[str, ...]:
    """Return the countries whose numbers are known, in the order of the alphabet."""
    return tuple(sorted(_numbers()))


def whom_to_call(language: Language, country: str | None) -> str:
    """Return whom to call where life is in danger, as it stands in a sentence.

    >>> whom_to_call("fr", "CH"), whom_to_call("en", None)
    ('le 144 ou le 112', 'your local emergency number')
    """
    numbers = numbers_of(country)
    return TEXTS[language].called(() if numbers is None else numbers.emergency)


def emergency_text(language: Language, country: str | None, question: str) -> str:
    """Return what is said first to words of danger to life.

    Where no country is given, or none of its numbers is known, it is the text that is right
    anywhere: `TEXTS[language].emergency`.
    """
    texts, numbers = TEXTS[language], numbers_of(country)
    if numbers is None:
        return texts.emergency
    said = [texts.emergency_with(numbers.emergency)]
    kinds = dangers(question)
    lines = [("self_harm", numbers.listen), ("poisoning", numbers.poison)]
    said += [
        texts.line.format(name=line.name, number=line.number)
        for kind, line in lines
        if line is not None and kind in kinds
    ]
    if numbers.write is not None:
        said.append(texts.write.format(number=numbers.write))
    return " ".join(said)


@cache
def _numbers() -> dict[str, Numbers]:
    tables = tomllib.loads(NUMBERS_PATH.read_text(encoding="utf-8"))
    members: list[str] = tables["EU"].pop("members")
    shared = _read(tables.pop("EU"))
    numbers = dict.fromkeys(members, shared)
    numbers.update((country, _read(raw)) for country, raw in tables.items())
    return numbers


def _read(raw: dict[str, Any]) -> Numbers:
    fields = {**raw, "emergency": tuple(raw["emergency"])}
    for name in ("listen", "poison"):
        if name in raw:
            fields[name] = Line(**raw[name])
    return Numbers(**fields)
