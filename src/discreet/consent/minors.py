"""Who is asked for consent where somebody is young, and for what.

Nothing is estimated of anybody under 18, and nothing of them is kept, whatever anybody consents
to. Whether a guardian has to agree to the rest depends on the age from which children consent to
online services themselves, by country (`law.consent_age`). The person is asked for a span and
never for an age: the fewest words that decide it. Below that age the guardian answers together
with the child, as France asks for; everywhere, because it is the stricter way. Protective answers
(those for a child) need nobody's consent and are there in every case.

    >>> protection_of("youth")
    Protection(estimates=False, keeps=False, guardian=False)
    >>> [span.text for span in ask_age("FR", "en").spans]
    ['under 15', '15 to 17', '18 or older']
"""

from dataclasses import dataclass
from typing import Literal

from discreet.consent.notices import Notice, load_notice
from discreet.law import consent_age
from discreet.types import AgeBand, Language

Standing = Literal["adult", "youth", "child"]
"""18 or older; a minor who consents alone; a minor for whom a guardian consents, too."""
ADULT_AGE = 18
"""Years from which nobody is a minor."""
_QUESTION: dict[Language, str] = {"en": "How old are you?", "fr": "Quel âge avez-vous ?"}
_SPANS: dict[Language, tuple[str, str, str]] = {
    "en": ("under {age}", "{age} to {last}", "{adult} or older"),
    "fr": ("moins de {age} ans", "de {age} à {last} ans", "{adult} ans ou plus"),
}


@dataclass(frozen=True, slots=True)
class Span:
    """One answer to the question for the age."""

    standing: Standing
    text: str


@dataclass(frozen=True, slots=True)
class AgeQuestion:
    """The question, and its three answers, the youngest first."""

    text: str
    spans: tuple[Span, Span, Span]


@dataclass(frozen=True, slots=True)
class Protection:
    """What holds for somebody of a standing."""

    estimates: bool
    """Whether anything may be estimated of them, if they consent."""
    keeps: bool
    """Whether anything of them may be written to disk."""
    guardian: bool
    """Whether what they declare is used only if a guardian consents, with them."""


def ask_age(country: str, language: Language) -> AgeQuestion:
    """Return the question that decides a standing, with the age of a country (ISO 3166-1)."""
    age = consent_age(country)
    young, youth, adult = (
        text.format(age=age, last=ADULT_AGE - 1, adult=ADULT_AGE) for text in _SPANS[language]
    )
    spans = Span("child", young), Span("youth", youth), Span("adult", adult)
    return AgeQuestion(_QUESTION[language], spans)


def standing_of(age_band: AgeBand | None) -> Standing:
    """Return how somebody is treated who declared an age band, or looks like one.

    A look never makes anybody an adult who has said otherwise: use the more protective of the two.
    """
    return "child" if age_band == "child" else "adult"


def protection_of(standing: Standing) -> Protection:
    """Return what holds for a standing."""
    adult = standing == "adult"
    return Protection(estimates=adult, keeps=adult, guardian=standing == "child")


def notice_for(standing: Standing, context: str, language: Language) -> Notice | None:
    """Return what is asked of somebody; None where nothing is asked, because nothing would follow.

    Raises:
        ValueError: if there is no text for the context or the language.
    """
    if standing == "youth":
        return None
    return load_notice(context, language, guardian=standing == "child")
