"""Questions with vetted notes, and answers written for each reader, in English and in French.

A question file is TOML, one for each domain and language; the same `id` is the same question in
both. `reference_answer` returns what the file says to a reader; `compose_answer` dresses it with an
opening and a closing, by a seed, for training. Distress that a face shows changes an answer in
healthcare only: reading emotion in education is prohibited (`ai-act-5-1-f` of `law.toml`).

    >>> question = load_questions("tutoring", language="fr")[0]
    >>> question.language, question.domain
    ('fr', 'tutoring')
"""

import random
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from discreet.errors import DataError
from discreet.readers import Reader, reader_of
from discreet.types import (
    DISTRESSED,
    DOMAINS,
    AgeBand,
    Domain,
    Expression,
    KeyFact,
    Language,
)

Part = Literal["public", "private", "held_out"]
"""What a question serves: the shipped weights learn from `public`, data owners from `private`, and
nothing ever from `held_out`."""

LANGUAGES: tuple[Language, ...] = get_args(Language)
NOTES_DIR = Path(__file__).parent / "notes"

_CALM: dict[Language, tuple[str, ...]] = {
    "en": (
        "Take your time; I am here to help.",
        "Let us take this slowly, one thing at a time.",
        "There is no hurry, and help is near.",
    ),
    "fr": (
        "Prenez votre temps ; je suis là pour aider.",
        "Avançons doucement, une chose à la fois.",
        "Rien ne presse, et de l'aide est proche.",
    ),
}
_OPENINGS: dict[Language, dict[AgeBand, tuple[str, ...]]] = {
    "en": {
        "child": ("Good question.", "Let us find out.", "I can tell you."),
        "older_adult": ("Here are the steps.", "These steps help.", "Step by step:"),
    },
    "fr": {
        "child": ("Bonne question.", "Regardons ensemble.", "Je peux te le dire."),
        "older_adult": ("Voici les étapes.", "Ces étapes aident.", "Pas à pas :"),
    },
}
_CLOSINGS: dict[Language, dict[Domain, dict[AgeBand, tuple[str, ...]]]] = {
    "en": {
        "healthcare": {
            "child": ("Ask a grown-up to help you.", "Tell a grown-up too."),
            "older_adult": ("Shall I repeat a step?", "I can repeat any step."),
        },
        "tutoring": {
            "child": ("Now you try it.", "Ask me if you want more."),
            "older_adult": ("Shall I repeat a step?", "I can repeat any step."),
        },
    },
    "fr": {
        "healthcare": {
            "child": ("Demande à un adulte de t'aider.", "Dis-le aussi à un adulte."),
            "older_adult": ("Dois-je répéter une étape ?", "Je peux répéter chaque étape."),
        },
        "tutoring": {
            "child": ("À toi d'essayer.", "Demande-moi si tu veux en savoir plus."),
            "older_adult": ("Dois-je répéter une étape ?", "Je peux répéter chaque étape."),
        },
    },
}
_LISTS = ("child", "young_adult", "middle_aged", "older_adult", "distressed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question, the vetted note that answers it, and what each reader is told."""

    id: str
    """The same in every language."""
    part: Part
    domain: Domain
    language: Language
    topic: str
    question: str
    note: str
    key_facts: tuple[KeyFact, ...]
    forbidden: tuple[str, ...]
    """Regular expressions of claims that no answer makes."""
    safety: str
    """Whom to turn to, and when; never empty in healthcare."""
    child: tuple[str, ...]
    """Short sentences in easy words."""
    young_adult: tuple[str, ...]
    """The point first."""
    middle_aged: tuple[str, ...]
    """With a reason."""
    older_adult: tuple[str, ...]
    """Steps, one action each."""
    distressed: tuple[str, ...]
    """For somebody upset, of any age: first that help is there, then very short sentences."""


def load_questions(domain: Domain | None = None, *, language: Language = "en") -> list[Question]:
    """Return the questions of a domain, or of all domains, in file order.

    Raises:
        ValueError: if there is no such domain or language.
    """
    if language not in LANGUAGES:
        raise ValueError(f"Expected language in {', '.join(LANGUAGES)}, got {language!r}.")
    if domain not in (None, *DOMAINS):
        raise ValueError(f"Expected domain in {', '.join(DOMAINS)}, got {domain!r}.")
    return [q for name in DOMAINS if domain in (None, name) for q in _load(name, language)]


@cache
def _load(domain: Domain, language: Language) -> tuple[Question, ...]:
    path = NOTES_DIR / f"{domain}.{language}.toml"
    return tuple(read_questions(path, domain, language=language))


def read_questions(path: Path, domain: Domain, *, language: Language = "en") -> list[Question]:
    """Return the questions of a TOML file, checked.

    Raises:
        DataError: if the file is not TOML, or a question lacks a key or has one too many.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["question"]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError) as error:
        raise DataError(f"Expected [[question]] tables in '{path.name}': {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"Expected [[question]] tables in '{path.name}', got something else.")
    return [_question(entry, domain, language, path.name) for entry in entries]


def _question(
    entry: dict[str, object], domain: Domain, language: Language, source: str
) -> Question:
    fields = {"safety": "", **entry, "domain": domain, "language": language}
    try:
        facts = tuple(KeyFact(**fact) for fact in fields.pop("key_facts"))  # type: ignore[attr-defined]
        for name in ("forbidden", *_LISTS):
            fields[name] = _texts(name, fields[name])
        for pattern in [fact.pattern for fact in facts] + list(fields["forbidden"]):  # type: ignore[call-overload]
            re.compile(pattern)
        if not all(isinstance(value, str | tuple) for value in fields.values()):
            raise TypeError("a value is not a text")
        if fields["part"] not in get_args(Part):
            raise TypeError(f"part is none of {', '.join(get_args(Part))}")
        return Question(key_facts=facts, **fields)  # type: ignore[arg-type]
    except (KeyError, TypeError, re.error) as error:
        raise DataError(
            f"Expected a complete question in '{source}', got id={entry.get('id')!r}: {error}."
        ) from error


def _texts(name: str, value: object) -> tuple[str, ...]:
    """Return a list of texts; a text alone would fall apart into its letters."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError(f"{name} is not a list of texts")
    return tuple(value)


def reference_answer(question: Question, reader: Reader, *, safety: bool = True) -> str:
    """Return what the file tells a reader, steps numbered, with the safety line at the end.

    Without `safety` the line is left out, as where a model learns (`compose_answer`).
    """
    line = question.safety if safety else ""
    return " ".join(part for part in (*_body(question, reader), line) if part)


def compose_answer(
    question: Question,
    band: AgeBand,
    *,
    expression: Expression = "neutral",
    seed: int = 0,
    safety: bool = True,
) -> str:
    """Return the reference answer with an opening and a closing; the same for one seed.

    Args:
        question: With its parts.
        band: Whom it is written for.
        expression: What the face shows; used in healthcare only. Distress opens more slowly, and
            tells adults less at once.
        seed: Chooses among openings and closings.
        safety: Whether the safety line is in it. What a model learns goes without: the line is
            appended word for word to what a person is shown, and nothing has to imitate it.
    """
    draw = random.Random(f"{seed} {question.id} {band}")
    calm = draw.choice(_CALM[question.language])
    opening = draw.choice(_OPENINGS[question.language].get(band, ("",)))
    closing = draw.choice(_CLOSINGS[question.language][question.domain].get(band, ("",)))
    reader = reader_of(question.domain, band, expression)
    body = _body(question, reader)
    if reader == "distressed":
        opening = ""
    elif question.domain == "healthcare" and expression in DISTRESSED:
        opening = calm
    line = question.safety if safety else ""
    return " ".join(part for part in (opening, *body, line, closing) if part)


def _body(question: Question, reader: Reader) -> tuple[str, ...]:
    """Return the sentences for a reader; an older adult's are numbered."""
    told: tuple[str, ...] = getattr(question, reader)
    if reader != "older_adult":
        return told
    return tuple(f"{number}. {step}" for number, step in enumerate(told, 1))
