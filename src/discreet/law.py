"""Articles of law as data: what they ask in our own words, since when, and when that was checked.

`law.toml` is the only place that names an article; everything else calls it by its id, so that what
changes is changed once. It is an engineer's translation and no legal advice, and nothing here says
that something is lawful.

    >>> article("ai-act-5-1-f").title
    'No emotion inference at school and at work'
    >>> consent_age("FR"), consent_age("nowhere")
    (15, 16)
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from types import MappingProxyType

LAW_FILE = Path(__file__).with_name("law.toml")
UNKNOWN_AGE = 16
"""Years from which a child consents alone where a country has set nothing lower."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Article:
    """One article, or what stands beside it: a recital, an annex, a position of an authority."""

    id: str
    """What everything else calls it, for example `gdpr-6`."""
    act: str
    """How the act is called for short."""
    article: str
    """Where in it, as it is cited."""
    title: str
    """What it is about, in a few words of ours."""
    asks: str
    """What it asks, in one or two sentences of ours."""
    in_force: date
    """The day from which it applies."""
    source: str
    """The publication that it stands in."""
    checked_on: date
    """The day on which this was last held against notes on it; word for word it never was."""
    unsure: str = ""
    """What of this was not verified; empty if everything was."""
    is_legal_basis: bool = False
    """Whether data may be used on this ground; most articles ask for something, or prohibit it."""


@cache
def load_law() -> tuple[Article, ...]:
    """Return all articles, in the order of the file."""
    raw = tomllib.loads(LAW_FILE.read_text(encoding="utf-8"))
    return tuple(Article(**one) for one in raw["article"])


def article(id: str) -> Article:  # noqa: A002  (the field's word)
    """Return an article by its id.

    Raises:
        ValueError: if there is none of that id.
    """
    found = _by_id().get(id)
    if found is None:
        raise ValueError("Expected the id of an article, got another. `discreet law` lists them.")
    return found


def cite(id: str) -> str:  # noqa: A002  (the field's word)
    """Return act and article as they are cited, by the article's id.

    Raises:
        ValueError: if there is none of that id.
    """
    found = article(id)
    return f"{found.act}, {found.article}"


def consent_age(country: str) -> int:
    """Return the years from which a child consents to an online service without a guardian.

    Args:
        country: Two letters of ISO 3166-1, for example `FR`; 16 years where nothing lower is known.
    """
    return _consent_ages().get(country.upper(), UNKNOWN_AGE)


@cache
def _by_id() -> Mapping[str, Article]:
    return MappingProxyType({one.id: one for one in load_law()})


@cache
def _consent_ages() -> Mapping[str, int]:
    raw = tomllib.loads(LAW_FILE.read_text(encoding="utf-8"))
    return MappingProxyType(dict(raw["consent_age"]))


LAW_CHECKED_ON = min(one.checked_on for one in load_law())
"""The day since which every article was checked."""
