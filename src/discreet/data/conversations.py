"""Questions with vetted notes, and answers written for each audience.

An answer is put together from the parts of a question file and a few openings and closings, with
a seed. Distress changes an answer in healthcare only: reading emotion in education is prohibited
(EU AI Act, Art. 5(1)(f)).
"""

import random
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from discreet.errors import DataError
from discreet.types import DOMAINS, Audience, Domain, Expression

NOTES_DIR = Path(__file__).parent / "notes"
DISTRESSED: frozenset[Expression] = frozenset({"sad", "angry"})
"""Expressions after which a healthcare answer opens more slowly."""

_CALM = (
    "Take your time; I am here to help.",
    "Let us take this slowly, one thing at a time.",
    "There is no hurry, and help is near.",
)
_OPENINGS: dict[Audience, tuple[str, ...]] = {
    "child": ("Good question.", "Let us find out.", "I can tell you."),
    "adult": ("",),
    "older_adult": ("Here are the steps.", "These steps help.", "Step by step:"),
}
_REPEAT = ("Shall I repeat a step?", "I can repeat any step.")
_CLOSINGS: dict[Domain, dict[Audience, tuple[str, ...]]] = {
    "healthcare": {
        "child": ("Ask a grown-up to help you.", "Tell a grown-up too."),
        "adult": ("",),
        "older_adult": _REPEAT,
    },
    "tutoring": {
        "child": ("Now you try it.", "Ask me if you want more."),
        "adult": ("",),
        "older_adult": _REPEAT,
    },
}


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyFact:
    """Something every right answer says."""

    name: str
    pattern: str
    """Regular expression that finds it in an answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question, the vetted note that answers it, and the answers' parts."""

    id: str
    domain: Domain
    topic: str
    question: str
    note: str
    key_facts: tuple[KeyFact, ...]
    forbidden: tuple[str, ...]
    safety: str
    child: tuple[str, ...]
    adult: tuple[str, ...]
    steps: tuple[str, ...]


def load_questions(domain: Domain | None = None) -> list[Question]:
    """Return all questions of a domain, or of all domains, in file order."""
    return [q for name in DOMAINS if domain in (None, name) for q in _load_domain(name)]


@cache
def _load_domain(domain: Domain) -> tuple[Question, ...]:
    return tuple(read_questions(NOTES_DIR / f"{domain}.toml", domain))


def read_questions(path: Path, domain: Domain) -> list[Question]:
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
    return [_question(entry, domain, path.name) for entry in entries]


def _question(entry: dict[str, object], domain: Domain, source: str) -> Question:
    fields = {**entry, "domain": domain}
    fields.setdefault("safety", "")
    try:
        facts = tuple(KeyFact(**fact) for fact in fields.pop("key_facts"))  # type: ignore[attr-defined]
        for name in ("forbidden", "child", "adult", "steps"):
            fields[name] = _texts(name, fields[name])
        for pattern in [fact.pattern for fact in facts] + list(fields["forbidden"]):  # type: ignore[call-overload]
            re.compile(pattern)
        if not all(isinstance(value, str | tuple) for value in fields.values()):
            raise TypeError("a value is not a text")
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


def compose_answer(
    question: Question,
    audience: Audience,
    *,
    expression: Expression = "neutral",
    seed: int = 0,
) -> str:
    """Return the reference answer for an audience; the same for one seed.

    Args:
        question: With its parts.
        audience: Child: short words. Adult: neutral. Older adult: numbered steps.
        expression: What the face shows; used in healthcare only.
        seed: Chooses among openings and closings.
    """
    draw = random.Random(f"{seed} {question.id} {audience}")
    calm = draw.choice(_CALM)
    opening, closing = (
        draw.choice(_OPENINGS[audience]),
        draw.choice(_CLOSINGS[question.domain][audience]),
    )
    if question.domain == "healthcare" and expression in DISTRESSED:
        opening = calm
    if audience == "older_adult":
        body = [f"{number}. {step}" for number, step in enumerate(question.steps, 1)]
    else:
        body = list(question.child if audience == "child" else question.adult)
    return " ".join(part for part in (opening, *body, question.safety, closing) if part)
