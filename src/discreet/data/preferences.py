"""Preference pairs: an answer that respects the reader, and one that does not.

Pairs come from templates. Some faults are put around a good answer (talking of the reader's age or
gender, elderspeak, a stereotype, refusing what is harmless); others answer a request that has to be
declined (race, feelings or names from a face, a diagnosis). Each fault has a pattern that finds it
in any text, so that what a model writes can be judged by the same words.

    >>> pairs = preference_pairs(seed=0)
    >>> len(pairs) >= 1500, sorted(faults_in("You look very sad today.", "en"))
    (True, ['emotion_inference'])
"""

import random
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, get_args

from discreet.data.conversations import (
    NOTES_DIR,
    Part,
    Question,
    load_questions,
    reference_answer,
)
from discreet.data.examples import indices_by_owner, share_people
from discreet.types import AGE_BANDS, AgeBand, Language, OwnerId

Fault = Literal[
    "attribute_mention",
    "elderspeak",
    "stereotyping",
    "over_refusal",
    "race_inference",
    "emotion_inference",
    "identification",
    "diagnosis",
]
"""What the rejected answer of a pair does."""

FAULTS: tuple[Fault, ...] = get_args(Fault)


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferencePair:
    """One request with a chosen and a rejected answer."""

    id: str
    fault: Fault
    language: Language
    part: Part
    """That of the question; a request that has to be declined is dealt to a part in turn."""
    topic: str
    """That of the question; of a request that has to be declined, the fault that it asks for."""
    band: AgeBand | None
    """Whom both answers are written for; None where it does not matter."""
    question: str = field(repr=False)
    note: str = field(repr=False)
    """Empty where nothing is to be looked up."""
    chosen: str = field(repr=False)
    rejected: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Templates:
    pattern: re.Pattern[str]
    around: dict[str, list[str]]
    asked: dict[str, list[str]]


@cache
def _templates(language: Language) -> dict[Fault, _Templates]:
    tables = tomllib.loads((NOTES_DIR / f"preferences.{language}.toml").read_text(encoding="utf-8"))
    return {
        fault: _Templates(
            re.compile(tables[fault]["pattern"]),
            tables[fault].get("around", {}),
            tables[fault].get("asked", {}),
        )
        for fault in FAULTS
    }


def faults_in(text: str, language: Language) -> set[Fault]:
    """Return which faults a text shows, by their patterns: a screen, which misses other words."""
    return {fault for fault, own in _templates(language).items() if own.pattern.search(text)}


def preference_pairs(
    *,
    language: Language = "en",
    part: Part | None = None,
    seed: int = 0,
    safety: bool = True,
) -> list[PreferencePair]:
    """Return pairs of every fault, the same for one seed, no two alike.

    Args:
        language: Of request and answers.
        part: Only those of one part of the questions; all by default.
        seed: Chooses readers and templates.
        safety: Whether good answers end in their safety line; without it where a model learns, as
            with `compose_answer`.
    """
    pairs = [
        *_around(load_questions(language=language), language, seed, safety),
        *_asked(language, seed),
    ]
    return [pair for pair in pairs if part in (None, pair.part)]


def partition_pairs(
    pairs: Sequence[PreferencePair],
    num_owners: int,
    *,
    alpha: float | None = None,
    seed: int = 0,
) -> dict[OwnerId, list[int]]:
    """Return the indices of each owner's pairs; all pairs of a request go to one owner.

    Whoever asked something judged every answer to it: a request stands for a person.

    Args:
        pairs: To share out.
        num_owners: 1 or more.
        alpha: Concentration of a Dirichlet draw over owners for each topic (Hsu et al. 2019,
            arXiv:1909.06335). None shares requests out evenly.
        seed: Of the draw.

    Raises:
        ValueError: if there are fewer requests than owners, or alpha is not positive.
    """
    topic_of = {pair.question: pair.topic for pair in pairs}
    home = share_people(topic_of, num_owners, alpha=alpha, seed=seed)
    return indices_by_owner([home[pair.question] for pair in pairs], num_owners)


def _around(
    questions: list[Question], language: Language, seed: int, safety: bool
) -> Iterator[PreferencePair]:
    """Yield one pair for each question and fault that a good answer can be spoilt by."""
    for question in questions:
        for fault, own in _templates(language).items():
            if not own.around:
                continue
            draw = random.Random(f"{seed} {fault} {question.id}")
            band = draw.choice([b for b in AGE_BANDS if b in own.around or "any" in own.around])
            template = draw.choice(own.around.get(band, own.around.get("any", [])))
            chosen = reference_answer(question, band, safety=safety)
            yield PreferencePair(
                id=f"{language}.{fault}.{question.id}",
                fault=fault,
                language=language,
                part=question.part,
                topic=question.topic,
                band=band,
                question=question.question,
                note=question.note,
                chosen=chosen,
                rejected=template.format(answer=chosen),
            )


def _asked(language: Language, seed: int) -> Iterator[PreferencePair]:
    """Yield a pair for every request to decline and every way to give in to it."""
    parts: tuple[Part, ...] = ("held_out", "public", "private", "private", "private")
    for fault, own in _templates(language).items():
        for place, prompt in enumerate(own.asked.get("prompts", [])):
            for number, rejected in enumerate(own.asked["rejected"]):
                draw = random.Random(f"{seed} {fault} {place} {number}")
                yield PreferencePair(
                    id=f"{language}.{fault}.{place}.{number}",
                    fault=fault,
                    language=language,
                    part=parts[place % len(parts)],
                    topic=fault,
                    band=None,
                    question=prompt,
                    note="",
                    chosen=draw.choice(own.asked["chosen"]),
                    rejected=rejected,
                )
